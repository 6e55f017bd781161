#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The bridge, a store and the metadata server are killed with SIGKILL while files are written, and started again; then all of
# them at once. No program sees an error, and what was synced is there.
# weft-vm: timeout=400
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
reference=$(mktemp -d)
trap 'rm -rf "$reference"' EXIT

head -c $((8 << 20)) /dev/urandom >"$reference/large"
for i in {1..30}; do head -c $((i * 1000)) "$reference/large" >"$reference/small.$i"; done

# Copies in a loop while VICTIM is killed and started; the last copy is compared.
copy_while_killing() { # VICTIM
	local folder=$1 copy
	mkdir "$folder"
	(
		for file in "$reference"/*; do
			cp "$file" "$folder/"
			sync "$folder/${file##*/}"
		done
	) &
	copy=$!
	# In the middle of it: the large file and the first small one are synced or about to be.
	until [[ -e $folder/small.1 ]]; do
		kill -0 $copy || { echo "the copy ended before $1 was killed"; exit 1; }
		sleep 0.05
	done
	"$cluster" kill "$1"
	kill -0 $copy || { echo "the copy ended before $1 was killed"; exit 1; }
	"$cluster" start "$1"
	wait $copy || { echo "the copy failed when $1 was killed"; exit 1; }
	echo 3 >/proc/sys/vm/drop_caches
	for file in "$reference"/*; do
		cmp "$file" "$folder/${file##*/}"
	done
	echo "ok: $1 was killed and nobody noticed"
}

copy_while_killing bridge
copy_while_killing 3
copy_while_killing meta
"$cluster" ready

cp "$reference"/* .
sync -f .
"$cluster" kill meta bridge {1..9}
"$cluster" start meta {1..9} bridge
"$cluster" wait stores=9
echo 3 >/proc/sys/vm/drop_caches
for file in "$reference"/*; do cmp "$file" "${file##*/}"; done
echo "ok: all were killed at once, and what was synced is there"
"$cluster" ready
