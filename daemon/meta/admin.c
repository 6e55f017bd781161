// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * admin.c - commands of the administrator: JSON in, JSON out
 *
 *	{"command": "volume create", "name": "main", "k": 6, "m": 3}
 *	{"volume": 1, "name": "main", ...}
 *
 * A refused command is answered with a status and one sentence (TEXT). Unknown arguments are
 * refused: a misspelt policy must not become a default. Only root and the service's own user get
 * here (server.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "kernel/chunk/chunker.h"
#include "meta/service.h"

#define KIB 1024u

void meta_admin_answer(struct meta_op *op, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

	json_decref(json);
	tlv_writer_free(&op->outcome.answer);
	tlv_writer_init(&op->outcome.answer, WEFT_CTL_PAYLOAD_MAX);
	op->outcome.status = text ? WEFT_ST_OK : WEFT_ST_NOMEM;
	/* An attribute holds less than 64 KiB: a longer text is cut over several, in order. */
	for (size_t at = 0, len = text ? strlen(text) : 0; at < len; at += 60000)
		tlv_put(&op->outcome.answer, WEFT_C_JSON, text + at,
			len - at < 60000 ? len - at : 60000);
	if (tlv_finish(&op->outcome.answer))
		meta_op_refuse(op, WEFT_ST_TOO_BIG, WEFT_C_TEXT, "the answer is too long");
	free(text);
	op->step = META_DONE;
}

#define answer meta_admin_answer
#define refuse meta_admin_refuse

static const char *const state_names[] = { "unknown", "up", "suspect", "down", "draining" };

/* ---- Lists ---- */

static void cmd_status(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	answer(op, meta_status(brain));
}

/* What the store last said of its disk. */
static const char *store_status(const struct cat_store *store)
{
	if (!store->beaten)
		return "not heard of yet";
	return store->status == WEFT_ST_OK ? "ok" : status_text(store->status);
}

static json_t *store_json(struct meta_brain *brain, const struct cat_store *store)
{
	const struct cat_host *host = catalog_host(&brain->catalog, store->host);
	bool up = catalog_store_readable(&brain->catalog, store);

	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i}",
			 "store", (int)store->store, "host",
			 host ? host->strings[META_HOST_NAME] : "?", "path", store->path, "state",
			 up ? "up" : "down", "status",
			 store_status(store),
			 "capacity", (json_int_t)store->capacity, "free", (json_int_t)store->free,
			 "shards", (json_int_t)store->shards, "errors", (json_int_t)store->errors,
			 "load", (int)store->load, "usec", (int)store->usec, "slots",
			 (int)store->slots, "open_slots", (int)store->open_slots);
}

static void cmd_store_list(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	json_t *list = json_array();

	for (u32 i = 0; i < brain->catalog.n_stores; i++)
		if (brain->catalog.stores[i])
			json_array_append_new(list, store_json(brain, brain->catalog.stores[i]));
	answer(op, json_pack("{s:o}", "stores", list));
}

static json_t *host_json(struct meta_brain *brain, const struct cat_host *host)
{
	json_t *addresses = json_array(), *stores = json_array();

	for (unsigned int i = 0; i < host->addresses; i++)
		json_array_append_new(addresses, json_string(host->address[i]));
	for (u32 i = 0; i < brain->catalog.n_stores; i++)
		if (brain->catalog.stores[i] && brain->catalog.stores[i]->host == host->host)
			json_array_append_new(stores, json_integer(i));
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I}", "host", (int)host->host,
			 "name", host->strings[META_HOST_NAME], "state", state_names[host->state],
			 "region", host->strings[META_HOST_REGION], "datacenter",
			 host->strings[META_HOST_DATACENTER], "rack", host->strings[META_HOST_RACK],
			 "addresses", addresses, "stores", stores, "silent_ms",
			 host->beat_ns
				 ? (json_int_t)((meta_clock_monotonic() - host->beat_ns) / 1000000)
				 : (json_int_t)-1);
}

static void cmd_host_list(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	json_t *list = json_array();

	for (u32 i = 0; i < brain->catalog.n_hosts; i++)
		if (brain->catalog.hosts[i])
			json_array_append_new(list, host_json(brain, brain->catalog.hosts[i]));
	answer(op, json_pack("{s:o}", "hosts", list));
}

/* The volume that its dedup domain is named after. */
static void add_dedup(struct meta_brain *brain, const struct cat_volume *volume, json_t *json)
{
	const struct cat_volume *first = catalog_volume(&brain->catalog, catalog_domain(volume));

	json_object_set_new(json, "dedup", json_string(volume->info.dedup_domain ? "on" : "off"));
	if (volume->info.dedup_domain)
		json_object_set_new(json, "dedup_domain", json_string(first ? first->name : ""));
}

json_t *meta_admin_volume(struct meta_brain *brain, const struct cat_volume *volume)
{
	const struct weft_volume_info *info = &volume->info;
	const struct weft_chunker_ops *chunker = weft_chunker_of(le32_to_cpu(info->chunker));
	const struct cat_session *session = catalog_session(&brain->catalog, volume->session);
	const char *codec = weft_policy_codec_name(le32_to_cpu(info->codec), le16_to_cpu(info->codec_policy));
	struct meta_volume record = { 0 }, first = { 0 };
	struct weft_statfs statfs;
	json_t *json;
	int err;

	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_volume_get(&brain->state.txn, volume->volume, &record);
	/* Chunks are counted with the domain that they belong to. */
	if (!err)
		err = meta_volume_get(&brain->state.txn, catalog_domain(volume), &first);
	if (err)
		meta_brain_fatal(brain, "reading", err);
	meta_status_space(brain, volume, &statfs);
	json = json_pack("{s:I, s:s, s:i, s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:i, s:I, "
			 "s:I, s:I, s:I, s:I, s:I, s:s}",
			 "volume", (json_int_t)volume->volume, "name", volume->name, "k",
			 (int)le32_to_cpu(info->k), "m", (int)le32_to_cpu(info->m), "chunker",
			 chunker ? chunker->name : "unknown", "chunk_size",
			 (int)le32_to_cpu(info->chunk_size), "chunk_min",
			 (int)le32_to_cpu(info->chunk_min), "chunk_max",
			 (int)le32_to_cpu(info->chunk_max), "chunk_random",
			 (int)le32_to_cpu(info->chunk_random), "ec_min",
			 (int)le32_to_cpu(info->ec_min), "inline_max",
			 (int)le32_to_cpu(info->inline_max), "degraded",
			 le32_to_cpu(info->flags) & WEFT_VF_DEGRADED_REFUSE ? "refuse" : "allow",
			 "codec", codec ? codec : "unknown", "level", (int)le16_to_cpu(info->codec_level),
			 "compressed", (json_int_t)le64_to_cpu(first.packed.plain_bytes),
			 "compressed_to", (json_int_t)le64_to_cpu(first.packed.stored_bytes),
			 "files", (json_int_t)le64_to_cpu(record.head.files), "bytes",
			 (json_int_t)le64_to_cpu(record.head.bytes), "available",
			 (json_int_t)le64_to_cpu(statfs.bytes_avail), "total",
			 (json_int_t)le64_to_cpu(statfs.bytes_total), "mounted_by",
			 session ? session->name : "");
	add_dedup(brain, volume, json);
	return json;
}

static void cmd_volume_list(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	json_t *list = json_array();

	for (u64 i = 0; i < brain->catalog.n_volumes; i++)
		if (brain->catalog.volumes[i])
			json_array_append_new(list, meta_admin_volume(brain, brain->catalog.volumes[i]));
	answer(op, json_pack("{s:o}", "volumes", list));
}

/* The volume that is asked for; NULL: there is none, and that is the answer. */
static struct cat_volume *named_volume(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	const char *name = json_string_value(json_object_get(args, "name"));
	struct cat_volume *volume = name ? catalog_volume_by_name(&brain->catalog, name) : NULL;

	if (!volume)
		refuse(op, WEFT_ST_NO_VOLUME, "there is no volume %s",
		       name ? name : "without a name");
	return volume;
}

static void cmd_volume_show(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	struct cat_volume *volume = named_volume(brain, op, args);

	if (volume)
		answer(op, meta_admin_volume(brain, volume));
}

static void cmd_volume_stats(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	struct cat_volume *volume = named_volume(brain, op, args);

	if (volume)
		answer(op, meta_stats(brain, volume));
}

static json_t *group_json(struct meta_brain *brain, const struct cat_group *group)
{
	const struct cat_volume *volume = catalog_volume(&brain->catalog, group->domain);
	json_t *stores = json_array();
	unsigned int up = 0;

	for (unsigned int i = 0; i < (unsigned int)group->k + group->m; i++) {
		json_array_append_new(stores, json_integer(group->stores[i]));
		up += catalog_store_readable(&brain->catalog,
					     catalog_store(&brain->catalog, group->stores[i]));
	}
	return json_pack("{s:I, s:s, s:i, s:i, s:b, s:b, s:b, s:i, s:o}", "group",
			 (json_int_t)group->group, "volume", volume ? volume->name : "?", "k",
			 group->k, "m", group->m, "open", !!(group->flags & WEFT_GF_OPEN), "small",
			 !!(group->flags & WEFT_GF_SMALL), "narrow",
			 !!(group->flags & WEFT_GF_NARROW), "up", (int)up, "stores", stores);
}

static void cmd_group_list(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	json_t *list = json_array();

	for (u64 i = 0; i < brain->catalog.n_groups; i++)
		if (brain->catalog.groups[i] && brain->catalog.groups[i]->group)
			json_array_append_new(list, group_json(brain, brain->catalog.groups[i]));
	answer(op, json_pack("{s:o}", "groups", list));
}

static void cmd_group_show(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	u64 id = (u64)json_integer_value(json_object_get(args, "group"));
	struct cat_group *group = catalog_group(&brain->catalog, id);
	struct meta_group record;
	json_t *json;
	int err;

	if (!group) {
		refuse(op, WEFT_ST_NOENT, "there is no group %llu", (unsigned long long)id);
		return;
	}
	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_group_get(&brain->state.txn, id, &record);
	if (err)
		meta_brain_fatal(brain, "reading", err);
	json = group_json(brain, group);
	json_object_set_new(json, "chunks",
			    json_integer((json_int_t)le64_to_cpu(record.head.chunks)));
	json_object_set_new(json, "last_number",
			    json_integer((json_int_t)le64_to_cpu(record.head.number)));
	answer(op, json);
}

static void cmd_session_list(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	const struct meta_catalog *catalog = &brain->catalog;
	const struct cat_volume *volume;
	json_t *list = json_array();
	u64 now = meta_clock_monotonic();
	char id[20];

	for (size_t i = 0; i < catalog->n_sessions; i++) {
		volume = catalog_volume(catalog, catalog->sessions[i].volume);
		snprintf(id, sizeof(id), "%llx", (unsigned long long)catalog->sessions[i].session);
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:b, s:I}", "session", id, "volume",
				  volume ? volume->name : "?", "host", catalog->sessions[i].name,
				  "read_only", !!(catalog->sessions[i].flags & WEFT_MSF_READONLY),
				  "silent_ms",
				  (json_int_t)((now - catalog->sessions[i].renewed_ns) / 1000000)));
	}
	answer(op, json_pack("{s:o}", "sessions", list));
}

/* Events behind a cursor: {"command": "monitor", "after": N}; the answer's "next" is the next N. */
static void cmd_monitor(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	u64 after = (u64)json_integer_value(json_object_get(args, "after"));
	u64 first = brain->n_events > META_EVENTS ? brain->n_events - META_EVENTS : 0, lost = 0;
	const struct meta_event *event;
	json_t *list = json_array();

	if (after > brain->n_events)
		after = 0; /* another leader's numbers */
	if (after < first) {
		lost = first - after;
		after = first;
	}
	for (; after < brain->n_events && json_array_size(list) < 1000; after++) {
		event = &brain->events[after % META_EVENTS];
		json_array_append_new(list, json_pack("{s:I, s:I, s:s, s:s}", "number",
						      (json_int_t)event->number, "time_ms",
						      (json_int_t)(event->time_ns / 1000000),
						      "kind", event->kind, "text", event->text));
	}
	answer(op, json_pack("{s:o, s:I, s:I}", "events", list, "next", (json_int_t)after, "lost",
			     (json_int_t)lost));
}

/* ---- volume create ---- */

struct policy {
	const char *name;
	json_int_t k, m, ec_min, inline_max, mode;
	struct meta_policy_args args;
	struct weft_policy made;
	const char *dedup, *dedup_domain; /* as given */
	u32 domain;
	bool refuse;
};

static bool name_ok(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len && len <= 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		       len &&
	       name[0] != '.' && name[0] != '-';
}

/* NULL, or what is wrong with it. */
static const char *check_policy(struct policy *policy)
{
	if (!name_ok(policy->name))
		return "a volume's name has 1 to 64 letters, digits, '-', '_' and '.', and begins "
		       "with a letter or digit";
	if (policy->k < 1 || policy->k > (json_int_t)WEFT_SHARDS_MAX || policy->m < 0 ||
	    policy->m > (json_int_t)WEFT_SHARDS_MAX - policy->k)
		return "k is at least 1, m at least 0, and k + m at most 32";
	if (policy->ec_min < 0 || policy->ec_min > (json_int_t)WEFT_CHUNK_MAX)
		return "ec-min is at most 16 MiB";
	if (policy->inline_max < 0 || policy->inline_max > 8192)
		return "inline-max is at most 8192 bytes";
	if (policy->mode < 0 || policy->mode > 07777)
		return "mode is the permissions of the root directory";
	return NULL;
}

/* Finds the dedup domain. NULL, or what is wrong with it. */
static const char *check_dedup(struct meta_brain *brain, struct policy *policy)
{
	const struct cat_volume *other;

	policy->domain = !strcmp(policy->dedup, "on") ? WEFT_DEDUP_OWN : 0;
	if (!policy->domain && strcmp(policy->dedup, "off"))
		return "dedup is \"on\" or \"off\"";
	if (!policy->dedup_domain)
		return NULL;
	if (!policy->domain)
		return "a dedup-domain is of use with dedup only";
	other = catalog_volume_by_name(&brain->catalog, policy->dedup_domain);
	if (!other || !other->info.dedup_domain)
		return "dedup-domain is the name of a volume that deduplicates";
	if (le32_to_cpu(other->info.k) != policy->k || le32_to_cpu(other->info.m) != policy->m)
		return "volumes that share a dedup domain have the same k and m: a chunk is as safe "
		       "as the volume that wrote it";
	policy->domain = le32_to_cpu(other->info.dedup_domain);
	return NULL;
}

static void run_created(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_volume *volume;

	if (op->outcome.status == WEFT_ST_EXIST) {
		refuse(op, WEFT_ST_EXIST, "there is a volume of that name already");
		return;
	}
	volume = catalog_volume(&brain->catalog, op->outcome.number);
	if (op->outcome.status || !volume) {
		refuse(op, op->outcome.status, "the volume could not be made: %s",
		       status_text(op->outcome.status));
		return;
	}
	meta_brain_event(brain, "volume", "volume %s was made, coded %u+%u", volume->name,
			 le32_to_cpu(volume->info.k), le32_to_cpu(volume->info.m));
	answer(op, meta_admin_volume(brain, volume));
}

static int propose_volume(struct meta_op *op, const struct policy *policy)
{
	struct weft_e_volume body = {
		.info = {
			.k = cpu_to_le32((u32)policy->k),
			.m = cpu_to_le32((u32)policy->m),
			.ec_min = cpu_to_le32((u32)policy->ec_min),
			.inline_max = cpu_to_le32((u32)policy->inline_max),
			.cipher = cpu_to_le32(WEFT_CIPHER_NONE),
			.flags = cpu_to_le32(policy->refuse ? WEFT_VF_DEGRADED_REFUSE : 0),
			.dedup_domain = cpu_to_le32(policy->domain),
		},
		.mode = cpu_to_le32((u32)policy->mode),
		.name_len = cpu_to_le32((u32)strlen(policy->name)),
	};
	int err;

	weft_policy_to_volume(&policy->made, &body.info);
	if (getrandom(body.info.uuid, sizeof(body.info.uuid), 0) != sizeof(body.info.uuid) ||
	    getrandom(body.name_key, sizeof(body.name_key), 0) != sizeof(body.name_key))
		return -EIO;
	err = meta_entry_begin(&op->entry, WEFT_ME_VOLUME_CREATE);
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	if (!err)
		err = meta_buffer_put(&op->entry, policy->name, strlen(policy->name));
	op->run = run_created;
	op->step = META_SUBMIT;
	return err;
}

static void cmd_volume_create(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	struct policy policy = { .k = 6,
				 .m = 3,
				 .ec_min = 64 * KIB,
				 .inline_max = 1900,
				 .mode = 0755,
				 .args = META_POLICY_ARGS_NONE,
				 .dedup = "off" };
	const char *command, *degraded = "allow", *wrong;
	json_error_t error;
	char text[256];

	if (json_unpack_ex(args, &error, JSON_STRICT,
			   "{s:s, s:s, s?I, s?I, s?s, s?I, s?I, s?I, s?I, s?I, s?I, s?I, s?s, s?s, s?I, "
			   "s?s, s?s}",
			   "command", &command, "name", &policy.name, "k", &policy.k, "m",
			   &policy.m, "chunker", &policy.args.chunker, "chunk_size", &policy.args.chunk_size,
			   "chunk_min", &policy.args.chunk_min, "chunk_max", &policy.args.chunk_max,
			   "chunk_random", &policy.args.chunk_random, "ec_min", &policy.ec_min,
			   "inline_max", &policy.inline_max, "mode", &policy.mode, "degraded",
			   &degraded, "codec", &policy.args.codec, "level", &policy.args.level, "dedup",
			   &policy.dedup, "dedup_domain", &policy.dedup_domain)) {
		refuse(op, WEFT_ST_INVAL, "volume create: %s", error.text);
		return;
	}
	wrong = check_policy(&policy);
	if (!wrong)
		wrong = meta_policy_make(&policy.args, &weft_policy_defaults, &policy.made, text, sizeof(text));
	if (!wrong)
		wrong = check_dedup(brain, &policy);
	if (!wrong && strcmp(degraded, "allow") && strcmp(degraded, "refuse"))
		wrong = "degraded is \"allow\" or \"refuse\"";
	policy.refuse = !strcmp(degraded, "refuse");
	if (wrong)
		refuse(op, WEFT_ST_INVAL, "volume create: %s", wrong);
	else if (!brain->state.formed)
		refuse(op, WEFT_ST_NOT_LEADER,
		       "the cluster is not formed yet; try again in a moment");
	else if (propose_volume(op, &policy))
		refuse(op, WEFT_ST_NOMEM, "the metadata service is out of memory");
}

/* ---- session end ---- */

static void run_ended(struct meta_brain *brain, struct meta_op *op)
{
	answer(op, json_pack("{s:b}", "ended", 1));
}

/* The administrator knows that a client will not come back. */
static void cmd_session_end(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	const char *text = json_string_value(json_object_get(args, "session"));
	struct weft_e_object body = { .object = cpu_to_le64(text ? strtoull(text, NULL, 16) : 0) };
	struct cat_session *session = catalog_session(&brain->catalog, le64_to_cpu(body.object));

	if (!session) {
		refuse(op, WEFT_ST_NOENT, "there is no session %s", text ? text : "without a name");
		return;
	}
	meta_brain_event(brain, "session", "the session of host %s was ended by the administrator",
			 session->name);
	op->run = run_ended;
	op->step = META_SUBMIT;
	if (meta_entry_begin(&op->entry, WEFT_ME_SESSION_END) ||
	    meta_buffer_put(&op->entry, &body, sizeof(body)))
		refuse(op, WEFT_ST_NOMEM, "the metadata service is out of memory");
}

/* ---- The table of commands ---- */

static const struct {
	const char *name;
	void (*run)(struct meta_brain *brain, struct meta_op *op, json_t *args);
} commands[] = {
	{ "status", cmd_status },
	{ "host list", cmd_host_list },
	{ "store list", cmd_store_list },
	{ "volume create", cmd_volume_create },
	{ "volume set", meta_admin_volume_set },
	{ "volume list", cmd_volume_list },
	{ "volume show", cmd_volume_show },
	{ "volume stats", cmd_volume_stats },
	{ "group list", cmd_group_list },
	{ "group show", cmd_group_show },
	{ "session list", cmd_session_list },
	{ "session end", cmd_session_end },
	{ "monitor", cmd_monitor },
	{ "key get", meta_admin_key_get },
	{ "key set", meta_admin_key_set },
};

void meta_run_admin(struct meta_brain *brain, struct meta_op *op)
{
	struct tlv known[WEFT_C_NR];
	const char *command;
	json_error_t error;
	json_t *args;
	size_t i;

	if (tlv_collect(op->payload, op->payload_len, known, WEFT_C_NR, false) ||
	    !known[WEFT_C_JSON].data) {
		refuse(op, WEFT_ST_PROTO, "the command is malformed");
		return;
	}
	args = json_loadb(known[WEFT_C_JSON].data, known[WEFT_C_JSON].len, JSON_REJECT_DUPLICATES,
			  &error);
	command = args ? json_string_value(json_object_get(args, "command")) : NULL;
	for (i = 0; command && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, command))
			break;
	if (!args)
		refuse(op, WEFT_ST_INVAL, "the command is no JSON: %s", error.text);
	else if (!command || i == ARRAY_SIZE(commands))
		refuse(op, WEFT_ST_UNKNOWN_OP, "there is no command \"%s\"",
		       command ? command : "");
	else if (!brain->leader)
		refuse(op, WEFT_ST_NOT_LEADER,
		       "this metadata server does not lead; ask another one");
	else
		commands[i].run(brain, op, args);
	json_decref(args);
}
