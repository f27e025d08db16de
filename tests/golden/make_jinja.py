#!/usr/bin/env python3
"""Write the texts of jinja.json anew: what jinja2 renders, set up as transformers sets it up. Needs jinja2.

Its templates stay as they are: add a pair with any text under "renders" and run this."""

import datetime
import json
import os

import jinja2.nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

CLOCK = 1770445145  # that of test_jinja.c, in seconds since 1970
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jinja.json")


class Generation(Extension):
    """The statement that marks what the assistant says; it writes its body."""

    tags = {"generation"}

    def parse(self, parser):
        """A call block around the body."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    @staticmethod
    def _write(caller):
        return caller()


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    """The filter tojson."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    """The function of templates."""
    raise jinja2.exceptions.TemplateError(message)


def make_environment(seconds):
    """As transformers makes it, at a time given in seconds since 1970, UTC."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[Generation, loopcontrols])
    now = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = now.strftime
    return environment


def main():
    """Render all."""
    environment = make_environment(CLOCK)
    with open(PATH, encoding="utf-8") as file:
        cases = json.load(file)
    pairs = [[template, environment.from_string(template).render(**cases["variables"])]
             for template, _ in cases["renders"]]
    lists = {"renders": pairs, "refused": cases["refused"]}
    with open(PATH, "w", encoding="utf-8") as file:
        file.write('{\n"variables": %s' % json.dumps(cases["variables"]))
        for name, items in lists.items():
            file.write(',\n"%s": [\n%s\n]' % (name, ",\n".join(json.dumps(item) for item in items)))
        file.write("\n}\n")


if __name__ == "__main__":
    main()
