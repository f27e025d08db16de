#!/usr/bin/env python3
"""Compare the interpreter of chat templates with jinja2 on templates of real models.

usage: compare_templates.py RENDER_TEMPLATE FOLDER [--table]

RENDER_TEMPLATE is the program of tests/golden/tools/render_template.c, FOLDER holds templates (*.jinja). Each is rendered for five
dialogues by both: the same text, or refused by Forerun; a template that jinja2 itself refuses for a dialogue must be refused, too.
With --table a line for each template, as docs/models.md has them. Needs jinja2. Exit code 1 if any text differs.
"""

import argparse
import glob
import json
import os
import subprocess
import sys

from make_jinja import CLOCK, make_environment

TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "Says how the weather is in \"a place\".",
    "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "a town"}, "days": {"type": "integer", "default": 3},
        "unit": {"type": "string", "enum": ["C", "F"]}, "where": {"type": "array", "items": {"type": "number"}}}}}}]
CALL = {"id": "call00001", "type": "function",
        "function": {"name": "weather", "arguments": {"place": "Köln <am> \"Rhein\"", "days": 2}}}


def turn(role, content, **more):
    """A message."""
    return {"role": role, "content": content, **more}


def dialogues():
    """Name, messages, tools and whether an answer is opened."""
    whole = [turn("system", "Be brief."), turn("user", "What is red?"), turn("assistant", "A colour.")]
    tools = [turn("user", "How is the weather?"), turn("assistant", "", tool_calls=[CALL]),
             turn("tool", "{\"sky\": \"grey\"}", tool_call_id="call00001", name="weather"),
             turn("assistant", "Grey.")]
    long = []
    for i in range(40):
        long += [turn("user", f"Question {i}: " + "why? " * (i % 7)), turn("assistant", f"Answer {i}.\n" * (1 + i % 3))]
    odd = [turn("user", " \n\t\"Café\" {x}\n\n"), turn("assistant", "\n 'a' & <b> {{ c }} 你\\n\n "),
           turn("user", "\t{% d %} <|im_end|> </s> \U0001F600  ")]
    return [("system", whole, None, False), ("tools", tools, TOOLS, True), ("long", long + [turn("user", "And?")], None, True),
            ("empty", [turn("user", "")], None, True), ("odd characters", odd, None, True)]


def by_jinja2(environment, source, variables):
    """The text, or None where jinja2 refuses."""
    try:
        return environment.from_string(source).render(**variables)
    except Exception:  # whatever a template makes Python raise
        return None


def main():
    """Compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    environment = make_environment(CLOCK)
    counts = {"same": 0, "refused by both": 0, "refused": 0, "DIFFERENT": 0}
    paths = sorted(glob.glob(os.path.join(args.folder, "*.jinja")))
    with subprocess.Popen([args.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as ours:
        for path in paths:
            with open(path, encoding="utf-8") as file:
                source = file.read()
            found = []
            for name, messages, tools, opens in dialogues():
                variables = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": opens,
                             "bos_token": "<s>", "eos_token": "</s>"}
                wanted = by_jinja2(environment, source, variables)
                ours.stdin.write(json.dumps({"template": source, "variables": variables, "clock": CLOCK}) + "\n")
                ours.stdin.flush()
                got = json.loads(ours.stdout.readline())
                verdict = ("refused by both" if wanted is None else "refused") if "refused" in got else \
                    "same" if got["text"] == wanted else "DIFFERENT"
                counts[verdict] += 1
                found.append((name, verdict, got.get("refused", "")))
                if verdict == "DIFFERENT":
                    print(f"{os.path.basename(path)}, {name}:\n  jinja2  {wanted!r}\n  Forerun {got['text']!r}")
            if args.table:
                same = [name for name, verdict, _ in found if verdict == "same"]
                rest = [f"{name}: {verdict}, {why}" for name, verdict, why in found if verdict != "same"]
                print(f"| {os.path.basename(path)[:-6]} | {'all' if len(same) == 5 else ', '.join(same)} | {'; '.join(rest)} |")
        ours.stdin.close()
    print(f"{len(paths)} templates, {sum(counts.values())} dialogues: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    sys.exit(1 if counts["DIFFERENT"] or not paths else 0)


main()
