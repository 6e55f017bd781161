#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# weft up and weft down tell what they did, as text and, with --json, as an array of the same steps; what is done already is
# no step.
# weft-vm: no-cluster
set -euo pipefail

work=$(mktemp -d)
mkdir -p /etc/weft
restore() {
	[[ ! -e /etc/weft/weft.conf ]] || weft down >/dev/null || true
	rm -rf "$work" /etc/weft/weft.conf /var/lib/weft/meta
}
trap restore EXIT
[[ ! -e /etc/weft/weft.conf && ! -d /run/systemd/system ]] || { echo "this machine has a cluster or systemd"; exit 4; }

holds() { jq -e "$1" "$work/said" >/dev/null || { cat "$work/said"; echo "this does not hold: $1"; exit 1; }; }

weft up --json --store "$work/a" --store "$work/b" --name updown --mount "$work/mnt" >"$work/said"
holds 'map(.step) == ["configured", "started", "volume-created", "mounted"] and all(.[]; .text | length > 0)'
holds '.[1].pid > 1 and .[2].volume == "main" and .[2].k == 1 and .[2].m == 1'
holds ".[3].source == \"updown:main\" and .[3].directory == \"$work/mnt\""
mountpoint -q "$work/mnt"
pid=$(jq '.[1].pid' "$work/said")

weft --json up --mount "$work/mnt" >"$work/said"
holds '. == []'

weft down --json >"$work/said"
holds 'map(.step) == ["unmounted", "stopped"]'
holds ".[0].directory == \"$work/mnt\" and .[1].pid == $pid"
if mountpoint -q "$work/mnt"; then exit 1; fi

weft up --store "$work/c" --mount "$work/mnt" >"$work/said"
grep -qx "added the store $work/c to /etc/weft/weft.conf" "$work/said"
grep -q '^started weftd  pid=' "$work/said"
grep -qx "mounted updown:main on $work/mnt" "$work/said"
weft down >"$work/said"
grep -qx "unmounted $work/mnt" "$work/said"
grep -qx 'stopped weftd' "$work/said"
