// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_status.c - weft status: in one screen what works, what is at risk, what can still be lost, what to do
 *
 * With --wait it asks again until a condition holds: for scripts that have killed or started something.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weft.h"

#define WAIT_S      60
#define ASK_AGAIN_MS 200

static void show_lines(const char *title, const json_t *lines)
{
	json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
		printf("%-12s%s\n", i ? "" : title, json_string_value(line));
}

static int show(const json_t *status)
{
	const json_t *chunks = json_object_get(status, "chunks");
	const json_t *stores = json_object_get(status, "stores");
	char capacity[16], free_bytes[16], bytes[16];

	printf("%-12s%s %s%s\n", "cluster", json_text(status, "cluster"), json_text(status, "uuid"),
	       json_flag(status, "encrypted") ? "" : ", connections are unencrypted");
	printf("%-12s%s\n", "health", json_text(status, "health"));
	show_lines("works", json_object_get(status, "works"));
	show_lines("at risk", json_object_get(status, "at_risk"));
	show_lines("can be lost", json_object_get(status, "can_be_lost"));
	show_lines("to do", json_object_get(status, "to_do"));
	printf("%-12s%s, %s free\n", "space", format_bytes((uint64_t)json_number(stores, "capacity"), capacity),
	       format_bytes((uint64_t)json_number(stores, "free"), free_bytes));
	printf("%-12s%" PRId64 " in %" PRId64 " chunks of %s", "files", json_number(status, "files"),
	       json_number(chunks, "total"), format_bytes((uint64_t)json_number(chunks, "bytes"), bytes));
	if (json_number(chunks, "missing_shards"))
		printf("; %" PRId64 " shards of %" PRId64 " chunks missing, %" PRId64 " rebuilds under way",
		       json_number(chunks, "missing_shards"), json_number(chunks, "with_missing_shards"),
		       json_number(chunks, "rebuilding"));
	else
		fputs("; no chunk misses a shard", stdout);
	if (json_number(chunks, "condemned") + json_number(chunks, "deleting"))
		printf("; %" PRId64 " chunks to be deleted",
		       json_number(chunks, "condemned") + json_number(chunks, "deleting"));
	putchar('\n');
	return 0;
}

static bool holds(const json_t *status, const char *condition)
{
	if (!strcmp(condition, "whole"))
		return !json_number(json_object_get(status, "chunks"), "missing_shards");
	return json_number(json_object_get(status, "stores"), "up") >= strtol(condition + strlen("stores="), NULL, 10);
}

static bool condition_valid(const char *condition)
{
	const char *number = condition + strlen("stores=");

	if (!strcmp(condition, "whole"))
		return true;
	return !strncmp(condition, "stores=", strlen("stores=")) && *number && strspn(number, "0123456789") == strlen(number);
}

/* Asks anew each time: the server may be starting, restarting or not lead yet. NULL: not to be had now. */
static json_t *ask_quietly(const struct options *options)
{
	struct options quiet = *options;
	struct admin *admin;
	json_t *status;

	quiet.quiet = true;
	admin = admin_open(&quiet);
	if (!admin)
		return NULL;
	status = admin_call(admin, "status", NULL);
	admin_close(admin);
	return status;
}

int status_wait(const struct options *options, const char *condition, unsigned int timeout_s)
{
	struct timespec pause = { .tv_nsec = ASK_AGAIN_MS * 1000000 }, now, begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (;;) {
		json_t *status = ask_quietly(options);
		bool done = status && holds(status, condition);

		clock_gettime(CLOCK_MONOTONIC, &now);
		if (done || now.tv_sec - begin.tv_sec >= (time_t)timeout_s) {
			if (!done && status)
				fail("after %u seconds '%s' does not hold; 'weft status' says how it is", timeout_s, condition);
			else if (!done)
				fail("after %u seconds the metadata service does not answer; its log says why", timeout_s);
			json_decref(status);
			return !done;
		}
		json_decref(status);
		nanosleep(&pause, NULL);
	}
}

static int run(const struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "wait", required_argument, NULL, 'w' }, { "timeout", required_argument, NULL, 't' }, { 0 },
	};
	unsigned int timeout_s = WAIT_S;
	const char *condition = NULL;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'w')
			condition = optarg;
		else if (opt == 't' && *optarg && strlen(optarg) <= 6 && strspn(optarg, "0123456789") == strlen(optarg))
			timeout_s = (unsigned int)strtoul(optarg, NULL, 10);
		else if (opt == 't')
			return fail("--timeout %s: give whole seconds, at most 999999", optarg);
		else
			return usage_error(&cmd_status);
	}
	if (optind != argc)
		return usage_error(&cmd_status);
	if (condition && !condition_valid(condition))
		return fail("--wait %s: wait for stores=N (N stores are up) or whole (no chunk misses a shard)", condition);
	if (condition && status_wait(options, condition, timeout_s))
		return 1;
	return admin_show(options, "status", NULL, show);
}

const struct command cmd_status = {
	.name = "status", .run = run, .usage = "[--wait stores=N|whole [--timeout SECONDS]]",
	.help = "what works, what is at risk, what can still be lost, what to do",
};
