// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Waits that end and answers that make no sense: killed waiters, late answers, umount -f, ABORT,
 * lost sessions.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What the daemon does with one operation; the rest is answered. Changed while it runs. */
static struct {
	_Atomic int op;
	_Atomic int what;
} special;

static struct fake_meta *meta;
static struct fake_server *server;

static enum fake_act policy(const struct fake_request *req, void *arg)
{
	return req->op == special.op ? special.what : FAKE_ANSWER;
}

static void set_special(int op, enum fake_act what)
{
	special.what = what;
	special.op = op;
}

static void start(void)
{
	special.op = 0;
	meta = fake_meta_new();
	server = fake_serve(meta, policy, NULL);
	CHECK(!mount_volume(NULL));
}

static void end(void)
{
	special.op = 0;
	CHECK(!unmount(0));
	CHECK(!fake_meta_sessions(meta), "%u sessions are open", fake_meta_sessions(meta));
	fake_serve_end(server);
	fake_meta_free(meta);
}

struct seen {
	uint16_t op;
	unsigned int count;
};

static bool has_seen(void *arg)
{
	const struct seen *seen = arg;

	return fake_serve_seen(server, seen->op) >= seen->count;
}

/* Starts the call, waits until its request is held by the daemon, kills the caller. */
static void kill_caller(int (*call)(const char *name), const char *name, uint16_t op)
{
	struct seen seen = { op, fake_serve_seen(server, op) + 1 };
	long took;
	pid_t child;

	set_special(op, FAKE_HOLD);
	child = child_start(call, name);
	CHECK(wait_until(has_seen, &seen));
	took = child_kill(child);
	CHECK(took >= 0 && took < KILL_MS, "the waiter lived for %ld ms", took);
	set_special(0, FAKE_ANSWER);
}

static void a_killed_lookup(void)
{
	start();
	kill_caller(call_stat, "x", WEFT_REQ_LOOKUP);
	fake_serve_release(server);
	CHECK(call_stat("x") == -ENOENT);
	CHECK(!call_create("x") && !call_stat("x"));
	end();
}

static bool is_there(void *arg)
{
	return !call_stat(arg);
}

static bool is_not_there(void *arg)
{
	return call_stat(arg) == -ENOENT;
}

/*
 * What happened although nobody waited for it is seen: cached names are dropped when the answer
 * comes.
 */
static void killed_changes_of_names(void)
{
	start();
	CHECK(call_stat("dir") == -ENOENT);
	kill_caller(call_mkdir, "dir", WEFT_REQ_CREATE);
	CHECK(call_stat("dir") == -ENOENT);
	fake_serve_release(server);
	CHECK(wait_until(is_there, "dir"));
	CHECK(!call_create("file") && !call_stat("file"));
	kill_caller(call_unlink, "file", WEFT_REQ_UNLINK);
	fake_serve_release(server);
	CHECK(wait_until(is_not_there, "file"));
	end();
}

static bool has_size_one(void *arg)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", mount_point, (char *)arg);
	return !stat(path, &st) && st.st_size == 1;
}

static void a_killed_truncation(void)
{
	start();
	CHECK(!call_create("file"));
	kill_caller(call_truncate, "file", WEFT_REQ_SETATTR);
	CHECK(!has_size_one("file"), "the size changed before the answer");
	fake_serve_release(server);
	CHECK(wait_until(has_size_one, "file"));
	end();
}

/* Nobody fetches: the request is forgotten and its number is used for the next one. */
static void killed_before_it_was_fetched(void)
{
	struct timespec pause = { .tv_nsec = 200000000 };
	pid_t child;

	start();
	CHECK(call_stat("dir") == -ENOENT);
	fake_serve_end(server);
	child = child_start(call_mkdir, "dir");
	/* Nothing tells when it waits: without a daemon it is asleep at once. */
	nanosleep(&pause, NULL);
	CHECK(child_kill(child) >= 0);
	server = fake_serve(meta, policy, NULL);
	CHECK(!call_mkdir("other"));
	CHECK(call_stat("dir") == -ENOENT);
	end();
}

static void a_daemon_that_comes_back(void)
{
	struct seen seen = { WEFT_REQ_CREATE, 1 };
	pid_t child;

	start();
	set_special(WEFT_REQ_CREATE, FAKE_HOLD);
	child = child_start(call_mkdir, "dir");
	CHECK(wait_until(has_seen, &seen));
	fake_serve_end(server);
	set_special(0, FAKE_ANSWER);
	server = fake_serve(meta, policy, NULL);
	CHECK(!child_result(child, 10));
	CHECK(!call_stat("dir"));
	end();
}

static void bad_answers_fail_the_call(void)
{
	static const enum fake_act acts[] = { FAKE_MALFORMED, FAKE_WRONG_SIZE, FAKE_EMPTY };

	start();
	CHECK(!call_mkdir("there"));
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		set_special(WEFT_REQ_LOOKUP, acts[i]);
		CHECK(call_stat("unknown") < 0, "act %d was believed", acts[i]);
		set_special(WEFT_REQ_CREATE, acts[i]);
		CHECK(call_create("new") == -EPROTO, "act %d", acts[i]);
		set_special(WEFT_REQ_SETATTR, acts[i]);
		CHECK(call_truncate("there") < 0);
		set_special(WEFT_REQ_UNLINK, acts[i]);
		call_unlink("new");
		set_special(0, FAKE_ANSWER);
		call_unlink("new");
		CHECK(call_stat("new") == -ENOENT);
		CHECK(!call_stat("there"));
	}
	end();
}

static void answers_given_twice(void)
{
	start();
	set_special(WEFT_REQ_CREATE, FAKE_TWICE);
	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		CHECK(!call_create(name));
		CHECK(!call_unlink(name));
	}
	end();
}

static bool all_forgotten(void *arg)
{
	return fake_meta_forgotten(meta) == 5;
}

/* The inode of an unlinked file is given back when the last descriptor goes, not before. */
static void unlinked_files_are_forgotten(void)
{
	char path[256];
	int fds[5];

	start();
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%d", mount_point, i);
		fds[i] = open(path, O_CREAT | O_RDWR, 0600);
		CHECK(fds[i] >= 0 && !unlink(path));
	}
	CHECK(!fake_meta_forgotten(meta));
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	CHECK(wait_until(all_forgotten, NULL));
	end();
}

static void count_op(const void *attrs, size_t len, void *arg)
{
	unsigned int *counts = arg, op = fake_number(attrs, len, WEFT_A_OP);

	if (op < 64)
		counts[op]++;
}

static void take_session(const void *attrs, size_t len, void *arg)
{
	*(uint64_t *)arg = fake_number(attrs, len, WEFT_A_SESSION);
}

/* More callers than one message of the dump holds. */
static void dumps_show_what_waits(void)
{
	enum { CALLERS = 100 };
	struct seen seen = { WEFT_REQ_LOOKUP, CALLERS };
	unsigned int counts[64] = { 0 };
	pid_t callers[CALLERS];
	uint64_t session = 0;
	char names[CALLERS][8];
	struct fake fake;

	start();
	seen.count += fake_serve_seen(server, WEFT_REQ_LOOKUP);
	set_special(WEFT_REQ_LOOKUP, FAKE_HOLD);
	for (int i = 0; i < CALLERS; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i);
		callers[i] = child_start(call_stat, names[i]);
	}
	CHECK(wait_until(has_seen, &seen));
	fake_open(&fake);
	CHECK(fake_dump(&fake, WEFT_CMD_REQUEST_GET, count_op, counts) >= CALLERS);
	CHECK(counts[WEFT_REQ_LOOKUP] == CALLERS, "%u of %u are shown", counts[WEFT_REQ_LOOKUP],
	      CALLERS);
	CHECK(fake_dump(&fake, WEFT_CMD_MOUNT_GET, take_session, &session) == 1);
	CHECK(session == fake_meta_session(meta));
	CHECK(fake_dump(&fake, WEFT_CMD_HOST_GET, take_session, &session) == 0);
	fake_close(&fake);
	set_special(0, FAKE_ANSWER);
	fake_serve_release(server);
	for (int i = 0; i < CALLERS; i++)
		CHECK(child_result(callers[i], 10) == -ENOENT);
	end();
}

static void command(uint8_t cmd, uint16_t attr, uint64_t number)
{
	static struct fake_message message;
	struct fake fake;

	fake_open(&fake);
	fake_begin(&fake, &message, cmd, 0);
	fake_put(&message, WEFT_A_CLUSTER, fake_uuid, 16);
	if (attr)
		fake_put_u64(&message, attr, number);
	CHECK(!fake_send(&fake, &message), "%d %s", fake.error, fake.text);
	fake_close(&fake);
}

/*
 * Three callers wait, one of them behind a lock that another holds; then something ends them all.
 */
static void all_waits_end(void (*how)(void))
{
	struct seen creates = { WEFT_REQ_CREATE, 1 }, lookups = { WEFT_REQ_LOOKUP, 1 };
	pid_t holder, behind, other;

	start();
	CHECK(!call_mkdir("dir"));
	creates.count = fake_serve_seen(server, WEFT_REQ_CREATE) + 1;
	set_special(WEFT_REQ_CREATE, FAKE_HOLD);
	holder = child_start(call_create, "dir/a");
	CHECK(wait_until(has_seen, &creates));
	behind = child_start(call_create, "dir/b");
	lookups.count = fake_serve_seen(server, WEFT_REQ_LOOKUP) + 1;
	set_special(WEFT_REQ_LOOKUP, FAKE_HOLD);
	other = child_start(call_stat, "nothing");
	CHECK(wait_until(has_seen, &lookups));
	how();
	CHECK(child_result(holder, 10) == -EIO);
	CHECK(child_result(behind, 10) < 0);
	CHECK(child_result(other, 10) < 0);
	set_special(0, FAKE_ANSWER);
}

static void by_force(void)
{
	/* Busy: callers stand in it. Their waits end all the same. */
	umount2(mount_point, MNT_FORCE);
}

static void by_abort(void)
{
	command(WEFT_CMD_ABORT, 0, 0);
}

static void umount_force_ends_all_waits(void)
{
	all_waits_end(by_force);
	if (unmount(0))
		CHECK(errno == EINVAL, "umount: %d", errno);
	fake_serve_end(server);
}

static void abort_ends_all_waits(void)
{
	all_waits_end(by_abort);
	CHECK(call_stat("dir") == -EIO);
	CHECK(!unmount(0));
	/* A volume that was ended can be mounted again. */
	CHECK(!mount_volume(NULL));
	CHECK(!call_stat("dir"));
	CHECK(!unmount(0));
	fake_serve_end(server);
}

static void a_lost_session_ends_the_mount(void)
{
	static struct fake_message message;
	struct fake *socket = malloc(sizeof(*socket));
	uint64_t session;

	start();
	session = fake_meta_session(meta);
	fake_serve_end(server);
	fake_open(socket);
	CHECK(!fake_bind(socket, fake_uuid, "fake"));
	fake_begin(socket, &message, WEFT_CMD_LEASE, 0);
	fake_put_u64(&message, WEFT_A_SESSION, session);
	fake_put_u64(&message, WEFT_A_DEADLINE, 1);
	CHECK(!fake_send(socket, &message), "%d %s", socket->error, socket->text);
	fake_begin(socket, &message, WEFT_CMD_LEASE, 0);
	fake_put_u64(&message, WEFT_A_SESSION, 4711);
	fake_put_u64(&message, WEFT_A_DEADLINE, 1);
	CHECK(fake_send(socket, &message) == -ENOENT);
	fake_begin(socket, &message, WEFT_CMD_LEASE, 0);
	fake_put_u64(&message, WEFT_A_SESSION, session);
	fake_put_u32(&message, WEFT_A_STATUS, WEFT_ST_SESSION_LOST);
	CHECK(!fake_send(socket, &message), "%d %s", socket->error, socket->text);
	CHECK(call_stat("x") == -EIO);
	CHECK(!unmount(0));
	fake_close(socket);
}

/*
 * Lists the directory, with names going behind and before the reader: how many of s0 .. came
 * exactly once.
 */
static unsigned int list_while_changing(DIR *dir, unsigned int *found, unsigned int count)
{
	unsigned int seen = 0, once = 0, number;
	struct dirent *entry;
	char name[32];

	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "s%u", &number) == 1 && number < count)
			found[number]++;
		if (seen++ % 4 == 0) {
			snprintf(name, sizeof(name), "dir/g%u", (seen * 7) % count);
			call_unlink(name);
			snprintf(name, sizeof(name), "dir/n%u", seen);
			call_create(name);
		}
	}
	for (number = 0; number < count; number++)
		once += found[number] == 1;
	return once;
}

/*
 * A directory is listed while its entries come and go; what was there all the time is there once.
 */
static void readdir_is_stable(void)
{
	enum { STAY = 400 };
	unsigned int found[STAY] = { 0 }, once;
	char name[64];
	DIR *dir;

	start();
	CHECK(!call_mkdir("dir"));
	for (int i = 0; i < STAY; i++) {
		snprintf(name, sizeof(name), "dir/s%d", i);
		CHECK(!call_create(name));
		snprintf(name, sizeof(name), "dir/g%d", i);
		CHECK(!call_create(name));
	}
	snprintf(name, sizeof(name), "%s/dir", mount_point);
	dir = opendir(name);
	CHECK(dir);
	once = list_while_changing(dir, found, STAY);
	CHECK(once == STAY, "%u of %u entries came once", once, STAY);
	closedir(dir);
	end();
}

int main(void)
{
	static const struct test tests[] = {
		{ "a killed lookup ends at once, its answer may come late", a_killed_lookup },
		{ "killed changes of names are seen when they were done", killed_changes_of_names },
		{ "a killed truncation is seen when it was done", a_killed_truncation },
		{ "killed before it was fetched: forgotten", killed_before_it_was_fetched },
		{ "a daemon that comes back is asked again", a_daemon_that_comes_back },
		{ "malformed, short and empty answers fail the call only",
		  bad_answers_fail_the_call },
		{ "answers given twice", answers_given_twice },
		{ "unlinked files are forgotten when they are closed",
		  unlinked_files_are_forgotten },
		{ "dumps show what waits", dumps_show_what_waits },
		{ "umount -f ends all waits", umount_force_ends_all_waits },
		{ "ABORT ends all waits", abort_ends_all_waits },
		{ "a lost session ends the mount", a_lost_session_ends_the_mount },
		{ "readdir is stable while names come and go", readdir_is_stable },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
