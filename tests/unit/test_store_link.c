// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store's link to the metadata service, against a small service made here: registration, heartbeats, tasks and their
 * answers, and all of it again after the connection broke or the service no longer leads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/link.h"
#include "store_fixture.h"
#include "weft_status.h"

struct service {
	struct fixture fixture;
	uv_loop_t loop;
	uv_timer_t limit;
	struct ctl_self self;
	struct ctl_listener *listener;
	struct ctl_conn *conn;
	char address[96];
	const char *addresses[1];
	struct store_link_conf link_conf;
	struct store_link *link;
	unsigned int connections, registrations, beats, answers;
	struct weft_c_store_state state;
	uint32_t beat_status; /* answered to the next heartbeat */
	bool cut_after_beat;
	bool (*enough)(struct service *service);
};

static void check(struct service *service)
{
	if (service->enough(service))
		uv_stop(&service->loop);
}

static int client_ready(struct ctl_conn *conn, void *ctx)
{
	struct service *service = ctx;

	assert_int_equal(ctl_peer(conn)->role, WEFT_CTL_ROLE_STORE);
	assert_string_equal(ctl_peer(conn)->name, "test-host");
	service->conn = conn;
	service->connections++;
	check(service);
	return 0;
}

static void answer_registration(struct service *service, struct ctl_conn *conn,
				const struct ctl_frame *frame)
{
	struct tlv known[WEFT_C_NR];
	struct tlv_writer writer;
	char text[256];

	assert_int_equal(tlv_collect(frame->payload, frame->len, known, WEFT_C_NR, false), 0);
	assert_int_equal(known[WEFT_C_STORE_UUID].len, 16);
	assert_int_equal(tlv_text(&known[WEFT_C_PATH], 1, 255, text), 0);
	assert_string_equal(text, service->fixture.path);
	assert_int_equal(tlv_text(&known[WEFT_C_ADDRESS], 1, 255, text), 0);
	assert_string_equal(text, service->fixture.socket);
	assert_int_equal(tlv_text(&known[WEFT_C_LABELS], 1, 255, text), 0);
	assert_string_equal(text, "rack=r1");
	service->registrations++;
	tlv_writer_init(&writer, 4096);
	tlv_put_u32(&writer, WEFT_C_STORE_NR, 42);
	tlv_put_u32(&writer, WEFT_C_HOST_NR, 5);
	assert_int_equal(ctl_reply(conn, frame, WEFT_ST_OK, writer.data, writer.len), 0);
	tlv_writer_free(&writer);
}

static void take_heartbeat(struct service *service, struct ctl_conn *conn,
			   const struct ctl_frame *frame)
{
	struct tlv known[WEFT_C_NR];
	uint32_t host;

	assert_int_equal(tlv_collect(frame->payload, frame->len, known, WEFT_C_NR, false), 0);
	assert_int_equal(tlv_u32(&known[WEFT_C_HOST_NR], &host), 0);
	assert_int_equal(host, 5);
	assert_int_equal(known[WEFT_C_STORE_STATE].len, sizeof(service->state));
	memcpy(&service->state, known[WEFT_C_STORE_STATE].data, sizeof(service->state));
	service->beats++;
	ctl_reply(conn, frame, service->beat_status, NULL, 0);
	service->beat_status = WEFT_ST_OK;
	if (service->cut_after_beat)
		ctl_close(conn);
	service->cut_after_beat = false;
}

static void client_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	struct service *service = ctx;

	if (frame->type == WEFT_CTL_STORE_REGISTER)
		answer_registration(service, conn, frame);
	else if (frame->type == WEFT_CTL_HEARTBEAT)
		take_heartbeat(service, conn, frame);
	else
		ctl_reply(conn, frame, WEFT_ST_OK, NULL, 0);
	check(service);
}

static void client_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	struct service *service = ctx;

	if (service->conn == conn)
		service->conn = NULL;
}

static const struct ctl_ops client_ops = {client_ready, client_request, client_closed};

static void *on_accept(struct ctl_conn *conn, void *ctx)
{
	return ctx;
}

static struct store_server *known(void *ctx, const uint8_t cluster[16], uint32_t incarnation)
{
	struct service *service = ctx;

	assert_memory_equal(cluster, service->fixture.conf.cluster, 16);
	assert_int_equal(store_server_start(&service->fixture.server, &service->fixture.conf), 0);
	return service->fixture.server;
}

static void too_late(uv_timer_t *timer)
{
	fail_msg("what was waited for did not come");
}

static void run_until(struct service *service, bool (*enough)(struct service *service))
{
	service->enough = enough;
	uv_timer_start(&service->limit, too_late, 20000, 0);
	uv_run(&service->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&service->limit);
}

static int setup(void **state)
{
	struct service *service = calloc(1, sizeof(*service));

	fixture_init(&service->fixture, STORE_BACKEND_AUTO);
	assert_int_equal(uv_loop_init(&service->loop), 0);
	uv_timer_init(&service->loop, &service->limit);
	snprintf(service->address, sizeof(service->address), "unix:%s/meta", service->fixture.dir);
	service->addresses[0] = service->address;
	service->self =
		(struct ctl_self){.role = WEFT_CTL_ROLE_META, .incarnation = 1, .name = "meta"};
	memcpy(service->self.cluster, service->fixture.conf.cluster, 16);
	assert_int_equal(ctl_listen(&service->loop, service->address, &service->self, &client_ops,
				    on_accept, service, &service->listener),
			 0);
	service->link_conf = (struct store_link_conf){
		.addresses = service->addresses,
		.n_addresses = 1,
		.name = "test-host",
		.labels = {NULL, NULL, "rack=r1"},
		.advertise = service->fixture.addresses,
		.n_advertise = 1,
		.heartbeat_ms = 20,
		.known = known,
		.ctx = service,
	};
	service->beat_status = WEFT_ST_OK;
	assert_int_equal(store_link_start(&service->link, &service->loop, &service->link_conf), 0);
	*state = service;
	return 0;
}

static int teardown(void **state)
{
	struct service *service = *state;

	store_link_stop(service->link);
	ctl_listener_close(service->listener);
	if (service->conn)
		ctl_close(service->conn);
	uv_close((uv_handle_t *)&service->limit, NULL);
	uv_run(&service->loop, UV_RUN_DEFAULT);
	store_link_free(service->link);
	uv_loop_close(&service->loop);
	if (service->fixture.server)
		fixture_stop(&service->fixture);
	fixture_exit(&service->fixture);
	free(service);
	return 0;
}

static bool three_beats(struct service *service)
{
	return service->beats >= 3;
}

static bool second_registration_and_beat(struct service *service)
{
	return service->registrations >= 2 && service->beats >= 4;
}

static void a_store_registers_and_beats(void **state)
{
	struct service *service = *state;

	run_until(service, three_beats);
	assert_int_equal(service->registrations, 1);
	assert_int_equal(atomic_load(&service->fixture.server->stores[0]->number), 42);
	assert_int_equal(atomic_load(&service->fixture.server->host), 5);
	assert_int_equal(le32_to_cpu(service->state.store), 42);
	assert_int_equal(le32_to_cpu(service->state.status), WEFT_ST_OK);
	assert_true(le64_to_cpu(service->state.capacity) >= le64_to_cpu(service->state.free));
	assert_true(le64_to_cpu(service->state.free) > 0);
}

static void a_broken_connection_is_made_again(void **state)
{
	struct service *service = *state;

	service->cut_after_beat = true;
	run_until(service, second_registration_and_beat);
	assert_true(service->connections >= 2);
}

static void a_service_that_leads_no_more_is_left(void **state)
{
	struct service *service = *state;

	service->beat_status = WEFT_ST_NOT_LEADER;
	run_until(service, second_registration_and_beat);
	assert_true(service->connections >= 2);
}

static void task_answered(void *ctx, const struct ctl_frame *frame)
{
	struct service *service = ctx;
	struct tlv known[WEFT_C_NR];
	struct weft_c_task task;

	assert_int_equal(frame->status, WEFT_ST_OK);
	assert_int_equal(tlv_collect(frame->payload, frame->len, known, WEFT_C_NR, false), 0);
	memcpy(&task, known[WEFT_C_TASK].data, sizeof(task));
	assert_int_equal(le32_to_cpu(task.status), WEFT_ST_OK);
	service->answers++;
	check(service);
}

static bool one_answer(struct service *service)
{
	return service->answers == 1;
}

static void a_task_is_done_and_answered(void **state)
{
	struct service *service = *state;
	struct {
		struct weft_c_task task;
		struct weft_c_task_shard shard;
	} task = {.task = {.kind = cpu_to_le32(WEFT_TASK_DELETE),
			   .group = cpu_to_le64(9),
			   .sid = {cpu_to_le64(0x51d), cpu_to_le64(1)},
			   .k = 1,
			   .m = 2,
			   .shards = cpu_to_le32(1)},
		  .shard = {.index = 1, .store = cpu_to_le32(42)}};
	struct ctl_frame frame = {.type = WEFT_CTL_TASK};
	struct store_client *client;
	struct tlv_writer writer;
	struct shard shard;

	run_until(service, three_beats);
	client = fixture_connect(&service->fixture, WEFT_ROLE_CLIENT);
	shard_init(&shard, 9, 1, 1000, 1);
	shard.name.store = 42;
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	tlv_writer_init(&writer, 4096);
	tlv_put(&writer, WEFT_C_TASK, &task, sizeof(task));
	frame.payload = writer.data;
	frame.len = writer.len;
	assert_int_equal(ctl_call(service->conn, &frame, task_answered, service), 0);
	tlv_writer_free(&writer);
	run_until(service, one_answer);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_ABSENT);
	shard_exit(&shard);
	store_client_close(client);
}

#define LINK_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINK_TEST(a_store_registers_and_beats),
		LINK_TEST(a_broken_connection_is_made_again),
		LINK_TEST(a_service_that_leads_no_more_is_left),
		LINK_TEST(a_task_is_done_and_answered),
	};

	return cmocka_run_group_tests_name("store link", tests, NULL, NULL);
}
