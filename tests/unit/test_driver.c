// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_driver.c - the rules that the driver keeps, one schedule each, told step by step
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "raft/driver.h"

/* Voter 1 of some; everything that it puts out is kept until the test looks at it. */
struct fixture {
	struct rdrv *d;
	struct rlog_recovered recovered;
	uint64_t now;
	struct rlog_request *requests;
	struct rlog_request **last;
	struct raft_message sent[64];
	unsigned int n_sent;
	struct rlog_entry *applied[64];
	unsigned int n_applied;
	unsigned int lost;
	char why[RNODE_WHY_MAX];
};

static void on_log(void *owner, struct rlog_request *request)
{
	struct fixture *f = owner;

	request->next = NULL;
	*f->last = request;
	f->last = &request->next;
}

static void on_send(void *owner, const struct raft_message *message)
{
	struct fixture *f = owner;

	f->sent[f->n_sent++ % 64] = *message;
}

static void on_apply(void *owner, struct rlog_entry *entry)
{
	struct fixture *f = owner;

	f->applied[f->n_applied++] = entry;
}

static void on_lost(void *owner, void *ctx)
{
	((struct fixture *)owner)->lost++;
}

static void on_role(void *owner)
{
}

static void on_fatal(void *owner, const char *why)
{
	snprintf(((struct fixture *)owner)->why, RNODE_WHY_MAX, "%s", why);
}

static const struct rdrv_ops ops = {
	.log = on_log,
	.send = on_send,
	.apply = on_apply,
	.lost = on_lost,
	.role = on_role,
	.fatal = on_fatal,
};

static void conf_of(struct raft_configuration *conf, unsigned int voters)
{
	char address[16];

	raft_configuration_init(conf);
	for (unsigned int i = 1; i <= voters; i++) {
		snprintf(address, sizeof(address), "v%u", i);
		assert_int_equal(raft_configuration_add(conf, i, address, RAFT_VOTER), 0);
	}
}

/* A log with the first configuration at index 1. */
static void start(struct fixture *f, unsigned int voters, uint64_t term)
{
	struct rdrv_config config = {
		.server = 1,
		.address = "v1",
		.seed = 1,
		.election_ms = 400,
		.heartbeat_ms = 80,
		.queue_bytes = 1 << 20,
		.queue_entries = 1000,
		.cache_bytes = 1 << 20,
		.ops = &ops,
		.owner = f,
	};
	struct raft_configuration conf;
	struct rlog_entry *entry;
	void *bytes;
	size_t len;

	*f = (struct fixture){ .now = 1000 };
	f->last = &f->requests;
	conf_of(&conf, voters);
	assert_int_equal(rdrv_conf_encode(&conf, &bytes, &len), 0);
	raft_configuration_close(&conf);
	entry = rlog_entry_alloc(bytes, len);
	free(bytes);
	entry->index = entry->term = 1;
	entry->type = WEFT_LOG_CHANGE;
	f->recovered.state.term = term;
	f->recovered.first_index = f->recovered.last_index = 1;
	f->recovered.runs = malloc(sizeof(*f->recovered.runs));
	f->recovered.runs[0] = (struct rlog_run){ .first = 1, .term = 1 };
	f->recovered.n_runs = 1;
	f->recovered.changes = malloc(sizeof(*f->recovered.changes));
	f->recovered.changes[0] = entry;
	f->recovered.n_changes = 1;
	assert_int_equal(rdrv_alloc(&config, &f->d), 0);
	assert_int_equal(rdrv_start(f->d, f->now, &f->recovered, 1, 1, f->why), 0);
}

static void end(struct fixture *f)
{
	while (f->requests) {
		struct rlog_request *next = f->requests->next;

		rdrv_unlogged(f->d, f->requests);
		f->requests = next;
	}
	for (unsigned int i = 0; i < f->n_applied; i++)
		rlog_entry_put(f->applied[i]);
	rdrv_free(f->d);
	rlog_recovered_clear(&f->recovered);
}

/* The oldest request, which must be of that kind, is executed and reported. */
static void complete(struct fixture *f, enum rlog_kind kind)
{
	struct rlog_request *request = f->requests;

	assert_non_null(request);
	assert_int_equal(request->kind, kind);
	f->requests = request->next;
	if (!f->requests)
		f->last = &f->requests;
	request->next = NULL;
	rdrv_logged(f->d, f->now, request);
}

static void later(struct fixture *f, uint64_t ms)
{
	f->now += ms;
	rdrv_tick(f->d, f->now);
}

static void hear(struct fixture *f, raft_id from, struct raft_message m)
{
	char address[16];

	snprintf(address, sizeof(address), "v%u", (unsigned int)from);
	m.server_id = from;
	m.server_address = address;
	rdrv_receive(f->d, f->now, &m);
}

/* n entries of entry_term behind (prev, prev_term), from the leader of term. */
static void hear_entries(struct fixture *f, raft_id from, uint64_t term, uint64_t prev,
			 uint64_t prev_term, unsigned int n, uint64_t entry_term)
{
	struct raft_entry entries[8] = { 0 };
	struct raft_message m = { .type = RAFT_APPEND_ENTRIES };

	for (unsigned int i = 0; i < n; i++)
		entries[i] = (struct raft_entry){ .term = entry_term,
						  .type = RAFT_COMMAND,
						  .buf = { "data", 4 } };
	m.append_entries = (struct raft_append_entries){ .term = term,
							 .prev_log_index = prev,
							 .prev_log_term = prev_term,
							 .leader_commit = 1,
							 .entries = entries,
							 .n_entries = n };
	hear(f, from, m);
}

static struct rlog_entry *command(void)
{
	struct rlog_entry *entry = rlog_entry_alloc("command", 7);

	entry->type = WEFT_LOG_COMMAND;
	entry->ctx = entry;
	return entry;
}

static void a_lone_voter_begins_a_term_and_hands_over_what_is_durable(void **state)
{
	struct fixture f;
	struct rlog_entry *entry = command();

	start(&f, 1, 4);
	/* A term of its own, made durable, and its own first entry. */
	assert_int_equal(f.requests->state.term, 5);
	assert_int_equal(f.requests->state.vote, 1);
	assert_int_equal(rdrv_may_read(f.d), -EREMOTE);
	complete(&f, RLOG_VOTE);
	assert_int_equal(rdrv_submit(f.d, f.now, &entry, 1), 0);
	assert_int_equal(f.n_applied, 0);
	complete(&f, RLOG_APPEND);
	assert_int_equal(f.n_applied, 1);
	assert_true(f.applied[0]->leader);
	assert_int_equal(f.applied[0]->term, 5);
	assert_int_equal(rdrv_may_read(f.d), -EREMOTE);
	rdrv_released(f.d, f.now, 2);
	assert_int_equal(rdrv_may_read(f.d), 0);
	complete(&f, RLOG_APPEND);
	assert_int_equal(f.n_applied, 2);
	assert_ptr_equal(f.applied[1]->ctx, f.applied[1]);
	end(&f);
}

static void no_vote_leaves_before_it_is_durable(void **state)
{
	struct raft_message m = { .type = RAFT_REQUEST_VOTE };
	struct fixture f;

	start(&f, 3, 1);
	m.request_vote = (struct raft_request_vote){
		.version = 2, .term = 7, .candidate_id = 2, .last_log_index = 9, .last_log_term = 6
	};
	/* Right after a start it might have forgotten a leader. */
	hear(&f, 2, m);
	assert_null(f.requests);
	f.now += 400;
	hear(&f, 2, m);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(f.requests->state.term, 7);
	assert_int_equal(f.requests->state.vote, 2);
	complete(&f, RLOG_VOTE);
	assert_int_equal(f.n_sent, 1);
	assert_true(f.sent[0].request_vote_result.vote_granted);
	end(&f);
}

static void a_completed_write_of_replaced_entries_does_not_count(void **state)
{
	struct fixture f;

	start(&f, 3, 1);
	hear_entries(&f, 2, 2, 1, 1, 4, 2);
	complete(&f, RLOG_VOTE);
	/* While 2..5 of term 2 are being written, the leader of term 3 replaces them by one. */
	hear_entries(&f, 3, 3, 1, 1, 1, 3);
	f.n_sent = 0;
	complete(&f, RLOG_APPEND);
	assert_int_equal(f.n_sent, 0);
	complete(&f, RLOG_VOTE);
	assert_int_equal(f.n_sent, 0);
	complete(&f, RLOG_APPEND);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].server_id, 3);
	assert_int_equal(f.sent[0].append_entries_result.term, 3);
	assert_int_equal(f.sent[0].append_entries_result.rejected, 0);
	assert_int_equal(f.sent[0].append_entries_result.last_log_index, 2);
	end(&f);
}

static void a_leader_of_an_earlier_term_is_never_told_success(void **state)
{
	struct raft_message m = { .type = RAFT_APPEND_ENTRIES };
	struct fixture f;

	start(&f, 3, 9);
	m.append_entries = (struct raft_append_entries){ .term = 8, .leader_commit = 1 };
	hear(&f, 2, m);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].append_entries_result.term, 9);
	assert_true(f.sent[0].append_entries_result.rejected > 0);
	assert_true(f.sent[0].append_entries_result.last_log_index <
		    f.sent[0].append_entries_result.rejected);
	end(&f);
}

static void a_candidate_of_an_earlier_term_is_told_the_later_one(void **state)
{
	struct raft_message m = { .type = RAFT_REQUEST_VOTE };
	struct fixture f;

	start(&f, 3, 14);
	f.now += 400;
	m.request_vote = (struct raft_request_vote){ .version = 2,
						     .term = 4,
						     .candidate_id = 2,
						     .last_log_index = 9,
						     .last_log_term = 3,
						     .pre_vote = true };
	hear(&f, 2, m);
	assert_int_equal(f.n_sent, 1);
	assert_false(f.sent[0].request_vote_result.vote_granted);
	assert_int_equal(f.sent[0].request_vote_result.term, 14);
	end(&f);
}

static void messages_that_are_not_sound_are_dropped(void **state)
{
	struct raft_message m = { .type = RAFT_APPEND_ENTRIES };
	struct raft_entry entry = { .term = 1,
				    .type = RAFT_CHANGE,
				    .buf = { "\1\377\377\377\377\377\377\377\377", 9 } };
	struct fixture f;

	start(&f, 3, 1);
	m.append_entries = (struct raft_append_entries){ .term = 1,
							 .prev_log_index = 1,
							 .prev_log_term = 1,
							 .entries = &entry,
							 .n_entries = 1 };
	hear(&f, 2, m); /* a configuration that claims 2^64 servers */
	entry.type = 77;
	hear(&f, 2, m);
	entry = (struct raft_entry){ .term = 5, .type = RAFT_COMMAND, .buf = { "x", 1 } };
	hear(&f, 2, m); /* an entry of a later term than its leader's */
	m.append_entries.prev_log_term = 0;
	hear(&f, 2, m);
	m.type = RAFT_INSTALL_SNAPSHOT; /* which this voter cannot take */
	hear(&f, 2, m);
	m = (struct raft_message){ .type = RAFT_APPEND_ENTRIES_RESULT };
	m.append_entries_result.term = 50;
	hear(&f, 9, m); /* nobody we know */
	m.type = 99;
	hear(&f, 2, m);
	assert_null(f.requests);
	assert_int_equal(f.n_sent, 0);
	assert_string_equal(f.why, "");
	end(&f);
}

static void submissions_of_a_deposed_leader_are_given_back(void **state)
{
	struct fixture f;
	struct rlog_entry *entry = command();

	/* A leader alone, then two more are announced by a higher term: it steps down. */
	start(&f, 1, 1);
	complete(&f, RLOG_VOTE);
	complete(&f, RLOG_APPEND);
	assert_int_equal(rdrv_submit(f.d, f.now, &entry, 1), 0);
	hear_entries(&f, 2, 9, 2, 2, 0, 0);
	assert_int_equal(f.lost, 1);
	entry = command();
	assert_int_equal(rdrv_submit(f.d, f.now, &entry, 1), -EREMOTE);
	rlog_entry_put(entry);
	end(&f);
}

static void only_one_server_changes_at_a_time_and_not_before_the_leaders_own_entry(void **state)
{
	struct raft_configuration two, three;
	struct fixture f;

	conf_of(&two, 2);
	conf_of(&three, 3);
	start(&f, 1, 1);
	complete(&f, RLOG_VOTE);
	assert_int_equal(rdrv_change(f.d, f.now, &two), -EAGAIN);
	complete(&f, RLOG_APPEND);
	assert_int_equal(rdrv_change(f.d, f.now, &three), -EINVAL);
	assert_int_equal(rdrv_change(f.d, f.now, &two), 0);
	assert_int_equal(rdrv_change(f.d, f.now, &three), -EAGAIN);
	raft_configuration_close(&two);
	raft_configuration_close(&three);
	end(&f);
}

static void the_log_is_dropped_only_behind_a_durable_checkpoint(void **state)
{
	struct fixture f;
	struct rlog_entry *entry = command();

	start(&f, 1, 1);
	complete(&f, RLOG_VOTE);
	complete(&f, RLOG_APPEND);
	assert_int_equal(rdrv_submit(f.d, f.now, &entry, 1), 0);
	complete(&f, RLOG_APPEND);
	rdrv_released(f.d, f.now, 3);
	assert_null(f.requests);
	rdrv_checkpoint(f.d, f.now, 3, 2);
	assert_int_equal(f.requests->kind, RLOG_CHECKPOINT);
	assert_null(f.requests->next);
	f.requests->first = 4;
	complete(&f, RLOG_CHECKPOINT);
	assert_int_equal(f.requests->first, 4);
	complete(&f, RLOG_TRIM);
	/* What was never given to it cannot be durable in the state machine. */
	rdrv_checkpoint(f.d, f.now, 99, 2);
	assert_non_null(strstr(f.why, "published"));
	end(&f);
}

static void invariant_8_too_much_is_refused(void **state)
{
	struct rlog_entry *entries[1001];
	struct fixture f;

	start(&f, 1, 1);
	for (int i = 0; i < 1001; i++)
		entries[i] = command();
	assert_int_equal(rdrv_submit(f.d, f.now, entries, 1001), -EAGAIN);
	assert_int_equal(rdrv_submit(f.d, f.now, entries, 999), 0);
	assert_int_equal(rdrv_submit(f.d, f.now, entries + 999, 1), -EAGAIN);
	rlog_entry_put(entries[999]);
	rlog_entry_put(entries[1000]);
	later(&f, 1000);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lone_voter_begins_a_term_and_hands_over_what_is_durable),
		cmocka_unit_test(no_vote_leaves_before_it_is_durable),
		cmocka_unit_test(a_completed_write_of_replaced_entries_does_not_count),
		cmocka_unit_test(a_leader_of_an_earlier_term_is_never_told_success),
		cmocka_unit_test(a_candidate_of_an_earlier_term_is_told_the_later_one),
		cmocka_unit_test(messages_that_are_not_sound_are_dropped),
		cmocka_unit_test(submissions_of_a_deposed_leader_are_given_back),
		cmocka_unit_test(
			only_one_server_changes_at_a_time_and_not_before_the_leaders_own_entry),
		cmocka_unit_test(the_log_is_dropped_only_behind_a_durable_checkpoint),
		cmocka_unit_test(invariant_8_too_much_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
