// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The chunk protocol's frames: what is written is read back, every damaged bit is seen, each operation's rules hold,
 * ranges are clamped, HELLO agrees on the smaller of both sides.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "chunk/crc32c.h"
#include "node/wire.h"
#include "weft_status.h"

#define ANY_PAYLOAD WEFT_WIRE_PAYLOAD_MAX

static struct weft_wire_frame shard_frame(u8 op)
{
	struct weft_wire_frame frame = {
		.op = op,
		.request_id = 0x1122334455667788,
		.store = 7,
		.group = 9,
		.session = 11,
		.counter = 13,
		.index = 3,
	};

	return frame;
}

static struct weft_wire_frame put_frame(u32 shard_len)
{
	struct weft_wire_frame frame = shard_frame(WEFT_OP_PUT);

	weft_wire_frame_put(&frame, sizeof(struct weft_shard_header), shard_len);
	return frame;
}

static struct weft_wire_frame get_frame(u64 offset, u32 length, u16 flags)
{
	struct weft_wire_frame frame = shard_frame(WEFT_OP_GET);

	frame.offset = offset;
	frame.length = length;
	frame.flags = flags;
	return frame;
}

static struct weft_wire_frame get_reply_frame(u64 offset, u32 length, u32 shard_len, u32 head_len)
{
	struct weft_wire_frame frame = get_frame(offset, length, WEFT_WIRE_REPLY);

	if (head_len)
		frame.flags |= WEFT_WIRE_GET_HEADER;
	frame.shard_len = shard_len;
	frame.head_len = head_len;
	frame.crc_len = weft_wire_crc_len(length);
	frame.payload_len = head_len + length + frame.crc_len;
	return frame;
}

static int decode_as(const struct weft_wire_frame *frame, bool reply, struct weft_wire_frame *out)
{
	struct weft_wire_header header;
	const char *why = NULL;
	int err;

	weft_wire_header_encode(&header, frame);
	err = weft_wire_header_decode(out, &header, reply, ANY_PAYLOAD, &why);
	assert_true((err != 0) == (why != NULL));
	return err;
}

static int decode(const struct weft_wire_frame *frame)
{
	struct weft_wire_frame out;
	int err = decode_as(frame, frame->flags & WEFT_WIRE_REPLY, &out);

	if (!err)
		assert_memory_equal(&out, frame, sizeof(out));
	return err;
}

static void every_operation_survives_encode_and_decode(void **state)
{
	struct weft_wire_frame frames[] = {
		{.op = WEFT_OP_HELLO, .payload_len = 64, .payload_crc = 5},
		{.op = WEFT_OP_HELLO, .flags = WEFT_WIRE_REPLY, .payload_len = 64, .usec = 1},
		{.op = WEFT_OP_PING, .request_id = ~0ull},
		{.op = WEFT_OP_PING, .flags = WEFT_WIRE_REPLY},
		put_frame(64),
		put_frame(4096),
		put_frame(WEFT_SHARD_LEN_MAX),
		put_frame(100 * 4096),
		get_frame(0, 1, 0),
		get_frame(8192, ~0u, WEFT_WIRE_GET_HEADER),
		get_frame(1ull << 40, 4096, 0),
		get_reply_frame(0, 64, 64, 0),
		get_reply_frame(4096, 8192, 3 * 4096, 128),
		get_reply_frame(4096, 64, 4160, 640),
		shard_frame(WEFT_OP_STAT),
		shard_frame(WEFT_OP_DEL),
		shard_frame(WEFT_OP_VERIFY),
		{.op = WEFT_OP_LIST, .store = 1, .group = 2},
		{.op = WEFT_OP_LIST,
		 .store = 1,
		 .group = 2,
		 .session = 5,
		 .counter = 6,
		 .index = 31},
		{.op = WEFT_OP_LIST,
		 .flags = WEFT_WIRE_REPLY | WEFT_WIRE_MORE,
		 .store = 1,
		 .group = 2,
		 .payload_len = 48,
		 .payload_crc = 77},
		{.op = WEFT_OP_DIGEST, .store = 1, .group = 2},
		{.op = WEFT_OP_DIGEST,
		 .flags = WEFT_WIRE_REPLY,
		 .store = 1,
		 .group = 2,
		 .payload_len = 32},
	};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		if (decode(&frames[i]))
			fail_msg("frame %zu was refused", i);
}

static void refusals_carry_only_names(void **state)
{
	struct weft_wire_frame request = put_frame(4096), answer;

	weft_wire_frame_reply(&answer, &request, WEFT_ST_STORE_FULL);
	assert_int_equal(decode(&answer), 0);
	assert_true(weft_wire_frame_answers(&answer, &request));
	answer = get_reply_frame(0, 64, 64, 0);
	answer.status = WEFT_ST_ABSENT;
	assert_int_equal(decode(&answer), -EPROTO);
}

static void each_flipped_bit_is_seen(void **state)
{
	struct weft_wire_frame frame = put_frame(4096), out;
	struct weft_wire_header header;

	weft_wire_header_encode(&header, &frame);
	for (size_t bit = 0; bit < sizeof(header) * 8; bit++) {
		((u8 *)&header)[bit / 8] ^= 1u << (bit % 8);
		assert_int_equal(weft_wire_header_decode(&out, &header, false, ANY_PAYLOAD, NULL),
				 -EPROTO);
		((u8 *)&header)[bit / 8] ^= 1u << (bit % 8);
	}
	assert_int_equal(weft_wire_header_decode(&out, &header, false, ANY_PAYLOAD, NULL), 0);
}

/* As a peer would that computes the checksum right but sets what must not be set. */
static int decode_changed(size_t offset, u8 value, bool reply)
{
	struct weft_wire_frame frame = put_frame(4096), out;
	struct weft_wire_header header;

	weft_wire_header_encode(&header, &frame);
	((u8 *)&header)[offset] = value;
	header.crc = 0;
	header.crc = cpu_to_le32(weft_crc32c(0, &header, sizeof(header)));
	return weft_wire_header_decode(&out, &header, reply, ANY_PAYLOAD, NULL);
}

static void foreign_headers_are_refused(void **state)
{
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
			decode_changed(offsetof(struct weft_wire_header, reserved0) + i, 1, false),
			-EPROTO);
	for (size_t i = 0; i < 36; i++)
		assert_int_equal(
			decode_changed(offsetof(struct weft_wire_header, reserved1) + i, 1, false),
			-EPROTO);
	assert_int_equal(decode_changed(0, 'X', false), -EPROTO);
	assert_int_equal(decode_changed(offsetof(struct weft_wire_header, version), 2, false),
			 -EPROTONOSUPPORT);
	assert_int_equal(decode_changed(offsetof(struct weft_wire_header, op), 0, false),
			 -EOPNOTSUPP);
	assert_int_equal(decode_changed(offsetof(struct weft_wire_header, op), WEFT_OP_NR, false),
			 -EOPNOTSUPP);
	assert_int_equal(
		decode_changed(offsetof(struct weft_wire_header, flags), WEFT_WIRE_MORE, false),
		-EBADRQC);
	assert_int_equal(decode_changed(offsetof(struct weft_wire_header, flags) + 1, 0x80, false),
			 -EBADRQC);
	assert_int_equal(
		decode_changed(offsetof(struct weft_wire_header, flags), WEFT_WIRE_REPLY, false),
		-EPROTO);
	assert_int_equal(decode_changed(0, 'g', true), -EPROTO);
	assert_int_equal(decode_changed(offsetof(struct weft_wire_header, status), 1, false),
			 -EBADRQC);
	assert_int_equal(decode_changed(offsetof(struct weft_wire_header, usec), 1, false),
			 -EBADRQC);
	assert_int_equal(decode_changed(offsetof(struct weft_wire_header, index), 32, false),
			 -EBADRQC);
}

static void rules_of_each_operation_hold(void **state)
{
	struct {
		const char *what;
		struct weft_wire_frame frame;
	} bad[] = {
		{"PUT without store", put_frame(4096)},
		{"PUT without group", put_frame(4096)},
		{"PUT without sid", put_frame(4096)},
		{"PUT of part of a shard", put_frame(8192)},
		{"PUT of an odd length", put_frame(4097)},
		{"PUT of 128 bytes above a frame", put_frame(131072 + 128)},
		{"PUT with a short head", put_frame(4096)},
		{"PUT with a long head", put_frame(4096)},
		{"PUT with wrong crc_len", put_frame(4096)},
		{"PUT with wrong payload_len", put_frame(4096)},
		{"PUT with payload_crc", put_frame(4096)},
		{"PUT at an offset", put_frame(4096)},
		{"GET of nothing", get_frame(0, 0, 0)},
		{"GET at an odd offset", get_frame(64, 64, 0)},
		{"GET with payload", get_frame(0, 64, 0)},
		{"PING with a store", {.op = WEFT_OP_PING, .store = 1}},
		{"HELLO too short", {.op = WEFT_OP_HELLO, .payload_len = 63}},
		{"STAT with length", shard_frame(WEFT_OP_STAT)},
		{"DEL without sid", shard_frame(WEFT_OP_DEL)},
		{"DIGEST with sid", shard_frame(WEFT_OP_DIGEST)},
		{"LIST without group", {.op = WEFT_OP_LIST, .store = 1}},
	};

	bad[0].frame.store = 0;
	bad[1].frame.group = 0;
	bad[2].frame.session = bad[2].frame.counter = 0;
	bad[3].frame.length = 4096;
	bad[6].frame.head_len = 124;
	bad[7].frame.head_len = WEFT_SHARD_HEADER_MAX + 4;
	bad[7].frame.payload_len += bad[7].frame.head_len - 128;
	bad[8].frame.crc_len += 4;
	bad[8].frame.payload_len += 4;
	bad[9].frame.payload_len--;
	bad[10].frame.payload_crc = 1;
	bad[11].frame.offset = 4096;
	bad[14].frame.payload_len = 4;
	bad[17].frame.length = 1;
	bad[18].frame.session = bad[18].frame.counter = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (decode(&bad[i].frame) != -EBADRQC)
			fail_msg("%s was not refused", bad[i].what);
}

static void answers_that_break_rules_end_the_connection(void **state)
{
	struct weft_wire_frame bad[] = {
		get_reply_frame(0, 100, 4096, 0), /* ends inside of a block that is not the last */
		get_reply_frame(4096, 4096, 4096, 0), /* runs past the shard */
		get_reply_frame(0, 4096, 4096, 124),
		get_reply_frame(0, 4096, 4096, 128),
		{.op = WEFT_OP_LIST,
		 .flags = WEFT_WIRE_REPLY,
		 .store = 1,
		 .group = 2,
		 .payload_len = 25},
		{.op = WEFT_OP_NR, .flags = WEFT_WIRE_REPLY},
	};

	bad[3].flags &= ~WEFT_WIRE_GET_HEADER;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (decode(&bad[i]) != -EPROTO)
			fail_msg("answer %zu was not refused", i);
}

static void payload_limit_is_enforced(void **state)
{
	struct weft_wire_frame frame = put_frame(8192), out;
	struct weft_wire_header header;

	weft_wire_header_encode(&header, &frame);
	assert_int_equal(weft_wire_header_decode(&out, &header, false, frame.payload_len, NULL), 0);
	assert_int_equal(weft_wire_header_decode(&out, &header, false, frame.payload_len - 1, NULL),
			 -EMSGSIZE);
	frame = put_frame(WEFT_SHARD_LEN_MAX);
	weft_wire_frame_put(&frame, WEFT_SHARD_HEADER_MAX, WEFT_SHARD_LEN_MAX);
	assert_int_equal(frame.payload_len, WEFT_WIRE_PAYLOAD_MAX);
	assert_int_equal(decode(&frame), 0);
}

static void ranges_are_clamped_to_blocks_and_the_end(void **state)
{
	assert_int_equal(weft_wire_range_clamp(0, 1, 8192), 4096);
	assert_int_equal(weft_wire_range_clamp(0, 4097, 8192), 8192);
	assert_int_equal(weft_wire_range_clamp(0, 64, 64), 64);
	assert_int_equal(weft_wire_range_clamp(0, 1, 64), 64);
	assert_int_equal(weft_wire_range_clamp(4096, 1, 4160), 64);
	assert_int_equal(weft_wire_range_clamp(0, 4095, 4160), 4096);
	assert_int_equal(weft_wire_range_clamp(4096, ~0u, 8192), 4096);
	assert_int_equal(weft_wire_range_clamp(8192, 4096, 8192), 0);
	assert_int_equal(weft_wire_range_clamp(~0ull, 4096, 8192), 0);
	assert_int_equal(weft_wire_crc_len(0), 4);
	assert_int_equal(weft_wire_crc_len(1), 8);
	assert_int_equal(weft_wire_crc_len(4096), 8);
	assert_int_equal(weft_wire_crc_len(4097), 12);
}

static void answers_must_match_their_request(void **state)
{
	struct weft_wire_frame request = get_frame(4096, 5000, 0);
	struct weft_wire_frame answer = get_reply_frame(4096, 8192, 4096 * 8, 0);
	struct weft_wire_frame other;

	assert_true(weft_wire_frame_answers(&answer, &request));
	other = answer;
	other.counter++;
	assert_false(weft_wire_frame_answers(&other, &request));
	other = answer;
	other.request_id++;
	assert_false(weft_wire_frame_answers(&other, &request));
	other = get_reply_frame(4096, 4096, 4096 * 8, 0);
	assert_false(weft_wire_frame_answers(&other, &request));
	other = get_reply_frame(4096, 8192, 4096 * 8, 128);
	assert_false(weft_wire_frame_answers(&other, &request));
	other = get_reply_frame(4096, 4096, 8192, 0);
	assert_true(weft_wire_frame_answers(&other, &request));
}

static struct weft_wire_greeting greeting_sample(void)
{
	struct weft_wire_greeting greeting = {
		.cluster = "fifteen bytes..",
		.incarnation = 3,
		.version_min = 1,
		.version_max = 4,
		.role = WEFT_ROLE_CLIENT,
		.features = 6,
		.in_flight = 64,
		.payload_max = 1 << 20,
		.host = 12,
	};

	return greeting;
}

static void hello_agrees_on_the_smaller(void **state)
{
	struct weft_wire_greeting ours = greeting_sample(), theirs = greeting_sample(), agreed,
				  back;
	struct weft_wire_hello hello, again;

	weft_wire_hello_encode(&hello, &ours);
	assert_int_equal(weft_wire_hello_decode(&back, &hello, NULL), 0);
	/* Through the wire form: the greeting has padding of its own. */
	weft_wire_hello_encode(&again, &back);
	assert_memory_equal(&again, &hello, sizeof(again));

	theirs.features = 3;
	theirs.in_flight = 10;
	theirs.version_max = 2;
	theirs.role = WEFT_ROLE_META;
	theirs.incarnation = 4;
	assert_int_equal(weft_wire_hello_agree(&agreed, &ours, &theirs), WEFT_ST_OK);
	assert_int_equal(agreed.features, 2);
	assert_int_equal(agreed.in_flight, 10);
	assert_int_equal(agreed.version_min, 2);
	assert_int_equal(agreed.version_max, 2);
	assert_int_equal(agreed.role, WEFT_ROLE_META);

	theirs.incarnation = 2;
	assert_int_equal(weft_wire_hello_agree(&agreed, &ours, &theirs), WEFT_ST_OLD_INCARNATION);
	theirs.cluster[15] ^= 1;
	assert_int_equal(weft_wire_hello_agree(&agreed, &ours, &theirs), WEFT_ST_WRONG_CLUSTER);
	theirs = greeting_sample();
	theirs.version_min = theirs.version_max = 5;
	assert_int_equal(weft_wire_hello_agree(&agreed, &ours, &theirs), WEFT_ST_VERSION);
}

static void impossible_hellos_are_refused(void **state)
{
	struct weft_wire_greeting good = greeting_sample(), bad[6], out;
	struct weft_wire_hello hello;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].version_min = 0;
	bad[1].version_min = 5;
	bad[2].role = 0;
	bad[3].role = 4;
	bad[4].in_flight = 0;
	bad[5].payload_max = 63;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		weft_wire_hello_encode(&hello, &bad[i]);
		assert_int_equal(weft_wire_hello_decode(&out, &hello, NULL), -EPROTO);
	}
	weft_wire_hello_encode(&hello, &good);
	hello.reserved1[19] = 1;
	assert_int_equal(weft_wire_hello_decode(&out, &hello, NULL), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_survives_encode_and_decode),
		cmocka_unit_test(refusals_carry_only_names),
		cmocka_unit_test(each_flipped_bit_is_seen),
		cmocka_unit_test(foreign_headers_are_refused),
		cmocka_unit_test(rules_of_each_operation_hold),
		cmocka_unit_test(answers_that_break_rules_end_the_connection),
		cmocka_unit_test(payload_limit_is_enforced),
		cmocka_unit_test(ranges_are_clamped_to_blocks_and_the_end),
		cmocka_unit_test(answers_must_match_their_request),
		cmocka_unit_test(hello_agrees_on_the_smaller),
		cmocka_unit_test(impossible_hellos_are_refused),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
