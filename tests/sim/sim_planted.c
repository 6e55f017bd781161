// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sim_planted.c - bugs that are put into the voter on purpose: the simulation must find each of
 * them
 */
#include "program.h"

int main(void)
{
	struct sim_plan one = { .voters = 1, .virtual_ms = 20000, .machine = &sim_model_machine };
	struct sim_plan three = {
		.voters = 3, .virtual_ms = 20000, .machine = &sim_model_machine, .orphans = true
	};

	three.bugs = RDRV_BUG_STALE_COMPLETION;
	program_expect_found("a_stale_log_completion_that_is_believed_is_found", three, 100);
	three.bugs = RDRV_BUG_VOTE_UNSYNCED;
	program_expect_found("a_vote_that_is_sent_before_it_is_durable_is_found", three, 100);
	one.bugs = RDRV_BUG_EARLY_TRIM;
	program_expect_found("a_log_dropped_before_the_state_is_synced_is_found", one, 100);
	one.bugs = SIM_BUG_CHECKPOINT_UNSYNCED;
	program_expect_found("a_checkpoint_published_before_the_sync_is_found", one, 100);
	return program_end();
}
