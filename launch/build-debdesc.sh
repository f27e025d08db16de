#!/usr/bin/env bash
# Build the task "Debian package description -> synopsis" with apt alone: package lists go to a private folder,
# nothing on the host changes. usage: launch/build-debdesc.sh [FOLDER]   (default: data/debdesc)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/data/debdesc}
done_mark="$folder/.complete"

if [ -f "$done_mark" ] && (cd "$folder" && sha256sum --quiet --check .complete) 2>/dev/null; then
    echo "data: $folder is there" >&2
    exit 0
fi
mkdir -p "$folder"
work=$(mktemp -d "$folder/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
touch "$work/status"
private=(-o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
    -o Acquire::Languages=en -o APT::Sandbox::User=root -o Debug::NoLocking=1)

echo "data: reading Debian's package descriptions" >&2
if ! apt-get "${private[@]}" -qq update >&2; then
    echo "error: apt could not read the package lists; check the network and /etc/apt/sources.list" >&2
    exit 3
fi
apt-get "${private[@]}" indextargets --format "\$(FILENAME)" 'Created-By: Translations' 'Language: en' |
    sort >"$work/files"
while IFS= read -r file; do
    /usr/lib/apt/apt-helper "${private[@]}" cat-file "$file"
    echo
done <"$work/files" | python3 "$root/launch/debdesc.py" "$work"
for split in train dev test; do
    mv "$work/$split.jsonl" "$folder/$split.jsonl"
done
(cd "$folder" && sha256sum train.jsonl dev.jsonl test.jsonl >"$work/complete")
mv "$work/complete" "$done_mark"
wc -l "$folder"/*.jsonl >&2
