#!/usr/bin/env python3
"""Write the rows of Parquet files as JSON lines, which Forerun reads.

usage: parquet-to-jsonl.py FILE.parquet [...] [-o ROWS.jsonl] [--columns NAME,NAME] [--rows N]

Needs pyarrow (Debian has no package of it: python3 -m pip install pyarrow). Files are read batch by batch, so they may be
larger than memory. Without -o the rows go to standard output. With -o the file appears only when it is whole.
"""
import argparse
import datetime
import decimal
import json
import os
import sys

BATCH_ROWS = 1024


def plain(value):
    """What json does not write by itself: times as ISO 8601, bytes as text, decimals as text."""
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    raise TypeError("a value of type %s has no JSON; leave its column out with --columns" % type(value).__name__)


def write_rows(parquet, paths, columns, most, out):
    n = 0
    for path in paths:
        with parquet.ParquetFile(path) as file:
            known = file.schema_arrow.names
            for name in columns or []:
                if name not in known:
                    raise ValueError("%s: has no column %s; its columns are: %s" % (path, name, ", ".join(known)))
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    if most is not None and n >= most:
                        return n
                    out.write(json.dumps(row, ensure_ascii=False, default=plain) + "\n")
                    n += 1
    return n


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", metavar="FILE.parquet")
    parser.add_argument("-o", "--output", metavar="ROWS.jsonl")
    parser.add_argument("--columns", metavar="NAME,NAME", help="only these columns")
    parser.add_argument("--rows", type=int, metavar="N", help="only the first N rows")
    return parser.parse_args(arguments)


def convert(parquet, given):
    columns = given.columns.split(",") if given.columns else None
    if given.output is None:
        with open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) as out:
            return write_rows(parquet, given.files, columns, given.rows, out)
    part = given.output + ".part"
    try:
        with open(part, "w", encoding="utf-8") as out:
            n = write_rows(parquet, given.files, columns, given.rows, out)
        os.replace(part, given.output)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    return n


def main():
    given = parse(sys.argv[1:])
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        sys.exit("parquet-to-jsonl: needs pyarrow; install it with: python3 -m pip install pyarrow")
    try:
        n = convert(parquet, given)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, ValueError, TypeError) as error:  # those of pyarrow are ValueErrors
        sys.exit("parquet-to-jsonl: %s" % error)
    print("%d rows" % n, file=sys.stderr)


if __name__ == "__main__":
    main()
