#!/usr/bin/env bash
# Build the task "Debian package description -> synopsis" with apt alone, from bookworm's main section on the mirror
# that this machine uses. usage: launch/build-debdesc.sh [FOLDER]   (default: data/debdesc)
#
# Nothing on the host changes: lists and cache go to a private folder, and of the host's apt settings only those of
# fetching (proxies, certificates, credentials) are taken over, so none of its hooks runs.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/data/debdesc}
done_mark="$folder/.complete"

if [ -f "$done_mark" ] && (cd "$folder" && sha256sum --quiet --check .complete) 2>/dev/null; then
    echo "data: $folder is there" >&2
    exit 0
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd) # apt puts relative paths under its own folders
done_mark="$folder/.complete"
work=$(mktemp -d "$folder/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
touch "$work/status"

# The file among the host's sources that names a mirror with bookworm's main section.
sources=$(apt-get -o "Dir::Cache=$work/cache" -o "Dir::State::lists=$work/lists" indextargets \
    -o APT::Get::IndexTargets::ReleaseInfo=false \
    --format "\$(RELEASE) \$(COMPONENT) \$(SOURCESENTRY)" 'Created-By: Packages' |
    awk '$2 == "main" && $1 ~ /^(bookworm|stable|oldstable)$/ {
        release = $1; sub(/^[^ ]+ [^ ]+ /, ""); sub(/:[0-9]+$/, "")
        if (best == "" || (release == "bookworm" && !exact)) { best = $0; exact = release == "bookworm" }
    } END { print best }')
if [ -z "$sources" ]; then
    echo "error: no source of apt names Debian 12 (bookworm main); add one to /etc/apt/sources.list.d" >&2
    exit 3
fi

apt-config dump | awk '/^Acquire::/ && !/^Acquire::(Languages|IndexTargets)/' >"$work/apt.conf"
cat >>"$work/apt.conf" <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$sources";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Acquire::Languages "en";
Acquire::Retries "2";
Acquire::IndexTargets::deb::Packages::DefaultEnabled "false";
Acquire::IndexTargets::deb-src::Sources::DefaultEnabled "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
CONF
export APT_CONFIG="$work/apt.conf"

echo "data: reading Debian's package descriptions (6 MB)" >&2
if ! apt-get -qq update >&2; then
    echo "error: apt could not read the package lists; check the network and $sources" >&2
    exit 3
fi
file=$(apt-get indextargets --format "\$(FILENAME)" 'Created-By: Translations' 'Language: en' \
    'Codename: bookworm' 'Component: main' | sort | head -n 1)
if [ -z "$file" ]; then
    echo "error: the mirror in $sources has no English descriptions of bookworm main" >&2
    exit 3
fi
/usr/lib/apt/apt-helper cat-file "$file" | python3 "$root/launch/debdesc.py" "$work"
for split in train dev test; do
    mv "$work/$split.jsonl" "$folder/$split.jsonl"
done
(cd "$folder" && sha256sum train.jsonl dev.jsonl test.jsonl >"$work/complete")
mv "$work/complete" "$done_mark"
wc -l "$folder"/*.jsonl >&2
