#!/usr/bin/env bash
# launch/build-debdesc.sh: which rows it makes, from an archive on this disk, through the real apt.
. "$(dirname "$0")/common.sh"

if ! command -v apt-get >/dev/null; then
    echo "apt is not there"
    exit 77
fi

# An archive of bookworm main (and a later suite that must not be read) with descriptions made up here.
python3 - "$work/archive" <<'PY'
import hashlib, os, sys

LONG = "This text is long enough to be a description that is worth learning from"

def stanza(name, synopsis, *lines):
    return "Package: %s\nDescription-md5: 0\nDescription-en: %s\n%s\n" % (
        name, synopsis, "".join(" %s\n" % line for line in lines))

def archive(suite, stanzas):
    folder = os.path.join(sys.argv[1], "dists", suite)
    os.makedirs(os.path.join(folder, "main/i18n"))
    text = "".join(stanzas).encode()
    with open(os.path.join(folder, "main/i18n/Translation-en"), "wb") as file:
        file.write(text)
    with open(os.path.join(folder, "Release"), "w") as file:
        file.write("Origin: Test\nSuite: %s\nCodename: %s\nComponents: main\nArchitectures: amd64 arm64\n"
                   "Date: Sat, 10 Jun 2023 08:50:26 UTC\nSHA256:\n %s %d main/i18n/Translation-en\n"
                   % (suite, suite, hashlib.sha256(text).hexdigest(), len(text)))

sentence = "A first sentence that is followed by many more of its kind. "
rows = [stanza("plain%d" % i, "tool number %d" % i, LONG + " %d" % i, "over two lines.") for i in range(300)]
rows += [
    stanza("parted", "text of two paragraphs", LONG + ".", ".", "Second paragraph.", ".", "x" * 500),
    stanza("wordy", "text cut at a sentence", sentence * 20),
    stanza("unicode", "caf\u00e9 \u201cquoted\u201d", LONG + " na\u00efve \\ \"x\"."),
    stanza("family-one", "family one", LONG + " of a family."),
    stanza("family-two", "family two", LONG + " of a family."),
    stanza("family-three", "family three", LONG + " of a family."),
    stanza("twin-a", "the same twin", LONG + " twice."),
    stanza("twin-b", "the same twin", LONG + " twice."),
    stanza("plain0", "an older version", LONG + " in an older version."),
    stanza("brief", "too little to learn from", "Short."),
    stanza("bare", "no description at all"),
    stanza("old", "transitional package", LONG + " to another name."),
    stanza("tool-dbg", "debugger food", LONG + " under a debugger."),
    stanza("tool-dbgsym", "debugger food", LONG + " under a debugger too."),
    stanza("office-l10n-de", "German office", LONG + " in German."),
    stanza("librust-a-dev", "crate", LONG + " in Rust."),
    stanza("libghc-a-dev", "hackage", LONG + " in Haskell."),
    stanza("golang-github-a-dev", "module", LONG + " in Go."),
]
archive("bookworm", rows)
archive("bookworm-updates", [stanza("late", "a later suite", LONG + " from a later suite.")])
PY

uri="file:${work// /%20}/archive"
mkdir "$work/sources"
printf 'deb [trusted=yes] %s bookworm main\ndeb [trusted=yes] %s bookworm-updates main\n' "$uri" "$uri" \
    >"$work/sources/test.list"
printf 'deb [trusted=yes] file:/nonexistent stable other\n' >"$work/sources/a-broken.list"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources";
APT::Update::Pre-Invoke:: "touch '$work/hooked'";
APT::Update::Post-Invoke:: "touch '$work/hooked'";
CONF
export APT_CONFIG="$work/apt.conf"

build() {
    expect "$1" bash "$SOURCE/launch/build-debdesc.sh" "$2"
}

build 0 "$work/one"
[ ! -e "$work/hooked" ] || fail "a hook of the host's apt was run"
[ "$(ls -A "$work/one")" = "$(printf '.complete\ndev.jsonl\ntest.jsonl\ntrain.jsonl')" ] ||
    fail "left in the folder: $(ls -A "$work/one")"

python3 - "$work/one" <<'PY'
import json, sys

def check(what, fact):
    if not fact:
        sys.exit("FAILED: " + what)

splits = {s: [json.loads(l) for l in open("%s/%s.jsonl" % (sys.argv[1], s), encoding="utf-8")]
          for s in ("train", "dev", "test")}
rows = sum(splits.values(), [])
by_target = {row["target"]: row["source"] for row in rows}
check("rows have source and target", all(set(row) == {"source", "target"} for row in rows))
check("targets open with one space", all(t[0] == " " and t[1] != " " for t in by_target))
check("most rows train, some of each", len(splits["train"]) > 250 and splits["dev"] and splits["test"])
check("wrapped lines are joined", by_target[" tool number 7"].endswith("from 7 over two lines."))
check("paragraphs are kept while they fit", by_target[" text of two paragraphs"].endswith("from.\nSecond paragraph."))
cut = by_target[" text cut at a sentence"]
check("a long text ends at a sentence", 400 < len(cut) <= 500 and cut.endswith("of its kind."))
check("text beyond ASCII and quotes survive", by_target[" caf\u00e9 \u201cquoted\u201d"].endswith("na\u00efve \\ \"x\"."))
check("two siblings are kept", " family one" in by_target and " family two" in by_target)
check("a third sibling is dropped", " family three" not in by_target)
check("siblings share a split", any(
    {" family one", " family two"} <= {row["target"] for row in part} for part in splits.values()))
check("a repeated row is dropped", sum(row["target"] == " the same twin" for row in rows) == 1)
for target in ("an older version", "too little to learn from", "no description at all", "transitional package",
               "debugger food", "German office", "crate", "hackage", "module", "a later suite"):
    check("dropped: " + target, " " + target not in by_target)
check("nothing else is dropped", len(rows) == 300 + 3 + 2 + 1)
PY

cd "$work"
build 0 two
diff -r "$work/one" "$work/two" || fail "a second build, into a relative path, differs"

# Complete: left alone, without apt. Damaged: built again.
mv "$work/archive" "$work/away"
build 0 "$work/two"
says "is there"
printf '{}\n' >>"$work/two/dev.jsonl"
build 3 "$work/two"
says "has no English descriptions of bookworm main"
mv "$work/away" "$work/archive"
build 0 "$work/two"
diff -r "$work/one" "$work/two" || fail "a damaged folder was not mended"

rm "$work/sources/test.list"
build 3 "$work/three"
says "no source of apt names Debian 12"
[ -z "$(ls -A "$work/three")" ] || fail "left after a failure: $(ls -A "$work/three")"
