#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Garbage, half frames and many idle connections on the ports of stores and of the metadata server. They go on: the same
# processes, for one that crashed is started again within a moment.
set -euo pipefail

address=198.18.1.2
meta=198.18.0.1

daemons() { pidof weftd | tr ' ' '\n' | sort; }
before=$(daemons)
[[ $(wc -l <<<"$before") -ge 11 ]] || { echo "there are daemons missing: $before"; exit 1; }

for port in "$address/7412" "$meta/7411"; do
	for _ in {1..20}; do
		{ head -c $((RANDOM * 4)) /dev/urandom >"/dev/tcp/$port"; } 2>/dev/null || true
	done
	# The first bytes of real frames, then nothing.
	for magic in 'WfT1' 'WfTC'; do
		for length in 1 4 63 64 127 128; do
			{ { printf '%s\1' "$magic"; head -c "$length" /dev/zero; } >"/dev/tcp/$port"; } 2>/dev/null || true
		done
	done
	# Connections that say nothing are no reason to refuse others.
	for fd in {20..60}; do
		eval "exec $fd<>/dev/tcp/$port"
	done
	head -c 300000 /dev/urandom >/tmp/reference
	cp /tmp/reference probe
	sync probe
	for fd in {20..60}; do
		eval "exec $fd>&-"
	done
	echo 3 >/proc/sys/vm/drop_caches
	cmp /tmp/reference probe
done
diff <(echo "$before") <(daemons) || { echo "a daemon has ended and was started again"; exit 1; }
weft --cluster demo status >/dev/null
