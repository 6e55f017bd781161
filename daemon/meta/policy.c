// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * policy.c - how a volume's new content is cut and compressed: what the administrator asks for at
 * its making and later, and the entry by which it changes
 *
 * The leader makes a whole policy of what is asked for and what there is, and refuses what does not
 * fit together; apply takes it as it is, if it was made of what there still is. If not, the leader
 * makes it anew, so that of several changes at once none undoes another. Mounts learn of it with the
 * next renewal (mount.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "meta/service.h"

#define KIB 1024u

static bool size_ok(json_int_t size)
{
	return size == META_NOT_GIVEN || (size > 0 && size <= (json_int_t)WEFT_CHUNK_MAX);
}

static u32 given(json_int_t size)
{
	return size == META_NOT_GIVEN ? 0 : (u32)size;
}

/* NULL, or what is wrong with the numbers alone. */
static const char *check_numbers(const struct meta_policy_args *args)
{
	if (!size_ok(args->chunk_size))
		return "chunk-size is at most 16 MiB, and not 0";
	if (args->chunk_min != META_NOT_GIVEN && args->chunk_min < 4 * (json_int_t)KIB)
		return "chunk-min is at least 4 KiB";
	if (!size_ok(args->chunk_min) || !size_ok(args->chunk_max) || !size_ok(args->chunk_random))
		return "chunk-min, chunk-max and chunk-random are at most 16 MiB, and not 0";
	if (args->level != META_NOT_GIVEN && (args->level < 0 || args->level > 255))
		return "level is 1 to 19, of deflate 1 to 9";
	return NULL;
}

const char *meta_policy_make(const struct meta_policy_args *args, const struct weft_policy *base,
			     struct weft_policy *policy, char *text, size_t size)
{
	struct weft_policy_wish wish = {
		.chunker = args->chunker ? weft_chunker_find(args->chunker) : NULL,
		.size = given(args->chunk_size),
		.min = given(args->chunk_min),
		.max = given(args->chunk_max),
		.random = given(args->chunk_random),
		.has_codec = args->codec,
		.has_level = args->level != META_NOT_GIVEN,
	};
	const char *wrong;

	if (args->chunker && !wish.chunker)
		return "chunker is \"hybrid\", \"cdc\", \"variable\" or \"fixed\"";
	if (args->codec && !weft_policy_codec_find(args->codec, strlen(args->codec), &wish.codec,
						   &wish.codec_policy))
		return "codec is \"none\", \"zstd\", \"lz4\", \"deflate\" or \"adaptive\"";
	wrong = check_numbers(args);
	if (wrong)
		return wrong;
	wish.level = wish.has_level ? (u8)args->level : 0;
	wrong = weft_policy_make(policy, base, &wish);
	if (!wrong || wrong != weft_chunker_check(policy->chunker, &policy->chunks))
		return wrong;
	snprintf(text, size,
		 "%s; --chunk-min, --chunk-size, --chunk-max and --chunk-random set them", wrong);
	return text;
}

/* ---- volume set ---- */

static void run_set(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_volume *volume = catalog_volume(&brain->catalog, op->outcome.number);

	/* Somebody else's change came in between: once more, of what is there now. */
	if (op->outcome.status == WEFT_ST_BUSY) {
		op->outcome.status = WEFT_ST_OK;
		meta_run_admin(brain, op);
		return;
	}
	if (op->outcome.status || !volume) {
		meta_admin_refuse(op, op->outcome.status, "the volume could not be changed: %s",
				  status_text(op->outcome.status));
		return;
	}
	meta_brain_event(brain, "volume", "policies of volume %s were changed", volume->name);
	meta_admin_answer(op, meta_admin_volume(brain, volume));
}

static int propose_set(struct meta_op *op, const struct weft_e_volume_set *body,
		       const struct weft_volume_info *was)
{
	int err = meta_entry_begin(&op->entry, WEFT_ME_VOLUME_SET);

	op->run = run_set;
	op->step = META_SUBMIT;
	if (!err)
		err = meta_buffer_put(&op->entry, body, sizeof(*body));
	return err ? err : meta_buffer_put(&op->entry, was, sizeof(*was));
}

struct set_args {
	const char *name, *degraded;
	json_int_t ec_min;
	struct meta_policy_args policy;
};

/* NULL, or what is wrong. info: as it is, then as it is to be. */
static const char *set_info(const struct set_args *args, struct weft_volume_info *info, char *text,
			    size_t size)
{
	struct weft_policy base, policy;
	const char *wrong;

	if (!weft_policy_of_volume(&base, info))
		return "this version does not know all that the volume is";
	wrong = meta_policy_make(&args->policy, &base, &policy, text, size);
	if (wrong)
		return wrong;
	if (args->ec_min != META_NOT_GIVEN &&
	    (args->ec_min < 0 || args->ec_min > (json_int_t)WEFT_CHUNK_MAX))
		return "ec-min is at most 16 MiB";
	if (args->degraded && strcmp(args->degraded, "allow") && strcmp(args->degraded, "refuse"))
		return "degraded is \"allow\" or \"refuse\"";
	weft_policy_to_volume(&policy, info);
	if (args->ec_min != META_NOT_GIVEN)
		info->ec_min = cpu_to_le32((u32)args->ec_min);
	if (args->degraded)
		info->flags &= ~cpu_to_le32(WEFT_VF_DEGRADED_REFUSE);
	if (args->degraded && !strcmp(args->degraded, "refuse"))
		info->flags |= cpu_to_le32(WEFT_VF_DEGRADED_REFUSE);
	return NULL;
}

void meta_admin_volume_set(struct meta_brain *brain, struct meta_op *op, json_t *json)
{
	struct set_args args = { .ec_min = META_NOT_GIVEN, .policy = META_POLICY_ARGS_NONE };
	struct weft_e_volume_set body = { 0 };
	struct cat_volume *volume;
	const char *command, *wrong;
	json_error_t error;
	char text[256];

	if (json_unpack_ex(json, &error, JSON_STRICT,
			   "{s:s, s:s, s?s, s?I, s?I, s?I, s?I, s?I, s?s, s?s, s?I}", "command",
			   &command, "name", &args.name, "chunker", &args.policy.chunker,
			   "chunk_size", &args.policy.chunk_size, "chunk_min", &args.policy.chunk_min,
			   "chunk_max", &args.policy.chunk_max, "chunk_random",
			   &args.policy.chunk_random, "ec_min", &args.ec_min, "degraded",
			   &args.degraded, "codec", &args.policy.codec, "level",
			   &args.policy.level)) {
		meta_admin_refuse(op, WEFT_ST_INVAL, "volume set: %s", error.text);
		return;
	}
	volume = catalog_volume_by_name(&brain->catalog, args.name);
	if (!volume) {
		meta_admin_refuse(op, WEFT_ST_NO_VOLUME, "there is no volume %s", args.name);
		return;
	}
	body.volume = cpu_to_le64(volume->volume);
	body.info = volume->info;
	wrong = json_object_size(json) == 2 ? "name what is to be changed" :
					      set_info(&args, &body.info, text, sizeof(text));
	if (wrong)
		meta_admin_refuse(op, WEFT_ST_INVAL, "volume set: %s", wrong);
	else if (propose_set(op, &body, &volume->info))
		meta_admin_refuse(op, WEFT_ST_NOMEM, "the metadata service is out of memory");
}

/* ---- In the state machine ---- */

/* What says how content is stored changes; what says where and whose it is does not. */
static void take_policy(struct weft_volume_info *to, const struct weft_volume_info *from)
{
	to->chunker = from->chunker;
	to->chunk_size = from->chunk_size;
	to->chunk_min = from->chunk_min;
	to->chunk_max = from->chunk_max;
	to->chunk_random = from->chunk_random;
	to->codec = from->codec;
	to->codec_policy = from->codec_policy;
	to->codec_level = from->codec_level;
	to->ec_min = from->ec_min;
	to->flags &= ~cpu_to_le32(WEFT_VF_DEGRADED_REFUSE);
	to->flags |= from->flags & cpu_to_le32(WEFT_VF_DEGRADED_REFUSE);
}

static bool same_policy(const struct weft_volume_info *info, const struct weft_volume_info *other)
{
	struct weft_volume_info copy = *info;

	take_policy(&copy, other);
	return !memcmp(&copy, info, sizeof(copy));
}

/* OK; BUSY: it is not any more what the change was made of. */
int meta_apply_volume_set(struct meta_state *state, const struct meta_entry *entry,
			  struct meta_outcome *outcome)
{
	const struct weft_e_volume_set *body;
	struct meta_volume volume;
	const u8 *was;
	size_t len;
	int err;

	body = meta_entry_body(entry, sizeof(*body), &was, &len);
	if (!body || (len && len != sizeof(struct weft_volume_info)))
		return -EBADMSG;
	err = meta_volume_get(&state->txn, le64_to_cpu(body->volume), &volume);
	if (err)
		return err == -ENOENT ? WEFT_ST_NO_VOLUME : err;
	if (len && !same_policy(&volume.head.info, (const struct weft_volume_info *)was))
		return WEFT_ST_BUSY;
	take_policy(&volume.head.info, &body->info);
	err = meta_volume_put(&state->txn, &volume);
	if (err)
		return err;
	outcome->number = volume.volume;
	if (state->hooks)
		state->hooks->volume(state->owner, volume.volume);
	return WEFT_ST_OK;
}
