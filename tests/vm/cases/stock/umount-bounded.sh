#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Invariant 7: a bare umount(2), without umount.weft in front of it, ends within a bounded time although data cannot be
# written: with the bridge killed, with all stores killed, with a bridge that is bound and does not answer. It says what it
# has dropped. umount.weft refuses instead, and says why.
# weft-vm: timeout=400
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
timeout=/sys/module/weft/parameters/umount_timeout_ms
before=$(<$timeout)
echo 4000 >$timeout	# instead of 30 s, to be done in time
cd /	# or the volume is in use
folder=/mnt/weft/$(basename "$OLDPWD")

# A failed case lets the machine end all the same.
restore() {
	local status=$?
	echo "$before" >$timeout
	((status)) || return 0
	[[ ! -s /run/weft-vm/client.pid ]] || kill -CONT -- "-$(</run/weft-vm/client.pid)"
	[[ -s /run/weft-vm/client.pid ]] || "$cluster" start bridge
}
trap restore EXIT

losses() { dmesg | grep -c 'has lost [0-9]* bytes' || true; }

# The data is dirty, or on its way, when the volume is unmounted.
unmount_bounded() { # WHAT
	local before start=$EPOCHREALTIME
	before=$(losses)
	nsenter --net="$(</run/weft-vm/client)" timeout -s KILL 50 umount -i /mnt/weft || { echo "$1: umount failed"; exit 1; }
	awk -v a="$start" -v b="$EPOCHREALTIME" -v what="$1" \
		'BEGIN { printf "%s: unmounted after %.1f s\n", what, b - a; exit b - a > 45 }'
	[[ $(losses) -gt $before ]] || { echo "$1: nobody is told what was lost"; exit 1; }
}

write() {
	for i in {1..20}; do head -c 3000 /dev/urandom >"$folder/small.$i"; done
	head -c 20000000 /dev/urandom >"$folder/large"
}

write
sync -f "$folder"
"$cluster" kill bridge
dd if=/dev/urandom of="$folder/large" bs=1M count=20 conv=notrunc status=none
unmount_bounded "the bridge is dead"
"$cluster" start bridge
"$cluster" mount

"$cluster" kill {1..9}
write
if nsenter --net="$(</run/weft-vm/client)" umount /mnt/weft 2>/tmp/umount-said; then
	echo "umount.weft has unmounted what could not be written"
	exit 1
fi
grep -q 'not unmounted' /tmp/umount-said || { cat /tmp/umount-said; exit 1; }
unmount_bounded "all stores are dead"
"$cluster" start {1..9}
"$cluster" wait stores=9
"$cluster" mount

write
kill -STOP -- "-$(</run/weft-vm/client.pid)"
dd if=/dev/urandom of="$folder/large" bs=1M count=20 conv=notrunc status=none
unmount_bounded "the bridge hangs"
kill -CONT -- "-$(</run/weft-vm/client.pid)"
"$cluster" mount

write
sync -f "$folder"
