// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Binding: who may, what is refused and how, generations, requests that outlive the daemon that
 * fetched them.
 */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t other_uuid[16] = { 0x0e, 0xee, 1 };

static void nobody_may_not_bind(void)
{
	struct fake fake;

	CHECK(!setgid(65534) && !setuid(65534));
	fake_open(&fake);
	CHECK(fake_bind(&fake, fake_uuid, "fake") == -EPERM, "got %d", fake.error);
	CHECK(strstr(fake.text, "CAP_SYS_ADMIN"), "text: %s", fake.text);
}

static void a_socket_of_root_does_not_help_nobody(void)
{
	struct fake fake;

	fake_open(&fake);
	CHECK(!setgid(65534) && !setuid(65534));
	CHECK(fake_bind(&fake, fake_uuid, "fake") == -EPERM, "got %d", fake.error);
}

static void commands_need_a_bound_socket(void)
{
	struct fake fake;

	fake_open(&fake);
	CHECK(fake_fetch(&fake, 1) == -ENOTCONN, "got %d", fake.error);
	CHECK(strstr(fake.text, "BIND"), "text: %s", fake.text);
}

static void refusals_have_a_sentence(void)
{
	static struct fake_message message;
	struct fake fake;

	fake_open(&fake);
	fake_begin(&fake, &message, WEFT_CMD_BIND, 0);
	CHECK(fake_send(&fake, &message) == -EINVAL, "got %d", fake.error);
	CHECK(strstr(fake.text, "UUID"), "text: %s", fake.text);

	CHECK(!fake_bind(&fake, fake_uuid, "fake"), "%d %s", fake.error, fake.text);
	fake_begin(&fake, &message, WEFT_CMD_HOST_SET, 0);
	fake_put_u32(&message, WEFT_A_HOST, 1);
	CHECK(fake_send(&fake, &message) == -EINVAL);
	CHECK(strstr(fake.text, "name"), "text: %s", fake.text);

	fake_begin(&fake, &message, WEFT_CMD_HOST_SET, 0);
	fake_put_u32(&message, WEFT_A_HOST, 1);
	fake_put(&message, WEFT_A_NAME, "one", 4);
	fake_put_u32(&message, WEFT_A_STATE, 1);
	fake_put_u32(&message, WEFT_A_KIND, WEFT_CONN_KIND_BULK);
	fake_put_u32(&message, WEFT_A_FD, fake.fd);
	CHECK(fake_send(&fake, &message) == -EINVAL, "got %d", fake.error);
	CHECK(strstr(fake.text, "stream"), "text: %s", fake.text);
	CHECK(fake.bad_attr, "the attribute is not named");

	fake_begin(&fake, &message, WEFT_CMD_GROUP_SET, 0);
	fake_put_u64(&message, WEFT_A_GROUP, 1);
	fake_put_u64(&message, WEFT_A_DOMAIN, 1);
	fake_put_u8(&message, WEFT_A_K, 31);
	fake_put_u8(&message, WEFT_A_M, 31);
	fake_put(&message, WEFT_A_SLOTS, NULL, 128);
	CHECK(fake_send(&fake, &message) == -EINVAL);
	CHECK(strstr(fake.text, "k + m"), "text: %s", fake.text);
}

static void bind_takes_over(void)
{
	struct fake old, new, third;

	fake_open(&old);
	fake_open(&new);
	fake_open(&third);
	CHECK(!fake_bind(&old, fake_uuid, "fake"));
	CHECK(!fake_fetch(&old, 1));
	CHECK(!fake_bind(&new, fake_uuid, "fake"));
	CHECK(new.generation > old.generation);
	CHECK(fake_fetch(&old, 1) == -ESTALE, "got %d", old.error);
	CHECK(strstr(old.text, "taken over"), "text: %s", old.text);
	CHECK(!fake_fetch(&new, 1));
	CHECK(fake_join(&third, fake_uuid, old.generation) == -ESTALE);
	CHECK(!fake_join(&third, fake_uuid, new.generation), "%d %s", third.error, third.text);
	CHECK(!fake_fetch(&third, 1) && !fake_fetch(&new, 1));
	/* Another cluster is none of their business. */
	CHECK(!fake_bind(&old, other_uuid, "other"));
	CHECK(!fake_fetch(&old, 1) && !fake_fetch(&new, 1));
}

/* Nobody has said what the cluster is called: 0 is no generation. */
static void join_needs_a_bind(void)
{
	static const uint8_t unbound_uuid[16] = { 0xab, 1 };
	struct fake fake;

	fake_open(&fake);
	CHECK(fake_join(&fake, unbound_uuid, 0) == -ESTALE, "got %d", fake.error);
	CHECK(strstr(fake.text, "no generation"), "text: %s", fake.text);
	CHECK(fake_fetch(&fake, 1) != 0);
	CHECK(!fake_bind(&fake, unbound_uuid, "late"));
	CHECK(fake.generation > 0);
	CHECK(!fake_fetch(&fake, 1));
}

/* Sockets that a child must not keep open. */
static int parents_fds[2];

static int call_mount_alone(const char *source)
{
	close(parents_fds[0]);
	close(parents_fds[1]);
	return mount_volume(source);
}

/*
 * A thread of the daemon that hangs: what it fetches fills its socket, and the rest is for the
 * others.
 */
static void a_full_socket_is_in_nobodys_way(void)
{
	enum { MOUNTS = 40 };
	static struct fake_message message;
	struct fake full, other;
	struct fake_request *req;
	char names[MOUNTS][16];
	pid_t mounters[MOUNTS];
	unsigned int got = 0;
	int size = 1;

	fake_open(&full);
	fake_open(&other);
	CHECK(!fake_bind(&full, fake_uuid, "fake"));
	CHECK(!fake_join(&other, fake_uuid, full.generation));
	CHECK(!setsockopt(full.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	parents_fds[0] = full.fd;
	parents_fds[1] = other.fd;
	for (int i = 0; i < MOUNTS; i++) {
		snprintf(names[i], sizeof(names[i]), "fake:v%d", i);
		mounters[i] = child_start(call_mount_alone, names[i]);
	}
	/* By hand: it reads nothing, no acknowledgement either. */
	fake_begin(&full, &message, WEFT_CMD_FETCH, 0);
	fake_put_u32(&message, WEFT_A_COUNT, 1000);
	((uint32_t *)message.bytes)[0] = message.len;
	for (int i = 0; i < 50; i++)
		CHECK(send(full.fd, message.bytes, message.len, 0) == (ssize_t)message.len);
	while ((req = fake_next(&other, got ? 3000 : 10000))) {
		fake_answer(&other, req->id, WEFT_ST_NO_VOLUME, NULL, 0);
		free(req);
		got++;
	}
	CHECK(got > MOUNTS / 2, "only %u requests came to the other socket", got);
	/* What the full one had is for the other when it goes. */
	fake_close(&full);
	while (got < MOUNTS) {
		req = fake_next(&other, 10000);
		CHECK(req, "%u requests never came back", MOUNTS - got);
		fake_answer(&other, req->id, WEFT_ST_NO_VOLUME, NULL, 0);
		free(req);
		got++;
	}
	for (int i = 0; i < MOUNTS; i++)
		CHECK(child_result(mounters[i], 10) == -ENOENT);
	fake_close(&other);
}

static void answer_mount(struct fake *fake, struct fake_meta *meta, struct fake_request *req)
{
	static struct fake_payload payload;
	uint32_t status = fake_meta_answer(meta, req, &payload);

	CHECK(!fake_answer(fake, req->id, status, payload.bytes, payload.len), "%d %s", fake->error,
	      fake->text);
}

/* The rest of a mount's requests, in a thread of the server. */
static void finish(struct fake *fake, struct fake_meta *meta, pid_t mounter)
{
	struct fake_server *server;

	CHECK(!child_result(mounter, 10));
	fake_close(fake);
	server = fake_serve(meta, NULL, NULL);
	CHECK(!call_mkdir("made"));
	CHECK(!unmount(0));
	fake_serve_end(server);
}

static void fetched_requests_go_to_the_successor(void)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_request *first, *again;
	struct fake old, new;
	pid_t mounter;

	fake_open(&old);
	fake_open(&new);
	CHECK(!fake_bind(&old, fake_uuid, "fake"));
	mounter = child_start(call_mount, "fake:home");
	first = fake_next(&old, 10000);
	CHECK(first && first->op == WEFT_REQ_MOUNT);
	CHECK(!fake_bind(&new, fake_uuid, "fake"));
	/* What the old one says does not count any more. */
	CHECK(fake_answer(&old, first->id, WEFT_ST_NO_VOLUME, NULL, 0) == -ESTALE);
	again = fake_next(&new, 10000);
	CHECK(again && again->id == first->id && again->len == first->len);
	CHECK(!memcmp(again->payload, first->payload, again->len), "the repeat differs");
	answer_mount(&new, meta, again);
	fake_close(&old);
	finish(&new, meta, mounter);
}

static void fetched_requests_survive_a_killed_bridge(void)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_request *req;
	int told[2], status;
	pid_t bridge, mounter;
	struct fake fake;
	uint64_t id = 0;

	CHECK(!pipe(told));
	bridge = fork();
	if (!bridge) {
		fake_open(&fake);
		CHECK(!fake_bind(&fake, fake_uuid, "fake"));
		CHECK(write(told[1], &id, sizeof(id)) == sizeof(id));
		req = fake_next(&fake, 10000);
		CHECK(req);
		CHECK(write(told[1], &req->id, sizeof(id)) == sizeof(id));
		pause();
		_exit(0);
	}
	CHECK(read(told[0], &id, sizeof(id)) == sizeof(id));
	mounter = child_start(call_mount, "fake:home");
	CHECK(read(told[0], &id, sizeof(id)) == sizeof(id) && id);
	CHECK(!kill(bridge, SIGKILL) && waitpid(bridge, &status, 0) == bridge);
	fake_open(&fake);
	CHECK(!fake_bind(&fake, fake_uuid, "fake"));
	req = fake_next(&fake, 10000);
	CHECK(req && req->id == id, "the request did not come back");
	answer_mount(&fake, meta, req);
	finish(&fake, meta, mounter);
}

/* Requests belong to the socket that fetched them, also within a generation. */
static void only_the_owner_answers(void)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_request *req;
	struct fake owner, other;
	pid_t mounter;

	fake_open(&owner);
	fake_open(&other);
	CHECK(!fake_bind(&owner, fake_uuid, "fake"));
	mounter = child_start(call_mount, "fake:home");
	req = fake_next(&owner, 10000);
	CHECK(req);
	CHECK(!fake_join(&other, fake_uuid, owner.generation));
	CHECK(!fake_answer(&other, req->id, WEFT_ST_NO_VOLUME, NULL, 0));
	answer_mount(&owner, meta, req);
	/* A second answer to what is answered is no fault. */
	CHECK(!fake_answer(&owner, req->id, WEFT_ST_NO_VOLUME, NULL, 0));
	fake_close(&other);
	finish(&owner, meta, mounter);
}

static void an_ambiguous_cluster_is_refused(void)
{
	struct fake one, two;

	fake_open(&one);
	fake_open(&two);
	CHECK(!fake_bind(&one, fake_uuid, "fake"));
	CHECK(!fake_bind(&two, other_uuid, "other"));
	CHECK(mount_volume("home") == -ENOTUNIQ);
	CHECK(mount_volume("third:home") == -ENOENT);
	fake_close(&one);
	fake_close(&two);
	CHECK(mount_volume("fake:home") == -ENOTCONN);
}

int main(void)
{
	static const struct test tests[] = {
		{ "nobody may not bind", nobody_may_not_bind },
		{ "a socket of root does not help nobody", a_socket_of_root_does_not_help_nobody },
		{ "commands need a bound socket", commands_need_a_bound_socket },
		{ "refusals have a sentence and an attribute", refusals_have_a_sentence },
		{ "BIND takes over, the old generation gets ESTALE", bind_takes_over },
		{ "JOIN of a cluster that nobody has bound gets ESTALE", join_needs_a_bind },
		{ "a full socket is in nobody's way", a_full_socket_is_in_nobodys_way },
		{ "fetched requests go to the successor", fetched_requests_go_to_the_successor },
		{ "fetched requests survive a killed bridge",
		  fetched_requests_survive_a_killed_bridge },
		{ "only the owner of a request answers it", only_the_owner_answers },
		{ "an ambiguous cluster is refused", an_ambiguous_cluster_is_refused },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
