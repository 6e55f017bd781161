#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What somebody who looks for a cause can see: which program waits for what (weft ps), what each host was sent and
# gave (weft host counters), what the mount counted (/proc/self/mountstats), trace points, and which host is down.
# weft-vm: timeout=300
set -euo pipefail

tests=$(dirname "$(readlink -f "$0")")/../../..
cluster=$tests/vm/guest/cluster.sh
table=$tests/../uapi/weft_counters.h
trace=/sys/kernel/tracing
own_trace=

restore() {
	[[ ! -s /run/weft-vm/client.pid ]] || kill -CONT -- "-$(</run/weft-vm/client.pid)"
	[[ ! -e $trace/events/weft/enable ]] || echo 0 >"$trace/events/weft/enable"
	[[ -z $own_trace ]] || umount "$trace"
	[[ -s /run/weft-vm/store3.pid ]] || "$cluster" start 3
}
trap restore EXIT

die() { echo "$*"; exit 1; }
# At most SECONDS, until a command is true.
await() { # SECONDS COMMAND...
	local until=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < until)) || die "this did not come true: $*"
		sleep 0.1
	done
}
counter() { # NAME: of the mount
	awk -v name="$1:" '/^device/ { ours = $5 == "/mnt/weft" } ours && $1 == name { print $2 }' /proc/self/mountstats
}
sum() { weft --json host counters | jq "[.[].counters.\"$1\"] | add"; }	# NAME: of all hosts

# --- what waits ------------------------------------------------------------------------------------------------------

waits() { weft --json ps | jq -e --argjson pid "$1" '.[] | select(.pid == $pid)'; }
is_older() { (($(waits "$1" | jq '."age-ms"') > $2)); }

echo text >file
sync file
ino=$(stat -c %i file)
kill -STOP -- "-$(</run/weft-vm/client.pid)"
chmod 600 file &
pid=$!
await 30 eval "waits $pid >/tmp/request"
cat /tmp/request
jq -e --argjson ino "$ino" '.operation == "setattr" and .inode == $ino and (.text | test("daemon"))' /tmp/request >/dev/null ||
	die "weft --json ps does not say what the program waits for"
await 30 is_older "$pid" "$(($(jq '."age-ms"' /tmp/request) + 1000))"
weft ps >/tmp/said
cat /tmp/said
grep -qE "^ *[0-9.]+ m?s +$pid +setattr +$ino +[0-9]+ +waits .*daemon" /tmp/said || die "weft ps does not say what the program waits for"
kill -CONT -- "-$(</run/weft-vm/client.pid)"
wait "$pid" || die "the program that waited failed"
! waits "$pid" || die "weft ps shows what has ended"
weft ps >/tmp/said
! grep -qE " $pid +setattr" /tmp/said || die "weft ps shows what has ended"
[[ $(stat -c %a file) == 600 ]]

# --- what is counted -------------------------------------------------------------------------------------------------

bytes=$((6 << 20))
sent=$(sum put-bytes) received=$(sum get-bytes) written=$(counter WRITE_BYTES) read=$(counter READ_BYTES)
head -c "$bytes" /dev/urandom >/tmp/reference
weft --json host counters >/tmp/before
cp /tmp/reference large
sync large
echo 3 >/proc/sys/vm/drop_caches
cmp /tmp/reference large
weft --json host counters >/tmp/after
# Six of nine shards are data.
(($(sum put-bytes) - sent >= bytes * 9 / 6)) || die "$(($(sum put-bytes) - sent)) bytes sent for $bytes"
(($(sum get-bytes) - received >= bytes)) || die "$(($(sum get-bytes) - received)) bytes received for $bytes"
jq -e --slurpfile before /tmp/before \
	'length == 9 and all(.[]; . as $host | any($before[0][]; .host == $host.host and .counters.puts < $host.counters.puts))' \
	/tmp/after >/dev/null || die "not every host has counted what it was sent"
weft host counters >/tmp/said
for host in {1..9}; do grep -q "store$host" /tmp/said || die "weft host counters does not name store$host"; done

sed -n '/WEFT_MOUNT_COUNTERS(X)/,/^$/s/.*X(\([A-Z_]*\),.*/\1/p' "$table" >/tmp/names
[[ $(wc -l </tmp/names) -gt 10 ]] || die "no names of counters in $table"
while read -r name; do
	[[ $(counter "$name") =~ ^[0-9]+$ ]] || die "/proc/self/mountstats does not have $name"
done </tmp/names
(($(counter WRITE_BYTES) - written >= bytes && $(counter READ_BYTES) - read >= bytes)) ||
	die "the mount counted $(counter WRITE_BYTES) after $written bytes, $(counter READ_BYTES) after $read"

# --- trace points ----------------------------------------------------------------------------------------------------

if [[ ! -e $trace/events ]]; then
	mount -t tracefs tracefs "$trace"
	own_trace=1
fi
for event in weft_request weft_put_done weft_get_done weft_unit; do
	[[ -e $trace/events/weft/$event/enable ]] || die "there is no trace point $event"
done
echo 1 >"$trace/events/weft/enable"
head -c 3000000 /dev/urandom >traced
sync traced
ino=$(stat -c %i traced)
echo 0 >"$trace/events/weft/enable"
for line in "weft_unit: ino=$ino offset=0 length=[0-9]+ stored error=0" "weft_put_done: ino=$ino .*error=0" \
	"weft_request: [0-9]+ completed .*ino=$ino .*status=0"; do
	grep -m 1 -E "$line" "$trace/trace" || { tail -n 20 "$trace/trace"; die "the trace does not have: $line"; }
done

# --- which host is down ----------------------------------------------------------------------------------------------

is_state() { weft --json host list | jq -e --arg state "$1" '.hosts[] | select(.name == "store3") | .state == $state' >/dev/null; }

is_state up || die "store3 is not up"
start=$EPOCHREALTIME
"$cluster" kill 3
await 30 is_state down
awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "a dead host is called down after %.1f s\n", b - a }'
weft host list | grep -E 'store3 +down' || die "weft host list does not say that store3 is down"
"$cluster" start 3
"$cluster" wait stores=9 --timeout 60
await 30 is_state up
