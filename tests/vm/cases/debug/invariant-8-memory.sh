#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The same as on the stock kernel. Freed memory stays in quarantine for a while here, and slabs are larger.
#
# weft-vm: soak timeout=1200
exec env SLACK=160 "$(dirname "$(readlink -f "$0")")/../stock/invariant-8-memory.sh"
