#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The content of files against a copy in memory (stock/content.c) on a volume that deduplicates and compresses, and a file that is
# copied twice, under lockdep, KASAN and the page cache's own checks.
#
# weft-vm: timeout=1200
set -euo pipefail

base=$(mktemp -d)
in_client() { nsenter --net=/run/netns/weft-client "$@"; }
trap 'cd /; ! mountpoint -q "$base" || in_client umount "$base"; rmdir "$base"' EXIT

weft --cluster demo volume create kept --k 2 --m 2 --codec zstd --level 1 --dedup on --chunk-size 256K --chunk-min 64K --chunk-max 1M >/dev/null
in_client mount -t weft demo:kept "$base"
cd "$base"
"${WEFT_BUILD:?}/cases/stock/content" "$RANDOM$RANDOM" 12 2
head -c 3000000 /dev/urandom >one
sum=$(md5sum <one)
sync -f .
# cp would clone it.
dd if=one of=two bs=1M status=none
head -c 4000000 /dev/zero >zeros
sync -f .
echo 3 >/proc/sys/vm/drop_caches
cmp one two
cmp -n 4000000 zeros /dev/zero
rm one
sync -f .
echo 3 >/proc/sys/vm/drop_caches
[[ $(md5sum <two) == "$sum" ]]
awk -v at="$base" '/^device/ { ours = $5 == at } ours && /CONTENTS_|SHARED/ { print } ours && $1 == "CHUNKS_SHARED:" && $2 > 2 { seen = 1 }
	END { exit !seen }' /proc/self/mountstats || { echo "nothing was shared"; exit 1; }
