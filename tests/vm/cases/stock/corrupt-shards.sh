#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Invariant 2: shards with flipped bytes, cut short or overwritten are read through the others; the reader never sees them.
set -euo pipefail

stores=/run/weft-vm/stores
reference=$(mktemp)
trap 'rm -f "$reference"' EXIT

head -c $((6 << 20)) /dev/urandom >"$reference"
cp "$reference" file
sync file

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
echo 3 >/proc/sys/vm/drop_caches
cmp "$reference" file
echo "$damaged damaged shards were read around"
