// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LIMITS: who may, what is refused and how, and that it takes effect.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#define MIB (1ULL << 20)

static struct fake_message message;

/* budget 0: none is given. */
static int limits(struct fake *fake, const uint8_t *uuid, uint64_t budget)
{
	fake_begin(fake, &message, WEFT_CMD_LIMITS, 0);
	if (uuid)
		fake_put(&message, WEFT_A_CLUSTER, uuid, 16);
	if (budget)
		fake_put_u64(&message, WEFT_A_BUDGET, budget);
	return fake_send(fake, &message);
}

static void take_budget(const void *attrs, size_t len, void *arg)
{
	*(uint64_t *)arg = fake_number(attrs, len, WEFT_A_BUDGET);
}

static uint64_t budget_of_the_mount(void)
{
	uint64_t budget = 0;
	struct fake fake;

	fake_open(&fake);
	CHECK(fake_dump(&fake, WEFT_CMD_MOUNT_GET, take_budget, &budget) == 1);
	fake_close(&fake);
	return budget;
}

static void nobody_may_not(void)
{
	struct fake fake;

	CHECK(!setgid(65534) && !setuid(65534));
	fake_open(&fake);
	CHECK(limits(&fake, fake_uuid, 64 * MIB) == -EPERM, "got %d", fake.error);
	CHECK(strstr(fake.text, "CAP_NET_ADMIN"), "text: %s", fake.text);
}

/* It is root in there, but the memory is the machine's. */
static void root_of_a_namespace_may_not(void)
{
	struct fake fake;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		test_skip("no user namespaces");
	fake_open(&fake);
	CHECK(limits(&fake, fake_uuid, 64 * MIB) == -EPERM, "got %d", fake.error);
	CHECK(strstr(fake.text, "CAP_NET_ADMIN"), "text: %s", fake.text);
}

static void wrong_values_are_refused(void)
{
	static const uint8_t unknown[16] = { 0x0e, 0xee, 4 };
	static const uint64_t budgets[] = { 1, 16 * MIB - 1, (1ULL << 44) + 1, UINT64_MAX };
	struct fake fake, bridge;

	fake_open(&bridge);
	CHECK(!fake_bind(&bridge, fake_uuid, "fake"));
	fake_open(&fake);
	CHECK(limits(&fake, NULL, 64 * MIB) == -EINVAL, "got %d", fake.error);
	CHECK(strstr(fake.text, "UUID"), "text: %s", fake.text);
	CHECK(limits(&fake, unknown, 64 * MIB) == -ENOENT && fake.bad_attr);
	CHECK(limits(&fake, fake_uuid, 0) == -EINVAL, "got %d", fake.error);
	CHECK(strstr(fake.text, "budget"), "text: %s", fake.text);
	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
		CHECK(limits(&fake, fake_uuid, budgets[i]) == -ERANGE, "%llu: got %d",
		      (unsigned long long)budgets[i], fake.error);
		CHECK(strstr(fake.text, "16 MiB to 16 TiB"), "text: %s", fake.text);
		CHECK(fake.bad_attr, "the attribute is not named");
	}
	CHECK(!limits(&fake, fake_uuid, 16 * MIB) && !limits(&fake, fake_uuid, 1ULL << 44));
}

static int call_write_20_mib(const char *name)
{
	static char bytes[1 << 20];
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	fd = open(path, O_CREAT | O_RDWR, 0644);
	if (fd < 0)
		return -errno;
	for (int i = 0; i < 20; i++)
		if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
			return -errno;
	/* Closing it would begin to write it. */
	pause();
	return 0;
}

static bool is_full(void *arg)
{
	char path[256];
	int fd;
	off_t size;

	snprintf(path, sizeof(path), "%s/file", mount_point);
	fd = open(path, O_RDONLY);
	size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	close(fd);
	return size >= *(off_t *)arg;
}

/* Nothing can be written, so all of it stays dirty: a writer stops at the budget, and goes on. */
static void it_takes_effect_at_once(void)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_server *server = fake_serve(meta, NULL, NULL);
	off_t some = 14 * MIB, all = 20 * MIB;
	struct fake fake;
	pid_t child;

	fake_open(&fake);
	CHECK(!limits(&fake, fake_uuid, 16 * MIB));
	fake_serve_act(server, WEFT_REQ_GROUP_WANT, FAKE_HOLD);
	CHECK(!mount_volume(NULL));
	CHECK(budget_of_the_mount() == 16 * MIB, "a mount to come");
	child = child_start(call_write_20_mib, "file");
	CHECK(wait_until(is_full, &some));
	CHECK(!is_full(&all), "it wrote more than the budget");
	CHECK(!limits(&fake, fake_uuid, 64 * MIB));
	CHECK(budget_of_the_mount() == 64 * MIB, "a mount that is there");
	CHECK(wait_until(is_full, &all), "the writer was not woken");
	CHECK(child_kill(child) >= 0);
	/* What cannot be written is lost. */
	umount2(mount_point, MNT_FORCE);
	unmount(0);
	fake_serve_end(server);
}

int main(void)
{
	static const struct test tests[] = {
		{ "nobody may not", nobody_may_not },
		{ "root of a user namespace may not", root_of_a_namespace_may_not },
		{ "wrong values are refused with a sentence and an attribute",
		  wrong_values_are_refused },
		{ "it takes effect at once", it_takes_effect_at_once },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
