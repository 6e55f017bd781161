#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Policies of directories and files, set by setfattr: who may set them, which combinations are refused and why, what is made
# below inherits them, and new content is cut and compressed by them. Those of a volume are changed while it is mounted.
set -euo pipefail

trace=/sys/kernel/tracing
own_trace=
work=$(mktemp -d)
mnt=$work/mnt
cd /
clean() {
	[[ ! -e $trace/events/weft/enable ]] || echo 0 >"$trace/events/weft/enable"
	! mountpoint -q "$mnt" || umount "$mnt"
	[[ -z $own_trace ]] || umount "$trace"
	rm -rf "$work"
}
trap clean EXIT
die() { echo "$*"; exit 1; }
# What getfattr shows of a file, or "-".
get() { getfattr --absolute-names --only-values -n "weft.$2" "$1" 2>/dev/null || printf -- -; }
is() { [[ $(get "$1" "$2") == "$3" ]] || die "weft.$2 of $1 is $(get "$1" "$2"), and not $3"; }
refused() { # FILE NAME VALUE ERROR [REASON]
	local said
	dmesg -C
	! said=$(setfattr -n "weft.$2" -v "$3" "$1" 2>&1) || die "weft.$2 became $3"
	[[ $said == *"$4"* ]] || die "weft.$2 $3 was refused with: $said"
	[[ -z ${5:-} ]] || dmesg | grep -qF "$5" || die "no reason for weft.$2 $3 in the log: $(dmesg)"
}
counter() { awk -v at="$mnt" -v name="$1:" '/^device/ { ours = $5 == at } ours && $1 == name { print $2 }' /proc/self/mountstats; }
if [[ ! -e $trace/events ]]; then
	mount -t tracefs tracefs "$trace"
	own_trace=1
fi
echo 1 >"$trace/events/weft/weft_unit/enable"
# Where the chunks of a file end that is written now.
ends() { # FILE SOURCE
	: >"$trace/trace"
	dd if="$2" of="$1" bs=1M status=none
	sync "$1"
	sed -nE "s/.*weft_unit: ino=$(stat -c %i "$1") offset=([0-9]+) length=([0-9]+) stored error=0/\1 \2/p" "$trace/trace" |
		awk '{ print $1 + $2 }' | sort -nu
}

weft --cluster demo volume create own --chunk-size 1M >/dev/null
mkdir "$mnt"
chmod 755 "$work"
mount -t weft demo:own "$mnt"
head -c 3000000 /dev/urandom >"$work/random"
seq 1 300000 >"$work/text"

mkdir "$mnt/dir"
echo small >"$mnt/dir/before"
is "$mnt/dir" chunker -
setfattr -n weft.chunker -v fixed "$mnt/dir"
setfattr -n weft.chunk-size -v 256K "$mnt/dir"
setfattr -n weft.codec -v zstd "$mnt/dir"
setfattr -n weft.level -v 2 "$mnt/dir"
mkdir -p "$mnt/dir/below"
echo 3 >/proc/sys/vm/drop_caches
for name in dir dir/below; do
	is "$mnt/$name" chunker fixed
	is "$mnt/$name" chunk-size 256K
	is "$mnt/$name" codec zstd
	is "$mnt/$name" level 2
	is "$mnt/$name" chunk-min -
done
is "$mnt/dir/before" chunker -
[[ $(getfattr --absolute-names -m - "$mnt/dir" | grep -c '^weft\.') == 4 ]]

# What is made below is cut and compressed by them; the rest of the volume is not.
ends "$mnt/dir/below/random" "$work/random" >"$work/ends"
is "$mnt/dir/below/random" chunk-size 256K
awk '$1 % 262144 && $1 != 3000000 { print "a fixed chunk ends at " $1; bad = 1 } END { exit bad || NR != 12 }' "$work/ends"
packed=$(counter PACKED_PLAIN)
cp "$work/text" "$mnt/text"
sync "$mnt/text"
[[ $(counter PACKED_PLAIN) == "$packed" ]] || die "a file without a codec was compressed"
cp "$work/text" "$mnt/dir/below/text"
sync "$mnt/dir/below/text"
(($(counter PACKED_PLAIN) >= packed + 1900000)) || die "a file with a codec was not compressed"

# Settings of a file alone, and taken away again: new content is as the volume has it.
setfattr -x weft.codec "$mnt/dir/below/text"
is "$mnt/dir/below/text" codec -
! setfattr -x weft.codec "$mnt/dir/below/text" 2>/dev/null || die "what was not set was removed"
# The level alone is for the volume's codec, of which there is none: nothing is compressed.
packed=$(counter PACKED_PLAIN)
cp "$work/text" "$mnt/dir/below/text"
sync "$mnt/dir/below/text"
[[ $(counter PACKED_PLAIN) == "$packed" ]] || die "a file whose codec was taken away was compressed"
setfattr -x weft.chunker "$mnt/dir/below/random"
setfattr -x weft.chunk-size "$mnt/dir/below/random"
ends "$mnt/dir/below/random" "$work/random" >"$work/ends"
awk '$1 % 262144 { odd++ } END { exit !odd || NR > 12 }' "$work/ends" || die "still fixed: $(paste -sd' ' "$work/ends")"

file=$mnt/file
echo content >"$file"
refused "$file" chunker even "Invalid argument" 'chunker is "hybrid", "cdc", "variable" or "fixed"'
refused "$file" chunk-size 32M "Invalid argument" "at most 16 MiB"
refused "$file" chunk-min 2M "Invalid argument" "min must not be above target"
refused "$file" level 3 "Invalid argument" "level is of no use without a codec"
refused "$file" colour red "Invalid argument" "there is no such setting"
setfattr -n weft.chunker -v fixed "$file"
refused "$file" chunk-max 2M "Invalid argument" "there is only chunk-size"
refused "$file" chunk-size 100K "Invalid argument" "a multiple of 128 KiB"
setfattr -n weft.codec -v lz4 "$file"
refused "$file" level 1 "Invalid argument" "lz4 has no levels"
is "$file" level -
[[ $(<"$file") == content ]]

# Only its owner sets them, whoever may write; everybody who may read sees them.
chmod 666 "$file"
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
! said=$(as_nobody setfattr -n weft.codec -v none "$file" 2>&1) || die "another user has set a policy"
[[ $said == *"not permitted"* ]] || die "another user was refused with: $said"
[[ $(as_nobody getfattr --absolute-names --only-values -n weft.codec "$file") == lz4 ]] || die "another user does not see a policy"
chown 65534 "$file"
as_nobody setfattr -n weft.codec -v zstd "$file" || die "the owner may not set a policy"
is "$file" codec zstd
ln -s file "$mnt/link"
! setfattr -h -n weft.codec -v zstd "$mnt/link" 2>/dev/null || die "a symbolic link has a policy"

# What the volume has changes while it is mounted: new content follows, but where a file sets it itself.
policy() { awk -v at="$mnt" '/^device/ { ours = $5 == at } ours && $1 == "policy:" { $1 = ""; print }' /proc/self/mountstats; }
wait_policy() {
	local i
	for ((i = 0; i < 300; i++)); do
		[[ $(policy) != "$1" ]] || return 0
		sleep 0.1
	done
	die "the mount has not learnt of its policies: $(policy)"
}
wait_policy " hybrid 65536/1048576/4194304/262144 none 0"
! weft --cluster demo volume set own --chunk-min 8M 2>/dev/null || die "the volume got a minimum above the mean"
weft --cluster demo volume set own --chunker fixed --chunk-size 512K --codec lz4 >/dev/null
wait_policy " fixed 524288/524288/524288/524288 lz4 0"
ends "$mnt/later" "$work/random" >"$work/ends"
awk '$1 % 524288 && $1 != 3000000 { print "a fixed chunk ends at " $1; bad = 1 } END { exit bad || NR != 6 }' "$work/ends"
packed=$(counter PACKED_PLAIN)
cp "$work/text" "$mnt/text"
sync "$mnt/text"
(($(counter PACKED_PLAIN) >= packed + 1900000)) || die "new content is not compressed as the volume has it now"
ends "$mnt/dir/below/more" "$work/random" >"$work/ends"
awk 'END { exit NR != 12 }' "$work/ends" || die "a file's own policy gave way to the volume's: $(paste -sd' ' "$work/ends")"
cmp "$work/text" "$mnt/text"

umount "$mnt"
mount -t weft demo:own "$mnt"
wait_policy " fixed 524288/524288/524288/524288 lz4 0"
is "$mnt/dir/below" chunk-size 256K
is "$file" codec zstd
cmp "$work/text" "$mnt/dir/below/text"
cmp "$work/random" "$mnt/dir/below/random"
cmp "$work/random" "$mnt/later"
