#!/usr/bin/env bash
# selftest.sh COMPILER: each lint finds the fault planted for it, and nothing in a clean tree.
set -euo pipefail

compiler=${1:-cc}
here=$(cd "$(dirname "$0")" && pwd)
area=$(mktemp -d)
trap 'rm -rf "$area"' EXIT
failed=0

# A small clean tree with the lints in it.
clean_tree() {
    rm -rf "${area:?}/tree"
    mkdir -p "$area/tree/tests/lint" "$area/tree/src/base" "$area/tree/src/model"
    cp "$here"/*.py "$here"/*.sh "$area/tree/tests/lint/"
    cp "$here/../../.clang-format" "$area/tree/"
    printf '#include <math.h>\n' >"$area/tree/src/base/a.h"
    printf '#include "base/a.h"\nint f(void)\n{\n    return 1;\n}\n' >"$area/tree/src/model/b.c"
}

# expect NAME STATUS TEXT COMMAND...: the command leaves with the status and prints the text.
expect() {
    local name=$1 wanted=$2 text=$3 status=0 output
    shift 3
    output=$(cd "$area/tree" && "$@" 2>&1) || status=$?
    if [ "$status" -ne "$wanted" ] || [[ $output != *"$text"* ]]; then
        echo "FAILED $name: status $status, wanted $wanted with '$text'; output:"
        echo "$output"
        failed=1
    fi
}

python() {
    expect "$1" "$2" "$3" python3 -B "tests/lint/$4.py"
}

repeat() {
    for ((i = 0; i < $1; i++)); do
        echo "$2"
    done
}

clean_tree
python "clean tree" 0 "0 problems" layers
python "clean tree" 0 "0 problems" sizes
python "clean tree" 0 "0 problems" paths
python "clean tree" 0 "0 problems" elementary
python "clean tree" 0 "0 problems" words

echo '#include "model/b.h"' >"$area/tree/src/base/a.h"
python "upward include" 1 "room base must not use model" layers
echo '#include <mpi.h>' >"$area/tree/src/base/a.h"
python "foreign header" 1 "mpi.h belongs in" layers
echo '#include "a.h"' >"$area/tree/src/base/a.h"
python "include without a room" 1 "by its path under src/" layers

clean_tree
echo '#include "base/x_impl.h"' >"$area/tree/src/model/b.c"
python "private header of another room" 1 "base/x_impl.h is private to x.c and x_*.c" layers
echo '#include "model/x_impl.h"' >"$area/tree/src/model/b.c"
python "private header of another file" 1 "model/x_impl.h is private to x.c and x_*.c" layers
cp "$area/tree/src/model/b.c" "$area/tree/src/model/x_b.c"
echo 'int f(void);' >"$area/tree/src/model/b.c"
python "private header of the same module" 0 "0 problems" layers

# defines FILE NAME [CALLED]: a file that defines a function, which calls another one.
defines() {
    printf 'int %s(void);\nint %s(void);\nint %s(void)\n{\n    return %s;\n}\n' "$2" "${3:-fr_none}" "$2" "${3:+$3()}" \
        >"$area/tree/src/$1"
}
clean_tree
defines model/c.c fr_c
defines base/a.c fr_a fr_c
python "upward call without an include" 1 "src/base/a.c: calls fr_c of src/model/c.c: room base must not use model" layers
clean_tree
defines base/a.c fr_a fr_b
defines base/b.c fr_b fr_c
defines base/c.c fr_c fr_a
python "circle of modules" 1 "a circle of modules: src/base/a calls fr_b of src/base/b; src/base/b calls fr_c of src/base/c; src/base/c calls fr_a of src/base/a" layers
touch "$area/tree/src/base/a.h"
mv "$area/tree/src/base/b.c" "$area/tree/src/base/a_b.c"
mv "$area/tree/src/base/c.c" "$area/tree/src/base/a_c.c"
python "circle within a module" 0 "0 problems" layers
clean_tree
sed -i 's/^    "base": "",/    "base": "device",/' "$area/tree/tests/lint/layers.py"
python "circle of rooms" 1 "base uses device, which does not lie below it: a circle of rooms" layers

clean_tree
mkdir "$area/tree/src/comm"
printf 'enum fr_tag { FR_TAG_A = 1 };\n' >"$area/tree/src/comm/tags.h"
printf 'enum { A_TAG_B, TAGS };\nint f(void)\n{\n    return fr_group_send(g(1, 2), 3, FR_TAG_A, 4);\n}\n' \
    >"$area/tree/src/model/b.c"
python "tag with a name" 0 "0 problems" layers
for tag in 'enum { A = 1, TAG_B = 2 };' 'typedef enum tag { FR_TAG_B } tag;' 'enum { TAG = 3 };' '#define TAG_B 4'; do
    echo "$tag" >"$area/tree/src/model/b.c"
    python "tag outside its header: $tag" 1 "belongs in src/comm/tags.h" layers
done
for call in 'fr_group_send(g(1, 2), 3, 77, &a, 8)' 'fr_group_receive_begin(g, s - 1, FR_TAG_A + 1, a, 8, &r)'; do
    printf 'int f(void)\n{\n    return %s;\n}\n' "$call" >"$area/tree/src/model/b.c"
    python "tag as a number: $call" 1 "is a number; give it a name in src/comm/tags.h" layers
done

clean_tree
repeat 251 "" >"$area/tree/src/base/a.h"
python "long header" 1 "251 lines, limit 250" sizes
{ printf 'int f(void)\n{\n' && repeat 61 "    g();" && echo "}"; } >"$area/tree/src/model/b.c"
python "long function" 1 "function body of 61 lines" sizes
{ printf 'int f(void)\n{\n' && repeat 5 "if (1) {" && repeat 5 " }" && echo "}"; } \
    >"$area/tree/src/model/b.c"
python "deep function" 1 "5 nested blocks" sizes

clean_tree
echo "/* see /ro""ot/notes */" >"$area/tree/src/base/a.h"
python "machine path" 1 "path of one machine" paths
echo "/* TO""DO */" >"$area/tree/src/base/a.h"
python "leftover" 1 "leftover" paths

clean_tree
printf '/* exp(x),\n * exp(y) */\nconst char *t = "sin(x)"; // pow(x, y)\ndouble f(double log);\ndouble g = fr_exp(1), h = v8_exp(2), i = sqrt(p->exp(1));\n' \
    >"$area/tree/src/base/a.h"
python "no call of the C library's" 0 "0 problems" elementary
for call in 'exp(x)' 'logf (x)' '1+powl(x, y)' '__builtin_cos(x)' 'atan2(y, x)'; do
    printf '/* of\n * two lines */\ndouble f = %s;\n' "$call" >"$area/tree/src/model/b.c"
    python "call of $call" 1 "src/model/b.c:3: " elementary
done

clean_tree
printf '/* it is no "word */\nconst char *t = "it is no longer there", *u = "is not" " a word", q = %s;\n' "'\"'" \
    >"$area/tree/src/base/a.h"
python "words that may stand" 0 "0 problems" words
for words in '"%s is no number"' '"they are "
    "no numbers"' '"it was no\" number"'; do
    printf 'int a;\nconst char *t = %s;\n' "$words" >"$area/tree/src/model/b.c"
    python "words in $words" 1 "src/model/b.c:2: " words
done

clean_tree
printf '#!/bin/sh\nif true; then\n' >"$area/tree/tests/broken.sh"
expect "broken script" 1 "broken.sh" bash tests/lint/shell.sh

# pages and comments that name what is there, and one thing that is not
pages() {
    clean_tree
    mkdir -p "$area/tree/docs"
    printf '/* a.h - see docs/more.md, b.c, src/model, fr_known and fr_kno*. */\nint fr_known(void);\n' \
        >"$area/tree/src/base/a.h"
    printf '# One `word`, more\n\n## Twice\n\n## Twice\n[up](../README.md) [here](#one-word-more) [2](#twice-1)\n' \
        >"$area/tree/docs/more.md"
    printf '%s\n' '# Page' 'See [more](docs/more.md#twice), [web](https://example.org/x#y), `src/base/a.h`, `src/*/b.c`.' \
        '`b.c` and `fr_known()` of `src/model`; `RUN/log/rank-NNNN.slot`; `x.h5`.' >"$area/tree/README.md"
}
clean_tree
python "clean tree" 0 "0 problems" links
pages
python "what is there" 0 "0 problems" links
while IFS='|' read -r text problem; do
    pages
    echo "$text" >>"$area/tree/README.md"
    python "page: $text" 1 "README.md:4: $problem" links
done <<'FAULTS'
[x](docs/none.md)|dead link 'docs/none.md'
[x](docs/more.md#thrice)|no heading of docs/more.md has the anchor '#thrice'
[x](#none)|no heading of README.md has the anchor '#none'
run `src/base/none.h` now|no such path 'src/base/none.h'
`./tests/none.sh -R x`|no such path 'tests/none.sh'
`src/*/none.c`|no such path 'src/*/none.c'
the loop is `none.c`|no file 'none.c'
call fr_unknown|no code uses the name 'fr_unknown'
`FR_UNKNOWN(x)`|no code uses the name 'FR_UNKNOWN'
FAULTS
while IFS='|' read -r text problem; do
    pages
    printf '/*\n * %s\n */\nint g(const char *fr_any); /* as %s */\n' "$text" "a.h" >"$area/tree/src/model/b.c"
    python "comment: $text" 1 "src/model/b.c:2: $problem" links
done <<'FAULTS'
see none.h|no file 'none.h'
see model/a.h|no file 'model/a.h'
see docs/none.md|no such path 'docs/none.md'
fr_unknown does it|no code uses the name 'fr_unknown'
fr_unk* do it|no code uses the name 'fr_unk*'
FAULTS

symbols() {
    echo "$3" >"$area/tree/x.c"
    "$compiler" -w -O0 -c "$area/tree/x.c" -o "$area/tree/x.c.o"
    rm -f "$area/tree/libx.a"
    ar rc "$area/tree/libx.a" "$area/tree/x.c.o"
    expect "$1" "$2" "$4" bash tests/lint/symbols.sh libx.a
}
symbols "clean object" 0 "static const int t[] = {1}; const int *f(void) { return t; }" "0 problems"
symbols "global" 1 "int counter;" "writable object counter"
symbols "static" 1 "int f(void) { static int n = 3; return ++n; }" "writable object n"
symbols "exit" 1 "void exit(int); void f(void) { exit(1); }" "ends the process by exit"
symbols "printf" 1 'int puts(const char *); void f(void) { puts("x"); }' "prints by puts"
symbols "tanh" 1 "double tanh(double); double (*f(void))(double) { return tanh; }" "uses tanh of the C library"

exit "$failed"
