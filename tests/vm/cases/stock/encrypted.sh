#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# An encrypted volume from its first key to its last: what is written is read back cold, on another mount, with hosts dead;
# wrong passphrases and missing keys are ENOKEY and a sentence; without the keys names are sealed, of legal length, and
# files cannot be opened; unload evicts, is refused while files are open, and with --force says what it drops; a key that is
# revoked in mid-write leaves data dirty, and comes back; a rotated key is for new
# chunks only, until the old ones are re-encrypted. No marker of names, targets or
# content is in any store, metadata file or log; the same search finds them in a volume that is not encrypted.
# weft-vm: timeout=900
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
cluster=$here/../../guest/cluster.sh
work=$(mktemp -d)
at=$work/mount
volume=sealed-$$
mkdir "$at"
cd /

in_client() { nsenter --net=/run/netns/weft-client "$@"; }
key() { weft --cluster demo key "$@"; }
quick=(--kdf-passes 1 --kdf-memory 8)
pass=(--passphrase-file "$work/pass")
clean() {
	exec 7>&- 8>&-
	mountpoint -q "$at" && in_client umount -f "$at"
	rm -rf "$work"
}
trap clean EXIT
step() { echo "$SECONDS s: $1"; }
die() { echo "$1"; exit 1; }
refused() { # WHAT TEXT COMMAND...: it fails and says so
	local said
	if said=$("${@:3}" 2>&1); then die "$1 went well"; fi
	[[ $said == *"$2"* ]] || die "$1 said: $said"
}
mount_it() { in_client mount -t weft "demo:$volume" "$at"; }
same() { # WHAT
	echo 3 >/proc/sys/vm/drop_caches
	cmp "$work/text" "$at/MARKERdir/MARKERtext" || die "$1: compressed content differs"
	cmp "$work/random" "$at/MARKERdir/random" || die "$1: content differs"
	[[ $(<"$at/MARKERdir/small") == MARKERsmall ]] || die "$1: a small file differs"
	[[ $(readlink "$at/MARKERlink") == MARKERtarget ]] || die "$1: a link differs"
	[[ $(stat -c %s "$at/MARKERlink") == 12 ]] || die "$1: a link has another size"
}

for i in $(seq 1 40000); do echo "MARKERcontent $i"; done >"$work/text"
head -c 3000001 /dev/urandom >"$work/random"
echo 'right passphrase' >"$work/pass"
echo 'wrong passphrase' >"$work/wrong"
echo 'other passphrase' >"$work/other"

step "keys"
weft --cluster demo volume create "$volume" --k 4 --m 2 --codec zstd --level 1 >/dev/null
refused "load without keys" "is not encrypted" key load "$volume" "${pass[@]}"
key init "$volume" "${pass[@]}" "${quick[@]}" >"$work/said"
recovery=$(tail -n 1 "$work/said")
[[ ${#recovery} == 43 ]] || die "the recovery key is $recovery"
refused "a second init" "has keys already" key init "$volume" "${pass[@]}" "${quick[@]}"
refused "a wrong passphrase" "opens no slot of volume $volume (Required key not available)" \
	key load "$volume" --passphrase-file "$work/wrong"
mount_it
refused "making a file without the key" "Required key not available" touch "$at/x"
key load "$volume" "${pass[@]}"
key status "$volume"

step "write, read back"
mkdir "$at/MARKERdir"
cp "$work/text" "$at/MARKERdir/MARKERtext"
cp "$work/random" "$at/MARKERdir/random"
echo MARKERsmall >"$at/MARKERdir/small"
ln -s MARKERtarget "$at/MARKERlink"
ln "$at/MARKERdir/small" "$at/MARKERsecond"
mv "$at/MARKERsecond" "$at/MARKERdir/MARKERthird"
long=$(printf 'n%.0s' {1..239})
echo long >"$at/$long"
refused "a name that is too long" "File name too long" touch "$at/${long}n"
refused "a target that is too long" "File name too long" ln -s "$(head -c 3100 /dev/zero | tr '\0' t)" "$at/l"
[[ $(stat -f -c %l "$at") == 239 ]] || die "statfs says another length of names"
printf x | dd of="$work/random" bs=1 seek=1500000 conv=notrunc status=none
printf x | dd of="$at/MARKERdir/random" bs=1 seek=1500000 conv=notrunc,fsync status=none
sync -f "$at"
same "first"
step "after a remount, two hosts dead"
in_client umount "$at"
mount_it
"$cluster" kill 2 5
same "two hosts dead"
"$cluster" start 2 5
"$cluster" wait whole

step "unload"
exec 7<"$at/MARKERdir/small"
refused "unload with a file open" "files are open" key unload "$volume"
exec 7<&-
(cd "$at/MARKERdir" && refused "unload below a working directory" "works in one of its folders" key unload "$volume")
key unload "$volume"
if key status "$volume" | grep -q 'mount.*: loaded'; then die "the mount still has keys"; fi
if find "$at" | grep -q MARKER; then die "names are shown without the key"; fi
[[ $(find "$at" -mindepth 1 -maxdepth 1 -printf x) == xxx ]] || die "without the key there are other names: $(find "$at")"
for name in "$at"/*; do
	name=${name##*/}
	[[ $(LC_ALL=C; echo ${#name}) -le 255 ]] || die "a bare name is too long"
	stat -c %s "$at/$name" >/dev/null
done
dir=$(find "$at" -mindepth 1 -maxdepth 1 -type d)
link=$(find "$at" -mindepth 1 -maxdepth 1 -type l)
file=$(find "$dir" -type f | head -n 1)
[[ -n $dir && -n $link && -n $file ]] || die "types are not shown without the key"
refused "reading without the key" "Required key not available" cat "$file"
refused "cutting without the key" "Required key not available" truncate -s 0 "$file"
refused "a link without the key" "Required key not available" python3 -c 'import os, sys; os.readlink(sys.argv[1])' "$link"
refused "a plain name without the key" "Required key not available" stat "$at/MARKERdir"
refused "renaming without the key" "Required key not available" mv -T "$file" "$dir/other"
key load "$volume" "${pass[@]}"
same "loaded again"

step "slots"
key add "$volume" "${pass[@]}" --new-passphrase-file "$work/other" "${quick[@]}"
key remove "$volume" 1 --passphrase-file "$work/other"
refused "a passphrase whose slot is gone" "opens no slot" key load "$volume" "${pass[@]}"
echo "$recovery" >"$work/recovery"
key load "$volume" --passphrase-file "$work/recovery"
pass=(--passphrase-file "$work/other")

step "rotate"
key rotate "$volume" "${pass[@]}"
echo MARKERafter >"$at/MARKERdir/rotated"
sync -f "$at"
same "rotated"
key unload "$volume"
key load "$volume" "${pass[@]}"
same "rotated and loaded"
[[ $(<"$at/MARKERdir/rotated") == MARKERafter ]] || die "what was written after the rotation differs"

step "reencrypt"
key reencrypt "$volume" --json >"$work/said"
# All but what was written after the rotation.
jq -e --argjson size $(($(stat -c %s "$work/text") + 3000001)) '.rewritten >= $size and .rewritten < $size + 1000' "$work/said" ||
	die "reencrypt says $(cat "$work/said")"
same "re-encrypted"
key reencrypt "$volume" --json >"$work/said"
jq -e '.rewritten == 0' "$work/said" >/dev/null || die "it was not done the first time: $(cat "$work/said")"

step "a volume that is said to be plain"
weft --cluster demo volume create "plain-$$" --k 4 --m 2 >/dev/null
mkdir "$work/plain-mount"
in_client mount -t weft "demo:plain-$$" "$work/plain-mount"
in_client umount "$work/plain-mount"
# keys VERB NAME: "add" gives this host a key of the volume, "revoke" takes it.
keys() {
	python3 - "$@" <<-'END'
		import ctypes, struct, sys
		libc = ctypes.CDLL(None, use_errno=True)
		verb, name = sys.argv[1:]
		for line in open('/proc/keys'):
		    text = line.rstrip().split(' logon ')[-1].strip().split(': ')[0]
		    if ' logon ' not in line or not text.startswith('weft:') or 'R' in line.split()[1]:
		        continue
		    if verb == 'add':
		        ring = struct.pack('<II', 0x524b6657, 1) + bytes(16) + struct.pack('<I', 1) + bytes(32)
		        text = ':'.join(text.split(':')[:2] + [name]).encode()
		        sys.exit(libc.syscall(248, b'logon', text, ring, len(ring), -4) < 0)
		    if text.endswith(':' + name):
		        sys.exit(libc.syscall(250, 3, int(line.split()[0], 16), 0, 0, 0) < 0)
		sys.exit('there is no such key')
	END
}
keys add "plain-$$"
refused "mounting it" "this host has keys of it" in_client mount -t weft "demo:plain-$$" "$work/plain-mount"
keys revoke "plain-$$"

step "a key that goes away in mid-write"
exec 8>"$at/MARKERdir/midway"
echo MARKERmidway >&8
keys revoke "$volume"
refused "fsync without the key" "Required key not available" python3 -c 'import os; os.fsync(8)'
key load "$volume" "${pass[@]}"
python3 -c 'import os
for _ in range(100):
    try:
        os.fsync(8)
        break
    except OSError as e:
        last = e
else:
    raise last'
exec 8>&-
echo 3 >/proc/sys/vm/drop_caches
[[ $(<"$at/MARKERdir/midway") == MARKERmidway ]] || die "what was written when the key went is lost"

step "force"
exec 7<"$at/MARKERdir/small"
said=$(key unload "$volume" --force)
[[ $said == *"1 open files and folders"* ]] || die "force did not say what it drops: $said"
exec 7<&-
in_client umount -f "$at"

step "markers"
mapfile -t places < <(sed -n 's/^path = //p' /run/weft-vm/*.conf | sort -u)
((${#places[@]} > 1)) || die "the stores were not found"
places+=(/run/weft-vm)
# Prints in how many files of each place the marker stands.
found() { local place; for place in "${places[@]}"; do { grep -raFl MARKER "$place" || true; } | wc -l; done; }
dmesg >/run/weft-vm/dmesg
found >"$work/sealed"
if grep -qv '^0$' "$work/sealed"; then die "plaintext of the encrypted volume stands in: $(grep -raFl MARKER "${places[@]}")"; fi
# The search finds what there is to find: all kinds of it, in the stores and in the metadata.
mkdir /mnt/weft/MARKERdir
cp "$work/text" /mnt/weft/MARKERdir/
echo MARKERsmall >/mnt/weft/MARKERdir/small
sync -f /mnt/weft
found >"$work/plain"
rm -r /mnt/weft/MARKERdir /run/weft-vm/dmesg
[[ $(grep -cv '^0$' "$work/plain") -ge 4 ]] || die "the search for markers finds nothing: $(cat "$work/plain")"
