#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A small cluster for cases that break what the large one needs: a metadata server and three stores in one process
# group, a bridge in another, in two network namespaces that meet in AF_UNIX sockets only.
#
#	one-host.sh up			start both; create the volume "main"
#	one-host.sh bridge		make the bridge's namespace again and start it there
#	one-host.sh mount DIR		mount it there
#	one-host.sh kill servers|bridge	kill -9 every process of that half, and wait for their end
#	one-host.sh down		kill both, remove namespaces and folder
#
# The bridge's namespace is "weft-bridge". State: /run/weft-one; "servers" and "bridge" hold the process groups.
set -euo pipefail

state=/run/weft-one

die() { echo "one-host: $*" >&2; exit 1; }
in_bridge() { nsenter --net=/run/netns/weft-bridge "$@"; }

start() { # servers|bridge
	cd /
	setsid nsenter --net="/run/netns/weft-$1" weftd --config "$state/$1.conf" >>"$state/$1.log" 2>&1 &
	echo $! >"$state/$1"
}

stop() { # servers|bridge
	local pid tries=300
	[[ -s $state/$1 ]] || return 0
	pid=$(<"$state/$1")
	kill -KILL -- "-$pid" 2>/dev/null || true
	while kill -0 -- "-$pid" 2>/dev/null; do
		((tries-- > 0)) || die "$1 does not end"
		sleep 0.1
	done
	rm -f "$state/$1"
}

bridge() {
	ip netns add weft-bridge
	start bridge
}

up() {
	local half
	mkdir -p "$state"/{meta,a,b,c}
	ip netns add weft-servers
	for half in servers bridge; do
		mkdir -p "$state/run-$half"
		printf '[cluster]\nname = one\nrun = %s/run-%s\n[host]\nname = %s\n[meta]\naddress = unix:%s/meta.sock\n' \
			"$state" $half $half "$state" >"$state/$half.conf"
	done
	{
		printf 'listen = unix:%s/meta.sock\npath = %s/meta\n' "$state" "$state"
		printf '[store]\nlisten = unix:%s/store.sock\npath = %s/a\npath = %s/b\npath = %s/c\n' \
			"$state" "$state" "$state" "$state"
		printf '[bridge]\nenable = no\n'
	} >>"$state/servers.conf"
	start servers
	bridge
	weft --socket "$state/run-servers/one/admin.sock" status --wait stores=3 --timeout 60 >/dev/null ||
		die "the stores did not come up: $(tail -n 3 "$state/servers.log")"
	weft --socket "$state/run-servers/one/admin.sock" volume create main --k 2 --m 1 >/dev/null
}

# The bridge binds when it has reached the metadata server; the kernel says so until then.
mount_at() { # DIR
	local tries=300 said
	until said=$(in_bridge mount -t weft one:main "$1" 2>&1); do
		((tries-- > 0)) || die "cannot mount: $said"
		sleep 0.1
	done
}

down() {
	stop bridge
	stop servers
	for half in servers bridge; do
		[[ ! -e /run/netns/weft-$half ]] || ip netns del "weft-$half"
	done
	rm -rf "$state"
}

case ${1:-} in
up) up ;;
bridge) bridge ;;
mount) mount_at "$2" ;;
kill) stop "$2" ;;
down) down ;;
*) die "usage: one-host.sh up | bridge | mount DIR | kill servers|bridge | down" ;;
esac
