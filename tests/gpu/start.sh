#!/bin/sh
# In a pack: bin/NAME is a link to this, which starts programs/NAME with the pack's libraries. They are not in the
# environment of anything else: the machine's own programs keep theirs.
pack=$(cd "$(dirname "$0")/.." && pwd)
name=$(basename "$0")
LD_LIBRARY_PATH="$pack/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$pack/programs/$name" "$@"
