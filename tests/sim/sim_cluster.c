// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sim_cluster.c - several voters, a network that loses, repeats, delays and cuts, disks that stall,
 * power that goes
 */
#include "program.h"

int main(void)
{
	struct sim_plan plan = { .voters = 3, .virtual_ms = 20000, .machine = &sim_model_machine };

	program_expect_sound("invariant_10_three_voters_agree_after_any_faults", plan, 120);
	plan.orphans = true;
	program_expect_sound("three_voters_survive_leaders_that_forget", plan, 60);
	plan.voters = 5;
	plan.orphans = false;
	program_expect_sound("five_voters_agree_after_any_faults", plan, 30);
	return program_end();
}
