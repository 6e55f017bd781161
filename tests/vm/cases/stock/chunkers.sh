#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where volumes cut files into chunks, as the trace points tell it: content-defined cuts are the same whatever the sizes of the
# writes, and move along with what is inserted before them; fixed ones are multiples; what is written at random in a hybrid
# volume is cut at multiples. In each volume content survives random operations.
# weft-vm: timeout=400
set -euo pipefail

trace=/sys/kernel/tracing
own_trace=
work=$(mktemp -d)
cd /
restore() {
	echo 500 >/proc/sys/vm/dirty_writeback_centisecs
	echo 3000 >/proc/sys/vm/dirty_expire_centisecs
	[[ ! -e $trace/events/weft/enable ]] || echo 0 >"$trace/events/weft/enable"
	for name in "$work"/mnt.*; do ! mountpoint -q "$name" || umount "$name"; done
	[[ -z $own_trace ]] || umount "$trace"
	rm -rf "$work"
}
trap restore EXIT

die() { echo "$*"; exit 1; }
volume() { # NAME OPTION...
	weft --cluster demo volume create "$@"
	mkdir "$work/mnt.$1"
	mount -t weft "demo:$1" "$work/mnt.$1"
}
if [[ ! -e $trace/events ]]; then
	mount -t tracefs tracefs "$trace"
	own_trace=1
fi
echo 1 >"$trace/events/weft/weft_unit/enable"

# Where the chunks of a file end that a command writes, less SHIFT; its last end is that of the file.
ends() { # FILE SHIFT COMMAND...
	local file=$1 shift=$2 ino
	: >"$trace/trace"
	"${@:3}"
	sync "$file"
	ino=$(stat -c %i "$file")
	sed -nE "s/.*weft_unit: ino=$ino offset=([0-9]+) length=([0-9]+) stored error=0/\1 \2/p" "$trace/trace" |
		awk -v shift="$shift" '{ print $1 + $2 - shift }' | sort -nu
}
common() { join <(sort "$1") <(sort "$2") | wc -l; }
# More than half: a chunk may be cut by the age of a tail as well, on a machine that is slow. Others agree by luck only.
same() { # WHAT FILE FILE
	local all
	all=$(wc -l <"$2")
	echo "$1: $all chunks, $(common "$2" "$3") of them end at the same place"
	((all >= 8 && $(common "$2" "$3") * 2 > all)) || die "$1: $(paste -sd' ' "$2") against $(paste -sd' ' "$3")"
}

head -c 12000000 /dev/urandom >"$work/reference"
{ printf x && cat "$work/reference"; } >"$work/inserted"

volume cut --chunker cdc --chunk-size 512K
cut=$work/mnt.cut
ends "$cut/one" 0 dd if="$work/reference" of="$cut/one" bs=8M status=none >"$work/one"
ends "$cut/many" 0 dd if="$work/reference" of="$cut/many" bs=7777 status=none >"$work/many"
ends "$cut/inserted" 1 dd if="$work/inserted" of="$cut/inserted" bs=1M status=none >"$work/shifted"
same "small and large writes" "$work/one" "$work/many"
same "a byte at the front" "$work/one" "$work/shifted"

# While it is written the flusher comes by every half second, and leaves the tail behind the last cut for the next time.
flushing=/proc/sys/vm
slowly() {
	local i
	echo 50 >$flushing/dirty_writeback_centisecs
	echo 50 >$flushing/dirty_expire_centisecs
	for ((i = 0; i < 24; i++)); do
		dd if="$work/reference" bs=500000 count=1 skip="$i" status=none
		sleep 0.1
	done >"$cut/slow"
	echo 500 >$flushing/dirty_writeback_centisecs
	echo 3000 >$flushing/dirty_expire_centisecs
}
ends "$cut/slow" 0 slowly >"$work/slow"
same "a file that is flushed while it grows" "$work/one" "$work/slow"

volume even --chunker fixed --chunk-size 256K
even=$work/mnt.even
ends "$even/file" 0 dd if="$work/reference" of="$even/file" bs=1M status=none >"$work/even"
awk '$1 % 262144 && $1 != 12000000 { print "a fixed chunk ends at " $1; bad = 1 } END { exit bad || NR < 45 }' "$work/even"

volume mixed --chunk-size 512K
mixed=$work/mnt.mixed
ends "$mixed/file" 0 dd if="$work/reference" of="$mixed/file" bs=1M status=none >"$work/mixed"
same "hybrid, in sequence" "$work/one" "$work/mixed"
# Each write begins where none has ended. 640 KiB is no multiple of 256 KiB: ends of what was written count too.
scatter() {
	local i
	for i in 17 3 11 8 13 5 15 1; do
		dd if="$work/reference" of="$mixed/file" bs=640K count=1 seek="$i" skip="$i" conv=notrunc status=none
	done
}
scatter
sync "$mixed/file"
ends "$mixed/file" 0 scatter >"$work/scattered"
awk '$1 % 262144 && $1 % 655360 { print "a chunk of a file written at random ends at " $1; bad = 1 } END { exit bad || NR < 16 }' \
	"$work/scattered"

echo 3 >/proc/sys/vm/drop_caches
for file in "$cut/one" "$cut/many" "$cut/slow" "$even/file" "$mixed/file"; do cmp "$work/reference" "$file"; done
cmp "$work/inserted" "$cut/inserted"
# Held tails, and the blocks that they share with the chunk before, under random operations.
echo 50 >$flushing/dirty_writeback_centisecs
echo 50 >$flushing/dirty_expire_centisecs
for folder in "$cut" "$mixed"; do
	(cd "$folder" && "${WEFT_BUILD:?}/cases/stock/content" "$RANDOM$RANDOM" 60 3)
done
