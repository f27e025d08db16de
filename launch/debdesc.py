"""Package descriptions (deb822 stanzas on standard input) -> train, dev and test rows.

A row is {"source": the description's first paragraphs, "target": " " + synopsis}; the leading space lets a
template end in "Synopsis:". Left out: transitional, debug and translation packages, repeated rows, and families
whose descriptions a tool writes from one pattern. Rows that share a first paragraph are siblings: two of them are
kept, and all lie in the same split (chosen by its hash).

usage: debdesc.py FOLDER < stanzas
"""
import hashlib
import json
import os
import re
import sys

MOST_CHARACTERS = 500
LEAST_CHARACTERS = 60
MOST_SIBLINGS = 2
NAMES = re.compile(
    r"(-dbg|-dbgsym|-l10n|-i18n|-locale|-lang|-langpack)(-|$)|^(task-|language-|aspell-|hunspell-)"
    r"|^(librust-|libghc-|golang-.*-dev$|gir1\.2-|dict-freedict-|tesseract-ocr-)|-cross$"
)
WORDS = re.compile(r"transitional|dummy package|debug(ging)? symbols|metapackage (for|enables)|meta-package", re.I)


def stanzas(lines):
    """Yield one {key: [lines]} a stanza."""
    fields, key = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if fields:
                yield fields
            fields, key = {}, None
        elif line[0] == " " and key:
            fields[key].append(line[1:])
        elif ":" in line:
            key, value = line.split(":", 1)
            fields[key] = [value.strip()]
    if fields:
        yield fields


def paragraphs(lines):
    """Join wrapped lines; lists and indented text keep their lines."""
    out, now = [], []
    for line in lines:
        if line.strip() == ".":
            out.append(now)
            now = []
        else:
            now.append(line.strip())
    out.append(now)
    return [" ".join(part) for part in out if part]


def shorten(parts):
    """Whole paragraphs up to the limit; a longer first one ends at a sentence."""
    text = parts[0]
    for part in parts[1:]:
        if len(text) + len(part) + 1 > MOST_CHARACTERS:
            break
        text += "\n" + part
    if len(text) > MOST_CHARACTERS:
        cut = text.rfind(". ", LEAST_CHARACTERS, MOST_CHARACTERS)
        text = text[: cut + 1] if cut > 0 else text[:MOST_CHARACTERS].rsplit(" ", 1)[0]
    return text


def rows(lines):
    """Yield (first paragraph, row), cleaned, siblings limited."""
    siblings, seen, made = {}, set(), set()
    for stanza in stanzas(lines):
        name = stanza.get("Package", [""])[0]
        description = stanza.get("Description-en", [])
        if not name or len(description) < 2 or NAMES.search(name):
            continue
        parts = paragraphs(description[1:])
        if not parts or WORDS.search(" ".join(description)) or name in seen:
            continue
        seen.add(name)
        source = shorten(parts)
        if len(source) < LEAST_CHARACTERS or (source, description[0]) in made:
            continue
        made.add((source, description[0]))
        siblings[parts[0]] = siblings.get(parts[0], 0) + 1
        if siblings[parts[0]] <= MOST_SIBLINGS:
            yield parts[0], {"source": source, "target": " " + description[0]}


def split_of(paragraph):
    """94.2 % train, 2.9 % dev, 2.9 % test, by the hash of the first paragraph."""
    value = int.from_bytes(hashlib.sha256(paragraph.encode()).digest()[:4], "big") % 1000
    return "dev" if value < 29 else "test" if value < 58 else "train"


def main():
    folder = sys.argv[1]
    files = {s: open(os.path.join(folder, s + ".jsonl"), "w", encoding="utf-8") for s in ("train", "dev", "test")}
    counts = dict.fromkeys(files, 0)
    for paragraph, row in rows(open(0, encoding="utf-8", errors="replace")):
        split = split_of(paragraph)
        files[split].write(json.dumps(row, ensure_ascii=False) + "\n")
        counts[split] += 1
    for file in files.values():
        file.close()
    if min(counts.values()) == 0:
        sys.exit("error: no descriptions found in apt's lists (rows: %s)" % counts)


main()
