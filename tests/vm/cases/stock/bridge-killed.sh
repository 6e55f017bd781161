#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The bridge is killed every second while a tree of small files is copied, linked, renamed and removed: each request
# that was under way is asked again by the kernel and may not be run twice, so no program sees an error (a second mkdir
# would be EEXIST, a second unlink ENOENT) and the tree is what it would be without the kills.
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
work=$(mktemp -d)
trap 'stop_killing; rm -rf "$work"' EXIT

killer=
stop_killing() {
	[[ -n $killer ]] || return 0
	touch "$work/stop"
	wait "$killer"
	killer=
}
kill_on() {
	while [[ ! -e $work/stop ]]; do
		"$cluster" kill bridge
		echo kill >>"$work/kills"
		"$cluster" start bridge
		sleep 1
	done
}
# What a program may do to a tree, in few processes: it is the calls that count.
change() { # FOLDER
	mkdir -p "$1"/{old,new,deep/er/still}
	cp -r "$work/tree/." "$1/old"
	mv "$1"/old/*/file.*[0-4] -t "$1/new" 2>"$work/moved" || { cat "$work/moved"; return 1; }
	ln "$1"/new/file.* -t "$1/deep/er/still"
	ln -s ../new "$1/deep/link"
	rm "$1"/new/file.*[02]
	mv "$1/old/folder.1" "$1/deep/er/still/moved"
	rm -r "$1/old/folder.2"
	mkdir "$1"/new/dir.{1..10}
	rmdir "$1"/new/dir.{1..10}
}

mkdir -p "$work"/tree/folder.{1..8}
for ((i = 100; i < 220; i++)); do
	printf '%*s' $((i * 7)) "$i" >"$work/tree/folder.$((i % 8 + 1))/file.$i"
done

kill_on &
killer=$!
change here
stop_killing
change "$work/reference"
sync -f .
echo 3 >/proc/sys/vm/drop_caches
diff -r --no-dereference "$work/reference" here
[[ $(find "$work/reference" -type f -links 2 | wc -l) == "$(find here -type f -links 2 | wc -l)" ]]
kills=$(wc -l <"$work/kills")
echo "the bridge was killed $kills times"
((kills > 1))
