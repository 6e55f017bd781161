#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Clones of a tree and of a large file store nothing, and go their own way when either is written to. When the originals
# have been removed and their grace time is over, every byte of the clones is still there, cold and with three hosts dead.
# When these are gone as well, so are the shards.
# weft-vm: timeout=400
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
state=/run/weft-vm
reference=$(mktemp -d)
trap 'grace ""; rm -rf "$reference"' EXIT

# The metadata server with another grace time; '': its default.
grace() {
	"$cluster" kill meta
	sed -i '/^grace = /d' "$state/meta.conf"
	[[ -z $1 ]] || sed -i "/^\[meta\]/a grace = $1" "$state/meta.conf"
	"$cluster" start meta
	"$cluster" ready
}
stored() { weft --json status | jq -c '[.chunks.total, .chunks.bytes]'; }
shards() { find "$state"/stores/[0-9]*/shards -type f | wc -l; }
await() { # SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1))
	until "${@:3}"; do
		((SECONDS < end)) || { echo "not within $1 s: $2"; return 1; }
		sleep 0.2
	done
}
at_most() { (($(shards) <= $1)); }
none_condemned() { weft --json status | jq -e '.chunks.condemned + .chunks.deleting == 0' >/dev/null; }

grace 1s
await 120 "what was removed before is gone" none_condemned
before=$(shards)
mkdir "$reference/tree" "$reference/tree/empty"
head -c 12345678 /dev/urandom >"$reference/large"
for size in 0 1 1000 4096 10000 70000 300001; do
	head -c "$size" /dev/urandom >"$reference/tree/$size"
done
cp -r "$reference"/* .
sync -f .

echo "clones store nothing"
was=$(stored)
cp --reflink=always large copy
cp -r --reflink=always tree tree2
cp --reflink=always copy copy2
sync -f .
now=$(stored)
[[ $now == "$was" ]] || { echo "chunks and bytes before: $was, after: $now"; exit 1; }
cmp large copy
diff -r tree tree2

echo "each goes its own way"
cp "$reference/large" "$reference/changed"
for file in "$reference/changed" copy2; do
	printf 'other bytes' | dd of="$file" bs=1 seek=5000000 conv=notrunc status=none
done
printf 'new' | dd of=large bs=1 seek=100 conv=notrunc status=none
truncate -s 6000000 large
sync -f .
echo 3 >/proc/sys/vm/drop_caches
cmp copy "$reference/large"
cmp copy2 "$reference/changed"

echo "the originals go"
rm -r large tree
await 60 "the grace time of what only they had is over" none_condemned
# It was longer than that for the rest, too; nothing must have begun to wait for it.
sleep 3
"$cluster" kill 1 2 3
echo 3 >/proc/sys/vm/drop_caches
cmp copy "$reference/large"
cmp copy2 "$reference/changed"
diff -r "$reference/tree" tree2
"$cluster" start 1 2 3
"$cluster" ready

rm -r copy copy2 tree2
await 120 "the shards go with the last that refers to them" at_most "$before"
