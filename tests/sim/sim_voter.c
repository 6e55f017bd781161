// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sim_voter.c - one voter that is killed and loses power between any two operations of its disk
 */
#include "program.h"

int main(void)
{
	struct sim_plan plan = { .voters = 1, .virtual_ms = 20000, .machine = &sim_model_machine };

	program_expect_sound(
		"invariant_1_what_was_acknowledged_survives_power_cuts_of_the_only_voter", plan,
		300);
	return program_end();
}
