#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The network namespace of a client is deleted and its daemon killed while programs use the mount.
# With the stores alive, their connections keep the namespace: programs wait, umount -f ends them, and the namespace
# goes with the cluster a little later. With the stores dead as well nothing keeps it: programs end by themselves.
# The namespace is gone when the device that was in it is; then the module can be removed at once.
# weft-vm: no-cluster
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
one=$here/../../guest/one-host.sh
work=$(mktemp -d)
mnt=$work/mnt
mkdir "$mnt"
# mountpoint(1) does not recognise a mount that has ended.
trap '((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
	! grep -q " $mnt weft " /proc/mounts || umount -i -f "$mnt" || umount -l "$mnt"; "$one" down; rm -rf "$work"' EXIT

pids=()
await() { # SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1))
	until "${@:3}"; do
		((SECONDS < end)) || { echo "not within $1 s: $2"; return 1; }
		sleep 0.1
	done
}
program() { # NAME COMMAND...
	("${@:2}" >/dev/null 2>"$work/$1" || echo $? >"$work/$1.status") &
	pids+=($!)
}
sync_loop() {
	local i
	exec {log}>>"$mnt/log"
	for ((i = 1; ; i++)); do
		echo $i >&"$log" && sync "$mnt/log" || return
		echo $i >>"$work/acked"
	done
}
create_loop() { local i; for ((i = 1; ; i++)); do echo $i >"$mnt/tree/$i" || return; done; }
under_way() { [[ -s $work/acked && $(wc -l <"$work/acked") -ge 5 && -s $mnt/large && -e $mnt/tree/20 ]]; }
running() { for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done; }
ended() { for pid in "${pids[@]}"; do ! kill -0 "$pid" 2>/dev/null || return 1; done; }
namespace_gone() { [[ ! -e /sys/class/net/weft-canary ]]; }
errors() {
	for name in writer syncer creator; do
		grep -q 'Input/output error' "$work/$name" || {
			echo "$1: $name ended with status $(cat "$work/$name.status"), and said: $(tail -n 1 "$work/$name")"
			return 1
		}
	done
}

load() {
	rm -rf "$work"/{acked,*.status}
	# A pair of devices goes with the namespace of either.
	ip link add weft-canary type veth peer name eth0 netns weft-bridge
	"$one" mount "$mnt"
	mkdir -p "$mnt/tree"
	rm -f "$mnt"/{large,tree/*}
	# Nothing is connected before the first chunk.
	head -c 1000000 /dev/zero >"$mnt/first"
	sync "$mnt/first"
	pids=()
	program writer dd if=/dev/zero of="$mnt/large" bs=1M
	program syncer sync_loop
	program creator create_loop
	await 60 "programs are under way" under_way
	ip netns del weft-bridge
	"$one" kill bridge
}
unload() { # WHAT
	rmmod weft || { echo "$1: the module does not unload"; return 1; }
	modprobe weft
}

"$one" up
load
sleep 1
running || { echo "with the stores alive programs ended with the daemon's death: $(tail -n 1 "$work"/{writer,syncer,creator})"; exit 1; }
[[ -e /sys/class/net/weft-canary ]] || { echo "the namespace went while its connections were in use"; exit 1; }
umount -i -f "$mnt" 2>/dev/null || true
await 20 "programs have ended after umount -f" ended
await 20 "the mount has gone" umount -i -f "$mnt"
errors "after umount -f"
await 30 "the namespace goes after the mount" namespace_gone
unload "after umount -f"

"$one" bridge
load
"$one" kill servers
await 60 "programs have ended after everybody's death" ended
errors "after everybody's death"
await 30 "the namespace goes after the connections" namespace_gone
umount -i "$mnt"
"$one" down
unload "after everybody's death"
