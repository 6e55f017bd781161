// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_server.c - what a peer can make the metadata service keep while the thread that answers
 * is busy
 *
 * There is no such thread here: the queue to it only grows, and is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "meta/service.h"

#define FRAME (1024u * 1024)

struct fixture {
	struct meta_service service;
	struct meta_brain brain;
	char folder[64], address[128];
	struct ctl_listener *listener;
	struct ctl_self self;
	struct ctl_conn *conn;
	bool ready, answered, closed;
	u32 status;
	unsigned int filters; /* frames that came */
	u8 *payload; /* FRAME bytes: attributes that nobody knows */
};

static int on_ready(struct ctl_conn *conn, void *ctx)
{
	((struct fixture *)ctx)->ready = true;
	return 0;
}

static void on_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	((struct fixture *)ctx)->filters += frame->type == WEFT_CTL_BLOOM;
}

static void on_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	((struct fixture *)ctx)->closed = true;
}

static const struct ctl_ops peer_ops = {
	.ready = on_ready, .request = on_request, .closed = on_closed};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->folder, sizeof(f->folder), "/tmp/weft-server-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->address, sizeof(f->address), "unix:%s/socket", f->folder);
	f->payload = calloc(1, FRAME);
	assert_non_null(f->payload);
	for (size_t i = 0; i < FRAME; i += 4)
		f->payload[i] = 4;
	assert_int_equal(uv_loop_init(&f->service.loop), 0);
	f->service.brain = &f->brain;
	f->service.self = (struct ctl_self){ .role = WEFT_CTL_ROLE_META, .name = "meta" };
	meta_queue_init(&f->brain.queue);
	assert_int_equal(ctl_listen(&f->service.loop, f->address, &f->service.self,
				    &meta_server_ops, meta_server_accept, &f->service,
				    &f->listener),
			 0);
	f->self = (struct ctl_self){ .role = WEFT_CTL_ROLE_STORE, .name = "store" };
	f->conn = ctl_connect(&f->service.loop, f->address, &f->self, &peer_ops, f, 5000);
	assert_non_null(f->conn);
	while (!f->ready)
		uv_run(&f->service.loop, UV_RUN_ONCE);
	*state = f;
	return 0;
}

/* What waits is finished as the thread would have finished it. */
static void drain(struct fixture *f)
{
	struct meta_op *op = meta_queue_take(&f->brain.queue, 0), *next;

	for (; op; op = next) {
		next = op->next;
		meta_service_finish(&f->service, op);
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ctl_close(f->conn);
	while (!f->closed || f->service.clients) {
		uv_run(&f->service.loop, UV_RUN_ONCE);
		drain(f);
	}
	ctl_listener_close(f->listener);
	uv_run(&f->service.loop, UV_RUN_DEFAULT);
	drain(f);
	assert_int_equal(uv_loop_close(&f->service.loop), 0);
	meta_queue_destroy(&f->brain.queue);
	unlink(f->address + strlen("unix:"));
	rmdir(f->folder);
	free(f->payload);
	free(f);
	return 0;
}

static void on_answer(void *ctx, const struct ctl_frame *frame)
{
	struct fixture *f = ctx;

	f->answered = true;
	f->status = frame->status;
}

static size_t kept(struct fixture *f)
{
	size_t sum = 0;

	for (struct meta_op *op = f->brain.queue.first; op; op = op->next)
		sum += op->payload_len;
	return sum;
}

static u32 register_with(struct fixture *f, size_t len)
{
	struct ctl_frame frame = { .type = WEFT_CTL_STORE_REGISTER,
				   .slot = WEFT_SLOT_NONE,
				   .payload = f->payload,
				   .len = len };

	f->answered = false;
	f->status = WEFT_ST_OK;
	while (ctl_call(f->conn, &frame, on_answer, f))
		uv_run(&f->service.loop, UV_RUN_ONCE);
	/* Nobody answers what was taken; then there is too much of it. */
	while (!f->answered && kept(f) <= 2 * WEFT_CTL_PAYLOAD_MAX)
		uv_run(&f->service.loop, UV_RUN_ONCE);
	return f->status;
}

/* Megabytes in each heartbeat; the rest is refused, and taken again when there is room. */
static void a_peer_cannot_fill_the_memory(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 100; i++)
		while (ctl_push(f->conn, WEFT_CTL_HEARTBEAT, f->payload, FRAME))
			uv_run(&f->service.loop, UV_RUN_ONCE);
	/* Answered behind all of them. */
	assert_int_equal(register_with(f, FRAME), WEFT_ST_OVERLOADED);
	assert_true(kept(f) <= 2 * WEFT_CTL_PAYLOAD_MAX);
	assert_true(kept(f) > 0);
	drain(f);
	assert_int_equal(f->service.clients->waiting, 0);
	assert_int_equal(f->service.clients->waiting_bytes, 0);
}

/* As the leader's thread does: the entry that the registration asks for is applied, then again. */
static u32 register_directly(struct fixture *f, struct meta_client *client, u64 *index)
{
	struct meta_op *op = meta_op_alloc(meta_run_register);
	struct tlv_writer writer;
	u8 uuid[16] = { 1 };
	u32 status;

	tlv_writer_init(&writer, 4096);
	tlv_put(&writer, WEFT_C_STORE_UUID, uuid, sizeof(uuid));
	tlv_put_u64(&writer, WEFT_C_STARTS, 1);
	tlv_put_u64(&writer, WEFT_C_CAPACITY, 1ull << 30);
	tlv_put_text(&writer, WEFT_C_PATH, "/srv");
	tlv_put_text(&writer, WEFT_C_ADDRESS, "127.0.0.1:7000");
	op->client = client;
	op->payload = writer.data;
	op->payload_len = writer.len;
	meta_run_register(&f->brain, op);
	assert_int_equal(op->step, META_SUBMIT); /* the host */
	meta_entry_end(&op->entry, 1);
	assert_int_equal(meta_apply(&f->brain.state, ++*index, 1, op->entry.data, op->entry.len,
				    &op->outcome),
			 0);
	op->step = META_DONE;
	meta_run_register(&f->brain, op);
	status = op->step == META_SUBMIT ? WEFT_ST_OK : op->outcome.status;
	meta_op_free(op);
	return status;
}

/* What no client could know of is not taken in. */
static void a_host_has_only_so_many_stores(void **state)
{
	struct fixture *f = *state;
	struct cat_store others = { .host = 1 }, *stores[4097] = { 0 };
	struct meta_client client = { .id = 1, .name = "one" };
	char dir[80], command[128];
	u64 index = 0;

	snprintf(dir, sizeof(dir), "%s/db", f->folder);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(meta_state_open(&f->brain.state, dir, 1 << 24, NULL, NULL), 0);
	f->brain.leader = true;
	for (unsigned int i = 1; i <= 4096; i++)
		stores[i] = &others;
	f->brain.catalog.stores = stores;
	f->brain.catalog.n_stores = 4096;
	assert_int_equal(register_directly(f, &client, &index), WEFT_ST_OK);
	f->brain.catalog.n_stores = 4097;
	client.name[0] = 'O';
	others.host = 2; /* the number of the second one */
	assert_int_equal(register_directly(f, &client, &index), WEFT_ST_TOO_BIG);
	f->brain.catalog = (struct meta_catalog){ 0 };
	meta_state_close(&f->brain.state);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	assert_int_equal(system(command), 0);
}

/* A part of a filter; what the brain is told of it. */
static u32 push_filter(struct fixture *f, u64 client)
{
	struct meta_op *op = meta_op_alloc(NULL), *told = meta_op_alloc(NULL);
	u32 status;

	assert_non_null(op);
	assert_non_null(told);
	op->payload = malloc(FRAME);
	assert_non_null(op->payload);
	memcpy(op->payload, f->payload, FRAME);
	op->payload_len = FRAME;
	op->number = client;
	op->ctx = told;
	op->finish = meta_server_push_contents;
	meta_service_finish(&f->service, op);
	assert_ptr_equal(meta_queue_take(&f->brain.queue, 0), told);
	status = told->outcome.status;
	meta_op_free(told);
	return status;
}

/* One frame of a filter may wait to be written, and nothing else: what is small and urgent is not behind megabytes of it. */
static void a_filter_waits_for_a_connection_to_be_idle(void **state)
{
	struct fixture *f = *state;
	struct meta_client *client = f->service.clients;
	unsigned int taken = 0;

	assert_int_equal(push_filter(f, client->id + 1), WEFT_ST_OVERLOADED);
	while (push_filter(f, client->id) == WEFT_ST_OK)
		assert_true(++taken < 20);
	assert_true(taken > 0);
	assert_true(ctl_queued(client->conn) <= FRAME + 1024);
	for (unsigned int i = 0; i < 50; i++)
		assert_int_equal(push_filter(f, client->id), WEFT_ST_OVERLOADED);
	while (f->filters < taken)
		uv_run(&f->service.loop, UV_RUN_ONCE);
	/* Nothing was closed, and there is room again. */
	assert_false(f->closed);
	while (ctl_queued(client->conn))
		uv_run(&f->service.loop, UV_RUN_ONCE);
	assert_int_equal(push_filter(f, client->id), WEFT_ST_OK);
	while (f->filters < taken + 1)
		uv_run(&f->service.loop, UV_RUN_ONCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_peer_cannot_fill_the_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_has_only_so_many_stores, setup, teardown),
		cmocka_unit_test_setup_teardown(a_filter_waits_for_a_connection_to_be_idle, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
