// SPDX-License-Identifier: GPL-2.0-or-later
/* Framed connections: both ends on one loop over an AF_UNIX socket in a folder of the test's own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/ctl.h"

#define CALLS 2000

struct fixture {
	uv_loop_t loop;
	char folder[64], address[128];
	struct ctl_self server_self, client_self;
	struct ctl_listener *listener;
	struct ctl_conn *server, *client;
	unsigned int served, answered, lost, pushed;
	int server_why, client_why;
	unsigned int server_closed, client_closed;
	bool silent;     /* the server does not answer */
	bool stop_early; /* the server closes at the tenth request */
};

static void *accept_one(struct ctl_conn *conn, void *ctx)
{
	struct fixture *f = ctx;

	f->server = conn;
	return f;
}

static int server_ready(struct ctl_conn *conn, void *ctx)
{
	(void)ctx;
	assert_int_equal(ctl_peer(conn)->role, WEFT_CTL_ROLE_BRIDGE);
	assert_string_equal(ctl_peer(conn)->name, "client");
	assert_int_equal(ctl_peer(conn)->uid, geteuid());
	return 0;
}

/* Answers with the payload reversed, and a push before each answer. */
static void server_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	struct fixture *f = ctx;
	uint8_t *reversed;

	f->served++;
	if (f->silent)
		return;
	if (f->stop_early && f->served == 10) {
		ctl_close(conn);
		return;
	}
	reversed = malloc(frame->len ? frame->len : 1);
	for (size_t i = 0; i < frame->len; i++)
		reversed[i] = ((const uint8_t *)frame->payload)[frame->len - 1 - i];
	assert_int_equal(ctl_push(conn, WEFT_CTL_MAP, "push", 4), 0);
	assert_int_equal(ctl_reply(conn, frame, WEFT_ST_OK, reversed, frame->len), 0);
	free(reversed);
}

static void server_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	struct fixture *f = ctx;

	(void)conn;
	assert_non_null(what);
	f->server = NULL;
	f->server_why = why;
	f->server_closed++;
	if (f->listener)
		ctl_listener_close(f->listener);
	f->listener = NULL;
}

static const struct ctl_ops server_ops = {
	.ready = server_ready, .request = server_request, .closed = server_closed,
};

struct asked {
	struct fixture *f;
	size_t len;
	uint8_t first;
};

static void answered(void *ctx, const struct ctl_frame *frame)
{
	struct asked *asked = ctx;
	struct fixture *f = asked->f;

	if (frame->status == WEFT_ST_LOST_PEER) {
		f->lost++;
	} else {
		assert_int_equal(frame->len, asked->len);
		if (asked->len)
			assert_int_equal(((const uint8_t *)frame->payload)[asked->len - 1], asked->first);
		f->answered++;
		if (f->answered == CALLS)
			ctl_close(f->client);
	}
	free(asked);
}

static int client_ready(struct ctl_conn *conn, void *ctx)
{
	struct fixture *f = ctx;
	uint8_t payload[3000];

	for (unsigned int i = 0; i < CALLS; i++) {
		struct asked *asked = malloc(sizeof(*asked));
		struct ctl_frame frame = { .type = WEFT_CTL_REQUEST, .op = WEFT_REQ_LOOKUP, .request_class = 3,
					   .slot = WEFT_SLOT_NONE, .payload = payload, .len = i % sizeof(payload) };

		memset(payload, (int)i, sizeof(payload));
		payload[0] = (uint8_t)(i + 1);
		*asked = (struct asked){ .f = f, .len = frame.len, .first = payload[0] };
		assert_int_equal(ctl_call(conn, &frame, answered, asked), 0);
	}
	return 0;
}

static void client_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	(void)conn;
	assert_int_equal(frame->type, WEFT_CTL_MAP);
	assert_memory_equal(frame->payload, "push", 4);
	((struct fixture *)ctx)->pushed++;
}

static void client_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	struct fixture *f = ctx;

	(void)conn;
	(void)what;
	f->client = NULL;
	f->client_why = why;
	f->client_closed++;
	if (f->listener && !f->server)
		ctl_listener_close(f->listener);
	if (!f->server)
		f->listener = NULL;
}

static const struct ctl_ops client_ops = {
	.ready = client_ready, .request = client_request, .closed = client_closed,
};

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	strcpy(f->folder, "/tmp/weft-ctl-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->address, sizeof(f->address), "unix:%s/s", f->folder);
	f->server_self = (struct ctl_self){ .role = WEFT_CTL_ROLE_META, .name = "server", .cluster = { 1 } };
	f->client_self = (struct ctl_self){ .role = WEFT_CTL_ROLE_BRIDGE, .name = "client" };
	uv_loop_init(&f->loop);
	assert_int_equal(ctl_listen(&f->loop, f->address, &f->server_self, &server_ops, accept_one, f, &f->listener), 0);
}

static void run(struct fixture *f)
{
	char path[128];

	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	snprintf(path, sizeof(path), "%s/s", f->folder);
	unlink(path);
	rmdir(f->folder);
}

static void calls_are_answered_in_any_number(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	f.client = ctl_connect(&f.loop, f.address, &f.client_self, &client_ops, &f, 5000);
	run(&f);
	assert_int_equal(f.answered, CALLS);
	assert_int_equal(f.pushed, CALLS);
	assert_int_equal(f.lost, 0);
	assert_int_equal(f.client_closed, 1);
	assert_int_equal(f.client_why, 0);
	assert_int_equal(f.server_closed, 1);
}

static void calls_under_way_end_when_the_peer_goes(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	f.stop_early = true;
	f.client = ctl_connect(&f.loop, f.address, &f.client_self, &client_ops, &f, 5000);
	run(&f);
	assert_int_equal(f.answered + f.lost, CALLS);
	assert_true(f.lost >= CALLS - 10);
	assert_int_not_equal(f.client_why, 0);
}

static void another_cluster_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	f.client_self.cluster[0] = 2;
	f.client = ctl_connect(&f.loop, f.address, &f.client_self, &client_ops, &f, 5000);
	run(&f);
	assert_int_equal(f.served, 0);
	/* Both sides know why. */
	assert_int_equal(f.client_why, -EPROTO);
	assert_int_equal(f.server_why, -EPROTO);
}

static void nobody_there_is_an_error_of_the_connection(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	f.client = ctl_connect(&f.loop, "unix:/nonexistent/socket", &f.client_self, &client_ops, &f, 5000);
	assert_non_null(f.client);
	run(&f);
	assert_int_equal(f.client_why, -ENOENT);
	errno = 0;
	assert_null(ctl_connect(&f.loop, "nowhere", &f.client_self, &client_ops, &f, 1));
	assert_int_equal(errno, EINVAL);
}

static void garbage_ends_the_connection(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct fixture f;
	char garbage[4096];
	int fd;

	(void)state;
	setup(&f);
	memset(garbage, 0x5a, sizeof(garbage));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", f.folder);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	run(&f);
	close(fd);
	assert_int_equal(f.server_closed, 1);
	assert_int_equal(f.server_why, -EPROTO);
}

static void a_changed_header_is_found(void **state)
{
	struct ctl_frame frame = { .type = WEFT_CTL_REQUEST, .op = 3, .slot = 7, .sequence = 9, .payload = "x", .len = 1 }, back;
	struct weft_ctl_header header;
	uint32_t crc;

	(void)state;
	ctl_header_encode(&frame, &header);
	assert_int_equal(ctl_header_decode(&header, &back, &crc), 0);
	assert_int_equal(back.slot, 7);
	assert_int_equal(back.sequence, 9);
	for (size_t i = 0; i < sizeof(header) * 8; i++) {
		((uint8_t *)&header)[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(ctl_header_decode(&header, &back, &crc), -EPROTO);
		((uint8_t *)&header)[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_are_answered_in_any_number),
		cmocka_unit_test(calls_under_way_end_when_the_peer_goes),
		cmocka_unit_test(another_cluster_is_refused),
		cmocka_unit_test(nobody_there_is_an_error_of_the_connection),
		cmocka_unit_test(garbage_ends_the_connection),
		cmocka_unit_test(a_changed_header_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
