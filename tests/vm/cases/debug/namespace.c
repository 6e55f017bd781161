// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names and attributes against tmpfs (../stock/namespace.c) under lockdep, KASAN and kmemleak.
 *
 * weft-vm: timeout=1200
 */
#define STEPS 300
#define SCALE 2
#include "../stock/namespace.c"
