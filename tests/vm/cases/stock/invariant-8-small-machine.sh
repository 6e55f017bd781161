#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Invariant 8 in a machine of 512 MiB, which runs all the hosts besides: a file of 2 GiB, 128 times the budget, is written in
# sequence, and the machine's memory does not shrink with it.
# weft-vm: soak memory=512 hosts=4 disk timeout=1200
exec env BUDGETS=128 "$(dirname "$(readlink -f "$0")")/invariant-8-memory.sh"
