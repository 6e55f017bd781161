#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A volume that deduplicates: the second copy of a file, of an archive of a source tree and of the tree itself stores nothing of
# what is stored in chunks of 64 KiB and more; a file of zeros is one chunk or few. With hosts dead nobody is told to rely on
# what lies there. One copy is removed, then the other; the metadata server and the bridge are killed in between, and the same
# content is written again while it is on its way out. Every byte is compared, cold. A volume without it hashes nothing.
# weft-vm: timeout=300
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
cluster=$here/../../guest/cluster.sh
top=$(readlink -f "$here/../../../..")
state=/run/weft-vm
reference=$(mktemp -d)
base=$(mktemp -d)
at=$base/kept
cd /

in_client() { nsenter --net=/run/netns/weft-client "$@"; }
clean() {
	! mountpoint -q "$at" || in_client umount "$at"
	grace ""
	rm -rf "$reference" "$base"
}
trap clean EXIT
step() { echo "$SECONDS s: $1"; }
counter() { awk -v at="$2" -v name="$1:" '/^device/ { ours = $5 == at } ours && $1 == name { print $2 }' /proc/self/mountstats; }
chunks() { weft --cluster demo --json status | jq .chunks.total; }
# The metadata server with another grace time; '': its default.
grace() {
	"$cluster" kill meta
	sed -i '/^grace = /d' "$state/meta.conf"
	[[ -z $1 ]] || sed -i "/^\[meta\]/a grace = $1" "$state/meta.conf"
	"$cluster" start meta
	weft --cluster demo status --wait stores=9 >/dev/null
}
await() { # SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1))
	until "${@:3}"; do
		((SECONDS < end)) || { echo "not within $1 s: $2"; return 1; }
		sleep 0.1
	done
}
# Chunks and shared chunks that the command makes must be at most, and at least, so many.
expect() { # CHUNKS SHARED COMMAND...
	local before shared
	before=$(chunks) shared=$(counter CHUNKS_SHARED "$at")
	"${@:3}"
	sync -f "$at"
	before=$(($(chunks) - before)) shared=$(($(counter CHUNKS_SHARED "$at") - shared))
	echo "   $before chunks were stored and $shared shared: ${*:3}"
	((before <= $1 && shared >= $2)) || { echo "expected at most $1 and at least $2"; exit 1; }
}
compare() { # FILE...
	local file
	echo 3 >/proc/sys/vm/drop_caches
	for file in "$@"; do
		cmp "$reference/${file%%.*}" "$at/$file" || { echo "$file differs"; exit 1; }
	done
}
are_down() { weft --cluster demo --json host list | jq -e '[.hosts[] | select(.state != "up")] | length == 3' >/dev/null; }
# What is stored is what is left of the files: the totals say so stage by stage.
stats() { weft --cluster demo --json volume stats kept | jq -e "$1" >/dev/null || { weft --cluster demo --json volume stats kept; exit 1; }; }
some_condemned() { weft --cluster demo --json status | jq -e '.chunks.condemned > 0' >/dev/null; }
# Deletion has begun, or is over.
is_going() { weft --cluster demo --json status | jq -e '.chunks.deleting > 0 or .chunks.condemned == 0' >/dev/null; }
none_condemned() { weft --cluster demo --json status | jq -e '.chunks.condemned + .chunks.deleting == 0' >/dev/null; }
shards() { find "$state"/stores/[0-9]*/shards -type f | wc -l; }

head -c 3500000 /dev/urandom >"$reference/large"
tar -cf "$reference/archive" -C "$top" kernel uapi tools
head -c 16000000 /dev/zero >"$reference/zeros"
head -c 20000 "$reference/large" >"$reference/small"

weft --cluster demo volume create kept --k 4 --m 3 --dedup on --chunk-size 512K --chunk-min 128K --chunk-max 2M >/dev/null
mkdir "$at"
in_client mount -t weft demo:kept "$at"

step "a file, twice"
expect 40 0 cp "$reference/large" "$at/large"
expect 1 3 cp "$reference/large" "$at/large.2"
# A tail of less than 64 KiB is no chunk that is asked for.
expect 40 0 cp "$reference/archive" "$at/archive"
expect 1 3 cp "$reference/archive" "$at/archive.2"
expect 5 3 cp "$reference/zeros" "$at/zeros"
expect 1 6 cp "$reference/zeros" "$at/zeros.2"
expect 2 0 cp "$reference/small" "$at/small"
compare large large.2 archive archive.2 zeros zeros.2 small
stats '.ratios.dedup > 1.9 and .plain < .in_chunks * 0.55 and .stored == .plain and .ratios.coding > 0.5 and .ratios.coding < 0.58'

step "a tree, twice"
for tree in "$reference" "$at/one" "$at/two"; do
	mkdir -p "$tree/tree"
	tar -xf "$reference/archive" -C "$tree/tree" kernel/ec
done
sync -f "$at"
echo 3 >/proc/sys/vm/drop_caches
diff -r "$reference/tree" "$at/one/tree"
diff -r "$reference/tree" "$at/two/tree"
rm -r "$reference/tree"

step "changed in the middle, a copy goes its own way"
cp "$reference/large" "$reference/other"
cp "$at/large" "$at/other"
sync -f "$at"
for file in "$reference/other" "$at/other"; do
	printf 'other bytes' | dd of="$file" bs=1 seek=1750000 conv=notrunc status=none
done
sync -f "$at"
compare large large.2 other

step "three hosts die: what lies there is not relied on"
"$cluster" kill 1 2 3
await 20 "they are known to be away" are_down
before=$(chunks)
cp "$reference/large" "$at/large.3"
sync -f "$at"
(($(chunks) >= before + 3)) || { echo "chunks with shards on dead hosts were shared"; exit 1; }
compare large large.3
"$cluster" start 1 2 3
weft --cluster demo status --wait stores=9 >/dev/null
expect 1 3 cp "$reference/large" "$at/large.4"

step "the bridge and the metadata server are killed; one copy goes, then the others"
"$cluster" kill bridge
"$cluster" start bridge
grace 1s
expect 2 3 cp "$reference/large" "$at/large.5"
rm "$at/large" "$at/large.3" "$at/large.4" "$at/large.5" "$at/other" "$at/archive" "$at/zeros.2"
sync -f "$at"
await 60 "the grace time of what only they had is over" none_condemned
compare large.2 archive.2 zeros

step "written again while it goes: before its deletion begins, or while it does, and when it has"
for until in some_condemned is_going none_condemned; do
	rm "$at"/large.*
	await 20 "nothing has the content any more" some_condemned
	[[ $until == some_condemned ]] || await 60 "it is on its way out" "$until"
	cp "$reference/large" "$at/large.2"
	sync -f "$at"
	compare large.2
done
await 60 "what has gone is gone" none_condemned
compare large.2 archive.2 zeros

step "the last go, and their shards"
before=$(shards)
rm -r "${at:?}"/*
sync -f "$at"
await 60 "the shards go with the last that refers to them" none_condemned
(($(shards) < before))
stats '.in_chunks == 0 and .chunks == 0 and .plain == 0 and .raw == 0'
[[ $(counter CONTENTS_HASHED "$at") -gt 0 && $(counter CONTENTS_HASHED /mnt/weft) == 0 ]]
step "done"
