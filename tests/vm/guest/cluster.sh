#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The cluster inside a test machine: a metadata host, N store hosts and a client host, each a network namespace with an
# address of its own on one bridge. Two racks a datacenter, three datacenters.
#
#	cluster.sh up N FOLDER		make it, stores below FOLDER; create the volume "main" and mount it at /mnt/weft
#	cluster.sh kill HOST...		kill -9 everything of a host: a number 1..N, "meta" or "bridge"
#	cluster.sh start HOST...	start it again
#	cluster.sh wait CONDITION	as `weft status --wait`
#	cluster.sh ready		until the cluster is as it was made: each store up and connected to the mount, what is
#					written goes to groups of the full width, no chunk misses a shard
#	cluster.sh down			unmount, end everything, remove the namespaces
#
# State: /run/weft-vm/{client,hosts,NAME.pid,NAME.conf,NAME.log}. Environment: WEFT_K, WEFT_M (default: what N allows),
# WEFT_META_CONF, WEFT_STORE_CONF (lines for the [meta] and [store] sections).
set -euo pipefail

state=/run/weft-vm
name=demo
net=198.18	# RFC 2544: for tests

die() { echo "cluster: $*" >&2; exit 1; }

# The address of store host $1, up to 60000 of them.
address() { echo "$net.$((1 + $1 / 250)).$((1 + $1 % 250))"; }
in_host() { nsenter --net="/run/netns/weft-$1" "${@:2}"; }

# All of the hosts' namespaces and links: HOST ADDRESS, a pair a line, from stdin. One process for the switch's side and one
# a host, because a fork costs up to half a second in the debugging kernel under emulation.
make_hosts() {
	local pairs host address
	mapfile -t pairs
	{
		echo "netns add weft-switch"
		for host in "${pairs[@]}"; do echo "netns add weft-${host%% *}"; done
	} | ip -batch -
	{
		echo "link add switch type bridge"
		echo "link set switch up"
		for host in "${pairs[@]}"; do
			host=${host%% *}
			echo "link add weft-$host type veth peer name eth0 netns weft-$host"
			echo "link set weft-$host master switch up"
		done
	} | ip -n weft-switch -batch -
	for host in "${pairs[@]}"; do
		address=${host##* }
		ip -n "weft-${host%% *}" -batch - <<-END
			link set lo up
			addr add $address/16 dev eth0
			link set eth0 up
		END
	done
}

configure() { # NAME, the rest of the file from stdin
	{
		printf '[cluster]\nname = %s\n[host]\nname = %s\n[meta]\naddress = %s.0.1:7411\n' "$name" "$1" "$net"
		cat
	} >"$state/$1.conf"
}

# The group id is the process id: killing the group kills supervisor and roles at once.
start_host() { # NAME
	local host=$1
	# Not in the caller's folder: that may be on the volume, which could not be unmounted then.
	cd /
	setsid nsenter --net="/run/netns/weft-$host" weftd --config "$state/$host.conf" >>"$state/$host.log" 2>&1 &
	echo $! >"$state/$host.pid"
}

signal_host() { # SIGNAL NAME
	local pid
	[ -s "$state/$2.pid" ] || return 0
	pid=$(<"$state/$2.pid")
	kill "-$1" -- "-$pid" 2>/dev/null || true
}

# Until every process of the host's group is gone, at most 30 s.
wait_gone() { # NAME
	local pid tries=300
	[ -s "$state/$1.pid" ] || return 0
	pid=$(<"$state/$1.pid")
	while kill -0 -- "-$pid" 2>/dev/null; do
		((tries-- > 0)) || die "host $1 does not end"
		sleep 0.1
	done
	rm -f "$state/$1.pid"
}

host_name() {
	case $1 in
	meta | client) echo "$1" ;;
	bridge) echo client ;;
	*) echo "store$1" ;;
	esac
}

up() { # N FOLDER
	local hosts=$1 folder=$2 k m i
	mkdir -p "$state" /mnt/weft
	echo "$hosts" >"$state/hosts"
	{
		printf 'meta %s.0.1\nclient %s.0.2\n' "$net" "$net"
		for ((i = 1; i <= hosts; i++)); do echo "store$i $(address "$i")"; done
	} | make_hosts

	mkdir -p "$folder/meta"
	{
		printf 'listen = %s.0.1:7411\npath = %s/meta\n%s\n' "$net" "$folder" "${WEFT_META_CONF:-}"
		printf '[bridge]\nenable = no\n'
	} | configure meta
	start_host meta
	for ((i = 1; i <= hosts; i++)); do
		mkdir -p "$folder/$i"
		{
			printf '[host]\ndatacenter = dc%d\nrack = rack%d\n' $(((i - 1) % 3 + 1)) $(((i - 1) % 6 + 1))
			printf '[store]\npath = %s/%d\nlisten = %s:7412\n%s\n' "$folder" "$i" "$(address "$i")" "${WEFT_STORE_CONF:-}"
			printf '[bridge]\nenable = no\n'
		} | configure "store$i"
		start_host "store$i"
	done
	configure client </dev/null
	start_host client

	# k+m: what was asked for, or the widest up to 6+3 that the hosts allow.
	m=${WEFT_M:-$((hosts >= 9 ? 3 : hosts >= 4 ? 2 : hosts >= 2 ? 1 : 0))}
	k=${WEFT_K:-$((hosts - m < 6 ? hosts - m : 6))}
	weft --cluster "$name" status --wait "stores=$hosts" --timeout 120 >/dev/null || die "the stores did not come up"
	weft --cluster "$name" volume create main --k "$k" --m "$m"
	echo "/run/netns/weft-client" >"$state/client"
	mount_volume
}

# The bridge binds when it has reached the metadata server; the kernel says so until then.
mount_volume() {
	local tries=300 said
	until said=$(in_host client mount -t weft "$name:main" /mnt/weft 2>&1); do
		((tries-- > 0)) || die "cannot mount: $said"
		sleep 0.1
	done
}

# A counter of the mount, by its name in /proc/self/mountstats.
counter() { awk -v name="$1:" '/^device/ { ours = $5 == "/mnt/weft" } ours && $1 == name { print $2 }' /proc/self/mountstats; }

# Connections are made when something is written; a group of the full width needs all of them.
all_connected() {
	in_host client weft --json host counters |
		jq -e --argjson hosts "$(<"$state/hosts")" 'map(select(.connections > 0)) | length == $hosts' >/dev/null
}

# The metadata service closes narrow groups when all stores are back, and then the mount hears of it.
none_narrow() { weft --cluster "$name" --json group list | jq -e 'all(.groups[]; (.open and .narrow) | not)' >/dev/null; }

writes_are_whole() {
	local before
	before=$(counter NARROW_WRITES),$(counter SPARE_WRITES)
	{ head -c 1000000 /dev/urandom >/mnt/weft/.ready && sync /mnt/weft/.ready; } || die "the volume cannot be written to"
	[ "$before" = "$(counter NARROW_WRITES),$(counter SPARE_WRITES)" ]
}

ready() {
	local end=$((SECONDS + 60)) what
	weft --cluster "$name" status --wait "stores=$(<"$state/hosts")" >/dev/null
	while
		what=
		none_narrow || what="narrow groups are closed"
		writes_are_whole || what="what is written has its full width"
		all_connected || what="the mount is connected to every host"
		[ -n "$what" ]
	do
		((SECONDS < end)) || die "the cluster is not as it was made: it does not hold that $what"
		sleep 0.1
	done
	rm /mnt/weft/.ready
	weft --cluster "$name" status --wait whole >/dev/null
}

down() {
	local host
	if mountpoint -q /mnt/weft; then
		in_host client umount /mnt/weft || in_host client umount -f /mnt/weft || die "cannot unmount /mnt/weft"
	fi
	for host in "$state"/*.pid; do
		[ -e "$host" ] || continue
		host=${host##*/}
		signal_host TERM "${host%.pid}"
	done
	for host in "$state"/*.pid; do
		[ -e "$host" ] || continue
		host=${host##*/}
		wait_gone "${host%.pid}"
	done
	for host in /run/netns/weft-*; do
		[ ! -e "$host" ] || ip netns del "${host##*/}"
	done
	rm -f "$state/client"
}

command=${1:-}
shift || true
case $command in
up) up "$@" ;;
down) down ;;
kill)
	for host in "$@"; do
		signal_host KILL "$(host_name "$host")"
		wait_gone "$(host_name "$host")"
	done
	;;
start)
	for host in "$@"; do start_host "$(host_name "$host")"; done
	;;
ready) ready ;;
wait) weft --cluster "$name" status --wait "$@" >/dev/null ;;
mount) mount_volume ;;
umount) in_host client umount /mnt/weft ;;
*) die "usage: cluster.sh up N FOLDER | kill HOST... | start HOST... | wait CONDITION | ready | mount | umount | down" ;;
esac
