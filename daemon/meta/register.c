// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * register.c - hosts and stores say that they are there
 *
 * A store is known by its UUID, a host by its name; both get numbers that stay. A registration that
 * says what the state holds already makes no entry. What a heartbeat says is kept in memory only:
 * the next leader hears it within a second.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "cluster/detector.h"
#include "conf/conf.h"
#include "meta/service.h"

#define ADDRESSES_MAX 16u
#define STORES_MAX    4096u /* of a host: what a kernel knows of one */

/* A registration taken apart. */
struct registration {
	u8 uuid[16];
	u64 starts;
	u64 capacity;
	u64 disk;
	char path[4096];
	char strings[META_STRINGS_MAX]; /* as in struct weft_m_host */
	size_t strings_len;
	u32 addresses;
};

static int add_string(struct registration *reg, const void *text, size_t len)
{
	if (!meta_text_ok(text, len))
		return -EILSEQ;
	if (reg->strings_len + len + 1 > sizeof(reg->strings))
		return -EPROTO;
	memcpy(reg->strings + reg->strings_len, text, len);
	reg->strings[reg->strings_len + len] = 0;
	reg->strings_len += len + 1;
	return 0;
}

static int add_label(struct registration *reg, const void *payload, size_t payload_len,
		     const char *label)
{
	size_t len = strlen(label);
	struct tlv_reader reader;
	struct tlv tlv;

	tlv_reader_init(&reader, payload, payload_len);
	while (tlv_next(&reader, &tlv) == 1)
		if (tlv.type == WEFT_C_LABELS && tlv.len >= len && !memcmp(tlv.data, label, len))
			return add_string(reg, (const u8 *)tlv.data + len, tlv.len - len);
	return add_string(reg, "", 0);
}

static int add_addresses(struct registration *reg, const void *payload, size_t payload_len)
{
	struct tlv_reader reader;
	struct tlv tlv;
	int err = 0;

	tlv_reader_init(&reader, payload, payload_len);
	while (!err && tlv_next(&reader, &tlv) == 1) {
		if (tlv.type != WEFT_C_ADDRESS)
			continue;
		if (!tlv.len || tlv.len > 255 || reg->addresses == ADDRESSES_MAX)
			return -EPROTO;
		err = add_string(reg, tlv.data, tlv.len);
		reg->addresses++;
	}
	return err;
}

static int parse(struct registration *reg, const char *host, const void *payload, size_t len)
{
	static const char *const labels[] = { "region=", "datacenter=", "rack=" };
	struct tlv known[WEFT_C_NR];
	int err;

	memset(reg, 0, sizeof(*reg));
	err = tlv_collect(payload, len, known, WEFT_C_NR, false);
	if (err)
		return err;
	if (!known[WEFT_C_STORE_UUID].data || known[WEFT_C_STORE_UUID].len != sizeof(reg->uuid) ||
	    !*host)
		return -EPROTO;
	memcpy(reg->uuid, known[WEFT_C_STORE_UUID].data, sizeof(reg->uuid));
	err = tlv_u64(&known[WEFT_C_STARTS], &reg->starts);
	if (!err)
		err = tlv_u64(&known[WEFT_C_CAPACITY], &reg->capacity);
	if (!err)
		err = tlv_text(&known[WEFT_C_PATH], 1, sizeof(reg->path) - 1, reg->path);
	if (!err && !meta_text_ok(reg->path, strlen(reg->path)))
		err = -EILSEQ;
	if (!err && known[WEFT_C_DISK].data)
		err = tlv_u64(&known[WEFT_C_DISK], &reg->disk);
	if (!err)
		err = add_string(reg, host, strlen(host));
	for (size_t i = 0; i < ARRAY_SIZE(labels) && !err; i++)
		err = add_label(reg, payload, len, labels[i]);
	return err ? err : add_addresses(reg, payload, len);
}

static bool host_is_known(struct meta_brain *brain, const struct registration *reg, u32 *id)
{
	struct meta_host host;
	int err;

	err = meta_host_find(&brain->state.txn, reg->strings, id);
	if (!err)
		err = meta_host_get(&brain->state.txn, *id, &host);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "reading", err);
	return !err && le32_to_cpu(host.head.strings_len) == reg->strings_len &&
	       !memcmp(host.strings, reg->strings, reg->strings_len);
}

static bool store_is_known(struct meta_brain *brain, const struct registration *reg, u32 host,
			   u32 *id)
{
	struct meta_store store;
	int err;

	err = meta_store_find(&brain->state.txn, reg->uuid, id);
	if (!err)
		err = meta_store_get(&brain->state.txn, *id, &store);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "reading", err);
	return !err && le32_to_cpu(store.head.host) == host &&
	       le64_to_cpu(store.head.starts) == reg->starts &&
	       le64_to_cpu(store.head.capacity) == reg->capacity &&
	       le64_to_cpu(store.head.disk) == reg->disk && !strcmp(store.path, reg->path);
}

static int propose_host(struct meta_op *op, const struct registration *reg)
{
	struct weft_e_host body = {
		.addresses = cpu_to_le32(reg->addresses),
		.strings_len = cpu_to_le32((u32)reg->strings_len),
	};
	int err;

	err = meta_entry_begin(&op->entry, WEFT_ME_HOST_SET);
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	if (!err)
		err = meta_buffer_put(&op->entry, reg->strings, reg->strings_len);
	op->step = META_SUBMIT;
	return err;
}

static int propose_store(struct meta_op *op, const struct registration *reg, u32 host)
{
	struct weft_e_store body = {
		.host = cpu_to_le32(host),
		.path_len = cpu_to_le32((u32)strlen(reg->path)),
		.starts = cpu_to_le64(reg->starts),
		.capacity = cpu_to_le64(reg->capacity),
		.disk = cpu_to_le64(reg->disk),
	};
	int err;

	memcpy(body.uuid, reg->uuid, sizeof(body.uuid));
	err = meta_entry_begin(&op->entry, WEFT_ME_STORE_SET);
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	if (!err)
		err = meta_buffer_put(&op->entry, reg->path, strlen(reg->path));
	op->step = META_SUBMIT;
	return err;
}

/*
 * A store may not be claimed by two hosts at a time: a copied disk image would serve another's
 * shards.
 */
static bool is_claimed(struct meta_brain *brain, struct meta_op *op, const struct registration *reg)
{
	struct cat_store *store;
	struct cat_host *host;
	u32 id;
	int err;

	err = meta_store_find(&brain->state.txn, reg->uuid, &id);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "reading", err);
	store = err ? NULL : catalog_store(&brain->catalog, id);
	host = store ? catalog_host(&brain->catalog, store->host) : NULL;
	if (!host || !host->client || host->client == op->client->id || !store->beaten ||
	    host->state != WEFT_HOST_UP || !strcmp(host->strings[META_HOST_NAME], op->client->name))
		return false;
	meta_op_refuse(op, WEFT_ST_BUSY, WEFT_C_TEXT,
		       "host %s serves the same store from %s; one of the two is a copy: remove it",
		       host->strings[META_HOST_NAME], store->path);
	return true;
}

/* The host has as many other stores as clients can know. */
static bool has_too_many(struct meta_brain *brain, struct meta_op *op, u32 host, u32 store)
{
	const struct meta_catalog *catalog = &brain->catalog;
	u32 n = 0;

	for (u32 i = 0; i < catalog->n_stores; i++)
		n += catalog->stores[i] && i != store && catalog->stores[i]->host == host;
	if (n < STORES_MAX)
		return false;
	meta_op_refuse(op, WEFT_ST_TOO_BIG, WEFT_C_TEXT,
		       "host %s has %u stores, which is the most for one host; give this store to "
		       "another host",
		       op->client->name, n);
	return true;
}

void meta_run_register(struct meta_brain *brain, struct meta_op *op)
{
	struct registration *reg = malloc(sizeof(*reg));
	struct cat_host *host;
	u32 host_id = 0, store_id = 0;
	int err = reg ? 0 : -ENOMEM;

	if (op->failed || !brain->leader) {
		op->outcome.status = op->failed ? op->outcome.status : WEFT_ST_NOT_LEADER;
		goto free_reg;
	}
	if (!err)
		err = parse(reg, op->client->name, op->payload, op->payload_len);
	if (err) {
		meta_op_refuse(op, err == -ENOMEM ? WEFT_ST_NOMEM : WEFT_ST_PROTO, WEFT_C_TEXT,
			       err == -EILSEQ ? "the host's name, its labels, its addresses and the store's path "
						"have to be UTF-8; change what is not in weft.conf" :
						"the registration of the store is malformed");
		goto free_reg;
	}
	err = meta_state_read(&brain->state);
	if (err)
		meta_brain_fatal(brain, "reading", err);
	if (is_claimed(brain, op, reg))
		goto free_reg;
	if (!host_is_known(brain, reg, &host_id)) {
		err = propose_host(op, reg);
	} else if (!store_is_known(brain, reg, host_id, &store_id)) {
		if (!has_too_many(brain, op, host_id, store_id))
			err = propose_store(op, reg, host_id);
	} else {
		host = catalog_host(&brain->catalog, host_id);
		host->client = op->client->id;
		if (detector_add(brain->detector, host_id, brain->now_ns))
			log_warn("out of memory; host %s is not watched yet", op->client->name);
		op->outcome.status = WEFT_ST_OK;
		tlv_writer_reset(&op->outcome.answer);
		tlv_put_u32(&op->outcome.answer, WEFT_C_STORE_NR, store_id);
		tlv_put_u32(&op->outcome.answer, WEFT_C_HOST_NR, host_id);
		meta_brain_event(brain, "store", "store %u in %s on host %s registered", store_id,
				 reg->path, op->client->name);
	}
	if (err)
		meta_op_refuse(op, WEFT_ST_NOMEM, WEFT_C_TEXT,
			       "the metadata service is out of memory");
free_reg:
	free(reg);
}

/* ---- Heartbeats ---- */

static void set_state(struct meta_brain *brain, struct cat_host *host, u32 state)
{
	static const char *const names[] = { "unknown", "up", "suspect", "down", "draining" };

	if (host->state == state)
		return;
	meta_brain_event(brain, "host", "host %s is %s (was %s)", host->strings[META_HOST_NAME],
			 names[state], names[host->state]);
	host->state = state;
	catalog_touch_host(&brain->catalog, host);
}

static void on_change(void *ctx, const struct detector_change *change)
{
	struct meta_brain *brain = ctx;
	struct cat_host *host = catalog_host(&brain->catalog, change->host);

	if (host)
		set_state(brain, host, (u32)change->to);
}

static void take_store_state(struct meta_brain *brain, const struct weft_c_store_state *state,
			     u32 host)
{
	struct cat_store *store = catalog_store(&brain->catalog, le32_to_cpu(state->store));
	u32 status = le32_to_cpu(state->status);

	if (!store || store->host != host)
		return;
	if (store->status != status && store->beaten && status != WEFT_ST_OK)
		meta_brain_event(brain, "store", "store %u in %s: %s", store->store, store->path,
				 status_text(status));
	if (!store->beaten || store->status != status)
		catalog_touch_store(&brain->catalog, store);
	store->beaten = true;
	store->status = status;
	store->capacity = le64_to_cpu(state->capacity);
	store->free = le64_to_cpu(state->free);
	store->shards = le64_to_cpu(state->shards);
	store->errors = le64_to_cpu(state->errors);
	store->load = le32_to_cpu(state->load);
	store->usec = le32_to_cpu(state->usec);
}

void meta_run_heartbeat(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_host *host = catalog_host_by_client(&brain->catalog, op->client->id);
	struct weft_c_store_state state;
	struct detector_change change;
	struct tlv_reader reader;
	struct tlv tlv;

	if (!brain->leader || !host) {
		op->outcome.status = brain->leader ? WEFT_ST_INVAL : WEFT_ST_NOT_LEADER;
		return;
	}
	host->beat_ns = op->arrived_ns;
	if (detector_beat(brain->detector, host->host, op->arrived_ns, &change))
		on_change(brain, &change);
	tlv_reader_init(&reader, op->payload, op->payload_len);
	while (tlv_next(&reader, &tlv) == 1) {
		if (tlv.type != WEFT_C_STORE_STATE || tlv.len != sizeof(state))
			continue;
		memcpy(&state, tlv.data, sizeof(state));
		take_store_state(brain, &state, host->host);
	}
}

/* A connection went. Whether its host did too, the silence will tell. */
void meta_run_lost_store(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_host *host = catalog_host_by_client(&brain->catalog, op->number);

	if (host)
		host->client = 0;
	meta_run_unwatch(brain, op);
}

void meta_register_tick(struct meta_brain *brain)
{
	detector_tick(brain->detector, brain->now_ns, on_change, brain);
}

int meta_register_init(struct meta_brain *brain)
{
	struct detector_config config = {
		.heartbeat_ns =
			conf_number(brain->service->conf, "meta", NULL, "heartbeat") * 1000000ull,
		.suspect_ns = brain->settings.suspect_ns,
		.down_ns = brain->settings.down_ns,
	};
	int err = 0;

	brain->now_ns = meta_clock_monotonic();
	brain->detector = detector_new(&config);
	if (!brain->detector)
		return -ENOMEM;
	for (u32 i = 0; i < brain->catalog.n_hosts && !err; i++)
		if (brain->catalog.hosts[i])
			err = detector_add(brain->detector, i, brain->now_ns);
	return err;
}

void meta_register_free(struct meta_brain *brain)
{
	if (brain->detector)
		detector_free(brain->detector);
}
