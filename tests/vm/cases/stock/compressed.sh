#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A volume for each codec: text, programs, random bytes and all of these in one file are written, overwritten in places, and
# read back cold, by ranges, with three hosts dead, and after the volume was mounted anew. What compresses takes less,
# what does not is stored raw; bad combinations are refused with the reason.
# weft-vm: timeout=900
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
cluster=$here/../../guest/cluster.sh
reference=$(mktemp -d)
base=$(mktemp -d)
codecs="zstd lz4 deflate adaptive"
cd /

in_client() { nsenter --net=/run/netns/weft-client "$@"; }
clean() {
	local codec
	for codec in $codecs; do
		mountpoint -q "$base/$codec" && in_client umount "$base/$codec"
	done
	rm -rf "$reference" "$base"
}
trap clean EXIT
step() { echo "$SECONDS s: $1"; }
show() { weft --cluster demo --json volume show "packed-$1" | jq -e "$2"; }
counter() { awk -v at="$base/$1" -v name="$2:" '/^device/ { ours = $5 == at } ours && $1 == name { print $2 }' /proc/self/mountstats; }
mount_all() {
	local codec
	for codec in $codecs; do in_client mount -t weft "demo:packed-$codec" "$base/$codec"; done
}
compare() {
	local codec file
	echo 3 >/proc/sys/vm/drop_caches
	for codec in $codecs; do
		for file in "$reference"/*; do
			cmp "$file" "$base/$codec/${file##*/}" || { echo "$codec: ${file##*/}: $1"; exit 1; }
		done
	done
}

for bad in "none 3:no use without a codec" "lz4 1:no levels" "deflate 10:1 to 9" "zstd 20:1 to 19" "gzip 1:codec is"; do
	read -r codec level <<<"${bad%%:*}"
	if said=$(weft --cluster demo volume create bad --codec "$codec" --level "$level" 2>&1); then
		echo "a volume was made with $codec, level $level"
		exit 1
	fi
	[[ $said == *"${bad##*:}"* ]] || { echo "refused with another reason: $said"; exit 1; }
done

for codec in $codecs; do
	level=()
	[[ $codec != zstd ]] || level=(--level 1)
	weft --cluster demo volume create "packed-$codec" --k 6 --m 3 --codec "$codec" "${level[@]}" >/dev/null
	mkdir "$base/$codec"
done
mount_all

seq 1 60000 >"$reference/text"
head -c 600000 /usr/bin/bash >"$reference/program"
head -c 700000 /dev/urandom >"$reference/random"
gzip -1 <"$reference/text" >"$reference/archive"
{ head -c 300000 "$reference/text"; head -c 300000 "$reference/random"; head -c 500000 /dev/zero; head -c 300000 "$reference/program"; } >"$reference/mixed"
head -c 20000 "$reference/text" >"$reference/small"
for codec in $codecs; do cp "$reference"/* "$base/$codec"; done
sync
compare "as it was written"

step "compressed: bytes of chunks, what they take, what was written"
for codec in $codecs; do
	echo "$codec: $(show "$codec" '[.compressed, .compressed_to, .bytes]' | tr -d '\n ')"
	show "$codec" '.compressed > 0 and .compressed_to < .compressed * 2 / 3' >/dev/null
	# What is random or an archive is in no compressed chunk, but for those that mix.
	show "$codec" '.compressed < .bytes - 700000' >/dev/null
	[[ $(counter "$codec" PACKED_STORED) -lt $(counter "$codec" PACKED_PLAIN) ]]
	show "$codec" ".codec == \"$codec\"" >/dev/null
done
weft --cluster demo volume show packed-zstd | grep -q '^codec  *zstd, level 1$'
weft --cluster demo volume show packed-adaptive | grep -q '^compressed .* in chunks, to '

step "overwritten in places, and read by ranges"
for ((i = 0; i < 5; i++)); do
	for file in text random mixed; do
		head -c $((1 + RANDOM * 3)) "$reference/program" >"$base/piece"
		at=$((RANDOM * 10))
		for to in "$reference" "$base"/{zstd,lz4,deflate,adaptive}; do
			dd if="$base/piece" of="$to/$file" bs=64k oflag=seek_bytes seek="$at" conv=notrunc status=none
		done
	done
done
rm "$base/piece"
sync
echo 3 >/proc/sys/vm/drop_caches
for ((i = 0; i < 5; i++)); do
	at=$((RANDOM * 10)) length=$((1 + RANDOM * 20))
	for codec in $codecs; do
		cmp -i "$at" -n "$length" "$reference/mixed" "$base/$codec/mixed"
	done
done
compare "overwritten in places"

step "three hosts die"
weft --cluster demo status --wait whole >/dev/null
"$cluster" kill 1 2 3
compare "with three hosts dead"
for codec in $codecs; do cp "$reference/text" "$base/$codec/new"; done
sync
cp "$reference/text" "$reference/new"
compare "written with three hosts dead"
"$cluster" start 1 2 3
"$cluster" ready

step "mounted anew"
for codec in $codecs; do in_client umount "$base/$codec"; done
mount_all
compare "mounted anew"
for codec in $codecs; do in_client sh -c "rm $base/$codec/*"; done
sync
