// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Policies of files, and of the volume while it is mounted: what the module lets through, what it
 * asks the daemon for, and what it makes of a daemon that talks nonsense.
 */
#include "harness.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

static struct fake_meta *meta;
static struct fake_server *server;
static struct fake second; /* another socket of the same daemon, for commands */

static void start(void)
{
	meta = fake_meta_new();
	server = fake_serve(meta, NULL, NULL);
	fake_open(&second);
	CHECK(!fake_join(&second, fake_uuid, fake_serve_generation(server)));
	CHECK(!mount_volume(NULL));
}

static void end(void)
{
	CHECK(!unmount(0));
	fake_close(&second);
	fake_serve_end(server);
	fake_meta_free(meta);
}

static const char *below(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	return path;
}

static int set(const char *file, const char *name, const char *value)
{
	return setxattr(below(file), name, value, strlen(value), 0) ? -errno : 0;
}

static bool is(const char *file, const char *name, const char *value)
{
	char text[64];
	ssize_t len = getxattr(below(file), name, text, sizeof(text));

	if (!value)
		return len < 0 && errno == ENODATA;
	return len == (ssize_t)strlen(value) && !memcmp(text, value, (size_t)len);
}

static void what_is_set_is_shown_and_inherited(void)
{
	char names[256] = "";
	ssize_t len;

	start();
	CHECK(!call_mkdir("dir"));
	CHECK(is("dir", "weft.codec", NULL));
	CHECK(!listxattr(below("dir"), names, sizeof(names)));
	CHECK(!set("dir", "weft.chunker", "variable"));
	CHECK(!set("dir", "weft.chunk-size", "512K"));
	CHECK(!set("dir", "weft.chunk-min", "262144"));
	CHECK(is("dir", "weft.chunk-min", "256K"));
	len = listxattr(below("dir"), names, sizeof(names));
	CHECK(len == sizeof("weft.chunker") + sizeof("weft.chunk-size") + sizeof("weft.chunk-min"));
	CHECK(listxattr(below("dir"), NULL, 0) == len);
	CHECK(listxattr(below("dir"), names, (size_t)len - 1) < 0 && errno == ERANGE);
	CHECK(getxattr(below("dir"), "weft.chunker", names, 7) < 0 && errno == ERANGE);
	CHECK(!call_mkdir("dir/sub"));
	CHECK(!call_create("dir/sub/file"));
	CHECK(is("dir/sub/file", "weft.chunk-size", "512K"));
	CHECK(!removexattr(below("dir/sub/file"), "weft.chunk-min"));
	CHECK(is("dir/sub/file", "weft.chunk-min", NULL));
	CHECK(removexattr(below("dir/sub/file"), "weft.chunk-min") && errno == ENODATA);
	CHECK(is("dir/sub", "weft.chunk-min", "256K"));
	CHECK(setxattr(below("dir"), "weft.chunker", "cdc", 3, XATTR_CREATE) && errno == EEXIST);
	CHECK(setxattr(below("dir"), "weft.codec", "none", 4, XATTR_REPLACE) && errno == ENODATA);
	end();
}

static void what_does_not_fit_is_not_asked_for(void)
{
	static const char *const bad[][2] = {
		{ "weft.chunker", "" }, { "weft.chunker", "fixedd" }, { "weft.chunk-size", "17M" },
		{ "weft.chunk-min", "64K" }, { "weft.chunk-random", "64K" }, { "weft.level", "1" },
		{ "weft.codec", "gzip" }, { "weft.", "x" }, { "weft.nothing", "x" },
	};

	start();
	CHECK(!call_create("file"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int error = set("file", bad[i][0], bad[i][1]);

		CHECK(error == -EINVAL, "%s %s: %d", bad[i][0], bad[i][1], error);
	}
	CHECK(set("file", "user.name", "x") == -EOPNOTSUPP);
	CHECK(!fake_serve_seen(server, WEFT_REQ_SETATTR));
	end();
}

static void a_daemon_that_refuses_or_raves_changes_nothing(void)
{
	static const enum fake_act acts[] = { FAKE_REFUSE, FAKE_EMPTY, FAKE_WRONG_SIZE, FAKE_MALFORMED };

	start();
	CHECK(!call_create("file"));
	CHECK(!set("file", "weft.chunk-size", "1M"));
	for (size_t i = 0; i < sizeof(acts) / sizeof(*acts); i++) {
		fake_serve_act(server, WEFT_REQ_SETATTR, acts[i]);
		CHECK(set("file", "weft.chunk-size", "2M") < 0);
		CHECK(is("file", "weft.chunk-size", "1M"));
	}
	fake_serve_act(server, WEFT_REQ_SETATTR, FAKE_ANSWER);
	CHECK(!set("file", "weft.chunk-size", "2M"));
	end();
}

/* The volume's policy as mountstats shows it. */
static bool policy_is(const char *expected)
{
	FILE *stats = fopen("/proc/self/mountstats", "r");
	bool ours = false, same = false;
	char line[512];

	CHECK(stats);
	while (fgets(line, sizeof(line), stats)) {
		if (!strncmp(line, "device ", 7))
			ours = strstr(line, mount_point);
		if (ours && !strncmp(line, "\tpolicy: ", 9))
			same = !strncmp(line + 9, expected, strlen(expected));
	}
	fclose(stats);
	return same;
}

static int renew(const void *volume, size_t len)
{
	static struct fake_message message;

	fake_begin(&second, &message, WEFT_CMD_LEASE, 0);
	fake_put_u64(&message, WEFT_A_SESSION, fake_meta_session(meta));
	fake_put_u64(&message, WEFT_A_DEADLINE, 1ull << 62);
	fake_put(&message, WEFT_A_VOLUME, volume, len);
	return fake_send(&second, &message);
}

static void the_volume_changes_while_it_is_mounted(void)
{
	struct weft_volume_info volume = {
		.volume = htole64(1),
		.root = htole64(2),
		.k = htole32(2),
		.m = htole32(1),
		.chunker = htole32(WEFT_CHUNKER_CDC),
		.chunk_size = htole32(1 << 20),
		.chunk_min = htole32(1 << 16),
		.chunk_max = htole32(1 << 22),
		.chunk_random = htole32(1 << 16),
		.ec_min = htole32(65536),
	}, other;
	static const char cdc[] = "cdc 65536/1048576/4194304/65536 none 0";

	start();
	CHECK(policy_is("fixed 1048576/1048576/1048576/0 none 0"));
	CHECK(!renew(&volume, sizeof(volume)));
	CHECK(policy_is(cdc));
	CHECK(renew(&volume, sizeof(volume) - 4) < 0);
	/* What makes no sense is not taken, and is no reason to end the session. */
	other = volume;
	other.chunker = htole32(99);
	CHECK(!renew(&other, sizeof(other)) && policy_is(cdc));
	other = volume;
	other.chunk_min = 0;
	CHECK(!renew(&other, sizeof(other)) && policy_is(cdc));
	other = volume;
	other.chunk_max = htole32(1 << 30);
	CHECK(!renew(&other, sizeof(other)) && policy_is(cdc));
	other = volume;
	other.codec = htole32(77);
	CHECK(!renew(&other, sizeof(other)) && policy_is(cdc));
	other = volume;
	other.volume = htole64(5);
	other.chunk_size = htole32(1 << 21);
	CHECK(!renew(&other, sizeof(other)) && policy_is(cdc));
	other.volume = volume.volume;
	CHECK(!renew(&other, sizeof(other)));
	CHECK(policy_is("cdc 65536/2097152/4194304/65536 none 0"));
	CHECK(!call_create("file"));
	end();
}

int main(void)
{
	static const struct test tests[] = {
		{ "what_is_set_is_shown_and_inherited", what_is_set_is_shown_and_inherited },
		{ "what_does_not_fit_is_not_asked_for", what_does_not_fit_is_not_asked_for },
		{ "a_daemon_that_refuses_or_raves_changes_nothing",
		  a_daemon_that_refuses_or_raves_changes_nothing },
		{ "the_volume_changes_while_it_is_mounted", the_volume_changes_while_it_is_mounted },
	};

	return tests_run(tests, sizeof(tests) / sizeof(*tests));
}
