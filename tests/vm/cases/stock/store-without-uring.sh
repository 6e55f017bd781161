#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where io_uring is switched off (kernel.io_uring_disabled = 2) a store with backend = auto works with threads, and its
# log says so. What it stores so is read, by the threads and later by io_uring.
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
switch=/proc/sys/kernel/io_uring_disabled
log=/run/weft-vm/store1.log
reference=$(mktemp)
restore() {
	local host
	echo 0 >$switch
	for host in 1 2 3 4; do [[ -s /run/weft-vm/store$host.pid ]] || "$cluster" start "$host"; done
	rm -f "$reference"
}
trap restore EXIT

[[ -e $switch ]] || { echo "this kernel has no kernel.io_uring_disabled"; exit 4; }
opened() { grep -c 'stores/1 is open' "$log"; }
# The metadata service may not have noticed that the store was away: its own log tells that it is back.
restart() { # HOW-OFTEN-THE-LOG-SAYS-IT
	local before end=$((SECONDS + 60))
	before=$(opened)
	"$cluster" kill 1
	"$cluster" start 1
	until (($(opened) > before)); do
		((SECONDS < end)) || { echo "store 1 does not start"; exit 1; }
		sleep 0.1
	done
	"$cluster" ready
	[[ $(grep -c 'io_uring cannot be used here .*pool of threads' "$log") -eq $1 ]] || { tail -n 20 "$log"; exit 1; }
}
# With three of nine gone, every shard that store 1 has is needed.
read_with_it() {
	"$cluster" kill 2 3 4
	echo 3 >/proc/sys/vm/drop_caches
	cmp "$reference" file
	"$cluster" start 2 3 4
	"$cluster" ready
}

before=$(grep -c 'io_uring cannot be used here' "$log" || true)
[[ $before -eq 0 ]] || { echo "io_uring cannot be used in this machine at all"; exit 4; }
echo 2 >$switch
restart 1
head -c $((6 << 20)) /dev/urandom >"$reference"
cp "$reference" file
sync file
"$cluster" wait whole
read_with_it
echo 0 >$switch
restart 1
read_with_it
