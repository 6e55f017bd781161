#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The shards of a removed file go from the stores when the grace time is over, and those of a removed file that is still
# open, or of what an open session has just written again, do not: it is read, cold, to the last close. Then they go.
# weft-vm: timeout=300
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
state=/run/weft-vm
reference=$(mktemp)
trap 'grace ""; rm -f "$reference"' EXIT

# The metadata server with another grace time; '': its default.
grace() {
	"$cluster" kill meta
	sed -i '/^grace = /d' "$state/meta.conf"
	[[ -z $1 ]] || sed -i "/^\[meta\]/a grace = $1" "$state/meta.conf"
	"$cluster" start meta
	"$cluster" ready
}
shards() { find "$state"/stores/[0-9]*/shards -type f | wc -l; }
await() { # SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1))
	until "${@:3}"; do
		((SECONDS < end)) || { echo "not within $1 s: $2"; return 1; }
		sleep 0.2
	done
}
at_most() { (($(shards) <= $1)); }

grace 1s
# What earlier cases have left goes first.
settled() { local before; before=$(shards); sleep 4; (($(shards) == before)); }
await 120 "what was removed before is gone" settled
before=$(shards)
head -c $((8 << 20)) /dev/urandom >"$reference"
cp "$reference" open
cp "$reference" removed
sync -f .
both=$(($(shards) - before))
((both > 0)) || { echo "no shard files were made"; exit 1; }

exec {fd}<open
rm open removed
await 60 "the shards of the file that nobody has open are gone" at_most $((before + both / 2))
# As long as it took, again: the other's are there.
sleep 5
echo 3 >/proc/sys/vm/drop_caches
cmp "$reference" "/proc/self/fd/$fd" || { echo "the open file lost its content"; exit 1; }
(($(shards) >= before + both / 2)) || { echo "shards of an open file were deleted"; exit 1; }
exec {fd}<&-
await 60 "the shards of the file go after its last close" at_most "$before"
