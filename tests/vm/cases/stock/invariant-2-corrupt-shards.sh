#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shards with flipped bytes, cut short or overwritten are read through the others, those that are files and those in
# segments, before and after their stores have started again; the reader never sees them.
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
stores=/run/weft-vm/stores
reference=$(mktemp -d)
turned=$(mktemp)
trap 'rm -rf "$reference" "$turned"' EXIT

compare() {
	echo 3 >/proc/sys/vm/drop_caches
	for file in "$reference"/*; do cmp "$file" "${file##*/}"; done
}

head -c $((6 << 20)) /dev/urandom >"$reference/large"
# Below 64 KiB a chunk is copied, above it is coded; either way its shards go to segments.
for i in {1..12}; do
	head -c $((i * 11000)) /dev/urandom >"$reference/small.$i"
done
cp "$reference"/* .
sync -f .
"$cluster" wait whole

# Of each chunk, at most three shards: those on three of the nine stores.
damaged=0
for store in 1 2 3; do
	while read -r shard; do
		size=$(stat -c %s "$shard")
		case $store in
		1) printf 'XXXXXXXX' | dd of="$shard" bs=1 seek=$((size / 2)) conv=notrunc status=none ;;
		2) truncate -s $((size / 3)) "$shard" ;;
		3) head -c "$size" /dev/zero >"$shard" ;;
		esac
		damaged=$((damaged + 1))
	done < <(find "$stores/$store/shards" -type f)
done
[[ $damaged -gt 0 ]] || { echo "no shard files were found to damage"; exit 1; }
compare
echo "$damaged damaged shards were read around"

# Segments: one byte in 256 is another one; every byte is; the rear half of what is there is gone.
turn() { # SEGMENT FROM TO
	head -c "$(($(stat -c %b "$1") * 512))" "$1" | tr "$2" "$3" >"$turned"
	dd if="$turned" of="$1" bs=64k conv=notrunc status=none
}
damaged=0
for store in 1 2 3; do
	while read -r segment; do
		case $store in
		1) turn "$segment" A B ;;
		2) turn "$segment" '\000-\377' '\001-\377\000' ;;
		3) truncate -s $(($(stat -c %b "$segment") * 256)) "$segment" ;;
		esac
		damaged=$((damaged + 1))
	done < <(find "$stores/$store/segments" -type f)
done
[[ $damaged -gt 0 ]] || { echo "no segments were found to damage"; exit 1; }
compare
echo "$damaged damaged segments were read around"

"$cluster" kill 1 2 3
"$cluster" start 1 2 3
"$cluster" ready
compare
echo "and again after their stores had started with them"
