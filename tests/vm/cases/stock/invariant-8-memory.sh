#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Invariant 8: while a file of eight times the mount's budget is written, what is dirty or under way stays within the
# budget, what the units under way hold within that and its parity, and the machine's memory does not shrink with the file.
# weft-vm: timeout=400
set -euo pipefail

mib=$((1 << 20))
budget=$((16 * mib))
size=$((8 * budget))
# What the network and the stores hold more at one time than at another; well below the file.
slack=$((64 * mib))
reference=$(mktemp)
folder=$PWD
cd /
before=$(awk '$2 == "/mnt/weft" { print $4 }' /proc/self/mounts)
before=${before##*budget=}
restore() {
	[[ -z $(jobs -p) ]] || wait
	mount -o "remount,budget=${before%%,*}" /mnt/weft
	rm -f "$reference"
}
trap restore EXIT

# Without a process for each sample. Memory: what is available, and what tmpfs has, where the stores' data is.
dirty=0 inflight=0 memory=0
sample() {
	local name value unit ours=
	while read -r name value unit; do
		case $name in
		device) [[ $unit == *"on /mnt/weft with"* ]] && ours=1 || ours= ;;
		DIRTY_BYTES:) [[ -z $ours ]] || dirty=$value ;;
		INFLIGHT_BYTES:) [[ -z $ours ]] || inflight=$value ;;
		esac
	done </proc/self/mountstats
	memory=0
	while read -r name value unit; do
		case $name in MemAvailable: | Shmem:) memory=$((memory + value * 1024)) ;; esac
	done </proc/meminfo
}

head -c "$size" /dev/urandom >"$reference"
mount -o remount,budget=16M /mnt/weft
grep -q ' /mnt/weft .*budget=16384K' /proc/self/mounts || { echo "the budget is not what was asked for"; exit 1; }
# Stores take their buffers when they are first used, and keep them.
dd if="$reference" of="$folder/first" bs=1M conv=fsync status=none
sample
least=$memory start=$memory most_dirty=0 most_inflight=0 samples=0
dd if="$reference" of="$folder/file" bs=1M conv=fsync status=none &
writer=$!
while kill -0 "$writer" 2>/dev/null; do
	sample
	((dirty <= most_dirty)) || most_dirty=$dirty
	((inflight <= most_inflight)) || most_inflight=$inflight
	((memory >= least)) || least=$memory
	samples=$((samples + 1))
done
wait "$writer"
sample
echo "$samples samples: at most $((most_dirty / 1024)) KiB dirty, $((most_inflight / 1024)) KiB under way," \
	"memory shrank by $(((start - least) / 1024)) KiB"
((samples > 10 && most_dirty > budget / 2 && most_inflight > 0)) || { echo "too little was seen"; exit 1; }
# The counters of two processors are read one after the other: a block each may be counted twice.
((most_dirty <= budget + mib)) || { echo "the budget is exceeded"; exit 1; }
# Six and three: half as much parity as data.
((most_inflight <= (budget + mib) * 3 / 2)) || { echo "units under way hold more than the budget and its parity"; exit 1; }
((start - least <= slack)) || { echo "memory shrinks with the file"; exit 1; }
((dirty == 0 && inflight == 0)) || { echo "after fsync $dirty bytes are dirty, $inflight under way"; exit 1; }
echo 3 >/proc/sys/vm/drop_caches
cmp "$reference" "$folder/file"
