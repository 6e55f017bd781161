// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sim_meta.c - the metadata service's voter: log and LMDB on disks that lose power between any two
 * operations
 */
#include "program.h"

int main(void)
{
	struct sim_plan plan = { .voters = 1, .virtual_ms = 10000, .machine = &sim_meta_machine };

	program_expect_sound("invariant_1_metadata_survives_power_cuts_at_any_point", plan, 40);
	plan.bugs = SIM_BUG_CHECKPOINT_UNSYNCED;
	program_expect_found("a_log_dropped_before_the_database_is_synced_is_found", plan, 100);
	plan.bugs = SIM_BUG_REUSE_NUMBER;
	program_expect_found("a_client_that_gives_a_number_to_two_requests_is_found", plan, 100);
	return program_end();
}
