/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent of a test machine: what its two files share.
 */
#ifndef WEFT_VM_AGENT_H
#define WEFT_VM_AGENT_H

#include <stdbool.h>

/* Says what failed and why (errno), and ends the process. */
__attribute__((noreturn)) void agent_die(const char *what);

/* boot.c: makes the bare root a machine; 0, or does not return. */
int agent_boot(const char *release, const char *run, const char *out);

#endif /* WEFT_VM_AGENT_H */
