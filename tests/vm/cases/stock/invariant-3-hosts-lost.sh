#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Nine hosts, 6+3: with three of them gone files are read and written, and no call waits long for the dead; with a
# fourth gone what needs it gives EIO, soon, and reads again when the host is back; a host that hangs is read around.
# weft-vm: timeout=400
# Times are wide: an emulated machine is late by nature.
set -euo pipefail

cluster=$(dirname "$(readlink -f "$0")")/../../guest/cluster.sh
reference=$(mktemp -d)
trap 'rm -rf "$reference"; kill -CONT -- $(stopped) 2>/dev/null || true' EXIT

stopped() { [[ ! -s /run/weft-vm/store9.pid ]] || echo "-$(</run/weft-vm/store9.pid)"; }
counter() { awk -v name="$1" '/ mounted on /{ weft = $0 ~ "/mnt/weft " } weft && $1 == name ":" { print $2 }' /proc/self/mountstats; }
forget() { echo 3 >/proc/sys/vm/drop_caches; }
seconds() { # LIMIT COMMAND...: it ends well, before that
	local start=$EPOCHREALTIME limit=$1
	"${@:2}" || return
	awk -v a="$start" -v b="$EPOCHREALTIME" -v limit="$limit" -v what="${*:2}" \
		'BEGIN { printf "%s: %.1f s\n", what, b - a; exit b - a > limit }'
}

head -c 12345678 /dev/urandom >"$reference/large"
head -c 10000 /dev/urandom >"$reference/small"
cp "$reference"/* .
sync -f .
"$cluster" wait whole

echo "three hosts die"
"$cluster" kill 1 2 3
forget
before=$(counter DEGRADED_READS)
seconds 60 cmp "$reference/large" large
seconds 30 cmp "$reference/small" small
[[ $(counter DEGRADED_READS) -gt $before ]] || { echo "nothing was decoded, though three hosts are dead"; exit 1; }
seconds 60 cp "$reference/large" new
seconds 90 sync new
forget
seconds 60 cmp "$reference/large" new

echo "a fourth dies"
"$cluster" kill 4
forget
if seconds 60 cat large >/dev/null; then
	echo "a file was read with four of nine hosts"
	exit 1
fi
"$cluster" start 1 2 3 4
"$cluster" ready
forget
seconds 60 cmp "$reference/large" large

echo "a host hangs"
# shellcheck disable=SC2046
kill -STOP -- $(stopped)
forget
seconds 60 cmp "$reference/large" large
seconds 60 cp "$reference/large" hanging
seconds 90 sync hanging
forget
seconds 60 cmp "$reference/large" hanging
# shellcheck disable=SC2046
kill -CONT -- $(stopped)
