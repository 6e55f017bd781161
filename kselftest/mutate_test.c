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

/*
 * Calls work in a folder of their own for each change, so that caches need not be dropped after each
 * one, which takes long in a large machine; "old" is a file with content, "dir" an empty folder.
 */
static unsigned int place;

static const char *at(const char *name)
{
	static char paths[4][256];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/d%u/%s", mount_point, place, name);
	return path;
}

static int result(int error)
{
	return error ? -errno : 0;
}

static int change_create(const char *unused)
{
	int fd = open(at("new"), O_CREAT | O_EXCL | O_RDWR, 0644);

	return fd < 0 ? -errno : result(close(fd));
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
 * What was cached of each change is what the service has; or, of a file whose size is in doubt, an
 * error. Mode and number of links may have stood in the answer alone.
 */
static void check_cached(const struct view *was_cached, bool any_attrs)
{
	drop_caches();
	for (place = 0; place < N_CHANGES; place++) {
		struct view cached = was_cached[place], fresh = look();

		for (int i = 0; i < 3; i++)
			if (cached.names[i].error == -EIO) {
				cached.names[i] = fresh.names[i];
			} else if (any_attrs && !cached.names[i].error && !fresh.names[i].error) {
				cached.names[i].links = fresh.names[i].links;
				cached.names[i].mode = fresh.names[i].mode;
			}
		CHECK(!memcmp(&cached, &fresh, sizeof(fresh)), "%s: what is cached is wrong",
		      changes[place].name);
	}
}

static void prepare(void)
{
	char content[] = "content";
	int fd;

	unlink(at("new"));
	rmdir(at("new"));
	unlink(at("old"));
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
	for (place = 0; place < N_CHANGES; place++)
		CHECK(!mkdir(at(""), 0755), "%d", errno);
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
	struct view cached[N_CHANGES];

	start();
	for (place = 0; place < N_CHANGES; place++) {
		const struct change *change = &changes[place];
		int got;

		prepare();
		fake_serve_act(server, change->op, what);
		got = change->call(NULL);
		fake_serve_act(server, change->op, FAKE_ANSWER);
		CHECK(got == expected, "%s: %d", change->name, got);
		cached[place] = look();
	}
	check_cached(cached, expected == -EPROTO);
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

/* What the changes make of the views, by doing each once without disturbance. */
static void outcomes(struct view *views)
{
	for (place = 0; place < N_CHANGES; place++) {
		prepare();
		CHECK(!changes[place].call(NULL), "%s fails", changes[place].name);
	}
	drop_caches();
	for (place = 0; place < N_CHANGES; place++) {
		views[place] = look();
		prepare();
	}
}

static void answered_to_the_dead(void (*answer)(const struct change *change))
{
	struct view views[N_CHANGES], cached[N_CHANGES];

	start();
	outcomes(views);
	for (place = 0; place < N_CHANGES; place++) {
		kill_caller(&changes[place]);
		answer(&changes[place]);
		CHECK(wait_until(cache_has_followed, &views[place]), "%s is not seen",
		      changes[place].name);
		cached[place] = look();
	}
	check_cached(cached, false);
	end();
}

static void answer_late(const struct change *change)
{
	fake_serve_act(server, change->op, FAKE_ANSWER);
	fake_serve_release(server);
}

static void late_for_the_dead(void)
{
	answered_to_the_dead(answer_late);
}

/* The first daemon never answers; the next one is asked the same. */
static void answer_by_another(const struct change *change)
{
	fake_serve_end(server);
	server = fake_serve(meta, NULL, NULL);
}

static void by_the_next_daemon(void)
{
	answered_to_the_dead(answer_by_another);
}

/* Nobody ever answers: the umount ends it all. */
static void never(void)
{
	for (size_t i = 0; i < N_CHANGES; i++) {
		start();
		place = i;
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
