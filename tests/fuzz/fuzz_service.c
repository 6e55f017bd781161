// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What stores, bridges and administrators send to the metadata service. The first byte chooses REGISTER, HEARTBEAT, RENEW
 * or ADMIN (its text as it is, not in an attribute), the second is the length of the sender's name, which follows; the rest
 * is the payload. What is let through is applied: no entry may stop the voters, and whatever has been registered can be
 * listed.
 */
#include "cluster.h"
#include "conf/conf.h"
#include "meta/service.h"

static struct meta_service service;
static struct meta_brain brain = { .service = &service };
static struct meta_client client = { .id = 1 };
static bool prepared;

static void prepare(void)
{
	static const char text[] = "[meta]\nmap-size = 64M\n";
	char error[200];

	service.conf = conf_parse(text, sizeof(text) - 1, "conf", error, sizeof(error));
	require(service.conf && !meta_brain_init(&brain, &service, cluster_directory()));
	cluster_directory_remove();
	cluster_form(&brain.state);
	brain.leader = true;
	prepared = true;
}

/* The catalog and the detector as after the start of a leader that host 1 is connected to. */
static void begin(void)
{
	u64 version = brain.catalog.version;

	catalog_free(&brain.catalog);
	memset(&brain.catalog, 0, sizeof(brain.catalog));
	require(!catalog_load(&brain.catalog, &brain.state));
	brain.catalog.version = version;
	meta_register_free(&brain);
	require(!meta_register_init(&brain));
	catalog_host(&brain.catalog, 1)->client = client.id;
}

static u32 run(void (*how)(struct meta_brain *, struct meta_op *), const void *payload, size_t len)
{
	struct meta_op *op = meta_op_alloc(how);
	unsigned int turns = 0;
	u32 status;

	require(op && (op->payload = malloc(len + 1)));
	op->payload_len = len;
	memcpy(op->payload, payload, len);
	op->client = &client;
	do {
		op->step = META_DONE;
		op->run(&brain, op);
		if (op->step == META_DONE)
			break;
		meta_entry_end(&op->entry, 1);
		do
			require(!cluster_apply(&brain.state, op->entry.data, op->entry.len, &op->outcome));
		while (op->outcome.status == META_MORE);
	} while (++turns < 8);
	require(turns < 8 && !tlv_finish(&op->outcome.answer));
	status = op->outcome.status;
	meta_op_free(op);
	return status;
}

static u32 admin(const void *json, size_t len)
{
	struct tlv_writer writer;
	u32 status;

	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	tlv_put(&writer, WEFT_C_JSON, json, len);
	status = tlv_finish(&writer) ? WEFT_ST_OK : run(meta_run_admin, writer.data, writer.len);
	tlv_writer_free(&writer);
	return status;
}

static bool can_be_said(const char *text)
{
	json_t *json = json_string(text);

	json_decref(json);
	return json;
}

/* All that is registered can be said in JSON, and no volume is wider than a group can be. */
static void check(void)
{
	const struct meta_catalog *catalog = &brain.catalog;

	for (u32 i = 1; i < catalog->n_hosts; i++)
		for (int n = META_HOST_NAME; catalog->hosts[i] && n <= META_HOST_RACK; n++)
			require(can_be_said(catalog->hosts[i]->strings[n]));
	for (u32 i = 1; i < catalog->n_stores; i++)
		require(!catalog->stores[i] || can_be_said(catalog->stores[i]->path));
	for (u64 i = 1; i < catalog->n_volumes; i++)
		require(!catalog->volumes[i] || le32_to_cpu(catalog->volumes[i]->info.k) <= WEFT_SHARDS_MAX);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const lists[] = { "status", "host list", "store list", "group list", "volume list" };
	char text[64];
	size_t name;

	if (!prepared)
		prepare();
	if (size < 2 || size - 2 < data[1])
		return 0;
	begin();
	name = data[1];
	memcpy(client.name, data + 2, name);
	client.name[name] = 0;
	data += 2 + name;
	size -= 2 + name;
	switch (data[-2 - (long)name] % 4) {
	case 0:
		run(meta_run_register, data, size);
		break;
	case 1:
		run(meta_run_heartbeat, data, size);
		break;
	case 2:
		run(meta_run_renew, data, size);
		break;
	default:
		require(admin(data, size) != WEFT_ST_NOMEM);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		snprintf(text, sizeof(text), "{\"command\": \"%s\"}", lists[i]);
		require(admin(text, strlen(text)) == WEFT_ST_OK);
	}
	check();
	cluster_undo(&brain.state);
	return 0;
}
