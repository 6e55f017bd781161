#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# umount -f while writers, readers, a find and a loop of fsync use the mount: with everything up, with more hosts hanging
# than the redundancy covers, and with bridge and metadata server hanging. Every program ends, soon and with EIO, the
# mount goes, the next one works and has what was synced before.
# weft-vm: timeout=300
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
folder=$PWD
work=$(mktemp -d)
cd /
trap 'kill_all; resume; rm -rf "$work"' EXIT

hosts() { [[ -z ${*} ]] || for host; do echo "-$(</run/weft-vm/"$host".pid)"; done; }
pids=() stopped=()
kill_all() { ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true; }
# shellcheck disable=SC2046	# words
resume() { ((${#stopped[@]} == 0)) || kill -CONT -- $(hosts "${stopped[@]}") 2>/dev/null || true; }

# Until the command succeeds: await SECONDS WHAT COMMAND...
await() {
	local end=$((SECONDS + $1)) what=$2
	until "${@:3}"; do
		((SECONDS < end)) || { echo "not within $1 s: $what"; return 1; }
		sleep 0.1
	done
}

program() { # NAME COMMAND...: what it says goes to NAME, its exit status to NAME.status
	("${@:2}" >/dev/null 2>"$work/$1" || echo $? >"$work/$1.status") &
	pids+=($!)
}
# A line of its own for each fsync that has returned.
sync_loop() {
	local i
	exec {log}>>"$folder/log"
	for ((i = 1; ; i++)); do
		echo $i >&"$log" || return
		sync "$folder/log" || return
		echo $i >>"$work/acked"
	done
}
read_loop() { while dd if="$folder/kept" of=/dev/null bs=64k iflag=nocache; do :; done; return 1; }
find_loop() { while find "$folder" -ls; do :; done; return 1; }
create_loop() { for ((i = 1; ; i++)); do echo $i >"$folder/tree/$i" || return; done; }

under_way() { [[ -s $work/acked && $(wc -l <"$work/acked") -ge 5 && -s $folder/large && -e $folder/tree/20 ]]; }
ended() { for pid in "${pids[@]}"; do ! kill -0 "$pid" 2>/dev/null || return 1; done; }
gone() { "${unmount[@]}" 2>"$work/umount"; }

round() { # WHAT UNMOUNT COMMAND, with the hosts in $stopped
	local start
	rm -f "$work"/*
	rm -rf "${folder:?}"/*
	mkdir "$folder/tree"
	head -c $((4 << 19)) /dev/urandom >"$work.kept"
	cp "$work.kept" "$folder/kept"
	sync -f "$folder"
	pids=()
	program writer dd if=/dev/zero of="$folder/large" bs=1M
	program small-writer dd if=/dev/zero of="$folder/small" bs=1000
	program syncer sync_loop
	program reader read_loop
	program finder find_loop
	program creator create_loop
	await 60 "programs are under way" under_way
	# shellcheck disable=SC2046
	((${#stopped[@]} == 0)) || kill -STOP -- $(hosts "${stopped[@]}")
	# What is dirty has nowhere to go now.
	((${#stopped[@]} == 0)) || sleep 1

	start=$EPOCHREALTIME
	read -ra unmount <<<"$2"
	# The first ends every wait; as long as programs have not seen it they keep the mount busy.
	await 30 "$2" gone || { cat "$work/umount" && fuser -vm /mnt/weft; return 1; }
	awk -v a="$start" -v b="$EPOCHREALTIME" -v what="$1" 'BEGIN { printf "%s: unmounted after %.1f s\n", what, b - a }'
	await 20 "all programs have ended" ended
	for name in writer small-writer syncer reader finder creator; do
		if [[ ! -s $work/$name.status ]] || ! grep -q 'Input/output error' "$work/$name"; then
			echo "$1: $name ended with status $(cat "$work/$name.status"), and said:"
			tail -n 3 "$work/$name"
			return 1
		fi
	done

	resume
	stopped=()
	"$cluster" wait stores=9 --timeout 60
	"$cluster" mount
	cmp "$work.kept" "$folder/kept"
	[[ $(wc -l <"$folder/log") -ge $(wc -l <"$work/acked") ]] || {
		echo "$1: fsync returned for $(wc -l <"$work/acked") lines, and $(wc -l <"$folder/log") are there"
		return 1
	}
	cmp <(seq "$(wc -l <"$work/acked")") <(head -n "$(wc -l <"$work/acked")" "$folder/log")
}

round "all hosts up" "umount -f /mnt/weft"
stopped=(store1 store2 store3 store4)
round "four hosts hang" "umount.weft -f /mnt/weft"
stopped=(client meta store5)
round "the bridge, the metadata server and a host hang" "umount -i -f /mnt/weft"
rm -f "$work.kept"
