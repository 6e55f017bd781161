// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_bridge_upcall.c - the kernel's requests on their way to a leader that the test plays
 *
 * Nothing is bound to a kernel: answers stay in the bridge's queue, where the test finds them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>

#include "bridge/bridge.h"

struct fixture {
	struct bridge bridge;
	char folder[64], address[128];
	struct ctl_self server_self;
	struct ctl_listener *listener;
	struct ctl_conn *server;
	uint32_t answers[8];     /* statuses, in the order of the requests */
	unsigned int served;
	uint64_t sequences[8];   /* as they came */
};

static void *accept_one(struct ctl_conn *conn, void *ctx)
{
	struct fixture *f = ctx;

	f->server = conn;
	return f;
}

static void server_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	struct fixture *f = ctx;

	assert_true(f->served < 8);
	f->sequences[f->served] = frame->sequence;
	assert_int_equal(ctl_reply(conn, frame, f->answers[f->served], NULL, 0), 0);
	f->served++;
}

static int server_ready(struct ctl_conn *conn, void *ctx)
{
	return 0;
}

static int client_ready(struct ctl_conn *conn, void *ctx)
{
	((struct bridge *)ctx)->leader.ready = true;
	return 0;
}

static void client_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
}

static void closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
}

static const struct ctl_ops server_ops = {
	.ready = server_ready, .request = server_request, .closed = closed};
static const struct ctl_ops client_ops = {
	.ready = client_ready, .request = client_request, .closed = closed};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->folder, sizeof(f->folder), "/tmp/weft-bridge-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->address, sizeof(f->address), "unix:%s/socket", f->folder);
	f->server_self = (struct ctl_self){ .role = WEFT_CTL_ROLE_META, .name = "server" };
	f->bridge.self = (struct ctl_self){ .role = WEFT_CTL_ROLE_BRIDGE, .name = "client" };
	assert_int_equal(uv_loop_init(&f->bridge.loop), 0);
	bridge_upcall_init(&f->bridge);
	assert_int_equal(ctl_listen(&f->bridge.loop, f->address, &f->server_self, &server_ops,
				    accept_one, f, &f->listener),
			 0);
	f->bridge.leader.conn = ctl_connect(&f->bridge.loop, f->address, &f->bridge.self,
					    &client_ops, &f->bridge, 5000);
	assert_non_null(f->bridge.leader.conn);
	while (!f->bridge.leader.ready)
		uv_run(&f->bridge.loop, UV_RUN_ONCE);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	bridge_upcall_exit(&f->bridge);
	ctl_close(f->bridge.leader.conn);
	ctl_close(f->server);
	ctl_listener_close(f->listener);
	uv_run(&f->bridge.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->bridge.loop), 0);
	unlink(f->address + strlen("unix:"));
	rmdir(f->folder);
	free(f);
	return 0;
}

static void kernel_asks(struct fixture *f, uint64_t id, uint16_t op, uint32_t slot,
			uint64_t sequence)
{
	static const uint16_t types[] = {
		WEFT_A_REQ_ID, WEFT_A_OP, WEFT_A_CLASS, WEFT_A_SLOT, WEFT_A_SEQUENCE,
	};
	const struct nlattr *attrs[WEFT_A_MAX + 1] = { 0 };
	union {
		struct nlmsghdr head;
		char bytes[256];
	} msg;
	struct nlattr *attr;

	mnl_nlmsg_put_header(msg.bytes);
	mnl_attr_put_u64(&msg.head, WEFT_A_REQ_ID, id);
	mnl_attr_put_u16(&msg.head, WEFT_A_OP, op);
	mnl_attr_put_u8(&msg.head, WEFT_A_CLASS, 3);
	mnl_attr_put_u32(&msg.head, WEFT_A_SLOT, slot);
	mnl_attr_put_u64(&msg.head, WEFT_A_SEQUENCE, sequence);
	mnl_attr_for_each(attr, &msg.head, 0)
		for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
			if (mnl_attr_get_type(attr) == types[i])
				attrs[types[i]] = attr;
	bridge_upcall_add(&f->bridge, attrs);
}

static void until_served(struct fixture *f, unsigned int n)
{
	while (f->served < n)
		uv_run(&f->bridge.loop, UV_RUN_ONCE);
	/* And the bridge has the answer. */
	while (f->bridge.upcalls.first && f->bridge.upcalls.first->sent)
		uv_run(&f->bridge.loop, UV_RUN_ONCE);
}

/* The leader's answer to a first run may have been lost: no refusal for want of room is final. */
static void a_numbered_request_is_asked_until_there_is_room(void **state)
{
	struct fixture *f = *state;

	f->answers[0] = f->answers[1] = WEFT_ST_OVERLOADED;
	kernel_asks(f, 1, WEFT_REQ_CREATE, 300, 7);
	for (unsigned int i = 1; i <= 2; i++) {
		until_served(f, i);
		assert_null(f->bridge.upcalls.answers);
		assert_int_equal(f->bridge.upcalls.n, 1);
		bridge_upcall_resend(&f->bridge);
	}
	until_served(f, 3);
	assert_non_null(f->bridge.upcalls.answers);
	assert_int_equal(f->bridge.upcalls.n, 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(f->sequences[i], 7);
}

/* A program that reads would get EAGAIN. */
static void a_read_is_asked_until_there_is_room(void **state)
{
	struct fixture *f = *state;

	f->answers[0] = WEFT_ST_OVERLOADED;
	kernel_asks(f, 1, WEFT_REQ_GETATTR, WEFT_SLOT_NONE, 0);
	until_served(f, 1);
	assert_null(f->bridge.upcalls.answers);
	assert_int_equal(f->bridge.upcalls.n, 1);
	bridge_upcall_resend(&f->bridge);
	until_served(f, 2);
	assert_non_null(f->bridge.upcalls.answers);
	assert_int_equal(f->bridge.upcalls.n, 0);
}

/* The kernel takes another group. */
static void no_room_is_an_answer_to_group_want(void **state)
{
	struct fixture *f = *state;

	f->answers[0] = WEFT_ST_OVERLOADED;
	kernel_asks(f, 1, WEFT_REQ_GROUP_WANT, WEFT_SLOT_NONE, 0);
	until_served(f, 1);
	assert_non_null(f->bridge.upcalls.answers);
	assert_int_equal(f->bridge.upcalls.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_numbered_request_is_asked_until_there_is_room,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_read_is_asked_until_there_is_room, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room_is_an_answer_to_group_want, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
