#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# With one host more gone than the redundancy covers a read gives EIO, and the kernel's log names the file, the range,
# the chunk and the missing stores; nothing is destroyed, and it reads again when they return.
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
reference=$(mktemp)
trap 'rm -f "$reference"' EXIT

head -c $((6 << 20)) /dev/urandom >"$reference"
cp "$reference" file
sync file
"$cluster" wait whole
ino=$(stat -c %i file)

"$cluster" kill 1 2 3 4
echo 3 >/proc/sys/vm/drop_caches
said=$(cat file 2>&1 >/dev/null) && { echo "a file was read with five of nine hosts"; exit 1; }
[[ $said == *"Input/output error" ]] || { echo "expected EIO, got: $said"; exit 1; }
line=$(dmesg | grep 'weft: .*cannot be read' | tail -n 1)
echo "$line"
for word in "[0-9]+ bytes at [0-9]+ of inode $ino" 'chunk [0-9]+:[0-9]+' 'needs 6 of its 9 shards' \
	'on store [0-9]+, host store1' 'host store2' 'host store3' 'host store4'; do
	grep -qE "$word" <<<"$line" || { echo "the kernel's log does not say: $word"; exit 1; }
done

"$cluster" start 1 2 3 4
"$cluster" ready
echo 3 >/proc/sys/vm/drop_caches
cmp "$reference" file
