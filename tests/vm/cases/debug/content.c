// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The content of files against a copy in memory (../stock/content.c) under lockdep, KASAN and the page cache's own checks.
 *
 * weft-vm: timeout=1200
 */
#define OPERATIONS 60
#include "../stock/content.c"
