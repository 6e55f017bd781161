#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Headers and frame tables of a lying store (stock/invariant-6-hostile-headers.c) under KASAN and lockdep.
# weft-vm: alone timeout=1200
exec "${WEFT_BUILD:?}/cases/stock/invariant-6-hostile-headers"
