// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each operation that changes something, answered late, twice, never, by the next daemon, with a
 * refusal or without sense: in the end programs see what the metadata service has.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake_meta *meta;
static struct fake_server *server;

/* Calls work in folder d; "old" is a file with content, "dir" an empty folder. */
static const char *at(const char *name)
{
	static char paths[4][256];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/d/%s", mount_point, name);
	return path;
}

static int result(int error)
{
	return error ? -errno : 0;
}

static int change_create(const char *unused)
{
	return call_create("d/new");
}

static int change_mkdir(const char *unused)
{
	return result(mkdir(at("new"), 0755));
}

static int change_symlink(const char *unused)
{
	return result(symlink("some/where", at("new")));
}

static int change_mkfifo(const char *unused)
{
	return result(mkfifo(at("new"), 0600));
}

static int change_link(const char *unused)
{
	return result(link(at("old"), at("new")));
}

static int change_unlink(const char *unused)
{
	return result(unlink(at("old")));
}

static int change_rmdir(const char *unused)
{
	return result(rmdir(at("dir")));
}

static int change_rename(const char *unused)
{
	return result(rename(at("old"), at("new")));
}

static int change_rename_dir(const char *unused)
{
	return result(rename(at("dir"), at("new")));
}

static int change_mode(const char *unused)
{
	return result(chmod(at("old"), 0400));
}

static int change_size(const char *unused)
{
	return result(truncate(at("old"), 1));
}

static int change_content(const char *unused)
{
	int from = open(at("old"), O_RDONLY), to = open(at("new"), O_CREAT | O_RDWR, 0644);
	int ret = result(from < 0 || to < 0 || ioctl(to, FICLONE, from));

	close(from);
	close(to);
	return ret;
}

static const struct change {
	const char *name;
	int (*call)(const char *unused);
	uint16_t op;
} changes[] = {
	{ "create", change_create, WEFT_REQ_CREATE },
	{ "mkdir", change_mkdir, WEFT_REQ_CREATE },
	{ "symlink", change_symlink, WEFT_REQ_CREATE },
	{ "mkfifo", change_mkfifo, WEFT_REQ_CREATE },
	{ "link", change_link, WEFT_REQ_LINK },
	{ "unlink", change_unlink, WEFT_REQ_UNLINK },
	{ "rmdir", change_rmdir, WEFT_REQ_UNLINK },
	{ "rename", change_rename, WEFT_REQ_RENAME },
	{ "rename of a folder", change_rename_dir, WEFT_REQ_RENAME },
	{ "chmod", change_mode, WEFT_REQ_SETATTR },
	{ "truncate", change_size, WEFT_REQ_SETATTR },
	{ "clone", change_content, WEFT_REQ_CLONE },
};

#define N_CHANGES (sizeof(changes) / sizeof(changes[0]))

/* What a program sees: of each name whether it is there, its type and mode, links and size. */
struct view {
	struct {
		int error;
		unsigned int mode, links;
		long size;
	} names[3];
};

static struct view look(void)
{
	static const char *const names[] = { "old", "new", "dir" };
	struct view view;
	struct stat st;

	memset(&view, 0, sizeof(view));
	for (int i = 0; i < 3; i++) {
		view.names[i].error = result(lstat(at(names[i]), &st));
		if (view.names[i].error)
			continue;
		view.names[i].mode = st.st_mode;
		view.names[i].links = S_ISDIR(st.st_mode) ? 0 : st.st_nlink;
		view.names[i].size = st.st_size;
	}
	return view;
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	CHECK(fd >= 0 && write(fd, "3", 1) == 1);
	close(fd);
}

/*
 * What is cached is what the service has; or, of a file whose size is in doubt, an error. Mode
 * and number of links may have stood in the answer alone.
 */
static bool view_is_true(bool any_attrs)
{
	struct view cached = look(), fresh;

	drop_caches();
	fresh = look();
	for (int i = 0; i < 3; i++)
		if (cached.names[i].error == -EIO) {
			cached.names[i] = fresh.names[i];
		} else if (any_attrs && !cached.names[i].error && !fresh.names[i].error) {
			cached.names[i].links = fresh.names[i].links;
			cached.names[i].mode = fresh.names[i].mode;
		}
	return !memcmp(&cached, &fresh, sizeof(fresh));
}

static void prepare(void)
{
	char content[] = "content";
	int fd;

	unlink(at("new"));
	rmdir(at("new"));
	unlink(at("old"));
	if (mkdir(at("."), 0755) && errno != EEXIST)
		CHECK(!call_mkdir("d"));
	mkdir(at("dir"), 0755);
	fd = open(at("old"), O_CREAT | O_RDWR, 0644);
	CHECK(fd >= 0 && write(fd, content, 7) == 7 && !fsync(fd), "%d", errno);
	close(fd);
	look();
}

static void start(void)
{
	meta = fake_meta_new();
	server = fake_serve(meta, NULL, NULL);
	CHECK(!mount_volume(NULL));
	CHECK(!call_mkdir("d"));
}

static void end(void)
{
	CHECK(!unmount(0));
	CHECK(!fake_meta_sessions(meta), "%u sessions are open", fake_meta_sessions(meta));
	fake_serve_end(server);
	fake_meta_free(meta);
}

static void answered_as(enum fake_act what, int expected)
{
	int got;

	start();
	for (size_t i = 0; i < N_CHANGES; i++) {
		prepare();
		fake_serve_act(server, changes[i].op, what);
		got = changes[i].call(NULL);
		fake_serve_act(server, changes[i].op, FAKE_ANSWER);
		CHECK(got == expected, "%s: %d", changes[i].name, got);
		CHECK(view_is_true(expected == -EPROTO), "%s: what is cached is wrong", changes[i].name);
	}
	end();
}

static void twice(void)
{
	answered_as(FAKE_TWICE, 0);
}

static void refused(void)
{
	answered_as(FAKE_REFUSE, -EPERM);
}

static void malformed(void)
{
	answered_as(FAKE_MALFORMED, -EPROTO);
}

static void of_wrong_lengths(void)
{
	answered_as(FAKE_WRONG_SIZE, -EPROTO);
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

/* The change is with the daemon, its caller killed. */
static void kill_caller(const struct change *change)
{
	struct seen seen = { change->op, fake_serve_seen(server, change->op) + 1 };
	pid_t child;

	fake_serve_act(server, change->op, FAKE_HOLD);
	child = child_start(change->call, NULL);
	CHECK(wait_until(has_seen, &seen), "%s did not come", change->name);
	CHECK(child_kill(child) >= 0, "%s cannot be killed", change->name);
}

/* The view before the change, cached, against what is there now. */
static bool cache_has_followed(void *arg)
{
	const struct view *fresh = arg;
	struct view cached = look();

	for (int i = 0; i < 3; i++)
		if (cached.names[i].error == -EIO)
			cached.names[i] = fresh->names[i];
	return !memcmp(&cached, fresh, sizeof(cached));
}

/* What the change makes of the view, by doing it once without disturbance. */
static struct view outcome(const struct change *change)
{
	struct view view;

	prepare();
	CHECK(!change->call(NULL), "%s fails", change->name);
	drop_caches();
	view = look();
	prepare();
	return view;
}

static void late_for_the_dead(void)
{
	struct view view;

	start();
	for (size_t i = 0; i < N_CHANGES; i++) {
		view = outcome(&changes[i]);
		kill_caller(&changes[i]);
		fake_serve_act(server, changes[i].op, FAKE_ANSWER);
		fake_serve_release(server);
		CHECK(wait_until(cache_has_followed, &view), "%s is not seen", changes[i].name);
		CHECK(view_is_true(false), "%s: what is cached is wrong", changes[i].name);
	}
	end();
}

/* The first daemon never answers; the next one is asked the same. */
static void by_the_next_daemon(void)
{
	struct view view;

	start();
	for (size_t i = 0; i < N_CHANGES; i++) {
		view = outcome(&changes[i]);
		kill_caller(&changes[i]);
		fake_serve_end(server);
		server = fake_serve(meta, NULL, NULL);
		CHECK(wait_until(cache_has_followed, &view), "%s is not seen", changes[i].name);
		CHECK(view_is_true(false), "%s: what is cached is wrong", changes[i].name);
	}
	end();
}

/* Nobody ever answers: the umount ends it all. */
static void never(void)
{
	for (size_t i = 0; i < N_CHANGES; i++) {
		start();
		prepare();
		kill_caller(&changes[i]);
		CHECK(!unmount(0), "%s: %d", changes[i].name, errno);
		fake_serve_end(server);
		fake_meta_free(meta);
	}
}

int main(void)
{
	static const struct test tests[] = {
		{ "changes answered twice", twice },
		{ "changes that are refused", refused },
		{ "changes with malformed answers", malformed },
		{ "changes with answers of wrong lengths", of_wrong_lengths },
		{ "changes whose caller was killed, answered late", late_for_the_dead },
		{ "changes whose caller was killed, answered by the next daemon",
		  by_the_next_daemon },
		{ "changes that are never answered", never },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
