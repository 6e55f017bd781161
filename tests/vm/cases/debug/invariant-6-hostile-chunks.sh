#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Frames that zstd has not made, with right checksums (stock/invariant-6-hostile-chunks.c), under KASAN and lockdep.
# weft-vm: timeout=1200
exec "${WEFT_BUILD:?}/cases/stock/invariant-6-hostile-chunks" zstd
