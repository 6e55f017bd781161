#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The content of files against a copy in memory (stock/content.c) on an encrypted volume, then its keys unloaded, loaded,
# rotated and all written anew, and a mount that ends by force: under lockdep, KASAN and the search for leaks.
#
# weft-vm: timeout=1200
set -euo pipefail

base=$(mktemp -d)
pass=(--passphrase-file "$base/pass")
at=$base/mount
mkdir "$at"
echo passphrase >"$base/pass"
in_client() { nsenter --net=/run/netns/weft-client "$@"; }
key() { weft --cluster demo key "$@"; }
trap 'cd /; ! mountpoint -q "$at" || in_client umount -f "$at"; rm -r "$base"' EXIT

weft --cluster demo volume create sealed --k 2 --m 2 --codec adaptive >/dev/null
key init sealed "${pass[@]}" --kdf-passes 1 --kdf-memory 8 >/dev/null
key load sealed "${pass[@]}"
in_client mount -t weft demo:sealed "$at"
cd "$at"
"${WEFT_BUILD:?}/cases/stock/content" "$RANDOM$RANDOM" 40 3
head -c 300000 /dev/urandom >"$base/random"
cp "$base/random" "$at/random"
cd /
key unload sealed
! cat "$at"/* >/dev/null 2>&1 || { echo "files are read without the keys"; exit 1; }
key load sealed "${pass[@]}"
cmp "$base/random" "$at/random"
key rotate sealed "${pass[@]}"
key reencrypt sealed
echo 3 >/proc/sys/vm/drop_caches
cmp "$base/random" "$at/random"
exec 7>"$at/open"
echo lost >&7
key unload sealed --force
exec 7>&-
in_client umount -f "$at"
