/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * program.h - many runs of one plan, one line of TAP
 *
 * Environment: SEED=N runs that seed only, and tells what happens; SOAK=N makes N times as many
 * runs. Without SEED the runs begin at 1: the same in every build.
 */
#ifndef WEFT_SIM_PROGRAM_H
#define WEFT_SIM_PROGRAM_H

#include "cluster.h"

/* "ok" if no run fails; the seed of the first that does is told. Returns whether. */
bool program_expect_sound(const char *name, struct sim_plan plan, unsigned int runs);
/* "ok" if one of the runs fails: the planted bug was found. */
bool program_expect_found(const char *name, struct sim_plan plan, unsigned int runs);
/* The plan line; exit status. */
int program_end(void);

#endif /* WEFT_SIM_PROGRAM_H */
