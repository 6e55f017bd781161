#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Invariant 8: while a file of eight times the mount's budget is written, what is dirty or under way stays within the
# budget, what the units under way hold within that and its parity and within the bound that the mount reports, and the
# machine's memory does not shrink with the file. BUDGETS: how many times the budget, SLACK: MiB of memory.
# weft-vm: timeout=400
set -euo pipefail

mib=$((1 << 20))
budget=$((16 * mib))
size=$((${BUDGETS:-8} * budget))
# What the network and the stores hold more at one time than at another; well below the file.
slack=$((${SLACK:-64} * mib))
hosts=$(</run/weft-vm/hosts)
# Parity of as many bytes, as cluster.sh makes the volume.
if ((hosts >= 9)); then k=6 m=3; else k=2 m=2; fi
folder=$PWD
cd /
before=$(awk '$2 == "/mnt/weft" { print $4 }' /proc/self/mounts)
before=${before##*budget=}
restore() {
	[[ -z $(jobs -p) ]] || wait
	mount -o "remount,budget=${before%%,*}" /mnt/weft
}
trap restore EXIT

# Without a process for each sample. Memory: what is available, and what tmpfs has, where the stores' data is.
dirty=0 inflight=0 bound=0 memory=0
sample() {
	local name value unit ours=
	while read -r name value unit; do
		case $name in
		device) [[ $unit == *"on /mnt/weft with"* ]] && ours=1 || ours= ;;
		DIRTY_BYTES:) [[ -z $ours ]] || dirty=$value ;;
		INFLIGHT_BYTES:) [[ -z $ours ]] || inflight=$value ;;
		INFLIGHT_MAX:) [[ -z $ours ]] || bound=$value ;;
		esac
	done </proc/self/mountstats
	memory=0
	while read -r name value unit; do
		case $name in MemAvailable: | Shmem:) memory=$((memory + value * 1024)) ;; esac
	done </proc/meminfo
}

# The content: nowhere else in memory, and never the same twice.
content() { { seq 1000000000 9999999999 || true; } 2>/dev/null | head -c "$1"; }

mount -o remount,budget=16M /mnt/weft
grep -q ' /mnt/weft .*budget=16384K' /proc/self/mounts || { echo "the budget is not what was asked for"; exit 1; }
# Stores take their buffers when they are first used, and keep them.
content $((8 * budget)) | dd of="$folder/first" bs=1M iflag=fullblock conv=fsync status=none
sample
least=$memory start=$memory most_dirty=0 most_inflight=0 samples=0
content "$size" | dd of="$folder/file" bs=1M iflag=fullblock conv=fsync status=none &
writer=$!
exec {never}<> <(:)
while kill -0 "$writer" 2>/dev/null; do
	sample
	# The writer needs the processors, and another process for each pause would too.
	read -r -t 0.1 -u "$never" || true
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
((most_inflight <= (budget + mib) * (k + m) / k)) || { echo "units under way hold more than the budget and its parity"; exit 1; }
((bound <= 4 * budget && most_inflight <= bound)) || { echo "the mount says that it holds at most $bound bytes"; exit 1; }
((start - least <= slack)) || { echo "memory shrinks with the file"; exit 1; }
((dirty == 0 && inflight == 0)) || { echo "after fsync $dirty bytes are dirty, $inflight under way"; exit 1; }
echo 3 >/proc/sys/vm/drop_caches
content "$size" | cmp - "$folder/file"
