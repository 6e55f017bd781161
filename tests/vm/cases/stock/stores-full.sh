#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The disks of all stores are full, then the metadata server's: writing fails with ENOSPC, not with EIO and not for
# ever, status says why, what is there is read; with room again writing goes on. The disk is the memory below /run,
# whose size is changed.
# weft-vm: timeout=300
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
stores=/run/weft-vm/stores
reference=$(mktemp)
trap 'mount -o remount,size=50% /run; meta_home; rm -f "$reference"' EXIT

weft() { command weft --cluster demo "$@"; }
# One part of PARTS more than what is used: from 20 on only rebuilds may write to a store, from 50 on nobody.
room() { # MOUNT PARTS
	local used
	used=$(df --output=used -k "$1" | tail -n 1)
	mount -o remount,size=$((used + used / $2))k "$1"
}
# A disk of its own for the metadata, which must not be full when the stores are.
meta_away() {
	"$cluster" kill meta
	mkdir -p /tmp/meta-disk
	mount -t tmpfs -o size=256m tmpfs /tmp/meta-disk
	cp -a "$stores/meta/." /tmp/meta-disk
	mount --move /tmp/meta-disk "$stores/meta"
	"$cluster" start meta
	"$cluster" wait stores=9 --timeout 60
}
meta_home() {
	mountpoint -q "$stores/meta" || return 0
	"$cluster" kill meta
	mount --move "$stores/meta" /tmp/meta-disk
	cp -a /tmp/meta-disk/. "$stores/meta"
	umount /tmp/meta-disk
	"$cluster" start meta
	"$cluster" wait stores=9 --timeout 60
}
full() { # COMMAND...: fails for want of space
	local said
	if said=$("$@" 2>&1); then
		echo "it worked with full disks: $*"
		return 1
	fi
	grep -q 'No space left' <<<"$said" || { echo "$*: expected ENOSPC, got: $said"; return 1; }
}
await() { # SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1))
	until "${@:3}"; do
		((SECONDS < end)) || { echo "not within $1 s: $2"; return 1; }
		sleep 0.2
	done
}
status_says() { weft status | grep -qE "$1"; }

meta_away
head -c $((8 << 20)) /dev/urandom >"$reference"
cp "$reference" old
sync old

echo "the stores are full"
room /run 30
await 20 "status says that stores are full" status_says 'store [0-9]+ in .*: the store is full'
for size in 8M 300k 5000; do
	full timeout 100 dd if="$reference" of=new bs=$size count=1 conv=fsync status=none
done
echo 3 >/proc/sys/vm/drop_caches
cmp "$reference" old
rm new
mount -o remount,size=50% /run
await 20 "status says nothing of full stores" eval '! status_says "the store is full"'
cp "$reference" new
sync new
echo 3 >/proc/sys/vm/drop_caches
cmp "$reference" new
cmp "$reference" old

echo "the metadata server's disk is full"
room "$stores/meta" 12
await 20 "status says that the disk is nearly full" status_says 'disk of the metadata service is nearly full'
full timeout 100 touch another
echo 3 >/proc/sys/vm/drop_caches
cmp "$reference" new
rm old
mount -o remount,size=1g "$stores/meta"
await 20 "status says nothing of a full disk" eval '! status_says "nearly full"'
cp "$reference" another
sync another
# The file system remembers an error for the first that asks: that shall be us.
sync -f . 2>/dev/null || true
