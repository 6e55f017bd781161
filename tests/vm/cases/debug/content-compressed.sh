#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The content of files against a copy in memory (stock/content.c) on a compressed volume, under lockdep, KASAN and the page
# cache's own checks.
#
# weft-vm: timeout=1200
set -euo pipefail

base=$(mktemp -d)
in_client() { nsenter --net=/run/netns/weft-client "$@"; }
trap 'cd /; ! mountpoint -q "$base" || in_client umount "$base"; rmdir "$base"' EXIT

weft --cluster demo volume create packed --k 2 --m 2 --codec zstd --level 1 >/dev/null
in_client mount -t weft demo:packed "$base"
cd "$base"
"${WEFT_BUILD:?}/cases/stock/content" "$RANDOM$RANDOM" 40 3
awk -v at="$base" '/^device/ { ours = $5 == at } ours && /PACKED_|PACK_NOMEM/ { print } ours && $1 == "PACKED_PLAIN:" && $2 > 0 { seen = 1 }
	END { exit !seen }' /proc/self/mountstats || { echo "nothing was compressed"; exit 1; }
