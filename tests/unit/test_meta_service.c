// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_service.c - the whole metadata service as a process, seen through its sockets
 *
 * The service runs in a child with a real log and database; the test plays bridge, stores and
 * administrator over AF_UNIX. Everything waits for events: an answer, or what the service says of
 * itself.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/log.h"
#include "conf/conf.h"
#include "meta/service.h"
#include "weftd.h"

#define STORES     4u
#define PATIENCE_S 30

struct peer {
	struct ctl_conn *conn;
	struct ctl_self self;
	bool ready, closed;
	unsigned int maps, map_groups;
	bool whole_map;
};

static struct {
	char dir[64];
	pid_t pid;
	uv_loop_t loop;
	uv_timer_t beat;
	struct peer bridge, admin, stores[STORES];
	u32 store_numbers[STORES], host_numbers[STORES];
	u32 store_status[STORES]; /* that they say */
	unsigned int deleted, rebuilt;
	u32 rebuilt_at;           /* store that the last rebuilt shard went to */
	bool hold;                /* the next rebuild is not done before the test says so */
	struct ctl_conn *held_by;
	struct ctl_frame held;
	char names[STORES][16];
} t;

/* The last answer. */
static struct {
	bool done;
	u32 status;
	u8 payload[1 << 20];
	size_t len;
} got;

static void start_service(void)
{
	char text[2048], error[256];
	struct conf *conf;

	snprintf(text, sizeof(text),
		 "[cluster]\nname = t\nrun = %s/run\n[meta]\npath = %s/meta\nlisten = "
		 "unix:%s/meta.sock\nmap-size = 16M\n"
		 "grace = 0s\nlog-segment = 4M\nsession-timeout = 1s\nheartbeat = 100ms\nsuspect = "
		 "1s\ndown = 2s\n",
		 t.dir, t.dir, t.dir);
	fflush(stdout);
	t.pid = fork();
	assert_true(t.pid >= 0);
	if (t.pid)
		return;
	log_init(2, "meta", getenv("VERBOSE") ? LOG_DEBUG : LOG_ERROR, true);
	conf = conf_parse(text, strlen(text), "test", error, sizeof(error));
	if (!conf) {
		fprintf(stderr, "%s\n", error);
		_exit(99);
	}
	_exit(meta_main(conf));
}

static void wait_for(const bool *what)
{
	u64 until = meta_clock_monotonic() + PATIENCE_S * 1000000000ull;

	while (!*what && meta_clock_monotonic() < until)
		uv_run(&t.loop, UV_RUN_ONCE);
	assert_true(*what);
}

/* ---- Peers ---- */

static int on_ready(struct ctl_conn *conn, void *ctx)
{
	((struct peer *)ctx)->ready = true;
	return 0;
}

static void store_task(struct ctl_conn *conn, const struct ctl_frame *frame)
{
	struct tlv_writer writer;
	struct tlv_reader reader;
	struct tlv tlv;
	struct weft_c_task task;
	struct weft_c_task_shard *shards;
	u8 *copy;

	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	tlv_reader_init(&reader, frame->payload, frame->len);
	while (tlv_next(&reader, &tlv) == 1) {
		assert_int_equal(tlv.type, WEFT_C_TASK);
		copy = tlv_reserve(&writer, tlv.type, tlv.len);
		memcpy(copy, tlv.data, tlv.len);
		memcpy(&task, tlv.data, sizeof(task));
		shards = (struct weft_c_task_shard *)(copy + sizeof(task));
		for (u32 i = 0; i < le32_to_cpu(task.shards); i++) {
			if (shards[i].flags & WEFT_TASK_SHARD_WANTED)
				t.rebuilt_at = le32_to_cpu(shards[i].store);
			else if (task.kind != cpu_to_le32(WEFT_TASK_DELETE))
				continue;
			shards[i].flags |= WEFT_TASK_SHARD_DONE;
		}
		t.deleted += task.kind == cpu_to_le32(WEFT_TASK_DELETE);
		t.rebuilt += task.kind == cpu_to_le32(WEFT_TASK_REBUILD);
	}
	assert_int_equal(ctl_reply(conn, frame, WEFT_ST_OK, writer.data, writer.len), 0);
	tlv_writer_free(&writer);
}

static bool is_rebuild(const struct ctl_frame *frame)
{
	struct tlv_reader reader;
	struct weft_c_task task;
	struct tlv tlv;

	tlv_reader_init(&reader, frame->payload, frame->len);
	assert_int_equal(tlv_next(&reader, &tlv), 1);
	memcpy(&task, tlv.data, sizeof(task));
	return task.kind == cpu_to_le32(WEFT_TASK_REBUILD);
}

static void hold_task(struct ctl_conn *conn, const struct ctl_frame *frame)
{
	t.held_by = conn;
	t.held = *frame;
	t.held.payload = memcpy(malloc(frame->len), frame->payload, frame->len);
	t.hold = false;
}

static void on_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	struct peer *peer = ctx;
	struct tlv_reader reader;
	struct tlv tlv;

	if (frame->type == WEFT_CTL_TASK && t.hold && is_rebuild(frame))
		hold_task(conn, frame);
	else if (frame->type == WEFT_CTL_TASK)
		store_task(conn, frame);
	if (frame->type != WEFT_CTL_MAP)
		return;
	peer->maps++;
	tlv_reader_init(&reader, frame->payload, frame->len);
	while (tlv_next(&reader, &tlv) == 1) {
		peer->map_groups += tlv.type == WEFT_C_GROUP;
		peer->whole_map |= tlv.type == WEFT_C_VERSION;
	}
}

static void on_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	struct peer *peer = ctx;

	peer->conn = NULL;
	peer->closed = true;
}

static const struct ctl_ops peer_ops = {
	.ready = on_ready, .request = on_request, .closed = on_closed};

/* Until the service listens. */
static void connect_peer(struct peer *peer, const char *path, u32 role, const char *name)
{
	u64 until = meta_clock_monotonic() + PATIENCE_S * 1000000000ull;
	char address[128];

	snprintf(address, sizeof(address), "unix:%s/%s", t.dir, path);
	memset(peer, 0, sizeof(*peer));
	peer->self.role = role;
	peer->self.name = name;
	do {
		peer->closed = false;
		peer->conn = ctl_connect(&t.loop, address, &peer->self, &peer_ops, peer, 2000);
		assert_non_null(peer->conn);
		while (!peer->ready && !peer->closed)
			uv_run(&t.loop, UV_RUN_ONCE);
		assert_true(meta_clock_monotonic() < until);
	} while (!peer->ready);
}

static void on_answer(void *ctx, const struct ctl_frame *frame)
{
	got.done = true;
	got.status = frame->status;
	got.len = frame->len < sizeof(got.payload) ? frame->len : sizeof(got.payload);
	if (got.len)
		memcpy(got.payload, frame->payload, got.len);
}

static u32 call(struct peer *peer, struct ctl_frame *frame, const struct tlv_writer *writer)
{
	assert_int_equal(tlv_finish(writer), 0);
	frame->payload = writer->data;
	frame->len = writer->len;
	got.done = false;
	assert_int_equal(ctl_call(peer->conn, frame, on_answer, NULL), 0);
	wait_for(&got.done);
	return got.status;
}

static struct tlv answer(u16 type)
{
	struct tlv known[64];

	assert_int_equal(tlv_collect(got.payload, got.len, known, 64, false), 0);
	assert_non_null(known[type].data);
	return known[type];
}

static json_t *admin(u32 expect, const char *command)
{
	struct ctl_frame frame = { .type = WEFT_CTL_ADMIN, .slot = WEFT_SLOT_NONE };
	struct tlv_writer writer;
	struct tlv_reader reader;
	struct tlv tlv;
	char *text = calloc(1, sizeof(got.payload));
	json_t *json = NULL;
	u32 status;

	tlv_writer_init(&writer, 65536);
	tlv_put_text(&writer, WEFT_C_JSON, command);
	status = call(&t.admin, &frame, &writer);
	tlv_writer_free(&writer);
	if (status != expect && got.len)
		print_message("%s: %.*s\n", command, (int)answer(WEFT_C_TEXT).len,
			      (const char *)answer(WEFT_C_TEXT).data);
	assert_int_equal(status, expect);
	tlv_reader_init(&reader, got.payload, got.len);
	while (tlv_next(&reader, &tlv) == 1)
		if (tlv.type == WEFT_C_JSON)
			strncat(text, tlv.data, tlv.len);
	if (!status) {
		json = json_loads(text, 0, NULL);
		assert_non_null(json);
	}
	free(text);
	return json;
}

static json_int_t status_number(const char *object, const char *name)
{
	json_t *json = admin(WEFT_ST_OK, "{\"command\":\"status\"}");
	json_t *at = object ? json_object_get(json, object) : json;
	json_int_t value = json_integer_value(json_object_get(at, name));

	json_decref(json);
	return value;
}

static void wait_until(const char *object, const char *name, json_int_t least, json_int_t most)
{
	u64 until = meta_clock_monotonic() + PATIENCE_S * 1000000000ull;
	json_int_t value;

	do {
		uv_run(&t.loop, UV_RUN_ONCE);
		value = status_number(object, name);
		if (meta_clock_monotonic() > until)
			print_message("%s is %lld\n", name, (long long)value);
		assert_true(meta_clock_monotonic() < until);
	} while (value < least || value > most);
}

static void beat(uv_timer_t *timer)
{
	struct weft_c_store_state state = { .capacity = cpu_to_le64(1ull << 30),
					    .free = cpu_to_le64(1ull << 30) };
	struct tlv_writer writer;

	for (unsigned int i = 0; i < STORES; i++) {
		if (!t.stores[i].conn || !t.store_numbers[i])
			continue;
		state.store = cpu_to_le32(t.store_numbers[i]);
		state.status = cpu_to_le32(t.store_status[i]);
		tlv_writer_init(&writer, 4096);
		tlv_put_u32(&writer, WEFT_C_HOST_NR, t.host_numbers[i]);
		tlv_put(&writer, WEFT_C_STORE_STATE, &state, sizeof(state));
		ctl_push(t.stores[i].conn, WEFT_CTL_HEARTBEAT, writer.data, writer.len);
		tlv_writer_free(&writer);
	}
}

static void register_store(unsigned int i)
{
	struct ctl_frame frame = { .type = WEFT_CTL_STORE_REGISTER, .slot = WEFT_SLOT_NONE };
	u8 uuid[16] = { (u8)i, 9 };
	struct tlv_writer writer;

	snprintf(t.names[i], sizeof(t.names[i]), "host%u", i);
	connect_peer(&t.stores[i], "meta.sock", WEFT_CTL_ROLE_STORE, t.names[i]);
	tlv_writer_init(&writer, 4096);
	tlv_put(&writer, WEFT_C_STORE_UUID, uuid, sizeof(uuid));
	tlv_put_u64(&writer, WEFT_C_STARTS, 1);
	tlv_put_u64(&writer, WEFT_C_CAPACITY, 1ull << 30);
	tlv_put_text(&writer, WEFT_C_PATH, "/srv");
	tlv_put_text(&writer, WEFT_C_ADDRESS, "127.0.0.1:7000");
	tlv_put_text(&writer, WEFT_C_LABELS, "rack=r1");
	assert_int_equal(call(&t.stores[i], &frame, &writer), WEFT_ST_OK);
	tlv_writer_free(&writer);
	assert_int_equal(tlv_u32(&(struct tlv[]){answer(WEFT_C_STORE_NR)}[0], &t.store_numbers[i]),
			 0);
	assert_int_equal(tlv_u32(&(struct tlv[]){answer(WEFT_C_HOST_NR)}[0], &t.host_numbers[i]),
			 0);
}

static void connect_all(void)
{
	struct ctl_frame watch = { .type = WEFT_CTL_WATCH_MAP, .slot = WEFT_SLOT_NONE };
	struct tlv_writer nothing;

	connect_peer(&t.admin, "run/t/admin.sock", WEFT_CTL_ROLE_CLI, "cli");
	/* Nobody leads in the first moments. */
	while (tlv_writer_init(&nothing, 64),
	       tlv_put_text(&nothing, WEFT_C_JSON, "{\"command\":\"status\"}"),
	       call(&t.admin, &(struct ctl_frame){ .type = WEFT_CTL_ADMIN, .slot = WEFT_SLOT_NONE },
		    &nothing) == WEFT_ST_NOT_LEADER)
		tlv_writer_free(&nothing);
	tlv_writer_free(&nothing);
	for (unsigned int i = 0; i < STORES; i++)
		register_store(i);
	connect_peer(&t.bridge, "meta.sock", WEFT_CTL_ROLE_BRIDGE, "client");
	tlv_writer_init(&nothing, 64);
	assert_int_equal(call(&t.bridge, &watch, &nothing), WEFT_ST_OK);
	wait_for(&t.bridge.whole_map);
}

/* ---- Requests of the bridge ---- */

static u64 session;
static u64 ended_session;
static u64 sequence;
static u64 root;

static u32 request(u16 op, bool numbered, const struct tlv_writer *writer)
{
	struct ctl_frame frame = { .type = WEFT_CTL_REQUEST,
				   .op = op,
				   .request_class = 3,
				   .session = session,
				   .slot = numbered ? 300 : WEFT_SLOT_NONE,
				   .sequence = numbered ? ++sequence : 0 };

	return call(&t.bridge, &frame, writer);
}

static u32 mount_as(u8 client)
{
	struct tlv_writer writer;
	u8 uuid[16] = { client };
	u32 status;

	tlv_writer_init(&writer, 4096);
	tlv_put_text(&writer, WEFT_P_NAME, "main");
	tlv_put(&writer, WEFT_P_CLIENT, uuid, sizeof(uuid));
	session = 0;
	status = request(WEFT_REQ_MOUNT, false, &writer);
	tlv_writer_free(&writer);
	if (!status) {
		assert_int_equal(tlv_u64(&(struct tlv[]){answer(WEFT_P_SESSION)}[0], &session), 0);
		sequence = 0;
	}
	return status;
}

static u64 make_file(const char *name)
{
	struct weft_create create = { .mode = cpu_to_le32(S_IFREG | 0644) };
	struct weft_volume_info info;
	struct weft_attr attr;
	struct tlv_writer writer;
	u32 status;

	tlv_writer_init(&writer, 4096);
	if (!root) {
		memcpy(&info, answer(WEFT_P_VOLUME).data, sizeof(info));
		root = le64_to_cpu(info.root);
	}
	tlv_put_u64(&writer, WEFT_P_PARENT, root);
	tlv_put_text(&writer, WEFT_P_NAME, name);
	tlv_put(&writer, WEFT_P_CREATE, &create, sizeof(create));
	status = request(WEFT_REQ_CREATE, true, &writer);
	tlv_writer_free(&writer);
	if (status)
		return 0;
	memcpy(&attr, answer(WEFT_P_ATTR).data, sizeof(attr));
	return le64_to_cpu(attr.ino);
}

static u32 ask_group(u8 k, u8 m)
{
	struct weft_group_want want = { .k = k, .m = m };
	struct tlv_writer writer;
	u32 status;

	tlv_writer_init(&writer, 4096);
	tlv_put(&writer, WEFT_P_WANT, &want, sizeof(want));
	status = request(WEFT_REQ_GROUP_WANT, false, &writer);
	tlv_writer_free(&writer);
	return status;
}

static u64 want_group(u8 k, u8 m)
{
	u32 status = ask_group(k, m);
	u64 group;

	if (status)
		print_message("GROUP_WANT: %.*s\n", (int)answer(WEFT_P_TEXT).len,
			      (const char *)answer(WEFT_P_TEXT).data);
	assert_int_equal(status, WEFT_ST_OK);
	assert_int_equal(tlv_u64(&(struct tlv[]){ answer(WEFT_P_GROUP) }[0], &group), 0);
	return group;
}

/*
 * One chunk in a 3+1 group whose second shard nobody has... which m = 1 does not allow; in a 1+2
 * group.
 */
static u32 write_file(u64 ino, u64 group, u8 k, u8 m, const u32 *stores, u64 offset)
{
	struct weft_commit commit = { .flags = cpu_to_le32(WEFT_CF_SIZE),
				      .size = cpu_to_le64(offset + 4096) };
	struct weft_chunk_new chunk = { .group = cpu_to_le64(group),
					.plain_len = cpu_to_le32(4096),
					.k = k,
					.m = m,
					.stored_len = cpu_to_le32(4096),
					.shard_len = cpu_to_le32(4096) };
	struct weft_extent extent = { .offset = cpu_to_le64(offset), .length = cpu_to_le64(4096) };
	struct weft_shard_new shard = { 0 };
	struct tlv_writer writer;
	static u64 counter;
	u32 status;
	u8 *at;

	chunk.sid.session = cpu_to_le64(session);
	chunk.sid.counter = cpu_to_le64(++counter);
	tlv_writer_init(&writer, WEFT_PAYLOAD_MAX);
	tlv_put_u64(&writer, WEFT_P_INO, ino);
	tlv_put(&writer, WEFT_P_COMMIT, &commit, sizeof(commit));
	at = tlv_reserve(&writer, WEFT_P_NEWCHUNK, sizeof(chunk) + (size_t)(k + m) * sizeof(shard));
	memcpy(at, &chunk, sizeof(chunk));
	for (int i = 0; i < k + m; i++) {
		shard.store = cpu_to_le32(stores[i]);
		memcpy(at + sizeof(chunk) + (size_t)i * sizeof(shard), &shard, sizeof(shard));
	}
	tlv_put(&writer, WEFT_P_EXTENTS, &extent, sizeof(extent));
	status = request(WEFT_REQ_COMMIT, true, &writer);
	tlv_writer_free(&writer);
	return status;
}

static void group_stores(u64 group, u32 *stores, unsigned int n)
{
	char command[64];
	json_t *json;

	snprintf(command, sizeof(command), "{\"command\":\"group show\",\"group\":%llu}",
		 (unsigned long long)group);
	json = admin(WEFT_ST_OK, command);
	for (unsigned int i = 0; i < n; i++)
		stores[i] =
			(u32)json_integer_value(json_array_get(json_object_get(json, "stores"), i));
	json_decref(json);
}

static void remove_file(const char *name, u64 ino)
{
	struct weft_time time = { .sec = cpu_to_le64(1) };
	struct tlv_writer writer;

	tlv_writer_init(&writer, 4096);
	tlv_put_u64(&writer, WEFT_P_PARENT, root);
	tlv_put_text(&writer, WEFT_P_NAME, name);
	tlv_put(&writer, WEFT_P_TIME, &time, sizeof(time));
	assert_int_equal(request(WEFT_REQ_UNLINK, true, &writer), WEFT_ST_OK);
	tlv_writer_reset(&writer);
	tlv_put_u64(&writer, WEFT_P_INO, ino);
	assert_int_equal(request(WEFT_REQ_FORGET, false, &writer), WEFT_ST_OK);
	tlv_writer_free(&writer);
}

/* ---- Tests: one story, in order ---- */

static void stores_register_and_a_volume_is_made(void **state)
{
	start_service();
	uv_timer_start(&t.beat, beat, 50, 50);
	connect_all();
	json_decref(admin(WEFT_ST_OK,
			  "{\"command\":\"volume create\",\"name\":\"main\",\"k\":2,\"m\":2,"
			  "\"inline_max\":8192}"));
	admin(WEFT_ST_EXIST, "{\"command\":\"volume create\",\"name\":\"main\"}");
	admin(WEFT_ST_INVAL, "{\"command\":\"volume create\",\"name\":\"x\",\"kay\":3}");
	admin(WEFT_ST_INVAL, "{\"command\":\"volume create\",\"name\":\"x\",\"k\":30,\"m\":3}");
	admin(WEFT_ST_UNKNOWN_OP, "{\"command\":\"volume explode\"}");
	admin(WEFT_ST_INVAL, "{nonsense");
	wait_until("stores", "up", STORES, STORES);
	wait_until("groups", "open", 32, 1000);
	while (t.bridge.map_groups < 32)
		uv_run(&t.loop, UV_RUN_ONCE);
}

/* What RENEW says of the volume of our session. */
static struct weft_volume_info renewed_volume(void)
{
	struct ctl_frame frame = { .type = WEFT_CTL_RENEW, .slot = WEFT_SLOT_NONE };
	struct weft_c_volume volume = { 0 };
	struct tlv_writer writer;
	struct tlv tlv;

	tlv_writer_init(&writer, 64);
	tlv_put_u64(&writer, WEFT_C_SESSION, session);
	assert_int_equal(call(&t.bridge, &frame, &writer), WEFT_ST_OK);
	tlv_writer_free(&writer);
	tlv = answer(WEFT_C_VOLUME);
	assert_int_equal(tlv.len, sizeof(volume));
	memcpy(&volume, tlv.data, sizeof(volume));
	assert_int_equal(le64_to_cpu(volume.session), session);
	return volume.info;
}

static void policies_are_changed_while_it_is_mounted(void **state)
{
	struct weft_volume_info before = renewed_volume(), after;

	assert_int_equal(le32_to_cpu(before.chunker), WEFT_CHUNKER_HYBRID);
	admin(WEFT_ST_NO_VOLUME, "{\"command\":\"volume set\",\"name\":\"x\",\"codec\":\"lz4\"}");
	admin(WEFT_ST_INVAL, "{\"command\":\"volume set\",\"name\":\"main\"}");
	admin(WEFT_ST_INVAL, "{\"command\":\"volume set\",\"name\":\"main\",\"k\":3}");
	admin(WEFT_ST_INVAL, "{\"command\":\"volume set\",\"name\":\"main\",\"level\":3}");
	json_decref(admin(WEFT_ST_OK, "{\"command\":\"volume set\",\"name\":\"main\",\"chunker\":\"cdc\","
				      "\"chunk_size\":1048576,\"codec\":\"zstd\",\"level\":5}"));
	after = renewed_volume();
	assert_int_equal(le32_to_cpu(after.chunker), WEFT_CHUNKER_CDC);
	assert_int_equal(le32_to_cpu(after.chunk_size), 1048576);
	assert_int_equal(le32_to_cpu(after.chunk_min), 65536);
	assert_int_equal(le32_to_cpu(after.codec), WEFT_CODEC_ZSTD);
	assert_int_equal(le16_to_cpu(after.codec_level), 5);
	assert_int_equal(after.k, before.k);
	assert_int_equal(after.root, before.root);
	assert_int_equal(after.inline_max, before.inline_max);
}

static void on_set(void *ctx, const struct ctl_frame *frame)
{
	unsigned int *left = ctx;

	assert_int_equal(frame->status, WEFT_ST_OK);
	got.done = !--*left;
}

static void send_set(const char *what, unsigned int *left)
{
	struct ctl_frame frame = { .type = WEFT_CTL_ADMIN, .slot = WEFT_SLOT_NONE };
	struct tlv_writer writer;
	char text[256];

	snprintf(text, sizeof(text), "{\"command\":\"volume set\",\"name\":\"main\",%s}", what);
	tlv_writer_init(&writer, 1024);
	tlv_put_text(&writer, WEFT_C_JSON, text);
	assert_int_equal(tlv_finish(&writer), 0);
	frame.payload = writer.data;
	frame.len = writer.len;
	assert_int_equal(ctl_call(t.admin.conn, &frame, on_set, left), 0);
	tlv_writer_free(&writer);
}

/* Before any of them is answered: each is made of what is there then, and all of them hold. */
static void changes_at_once_do_not_undo_each_other(void **state)
{
	static const char *const changes[][5] = {
		{ "\"chunk_size\":2097152", "\"level\":7", "\"ec_min\":131072", "\"chunk_max\":8388608",
		  "\"degraded\":\"refuse\"" },
		{ "\"chunk_size\":1048576", "\"level\":5", "\"ec_min\":65536", "\"chunk_max\":4194304",
		  "\"degraded\":\"allow\"" },
	};
	struct weft_volume_info info;

	for (unsigned int round = 0; round < 10; round++) {
		unsigned int left = 5, factor = round % 2 ? 1 : 2;

		got.done = false;
		for (unsigned int i = 0; i < 5; i++)
			send_set(changes[round % 2][i], &left);
		wait_for(&got.done);
		info = renewed_volume();
		assert_int_equal(le32_to_cpu(info.chunk_size), factor * 1048576);
		assert_int_equal(le32_to_cpu(info.chunk_max), factor * 4194304);
		assert_int_equal(le32_to_cpu(info.ec_min), factor * 65536);
		assert_int_equal(le16_to_cpu(info.codec_level), factor == 2 ? 7 : 5);
		assert_int_equal(le32_to_cpu(info.flags) & WEFT_VF_DEGRADED_REFUSE, factor == 2);
	}
}

static void a_mount_writes_and_a_missing_shard_is_rebuilt(void **state)
{
	u32 stores[4];
	u64 group, ino;

	assert_int_equal(mount_as(1), WEFT_ST_OK);
	ino = make_file("file");
	assert_true(ino);
	group = want_group(2, 2);
	group_stores(group, stores, 4);
	assert_int_equal(write_file(ino, group, 2, 2, stores, 0), WEFT_ST_OK);
	stores[3] = 0;
	assert_int_equal(write_file(ino, group, 2, 2, stores, 4096), WEFT_ST_OK);
	stores[2] = 0;
	assert_int_equal(write_file(ino, group, 2, 2, stores, 8192), WEFT_ST_NEED);
	wait_until("chunks", "with_missing_shards", 0, 0);
	assert_int_equal(t.rebuilt, 1);
	assert_int_equal(status_number("chunks", "total"), 2);
}

static bool status_says(const char *list, const char *what)
{
	json_t *json = admin(WEFT_ST_OK, "{\"command\":\"status\"}"), *text;
	bool said = false;
	size_t i;

	json_array_foreach(json_object_get(json, list), i, text)
		said |= !!strstr(json_string_value(text), what);
	json_decref(json);
	return said;
}

/* What is full is not written to; it is read, from there missing shards are rebuilt, and told. */
static void full_stores_are_read_and_not_chosen(void **state)
{
	u32 stores[4], missing = 0;
	u64 group, ino;

	ino = make_file("on full ones");
	group = want_group(2, 2);
	group_stores(group, stores, 4);
	for (unsigned int i = 0; i < 3; i++)
		t.store_status[i] = WEFT_ST_STORE_FULL;
	while (!status_says("at_risk", "the store is full"))
		uv_run(&t.loop, UV_RUN_ONCE);
	assert_true(status_says("to_do", "make room in /srv"));
	assert_int_equal(status_number("groups", "unreadable"), 0);
	assert_int_equal(status_number("stores", "up"), STORES);
	for (unsigned int i = 0; i < 4; i++)
		if (stores[i] == t.store_numbers[3])
			missing = i;
	stores[missing] = 0;
	assert_int_equal(write_file(ino, group, 2, 2, stores, 0), WEFT_ST_OK);
	wait_until("chunks", "with_missing_shards", 0, 0);
	/* One that is not full is all that there is to write to. */
	group = want_group(2, 2);
	group_stores(group, stores, 1);
	assert_int_equal(stores[0], t.store_numbers[3]);
	memset(t.store_status, 0, sizeof(t.store_status));
	while (status_says("at_risk", "the store is full"))
		uv_run(&t.loop, UV_RUN_ONCE);
	remove_file("on full ones", ino);
	wait_until("groups", "open", 32, 1000);
}

static void set_full(unsigned int store, bool full)
{
	t.store_status[store] = full ? WEFT_ST_STORE_FULL : WEFT_ST_OK;
	while (status_says("at_risk", "the store is full") != full)
		uv_run(&t.loop, UV_RUN_ONCE);
}

/* A file of one chunk whose first shard is missing and whose store for that shard is full. */
static void write_beside_a_full_store(const char *name, u8 k, u8 m, u32 *stores)
{
	u64 group = want_group(k, m), ino = make_file(name);
	u32 written[4];
	unsigned int i = 0;

	group_stores(group, stores, k + m);
	while (t.store_numbers[i] != stores[0])
		i++;
	set_full(i, true);
	memcpy(written, stores, (size_t)(k + m) * sizeof(*stores));
	written[0] = 0;
	t.rebuilt_at = 0;
	assert_int_equal(write_file(ino, group, k, m, written, 0), WEFT_ST_OK);
	wait_until("chunks", "with_missing_shards", 0, 0);
	set_full(i, false);
	remove_file(name, ino);
}

/* A full store takes what it alone can take; a shard that another one can take goes there. */
static void a_full_store_is_rebuilt_to_when_there_is_no_other(void **state)
{
	u32 stores[4];

	write_beside_a_full_store("over all", 2, 2, stores);
	assert_int_equal(t.rebuilt_at, stores[0]);
	write_beside_a_full_store("over three", 1, 2, stores);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_not_equal(t.rebuilt_at, stores[i]);
	assert_true(t.rebuilt_at);
	wait_until("groups", "open", 32, 1000);
}

/* Then what is asked for is room, not patience. */
static void full_stores_alone_are_no_space(void **state)
{
	u32 status;

	for (unsigned int i = 0; i < STORES; i++)
		t.store_status[i] = WEFT_ST_STORE_FULL;
	while (!(status = ask_group(2, 2)))
		uv_run(&t.loop, UV_RUN_ONCE);
	assert_int_equal(status, WEFT_ST_NOSPC);
	memset(t.store_status, 0, sizeof(t.store_status));
	while (status_says("at_risk", "the store is full"))
		uv_run(&t.loop, UV_RUN_ONCE);
	wait_until("groups", "open", 32, 1000);
}

static void a_second_client_waits_for_the_first_to_be_silent(void **state)
{
	u64 first = session;

	assert_int_equal(mount_as(2), WEFT_ST_VOLUME_BUSY);
	while (mount_as(2) == WEFT_ST_VOLUME_BUSY)
		uv_run(&t.loop, UV_RUN_ONCE);
	assert_true(session && session != first);
	session = ended_session = first;
	assert_int_equal(make_file("too late"), 0);
	assert_int_equal(got.status, WEFT_ST_SESSION_LOST);
	assert_int_equal(mount_as(2), WEFT_ST_OK);
	assert_int_equal(status_number(NULL, "sessions"), 1);
}

static void what_was_answered_survives_sigkill(void **state)
{
	json_int_t files;
	char name[32];
	int status;

	for (unsigned int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "many%u", i);
		assert_true(make_file(name));
	}
	files = status_number(NULL, "files");
	kill(t.pid, SIGKILL);
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	for (unsigned int i = 0; i < STORES; i++)
		t.store_numbers[i] = 0;
	while (!t.admin.closed || !t.bridge.closed || !t.stores[0].closed ||
	       !t.stores[STORES - 1].closed)
		uv_run(&t.loop, UV_RUN_ONCE);
	start_service();
	connect_all();
	assert_int_equal(status_number(NULL, "files"), files);
	/* The session lives on; its numbers too. */
	assert_true(make_file("after"));
	wait_until("stores", "up", STORES, STORES);
}

static void deleted_files_free_their_shards(void **state)
{
	u32 stores[4];
	u64 ino, group;

	ino = make_file("short-lived");
	group = want_group(1, 2);
	group_stores(group, stores, 3);
	assert_int_equal(write_file(ino, group, 1, 2, stores, 0), WEFT_ST_OK);
	remove_file("short-lived", ino);
	assert_int_equal(status_number("chunks", "total"), 2);
	wait_until("chunks", "condemned", 0, 0);
	wait_until("chunks", "deleting", 0, 0);
	assert_true(t.deleted >= 3);
}

/* Where the shard will be only the worker's answer tells. */
static void a_chunk_that_is_rebuilt_is_deleted_after_that(void **state)
{
	unsigned int before;
	u32 stores[4];
	u64 ino, group;

	t.hold = true;
	ino = make_file("rebuilt");
	group = want_group(2, 2);
	group_stores(group, stores, 4);
	stores[3] = 0;
	assert_int_equal(write_file(ino, group, 2, 2, stores, 0), WEFT_ST_OK);
	while (!t.held_by)
		uv_run(&t.loop, UV_RUN_ONCE);
	remove_file("rebuilt", ino);
	wait_until("chunks", "deleting", 1, 1);
	/* Others are deleted meanwhile, it is not. */
	before = t.deleted;
	ino = make_file("another");
	group = want_group(1, 2);
	group_stores(group, stores, 3);
	assert_int_equal(write_file(ino, group, 1, 2, stores, 0), WEFT_ST_OK);
	remove_file("another", ino);
	while (t.deleted < before + 3)
		uv_run(&t.loop, UV_RUN_ONCE);
	wait_until("chunks", "condemned", 0, 0);
	wait_until("chunks", "deleting", 1, 1);
	assert_int_equal(t.deleted, before + 3);
	store_task(t.held_by, &t.held);
	free((void *)t.held.payload);
	wait_until("chunks", "deleting", 0, 0);
	assert_int_equal(t.deleted, before + 7);
}

/* CREATE with a number of its own choice. */
static u32 make_numbered(u32 slot, u64 number, const char *name)
{
	struct ctl_frame frame = { .type = WEFT_CTL_REQUEST, .op = WEFT_REQ_CREATE,
				   .request_class = 3, .session = session, .slot = slot,
				   .sequence = number };
	struct weft_create create = { .mode = cpu_to_le32(S_IFREG | 0644) };
	struct tlv_writer writer;
	u32 status;

	tlv_writer_init(&writer, 4096);
	tlv_put_u64(&writer, WEFT_P_PARENT, root);
	tlv_put_text(&writer, WEFT_P_NAME, name);
	tlv_put(&writer, WEFT_P_CREATE, &create, sizeof(create));
	status = call(&t.bridge, &frame, &writer);
	tlv_writer_free(&writer);
	return status;
}

static u32 fill_file(u64 ino)
{
	struct weft_commit commit = { .flags = cpu_to_le32(WEFT_CF_SIZE | WEFT_CF_INLINE),
				      .size = cpu_to_le64(8192) };
	static const u8 data[8192];
	struct tlv_writer writer;
	u32 status;

	tlv_writer_init(&writer, WEFT_PAYLOAD_MAX);
	tlv_put_u64(&writer, WEFT_P_INO, ino);
	tlv_put(&writer, WEFT_P_COMMIT, &commit, sizeof(commit));
	tlv_put(&writer, WEFT_P_DATA, data, sizeof(data));
	status = request(WEFT_REQ_COMMIT, true, &writer);
	tlv_writer_free(&writer);
	return status;
}

static void set_bool(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* The service commits, and looks at its disk, when nothing has come for a moment. */
static void leave_it_alone(void)
{
	bool over = false;
	uv_timer_t timer;

	uv_timer_init(&t.loop, &timer);
	timer.data = &over;
	uv_timer_start(&timer, set_bool, 250, 0);
	wait_for(&over);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&t.loop, UV_RUN_NOWAIT);
}

static void a_full_disk_refuses_what_is_new_and_answers_repeats(void **state)
{
	struct weft_attr attr, again;
	u64 ino, living = session;
	char name[32];

	assert_int_equal(make_numbered(301, 1, "before"), WEFT_ST_OK);
	memcpy(&attr, answer(WEFT_P_ATTR).data, sizeof(attr));
	for (unsigned int i = 0;; i++) {
		snprintf(name, sizeof(name), "filler%u", i);
		ino = make_file(name);
		if (!ino || fill_file(ino))
			break;
		assert_in_range(i, 0, 2000);
		if (i % 32 == 31)
			leave_it_alone();
	}
	assert_int_equal(got.status, WEFT_ST_META_FULL);
	/* A connection that broke before the answer came: the kernel's bridge asks again. */
	assert_int_equal(make_numbered(301, 1, "before"), WEFT_ST_OK);
	memcpy(&again, answer(WEFT_P_ATTR).data, sizeof(again));
	assert_int_equal(again.ino, attr.ino);
	assert_int_equal(make_numbered(301, 2, "new"), WEFT_ST_META_FULL);
	assert_int_equal(make_numbered(302, 1, "new"), WEFT_ST_META_FULL);
	assert_int_equal(make_numbered(301, 1, "before"), WEFT_ST_OK);
	/* Not what room would help. */
	session = ended_session;
	assert_int_equal(make_numbered(301, 1, "late"), WEFT_ST_SESSION_LOST);
	session = living;
}

static void a_silent_host_is_down_and_narrow_groups_are_made(void **state)
{
	struct tlv_writer writer;
	u64 group;
	u32 stores[3];

	ctl_close(t.stores[3].conn);
	t.store_numbers[3] = 0;
	wait_until("stores", "up", STORES - 1, STORES - 1);
	group = want_group(2, 2);
	group_stores(group, stores, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(stores[i] && stores[i] != 4);
	tlv_writer_init(&writer, 64);
	assert_int_equal(request(WEFT_REQ_STATFS, false, &writer), WEFT_ST_OK);
	assert_int_equal(request(WEFT_REQ_UMOUNT, false, &writer), WEFT_ST_OK);
	assert_int_equal(request(WEFT_REQ_UMOUNT, false, &writer), WEFT_ST_OK);
	tlv_writer_free(&writer);
	json_decref(admin(WEFT_ST_OK, "{\"command\":\"host list\"}"));
	json_decref(admin(WEFT_ST_OK, "{\"command\":\"store list\"}"));
	json_decref(admin(WEFT_ST_OK, "{\"command\":\"session list\"}"));
	json_decref(admin(WEFT_ST_OK, "{\"command\":\"group list\"}"));
	json_decref(admin(WEFT_ST_OK, "{\"command\":\"volume show\",\"name\":\"main\"}"));
	json_decref(admin(WEFT_ST_OK, "{\"command\":\"monitor\",\"after\":0}"));
}

static void sigterm_ends_it_in_order(void **state)
{
	int status;

	kill(t.pid, SIGTERM);
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	t.pid = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int group_setup(void **state)
{
	snprintf(t.dir, sizeof(t.dir), "/tmp/weft-service-XXXXXX");
	if (!mkdtemp(t.dir))
		return -1;
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&t.loop);
	uv_timer_init(&t.loop, &t.beat);
	return 0;
}

static int group_teardown(void **state)
{
	char command[128];

	if (t.pid > 0) {
		kill(t.pid, SIGKILL);
		waitpid(t.pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", t.dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_register_and_a_volume_is_made),
		cmocka_unit_test(a_mount_writes_and_a_missing_shard_is_rebuilt),
		cmocka_unit_test(policies_are_changed_while_it_is_mounted),
		cmocka_unit_test(changes_at_once_do_not_undo_each_other),
		cmocka_unit_test(full_stores_are_read_and_not_chosen),
		cmocka_unit_test(a_full_store_is_rebuilt_to_when_there_is_no_other),
		cmocka_unit_test(full_stores_alone_are_no_space),
		cmocka_unit_test(a_second_client_waits_for_the_first_to_be_silent),
		cmocka_unit_test(what_was_answered_survives_sigkill),
		cmocka_unit_test(deleted_files_free_their_shards),
		cmocka_unit_test(a_chunk_that_is_rebuilt_is_deleted_after_that),
		cmocka_unit_test(a_full_disk_refuses_what_is_new_and_answers_repeats),
		cmocka_unit_test(a_silent_host_is_down_and_narrow_groups_are_made),
		cmocka_unit_test(sigterm_ends_it_in_order),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
