#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Names and attributes against tmpfs (stock/namespace.c) under lockdep, KASAN and kmemleak.
#
# weft-vm: timeout=1200
exec "${WEFT_BUILD:?}/cases/stock/namespace" "$RANDOM$RANDOM" 300 2
