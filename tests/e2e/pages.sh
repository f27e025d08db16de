# For tests that type what a page prints: $page is the page.

# block HEADING LANGUAGE NUMBER: the NUMBERth (from 1) code block of a language below a heading of $page, up to the next
# heading.
block() {
    awk -v heading="$1" -v fence="\`\`\`$2" -v number="$3" '
        inside && /^```$/ { inside = 0; next }
        inside { if (wanted && n == number) { print } ; next }
        /^#+ / { found = ($0 == heading) }
        /^```/ { inside = 1; wanted = (found && $0 == fence); n += wanted }
    ' "$page" >"$work/block"
    [ -s "$work/block" ] || fail "$page has no block $3 of $2 below '$1'"
    cat "$work/block"
}

# type_lines HEADING NUMBER: each line of a block of sh, in one shell that ends at the first failure.
type_lines() {
    block "$1" sh "$2" >"$work/lines"
    expect 0 bash -eu "$work/lines"
}

# A stranger's shell knows nothing of a test's settings.
forget_settings() {
    unset "${!OMPI_@}" "${!PRTE_@}" OMP_WAIT_POLICY
}
