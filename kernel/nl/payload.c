// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes of payloads: written into requests, checked and found in answers.
 *
 * Heads are little-endian on their way, whatever the machine. An answer is checked once, when it
 * arrives: after weft_payload_normalize() its attributes stand one behind the other to the end, and
 * the heads are in native order, so that netlink's iterators can be used. Lengths of structures are
 * checked by weft_answer_parse(); lists (DIRENT, CHUNK) check their own.
 */
#include "nl/internal.h"

#include <linux/slab.h>
#include <linux/unaligned.h>

static int payload_grow(struct weft_request *req, size_t needed)
{
	size_t size = min_t(size_t, max_t(size_t, needed, 2 * req->out_size), WEFT_PAYLOAD_MAX);
	void *out;

	if (needed <= req->out_size)
		return 0;
	if (needed > WEFT_PAYLOAD_MAX)
		return -EMSGSIZE;
	out = krealloc(req->out, size, GFP_NOFS);
	if (!out)
		return -ENOMEM;
	req->out = out;
	req->out_size = size;
	return 0;
}

void *weft_request_reserve(struct weft_request *req, u16 type, size_t len)
{
	u8 *attr;

	if (!req->out_error && len > WEFT_PAYLOAD_MAX)
		req->out_error = -EMSGSIZE;
	if (!req->out_error)
		req->out_error = payload_grow(req, req->out_len + NLA_ALIGN(NLA_HDRLEN + len));
	if (req->out_error)
		return NULL;
	attr = req->out + req->out_len;
	put_unaligned_le16(NLA_HDRLEN + len, attr);
	put_unaligned_le16(type, attr + 2);
	memset(attr + NLA_HDRLEN, 0, NLA_ALIGN(len));
	req->out_len += NLA_ALIGN(NLA_HDRLEN + len);
	return attr + NLA_HDRLEN;
}

void weft_request_add(struct weft_request *req, u16 type, const void *data, size_t len)
{
	void *room = weft_request_reserve(req, type, len);

	if (room)
		memcpy(room, data, len);
}

void weft_request_add_u32(struct weft_request *req, u16 type, u32 value)
{
	__le32 wire = cpu_to_le32(value);

	weft_request_add(req, type, &wire, sizeof(wire));
}

void weft_request_add_u64(struct weft_request *req, u16 type, u64 value)
{
	__le64 wire = cpu_to_le64(value);

	weft_request_add(req, type, &wire, sizeof(wire));
}

int weft_payload_normalize(void *payload, size_t len)
{
	size_t at = 0;

	while (at < len) {
		struct nlattr *attr = payload + at;
		u16 size, type;

		if (len - at < NLA_HDRLEN)
			return -EPROTO;
		size = get_unaligned_le16(payload + at);
		type = get_unaligned_le16(payload + at + 2);
		if (size < NLA_HDRLEN || size > len - at || (type & ~NLA_TYPE_MASK))
			return -EPROTO;
		attr->nla_len = size;
		attr->nla_type = type;
		at += NLA_ALIGN(size);
	}
	return 0;
}

/* Lengths of data; max 0: of any length. Arrays are multiples of their element. */
static const struct {
	u16 min, max, multiple;
} answer_lengths[WEFT_P_NR] = {
#define WEFT_EXACT(size) { size, size, 1 }
	[WEFT_P_INO] = WEFT_EXACT(8),
	[WEFT_P_PARENT] = WEFT_EXACT(8),
	[WEFT_P_PARENT2] = WEFT_EXACT(8),
	[WEFT_P_NAME] = { 1, WEFT_NAME_MAX, 1 },
	[WEFT_P_NAME2] = { 1, WEFT_NAME_MAX, 1 },
	[WEFT_P_TARGET] = { 1, WEFT_SYMLINK_MAX, 1 },
	[WEFT_P_ATTR] = WEFT_EXACT(sizeof(struct weft_attr)),
	[WEFT_P_ATTR2] = WEFT_EXACT(sizeof(struct weft_attr)),
	[WEFT_P_PATTR] = WEFT_EXACT(sizeof(struct weft_attr)),
	[WEFT_P_PATTR2] = WEFT_EXACT(sizeof(struct weft_attr)),
	[WEFT_P_SETATTR] = WEFT_EXACT(sizeof(struct weft_setattr)),
	[WEFT_P_CREATE] = WEFT_EXACT(sizeof(struct weft_create)),
	[WEFT_P_TIME] = WEFT_EXACT(sizeof(struct weft_time)),
	[WEFT_P_FLAGS] = WEFT_EXACT(4),
	[WEFT_P_OFFSET] = WEFT_EXACT(8),
	[WEFT_P_LENGTH] = WEFT_EXACT(8),
	[WEFT_P_NEXT] = WEFT_EXACT(8),
	[WEFT_P_COOKIE] = WEFT_EXACT(8),
	[WEFT_P_DIRENT] = { sizeof(struct weft_dirent) + 1,
			    sizeof(struct weft_dirent) + WEFT_NAME_MAX, 1 },
	[WEFT_P_EXTENTS] = { 0, 0, sizeof(struct weft_extent) },
	[WEFT_P_CHUNK] = { sizeof(struct weft_chunk_info), 0, 1 },
	[WEFT_P_COMMIT] = WEFT_EXACT(sizeof(struct weft_commit)),
	[WEFT_P_NUMBERS] = { 0, 0, 8 },
	[WEFT_P_GROUP] = WEFT_EXACT(8),
	[WEFT_P_WANT] = WEFT_EXACT(sizeof(struct weft_group_want)),
	[WEFT_P_STORES] = { 0, 0, 4 },
	[WEFT_P_HOST] = WEFT_EXACT(4),
	[WEFT_P_STATUS] = WEFT_EXACT(4),
	[WEFT_P_SHARD] = WEFT_EXACT(sizeof(struct weft_shard_report)),
	[WEFT_P_STATFS] = WEFT_EXACT(sizeof(struct weft_statfs)),
	[WEFT_P_CLIENT] = WEFT_EXACT(16),
	[WEFT_P_SESSION] = WEFT_EXACT(8),
	[WEFT_P_VOLUME] = WEFT_EXACT(sizeof(struct weft_volume_info)),
	[WEFT_P_CLONE] = WEFT_EXACT(sizeof(struct weft_clone)),
	[WEFT_P_ASK] = { 0, 0, sizeof(struct weft_chunk_ask) },
	[WEFT_P_FOUND] = { 0, 0, sizeof(struct weft_chunk_found) },
	[WEFT_P_POLICY] = WEFT_EXACT(8),
#undef WEFT_EXACT
};

int weft_answer_parse(const struct weft_request *req, const struct nlattr *tb[WEFT_P_NR])
{
	const struct nlattr *attr;
	int rem;

	memset(tb, 0, WEFT_P_NR * sizeof(tb[0]));
	nla_for_each_attr(attr, (const struct nlattr *)req->in, req->in_len, rem) {
		unsigned int type = nla_type(attr), len = nla_len(attr);

		if (!type || type >= WEFT_P_NR)
			continue;
		if (len < answer_lengths[type].min ||
		    (answer_lengths[type].max && len > answer_lengths[type].max) ||
		    (answer_lengths[type].multiple && len % answer_lengths[type].multiple))
			return -EPROTO;
		tb[type] = attr;
	}
	return 0;
}
