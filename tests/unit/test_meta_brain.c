// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_brain.c - what others can make the metadata service keep, by asking or by coming and going
 *
 * The brain's functions are called as its thread would; nothing is written anywhere, the catalog is
 * made by hand. What goes to the loop thread stands in a queue, and is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster/detector.h"
#include "meta/service.h"

#define HOSTS   20u
#define SESSION 77u
#define VOLUME  1u
#define K       2u
#define M       1u

struct fixture {
	struct meta_service service;
	struct meta_brain brain;
	struct meta_client client;
};

static void *one(size_t size)
{
	void *made = calloc(1, size);

	assert_non_null(made);
	return made;
}

/* Each host with one store, up and empty. */
static void make_stores(struct meta_catalog *catalog)
{
	catalog->hosts = one((HOSTS + 1) * sizeof(*catalog->hosts));
	catalog->stores = one((HOSTS + 1) * sizeof(*catalog->stores));
	catalog->n_hosts = catalog->n_stores = HOSTS + 1;
	for (u32 i = 1; i <= HOSTS; i++) {
		catalog->hosts[i] = one(sizeof(**catalog->hosts));
		catalog->hosts[i]->host = i;
		catalog->hosts[i]->state = WEFT_HOST_UP;
		catalog->hosts[i]->changed = 1;
		for (unsigned int n = 0; n < META_HOST_ADDRESS; n++)
			catalog->hosts[i]->strings[n] = one(1);
		catalog->stores[i] = one(sizeof(**catalog->stores));
		*catalog->stores[i] = (struct cat_store){ .store = i, .host = i, .changed = 1,
							   .capacity = 1ull << 40, .free = 1ull << 40,
							   .beaten = true };
	}
}

static void make_volume(struct meta_catalog *catalog)
{
	catalog->volumes = one((VOLUME + 1) * sizeof(*catalog->volumes));
	catalog->n_volumes = VOLUME + 1;
	catalog->volumes[VOLUME] = one(sizeof(**catalog->volumes));
	catalog->volumes[VOLUME]->volume = VOLUME;
	catalog->volumes[VOLUME]->name = strdup("main");
	catalog->volumes[VOLUME]->info.k = cpu_to_le32(K);
	catalog->volumes[VOLUME]->info.m = cpu_to_le32(M);
	catalog->sessions = one(sizeof(*catalog->sessions));
	catalog->n_sessions = 1;
	catalog->sessions[0] = (struct cat_session){ .session = SESSION, .volume = VOLUME };
}

static int setup(void **state)
{
	static const struct detector_config config = { .heartbeat_ns = 1, .suspect_ns = 2,
						       .down_ns = 3 };
	struct fixture *f = one(sizeof(*f));

	assert_int_equal(uv_loop_init(&f->service.loop), 0);
	uv_async_init(&f->service.loop, &f->service.inbox_async, NULL);
	meta_queue_init(&f->service.inbox);
	f->service.brain = &f->brain;
	f->brain.service = &f->service;
	f->brain.leader = true;
	f->brain.detector = detector_new(&config);
	f->client = (struct meta_client){ .service = &f->service, .refs = 1 };
	make_stores(&f->brain.catalog);
	make_volume(&f->brain.catalog);
	assert_int_equal(meta_map_init(&f->brain), 0);
	assert_int_equal(meta_pool_init(&f->brain), 0);
	*state = f;
	return 0;
}

/* The loop thread has taken what the brain left. Returns how many that were. */
static unsigned int drain(struct fixture *f)
{
	struct meta_op *op = meta_queue_take(&f->service.inbox, 0), *next;
	unsigned int n = 0;

	for (; op; op = next, n++) {
		next = op->next;
		meta_service_finish(&f->service, op);
	}
	return n;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	drain(f);
	meta_map_free(&f->brain);
	meta_pool_free(&f->brain);
	catalog_free(&f->brain.catalog);
	detector_free(f->brain.detector);
	meta_queue_destroy(&f->service.inbox);
	uv_close((uv_handle_t *)&f->service.inbox_async, NULL);
	uv_run(&f->service.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->service.loop), 0);
	free(f);
	return 0;
}

/* ---- Groups ---- */

/* GROUP_WANT by a mount that would have these stores alone. */
static struct meta_op *want(struct fixture *f, u32 a, u32 b, u32 c)
{
	struct meta_op *op = meta_op_alloc(meta_run_group_want);

	assert_non_null(op);
	op->client = &f->client;
	f->client.refs++;
	f->client.waiting++;
	op->finish = meta_server_reply;
	op->frame.session = SESSION;
	op->ask.want_k = K;
	op->ask.want_m = M;
	for (u32 i = 1; i <= HOSTS; i++)
		if (i != a && i != b && i != c)
			op->ask.avoid[op->ask.avoids++] = i;
	op->step = META_DONE;
	op->run(&f->brain, op);
	return op;
}

/* What applying the entry does to the catalog. */
static void add_group(struct fixture *f, const struct meta_op *op)
{
	struct meta_catalog *catalog = &f->brain.catalog;
	struct cat_group *group = one(sizeof(*group));
	const u8 *body = op->entry.data + sizeof(struct weft_m_entry);
	struct weft_e_group made;
	__le32 store;

	memcpy(&made, body, sizeof(made));
	group->k = made.k;
	group->m = made.m;
	group->domain = le64_to_cpu(made.domain);
	group->flags = le16_to_cpu(made.flags);
	for (unsigned int i = 0; i < (unsigned int)made.k + made.m; i++) {
		memcpy(&store, body + sizeof(made) + i * sizeof(store), sizeof(store));
		group->stores[i] = le32_to_cpu(store);
	}
	if (!catalog->n_groups)
		catalog->n_groups = 1;
	catalog->groups = realloc(catalog->groups, (catalog->n_groups + 1) * sizeof(group));
	catalog->groups[0] = NULL;
	group->group = catalog->n_groups;
	group->changed = ++catalog->version;
	catalog->groups[catalog->n_groups++] = group;
}

/* The entry was applied. */
static void applied(struct fixture *f, struct meta_op *op)
{
	assert_int_equal(op->step, META_SUBMIT);
	add_group(f, op);
	op->outcome.number = f->brain.catalog.n_groups - 1;
	op->outcome.status = WEFT_ST_OK;
	op->step = META_DONE;
	op->run(&f->brain, op);
}

static u64 answered(const struct meta_op *op)
{
	struct tlv known[64];
	u64 group;

	assert_int_equal(op->outcome.status, WEFT_ST_OK);
	assert_int_equal(tlv_collect(op->outcome.answer.data, op->outcome.answer.len, known, 64,
				     false),
			 0);
	assert_int_equal(tlv_u64(&known[WEFT_P_GROUP], &group), 0);
	return group;
}

/* Which stores the mount reaches is another choice each time. */
static void a_mount_cannot_make_groups_without_end(void **state)
{
	struct fixture *f = *state;
	struct meta_op *op;
	u64 group;

	for (u32 a = 1; a <= HOSTS; a++)
		for (u32 b = a + 1; b <= HOSTS; b++)
			for (u32 c = b + 1; c <= HOSTS; c++) {
				op = want(f, a, b, c);
				if (op->step == META_SUBMIT)
					applied(f, op);
				group = answered(op);
				assert_in_range(group, 1, f->brain.catalog.n_groups - 1);
				meta_service_finish(&f->service, op);
			}
	/* 1140 choices; a store has 100 slots. */
	assert_in_range(f->brain.catalog.n_groups - 1, HOSTS * 100 / (K + M) - 1,
			HOSTS * 100 / (K + M));
	assert_int_equal(f->client.waiting, 0);
}

/* Entries that are not applied yet count; what came to nothing does not. */
static void many_at_once_make_no_more(void **state)
{
	struct fixture *f = *state;
	struct meta_op *ops[1000];
	unsigned int submitted = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		ops[i] = want(f, 1 + i % 7, 8 + i % 5, 13 + i % 8);
		if (ops[i]->step == META_SUBMIT)
			submitted++;
		else
			assert_int_equal(ops[i]->outcome.status, WEFT_ST_OVERLOADED);
	}
	assert_int_equal(submitted, HOSTS * 100 / (K + M));
	for (unsigned int i = 0; i < 1000; i++)
		meta_service_finish(&f->service, ops[i]);
	ops[0] = want(f, 1, 2, 3);
	assert_int_equal(ops[0]->step, META_SUBMIT);
	meta_service_finish(&f->service, ops[0]);
	assert_int_equal(f->client.waiting, 0);
}

/* The pool closes what only this mount has a use for; that does not make another one. */
static void a_closed_group_that_fits_is_taken(void **state)
{
	struct fixture *f = *state;
	struct meta_op *op = want(f, 4, 9, 14);
	u64 group;

	applied(f, op);
	group = answered(op);
	meta_service_finish(&f->service, op);
	f->brain.catalog.groups[group]->flags &= (u16)~WEFT_GF_OPEN;
	op = want(f, 4, 9, 14);
	assert_int_equal(op->step, META_DONE);
	assert_int_equal(answered(op), group);
	meta_service_finish(&f->service, op);
}

/* A rack of a hundred stores is out of reach of the mount: that is no malformed request. */
static void a_long_list_of_stores_is_cut(void **state)
{
	struct weft_group_want want = { .k = K, .m = M };
	struct meta_buffer entry = { 0 };
	struct tlv_writer writer;
	struct meta_ask ask = { 0 };
	__le32 stores[1024];
	const char *why;

	for (u32 i = 0; i < ARRAY_SIZE(stores); i++)
		stores[i] = cpu_to_le32(i + 1);
	tlv_writer_init(&writer, WEFT_PAYLOAD_MAX);
	tlv_put(&writer, WEFT_P_WANT, &want, sizeof(want));
	tlv_put(&writer, WEFT_P_STORES, stores, sizeof(stores));
	assert_int_equal(tlv_finish(&writer), 0);
	assert_int_equal(meta_request_parse(WEFT_REQ_GROUP_WANT, SESSION, 0, WEFT_SLOT_NONE,
					    writer.data, writer.len, &entry, &ask, &why),
			 WEFT_ST_OK);
	assert_int_equal(ask.avoids, ARRAY_SIZE(ask.avoid));
	assert_int_equal(ask.avoid[63], 64);
	tlv_writer_free(&writer);
	meta_buffer_free(&entry);
}

static void set_up(struct fixture *f, u32 hosts)
{
	for (u32 i = 1; i <= HOSTS; i++)
		f->brain.catalog.hosts[i]->state = i <= hosts ? WEFT_HOST_UP : WEFT_HOST_DOWN;
}

static void set_group(struct fixture *f, const struct meta_op *op)
{
	struct weft_e_group_set set;
	struct cat_group *group;

	memcpy(&set, op->entry.data + sizeof(struct weft_m_entry), sizeof(set));
	group = f->brain.catalog.groups[le64_to_cpu(set.group)];
	group->flags |= (u16)le32_to_cpu(set.set);
	group->flags &= (u16)~le32_to_cpu(set.clear);
}

/* Ticks, and what they propose applied, until nothing is left to do. Returns how many groups were made. */
static unsigned int look_after_pool(struct fixture *f)
{
	unsigned int made = 0, n;
	struct meta_op *op, *next;
	struct weft_m_entry entry;

	do {
		f->brain.now_ns += 3600000000000ull;
		meta_pool_tick(&f->brain);
		op = meta_queue_take(&f->service.inbox, 0);
		for (n = 0; op; op = next, n++) {
			next = op->next;
			assert_int_equal(op->step, META_SUBMIT);
			memcpy(&entry, op->entry.data, sizeof(entry));
			if (le16_to_cpu(entry.type) == WEFT_ME_GROUP_CREATE) {
				add_group(f, op);
				made++;
			} else {
				set_group(f, op);
			}
			op->run(&f->brain, op);
			meta_op_free(op);
		}
	} while (n);
	return made;
}

/* The narrow groups of the last time are opened again; they are not made once more each time. */
static void hosts_that_come_and_go_make_groups_once(void **state)
{
	struct fixture *f = *state;

	assert_in_range(look_after_pool(f), 1, 1000);
	set_up(f, 2);
	assert_in_range(look_after_pool(f), 1, 1000);
	for (unsigned int i = 0; i < 10; i++) {
		set_up(f, HOSTS);
		assert_int_equal(look_after_pool(f), 0);
		set_up(f, 2);
		assert_int_equal(look_after_pool(f), 0);
	}
}

/* ---- The map ---- */

static void watch(struct fixture *f)
{
	struct meta_op *op = meta_op_alloc(meta_run_watch);

	assert_non_null(op);
	op->client = &f->client;
	op->number = 5;
	op->run(&f->brain, op);
	assert_int_equal(op->outcome.status, WEFT_ST_OK);
	meta_op_free(op);
}

static void watching_again_sends_no_second_map(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 100; i++)
		watch(f);
	assert_int_equal(drain(f), 1);
	/* It goes on being told, once of each change. */
	catalog_touch_store(&f->brain.catalog, f->brain.catalog.stores[1]);
	watch(f);
	meta_map_flush(&f->brain);
	assert_int_equal(drain(f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_mount_cannot_make_groups_without_end, setup,
						teardown),
		cmocka_unit_test_setup_teardown(many_at_once_make_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(a_closed_group_that_fits_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_list_of_stores_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts_that_come_and_go_make_groups_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(watching_again_sends_no_second_map, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
