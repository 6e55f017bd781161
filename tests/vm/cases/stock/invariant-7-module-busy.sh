#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module is refused to rmmod while something is mounted, in one sentence and without harm, and goes at
# once after the unmount, while the daemon is still bound, connections are open and a cluster lingers.
# weft-vm: no-cluster
set -euo pipefail

one=$(dirname "$(readlink -f "$0")")/../../guest/one-host.sh
mnt=$(mktemp -d)
trap '! grep -q " $mnt weft " /proc/mounts || umount -i -f "$mnt"; "$one" down; rmdir "$mnt"; grep -q "^weft " /proc/modules || modprobe weft' EXIT

"$one" up
for ((round = 1; round <= 2; round++)); do
	"$one" mount "$mnt"
	head -c 3000000 /dev/urandom >"$mnt/file.$round"
	if said=$(rmmod weft 2>&1); then
		echo "a mounted file system's module was removed"
		exit 1
	fi
	[[ $(wc -l <<<"$said") -eq 1 && $said == *"in use"* ]] || { echo "rmmod said: $said"; exit 1; }
	sync "$mnt/file.$round"
	# More that is dirty, for the unmount to write.
	head -c 3000000 /dev/urandom >"$mnt/unsynced"
	sum=$(cksum <"$mnt/unsynced")
	umount -i "$mnt"
	rmmod weft || { echo "the module does not unload right after the unmount"; exit 1; }
	modprobe weft
	# The bridge finds the new module by itself.
	"$one" mount "$mnt"
	[[ $(cksum <"$mnt/unsynced") == "$sum" && $(find "$mnt" -name 'file.*' | wc -l) -eq $round ]]
	umount -i "$mnt"
done
# With the daemon killed and its cluster lingering.
"$one" kill bridge
"$one" kill servers
rmmod weft
modprobe weft
