#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A mount that cannot be says why in one sentence, ends with a status, and leaves nothing behind.
set -euo pipefail

dir=$(mktemp -d)
without=$(mktemp -d)	# what a machine without the module looks like
trap 'rmdir "$dir"; rm -rf "$without"' EXIT
failed=0

refused() { # PATTERN COMMAND...
	local pattern=$1 said status=0
	shift
	said=$("$@" 2>&1) || status=$?
	if ((status == 0)) || [[ $(wc -l <<<"$said") -ne 1 ]] || ! grep -qE "$pattern" <<<"$said"; then
		printf 'expected one line like "%s", got status %d and:\n%s\n' "$pattern" "$status" "$said"
		failed=1
	fi
	if mountpoint -q "$dir"; then
		echo "something is mounted after: $*"
		umount "$dir"
		failed=1
	fi
}

refused 'no volume|no such volume|is no volume|nosuch' mount.weft demo:nosuch "$dir"
refused 'cluster' mount.weft nosuch:main "$dir"
refused 'colour|option' mount.weft demo:main "$dir" -o colour=red
refused 'budget|size' mount.weft demo:main "$dir" -o budget=much
refused 'usage' mount.weft demo:main
refused 'daemon|bound|weftd' nsenter --net=/proc/1/ns/net mount.weft demo:main "$dir"
refused 'mount on|No such' mount.weft demo:main /nonexistent

grep -v 'weft$' /proc/filesystems >"$without/filesystems"
printf '#!/bin/sh\nexit 1\n' >"$without/modprobe"
chmod +x "$without/modprobe"
# shellcheck disable=SC2016	# the inner shell's
refused 'module weft cannot be loaded; .*dkms status weft.*modprobe weft' unshare --mount sh -ec '
	mount --bind "$0/filesystems" /proc/filesystems
	PATH=$0:$PATH exec mount.weft demo:main "$1"' "$without" "$dir"
exit "$failed"
