#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Files on a raw, on a compressed and on an encrypted volume, large ones in shard files and small ones in segments. Then the
# whole cluster stops, and each chunk that was written is read by `weft chunk dump` from six of the nine stores' directories:
# together they are the files. Those of the encrypted volume need its key file and a passphrase.
# weft-vm: timeout=400
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
cluster=$here/../../guest/cluster.sh
stores=/run/weft-vm/stores
reference=$(mktemp -d)
packed=$(mktemp -d)
sealed=$(mktemp -d)
cd /

fail() { echo "$*"; exit 1; }
in_client() { nsenter --net=/run/netns/weft-client "$@"; }
clean() {
	! mountpoint -q "$packed" || in_client umount "$packed"
	! mountpoint -q "$sealed" || in_client umount "$sealed"
	rm -rf "$reference" "$packed" "$sealed"
}
trap clean EXIT

weft --cluster demo volume create packed --k 6 --m 3 --codec zstd >/dev/null
in_client mount -t weft demo:packed "$packed"
echo 'a passphrase' >"$reference/pass"
echo 'another' >"$reference/wrong"
weft --cluster demo volume create dump-sealed --k 6 --m 3 --codec zstd >/dev/null
weft --cluster demo key init dump-sealed --passphrase-file "$reference/pass" --kdf-passes 1 --kdf-memory 8 >/dev/null
weft --cluster demo key load dump-sealed --passphrase-file "$reference/pass"
weft --cluster demo key save dump-sealed "$reference/keys"
in_client mount -t weft demo:dump-sealed "$sealed"
head -c 9000000 /dev/urandom >"$reference/random"
seq 1 700000 >"$reference/text"
head -c 30000 /usr/bin/bash >"$reference/small"
declare -A inode volume
for name in main packed dump-sealed; do
	at=/mnt/weft
	[[ $name != packed ]] || at=$packed
	[[ $name != dump-sealed ]] || at=$sealed
	volume[$name]=$(weft --cluster demo --json volume show "$name" | jq .volume)
	for file in random text small; do
		cp "$reference/$file" "$at/dumped-$file"
		inode[$name-$file]=$(stat -c %i "$at/dumped-$file")
	done
	sync -f "$at"
done
weft --cluster demo status --wait whole >/dev/null
in_client umount "$packed"
in_client umount "$sealed"
weft --cluster demo key unload dump-sealed
"$cluster" umount
"$cluster" kill 1 2 3 4 5 6 7 8 9 meta

list=$reference/list
weft --json chunk list "$stores"/[1-9] >"$list"
for name in main packed dump-sealed; do
	open=()
	[[ $name != dump-sealed ]] || open=(--key-file "$reference/keys" --passphrase-file "$reference/pass")
	for file in random text small; do
		bytes=0
		while read -r id offset length codec; do
			# Whichever six; another six each time.
			mapfile -t some < <(shuf -n 6 -e "$stores"/[1-9])
			weft chunk dump --chunk "$id" ${open[@]+"${open[@]}"} "${some[@]}" >"$reference/piece"
			cmp "$reference/piece" <(tail -c +$((offset + 1)) "$reference/$file" | head -c "$length") ||
				fail "$name, $file: the chunk $id from ${some[*]} is not bytes $offset to $((offset + length))"
			bytes=$((bytes + length))
			echo "$name $file: $length bytes at $offset, $codec"
		done < <(jq -r ".[] | select(.volume == ${volume[$name]} and .inode == ${inode[$name-$file]}) |
			\"\(.chunk) \(.offset) \(.length) \(.codec)\"" "$list")
		# Whatever was written twice is there twice.
		((bytes >= $(stat -c %s "$reference/$file"))) || fail "$name, $file: only $bytes bytes were found"
	done
done
jq -e 'any(.[]; .codec == "zstd") and any(.[]; .codec == "none" and .k == 6) and any(.[]; .k == 1)' "$list" >/dev/null

id=$(jq -r "[.[] | select(.inode == ${inode[main-random]} and .k == 6)][0].chunk" "$list")
! said=$(weft chunk dump --chunk "$id" "$stores"/[1-5] 2>&1 >/dev/null) ||
	fail "a chunk was read from five stores of which it needs six"
[[ $said == *"6 of its shards are needed, and only 5 "* ]] || fail "refused with another reason: $said"

# Of an encrypted chunk nothing is read without the key file, or with the wrong passphrase.
id=$(jq -r "[.[] | select(.inode == ${inode[dump-sealed-text]} and .volume == ${volume[dump-sealed]})][0].chunk" "$list")
jq -e --arg id "$id" 'any(.[]; .chunk == $id and .encrypted)' "$list" >/dev/null || fail "the chunk $id is not encrypted"
! said=$(weft chunk dump --chunk "$id" "$stores"/[1-9] 2>&1 >/dev/null) || fail "an encrypted chunk was read without a key"
[[ $said == *"name its volume's key file with --key-file"* ]] || fail "refused with another reason: $said"
! said=$(weft chunk dump --chunk "$id" --key-file "$reference/keys" --passphrase-file "$reference/wrong" \
	"$stores"/[1-9] 2>&1 >/dev/null) || fail "an encrypted chunk was read with a wrong passphrase"
[[ $said == *"opens no slot"* ]] || fail "refused with another reason: $said"

"$cluster" start meta 1 2 3 4 5 6 7 8 9
"$cluster" mount
for file in random text small; do cmp "$reference/$file" "/mnt/weft/dumped-$file"; done
rm /mnt/weft/dumped-*
