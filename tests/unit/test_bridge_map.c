// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_bridge_map.c - maps that a metadata server should never send
 *
 * No kernel: what it would be told is made, and goes nowhere.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bridge/bridge.h"

#define MESSAGE (64u * 1024)

static int setup(void **state)
{
	struct bridge *bridge = calloc(1, sizeof(*bridge));

	assert_non_null(bridge);
	bridge->nl.tx = malloc(MESSAGE);
	assert_non_null(bridge->nl.tx);
	bridge->leader.ready = true;
	*state = bridge;
	return 0;
}

static int teardown(void **state)
{
	struct bridge *bridge = *state;

	bridge_map_free(bridge);
	free(bridge->nl.tx);
	free(bridge);
	return 0;
}

static void put_host(struct tlv_writer *writer, uint32_t number, const char *name)
{
	struct weft_c_host head = { htole32(number), htole32(1) };
	size_t len = strlen(name) + 1;
	uint8_t *at = tlv_reserve(writer, WEFT_C_HOST, sizeof(head) + len);

	assert_non_null(at);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), name, len);
}

static void put_store(struct tlv_writer *writer, uint32_t host, uint32_t store)
{
	struct weft_c_store record = { .store = htole32(store), .host = htole32(host) };

	tlv_put(writer, WEFT_C_STORE, &record, sizeof(record));
}

/*
 * A host is told of with all its stores in one message: no more than that holds are known. The rest
 * of the map is as good as before.
 */
static void a_host_has_only_so_many_stores(void **state)
{
	struct bridge *bridge = *state;
	struct tlv_writer writer;

	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	put_host(&writer, 1, "one");
	for (uint32_t i = 1; i <= 20000; i++)
		put_store(&writer, 1, i);
	put_host(&writer, 2, "two");
	put_store(&writer, 2, 30000);
	assert_int_equal(tlv_finish(&writer), 0);
	bridge_map_update(bridge, writer.data, writer.len);
	tlv_writer_free(&writer);
	assert_true(bridge->leader.ready);
	assert_int_equal(bridge_map_host(bridge, 1)->n_stores, 4096);
	assert_non_null(bridge_map_host(bridge, 2));
	assert_int_equal(bridge_map_host(bridge, 2)->n_stores, 1);
	assert_true(bridge->nl.msg->nlmsg_len <= MESSAGE);
}

/* Cut short, without its NUL, of a host that is not known: the server is left, nothing breaks. */
static void what_is_malformed_is_not_believed(void **state)
{
	struct bridge *bridge = *state;
	struct tlv_writer writer;
	struct weft_c_group group = { .k = 30, .m = 30 };

	for (unsigned int i = 0; i < 4; i++) {
		tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
		if (i == 0)
			tlv_put(&writer, WEFT_C_HOST, "\1\0\0\0\1\0\0\0x", 9);
		else if (i == 1)
			tlv_put(&writer, WEFT_C_HOST, "\1\0\0", 3);
		else if (i == 2)
			put_store(&writer, 77, 1);
		else
			tlv_put(&writer, WEFT_C_GROUP, &group, sizeof(group));
		bridge->leader.ready = true;
		bridge_map_update(bridge, writer.data, writer.len);
		assert_false(bridge->leader.ready);
		tlv_writer_free(&writer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_host_has_only_so_many_stores, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_malformed_is_not_believed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
