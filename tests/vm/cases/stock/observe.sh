#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What somebody who looks for a cause can see: which program waits for what (weft ps), what each host was sent and
# gave (weft host counters), what the mount counted (/proc/self/mountstats), trace points, which host is down, and what
# could not be read (weft monitor).
# weft-vm: timeout=400
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
	for host in 1 2 3 4; do [[ -s /run/weft-vm/store$host.pid ]] || "$cluster" start "$host"; done
	# shellcheck disable=SC2046	# words
	[[ -z $(jobs -p) ]] || kill $(jobs -p)
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
"$cluster" ready
await 30 is_state up

# --- what could not be read ------------------------------------------------------------------------------------------

has() { grep -q "$1" "$2"; }	# PATTERN FILE
# What was before comes first, and by then the kernel is listened to.
listen() { # FILE COMMAND...
	: >"$1"
	"${@:2}" >>"$1" 2>"$1.errors" &
	await 30 has . "$1"
}

listen /tmp/events weft --json monitor
listen /tmp/lines weft monitor
ino=$(stat -c %i large)
"$cluster" wait whole
"$cluster" kill 1 2 3 4
echo 3 >/proc/sys/vm/drop_caches
! cat large >/dev/null 2>/tmp/said || die "a file was read with five of nine hosts"
await 30 has '"kind":"read-failed"' /tmp/events
await 30 has 'read-failed .*cannot be read' /tmp/lines
grep -m 1 read-failed /tmp/events
jq -se --argjson ino "$ino" 'any(.[]; .kind == "read-failed" and .inode == $ino and .offset >= 0 and .group > 0 and .time_ms > 0 and
	(.text | test("chunk [0-9]+:[0-9]+") and test("on store [0-9]+, host store1") and test("host store2") and
		test("host store3") and test("host store4")))' /tmp/events >/dev/null ||
	die "no event names the inode, the offset, the chunk and the missing stores"
# The metadata service tells the same listener of the hosts.
await 30 has 'store4' /tmp/events
[[ ! -s /tmp/events.errors ]] || die "weft monitor complains: $(</tmp/events.errors)"
"$cluster" start 1 2 3 4
"$cluster" ready
echo 3 >/proc/sys/vm/drop_caches
cmp /tmp/reference large

# Who may not listen to the kernel is told so once, and hears the metadata service.
listen /tmp/deaf setpriv --bounding-set -net_admin --inh-caps -net_admin weft monitor
[[ $(</tmp/deaf.errors) == *"CAP_NET_ADMIN" && $(wc -l </tmp/deaf.errors) -eq 1 ]] ||
	die "who may not listen to the kernel is told: $(</tmp/deaf.errors)"
