// SPDX-License-Identifier: GPL-2.0-only
/*
 * The chunk protocol's frames: encoder, decoder and validator.
 *
 * A header passes three gates in this order: it is a frame of this protocol and undamaged (magic, CRC, version,
 * reserved bytes, payload limit), else the stream cannot be trusted any more; its operation is known; the fields obey
 * the operation's rules. The rules are one table of which fields may be set, and one function for each operation that
 * has lengths. Fields an operation does not use are zero, so that they can be given a meaning later.
 */
#include "node/wire.h"

#include "chunk/crc32c.h"
#include "weft_status.h"

enum wire_field {
	FIELD_STORE = 1 << 0,	  /* must be set */
	FIELD_SHARD = 1 << 1,	  /* sid must be set; index may be */
	FIELD_GROUP = 1 << 2,	  /* must be set */
	FIELD_CURSOR = 1 << 3,	  /* sid and index may be set */
	FIELD_OFFSET = 1 << 4,	  /* may be set, a multiple of WEFT_CRC_BLOCK */
	FIELD_SHARD_LEN = 1 << 5, /* must be set */
	FIELD_LENGTH = 1 << 6,	  /* must be set */
	FIELD_PARTS = 1 << 7, /* shard header and CRCs, maybe data: checked by part_lengths_ok() */
	FIELD_PAYLOAD = 1 << 8, /* payload with payload_crc, length checked by payload_ok() */
};

struct wire_rule {
	u16 request;
	u16 reply;
	u16 request_flags;
	u16 reply_flags;
};

#define NAMED (FIELD_STORE | FIELD_SHARD | FIELD_GROUP)

static const struct wire_rule rules[WEFT_OP_NR] = {
	[WEFT_OP_HELLO] = {FIELD_PAYLOAD, FIELD_PAYLOAD, 0, 0},
	[WEFT_OP_PING] = {0, 0, 0, 0},
	[WEFT_OP_PUT] = {NAMED | FIELD_SHARD_LEN | FIELD_LENGTH | FIELD_PARTS, NAMED, 0, 0},
	[WEFT_OP_GET] = {NAMED | FIELD_OFFSET | FIELD_LENGTH,
			 NAMED | FIELD_OFFSET | FIELD_LENGTH | FIELD_SHARD_LEN | FIELD_PARTS,
			 WEFT_WIRE_GET_HEADER, WEFT_WIRE_GET_HEADER},
	[WEFT_OP_STAT] = {NAMED, NAMED | FIELD_SHARD_LEN | FIELD_PARTS, 0, 0},
	[WEFT_OP_DEL] = {NAMED, NAMED, 0, 0},
	[WEFT_OP_LIST] = {FIELD_STORE | FIELD_GROUP | FIELD_CURSOR,
			  FIELD_STORE | FIELD_GROUP | FIELD_CURSOR | FIELD_PAYLOAD, 0,
			  WEFT_WIRE_MORE},
	[WEFT_OP_VERIFY] = {NAMED, NAMED, 0, 0},
	[WEFT_OP_DIGEST] = {FIELD_STORE | FIELD_GROUP, FIELD_STORE | FIELD_GROUP | FIELD_PAYLOAD, 0,
			    0},
};

static int refuse(const char **why, int err, const char *text)
{
	if (why)
		*why = text;
	return err;
}

static bool bytes_zero(const u8 *bytes, size_t len)
{
	u8 any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

bool weft_wire_shard_len_ok(u32 shard_len)
{
	if (shard_len == 0 || shard_len > WEFT_SHARD_LEN_MAX)
		return false;
	if (shard_len % WEFT_SHARD_ALIGN == 0)
		return true;
	/* One frame, sealed, in one shard. */
	return shard_len % WEFT_SHARD_ALIGN_ONE == 0 &&
	       shard_len <= WEFT_FRAME_SIZE + WEFT_SHARD_ALIGN_ONE;
}

u32 weft_wire_range_clamp(u64 offset, u32 length, u32 shard_len)
{
	u32 rest;

	if (offset >= shard_len)
		return 0;
	rest = shard_len - (u32)offset;
	if (length >= rest)
		return rest;
	length = (length + WEFT_CRC_BLOCK - 1) & ~(WEFT_CRC_BLOCK - 1);
	return length < rest ? length : rest;
}

void weft_wire_header_encode(struct weft_wire_header *header, const struct weft_wire_frame *frame)
{
	memset(header, 0, sizeof(*header));
	header->magic = cpu_to_le32(WEFT_WIRE_MAGIC);
	header->version = WEFT_WIRE_VERSION;
	header->op = frame->op;
	header->flags = cpu_to_le16(frame->flags);
	header->request_id = cpu_to_le64(frame->request_id);
	header->status = cpu_to_le32(frame->status);
	header->store = cpu_to_le32(frame->store);
	header->group = cpu_to_le64(frame->group);
	header->sid.session = cpu_to_le64(frame->session);
	header->sid.counter = cpu_to_le64(frame->counter);
	header->index = frame->index;
	header->shard_len = cpu_to_le32(frame->shard_len);
	header->offset = cpu_to_le64(frame->offset);
	header->length = cpu_to_le32(frame->length);
	header->head_len = cpu_to_le32(frame->head_len);
	header->crc_len = cpu_to_le32(frame->crc_len);
	header->payload_len = cpu_to_le32(frame->payload_len);
	header->payload_crc = cpu_to_le32(frame->payload_crc);
	header->usec = cpu_to_le32(frame->usec);
	header->crc = cpu_to_le32(weft_crc32c(0, header, sizeof(*header)));
}

static u32 header_crc(const struct weft_wire_header *header)
{
	static const u8 zero[sizeof(header->crc)];
	u32 crc = weft_crc32c(0, header, offsetof(struct weft_wire_header, crc));

	return weft_crc32c(crc, zero, sizeof(zero));
}

static void frame_read(struct weft_wire_frame *frame, const struct weft_wire_header *header)
{
	memset(frame, 0, sizeof(*frame));
	frame->op = header->op;
	frame->index = header->index;
	frame->flags = le16_to_cpu(header->flags);
	frame->status = le32_to_cpu(header->status);
	frame->request_id = le64_to_cpu(header->request_id);
	frame->group = le64_to_cpu(header->group);
	frame->session = le64_to_cpu(header->sid.session);
	frame->counter = le64_to_cpu(header->sid.counter);
	frame->offset = le64_to_cpu(header->offset);
	frame->store = le32_to_cpu(header->store);
	frame->shard_len = le32_to_cpu(header->shard_len);
	frame->length = le32_to_cpu(header->length);
	frame->head_len = le32_to_cpu(header->head_len);
	frame->crc_len = le32_to_cpu(header->crc_len);
	frame->payload_len = le32_to_cpu(header->payload_len);
	frame->payload_crc = le32_to_cpu(header->payload_crc);
	frame->usec = le32_to_cpu(header->usec);
}

/* Lengths of [head][data][CRCs], known to be in a range where their sum cannot overflow only after the tests here. */
static bool part_lengths_ok(const struct weft_wire_frame *frame)
{
	bool with_head = frame->op != WEFT_OP_GET || frame->flags & WEFT_WIRE_GET_HEADER;
	u32 crc_data = frame->length;

	if (frame->length > frame->shard_len)
		return false;
	switch (frame->op) {
	case WEFT_OP_PUT:
		if (frame->length != frame->shard_len)
			return false;
		break;
	case WEFT_OP_STAT:
		if (frame->length != 0)
			return false;
		crc_data = frame->shard_len;
		break;
	default:
		if (frame->offset > frame->shard_len - frame->length)
			return false;
		if (frame->length % WEFT_CRC_BLOCK != 0 &&
		    frame->offset + frame->length != frame->shard_len)
			return false;
	}
	if (!with_head && frame->head_len != 0)
		return false;
	if (with_head && (frame->head_len < sizeof(struct weft_shard_header) ||
			  frame->head_len % 4 != 0 || frame->head_len > WEFT_SHARD_HEADER_MAX))
		return false;
	return frame->crc_len == weft_wire_crc_len(crc_data) && frame->payload_crc == 0 &&
	       frame->payload_len == frame->head_len + frame->length + frame->crc_len;
}

static bool payload_ok(const struct weft_wire_frame *frame)
{
	switch (frame->op) {
	case WEFT_OP_HELLO:
		return frame->payload_len == sizeof(struct weft_wire_hello);
	case WEFT_OP_LIST:
		return frame->payload_len % sizeof(struct weft_wire_list_entry) == 0;
	case WEFT_OP_DIGEST:
		return frame->payload_len == sizeof(struct weft_wire_digest);
	default:
		return false;
	}
}

static int name_check(const struct weft_wire_frame *frame, unsigned int fields, const char **why)
{
	bool sid = frame->session || frame->counter;

	if (!!(fields & FIELD_STORE) != (frame->store != 0))
		return refuse(why, -EBADRQC, "store number missing or out of place");
	if (!!(fields & FIELD_GROUP) != (frame->group != 0))
		return refuse(why, -EBADRQC, "group missing or out of place");
	if (fields & FIELD_CURSOR)
		sid = true;
	else if (!!(fields & FIELD_SHARD) != sid)
		return refuse(why, -EBADRQC, "sid missing or out of place");
	if (frame->index >= (sid ? WEFT_SHARDS_MAX : 1))
		return refuse(why, -EBADRQC, "shard index out of range");
	return 0;
}

static int length_check(const struct weft_wire_frame *frame, unsigned int fields, const char **why)
{
	if (frame->offset && (!(fields & FIELD_OFFSET) || frame->offset % WEFT_CRC_BLOCK != 0))
		return refuse(why, -EBADRQC, "offset out of place or not a multiple of 4096");
	if (fields & FIELD_SHARD_LEN ? !weft_wire_shard_len_ok(frame->shard_len)
				     : frame->shard_len != 0)
		return refuse(why, -EBADRQC, "shard length not possible");
	if (!!(fields & FIELD_LENGTH) != (frame->length != 0))
		return refuse(why, -EBADRQC, "length missing or out of place");
	if (fields & FIELD_PARTS) {
		if (!part_lengths_ok(frame))
			return refuse(why, -EBADRQC,
				      "lengths of the payload's parts do not fit together");
		return 0;
	}
	if (frame->head_len || frame->crc_len)
		return refuse(why, -EBADRQC, "lengths of payload parts where there are none");
	if (fields & FIELD_PAYLOAD ? !payload_ok(frame) : frame->payload_len || frame->payload_crc)
		return refuse(why, -EBADRQC, "payload of the wrong length");
	return 0;
}

static int rule_check(const struct weft_wire_frame *frame, bool reply, const char **why)
{
	const struct wire_rule *rule = &rules[frame->op];
	unsigned int fields = reply ? rule->reply : rule->request;
	u16 flags = reply ? rule->reply_flags | WEFT_WIRE_REPLY : rule->request_flags;
	int err;

	/* A refusal carries nothing but its name. */
	if (reply && frame->status != WEFT_ST_OK) {
		fields &= NAMED | FIELD_CURSOR;
		flags = WEFT_WIRE_REPLY;
	}
	if (frame->flags & ~flags)
		return refuse(why, -EBADRQC, "flags that this operation has not");
	if (!reply && (frame->status || frame->usec))
		return refuse(why, -EBADRQC, "a request with fields of an answer");
	err = name_check(frame, fields, why);
	if (err)
		return err;
	return length_check(frame, fields, why);
}

int weft_wire_header_decode(struct weft_wire_frame *frame, const struct weft_wire_header *header,
			    bool reply, u32 payload_max, const char **why)
{
	int err;

	if (le32_to_cpu(header->magic) != WEFT_WIRE_MAGIC)
		return refuse(why, -EPROTO, "not a frame of the chunk protocol");
	if (le32_to_cpu(header->crc) != header_crc(header))
		return refuse(why, -EPROTO, "header checksum wrong");
	if (header->version != WEFT_WIRE_VERSION)
		return refuse(why, -EPROTONOSUPPORT, "frame of another protocol version");
	if (!bytes_zero(header->reserved0, sizeof(header->reserved0)) ||
	    !bytes_zero(header->reserved1, sizeof(header->reserved1)))
		return refuse(why, -EPROTO, "reserved bytes set");

	frame_read(frame, header);
	if (!!(frame->flags & WEFT_WIRE_REPLY) != reply)
		return refuse(why, -EPROTO,
			      reply ? "a request where an answer must stand"
				    : "an answer where a request must stand");
	if (frame->payload_len > payload_max)
		return refuse(why, -EMSGSIZE, "payload longer than agreed");
	if (frame->op == 0 || frame->op >= WEFT_OP_NR)
		return refuse(why, reply ? -EPROTO : -EOPNOTSUPP, "unknown operation");
	err = rule_check(frame, reply, why);
	return err && reply ? -EPROTO : err;
}

bool weft_wire_frame_answers(const struct weft_wire_frame *answer,
			     const struct weft_wire_frame *request)
{
	if (answer->op != request->op || answer->request_id != request->request_id ||
	    answer->store != request->store || answer->group != request->group ||
	    answer->session != request->session || answer->counter != request->counter ||
	    answer->index != request->index)
		return false;
	if (answer->op != WEFT_OP_GET || answer->status != WEFT_ST_OK)
		return true;
	return answer->offset == request->offset &&
	       answer->length ==
		       weft_wire_range_clamp(request->offset, request->length, answer->shard_len) &&
	       (answer->flags & WEFT_WIRE_GET_HEADER) == (request->flags & WEFT_WIRE_GET_HEADER);
}

void weft_wire_frame_reply(struct weft_wire_frame *answer, const struct weft_wire_frame *request,
			   u32 status)
{
	memset(answer, 0, sizeof(*answer));
	answer->op = request->op;
	answer->flags = WEFT_WIRE_REPLY;
	answer->status = status;
	answer->request_id = request->request_id;
	answer->store = request->store;
	answer->group = request->group;
	answer->session = request->session;
	answer->counter = request->counter;
	answer->index = request->index;
}

void weft_wire_frame_put(struct weft_wire_frame *frame, u32 head_len, u32 shard_len)
{
	frame->op = WEFT_OP_PUT;
	frame->shard_len = shard_len;
	frame->length = shard_len;
	frame->head_len = head_len;
	frame->crc_len = weft_wire_crc_len(shard_len);
	frame->payload_len = head_len + shard_len + frame->crc_len;
}

void weft_wire_hello_encode(struct weft_wire_hello *hello,
			    const struct weft_wire_greeting *greeting)
{
	memset(hello, 0, sizeof(*hello));
	memcpy(hello->cluster, greeting->cluster, sizeof(hello->cluster));
	hello->incarnation = cpu_to_le32(greeting->incarnation);
	hello->version_min = greeting->version_min;
	hello->version_max = greeting->version_max;
	hello->role = greeting->role;
	hello->features = cpu_to_le64(greeting->features);
	hello->in_flight = cpu_to_le32(greeting->in_flight);
	hello->payload_max = cpu_to_le32(greeting->payload_max);
	hello->host = cpu_to_le32(greeting->host);
}

int weft_wire_hello_decode(struct weft_wire_greeting *greeting, const struct weft_wire_hello *hello,
			   const char **why)
{
	memset(greeting, 0, sizeof(*greeting));
	memcpy(greeting->cluster, hello->cluster, sizeof(greeting->cluster));
	greeting->incarnation = le32_to_cpu(hello->incarnation);
	greeting->version_min = hello->version_min;
	greeting->version_max = hello->version_max;
	greeting->role = hello->role;
	greeting->features = le64_to_cpu(hello->features);
	greeting->in_flight = le32_to_cpu(hello->in_flight);
	greeting->payload_max = le32_to_cpu(hello->payload_max);
	greeting->host = le32_to_cpu(hello->host);

	if (hello->reserved0 || !bytes_zero(hello->reserved1, sizeof(hello->reserved1)))
		return refuse(why, -EPROTO, "reserved bytes set in HELLO");
	if (greeting->version_min == 0 || greeting->version_min > greeting->version_max)
		return refuse(why, -EPROTO, "HELLO with impossible versions");
	if (greeting->role < WEFT_ROLE_CLIENT || greeting->role > WEFT_ROLE_META)
		return refuse(why, -EPROTO, "HELLO with an unknown role");
	if (greeting->in_flight == 0 || greeting->in_flight > 65535)
		return refuse(why, -EPROTO,
			      "HELLO with an impossible number of requests in flight");
	if (greeting->payload_max < sizeof(*hello))
		return refuse(why, -EPROTO, "HELLO with an impossible payload limit");
	return 0;
}

u32 weft_wire_hello_agree(struct weft_wire_greeting *agreed, const struct weft_wire_greeting *ours,
			  const struct weft_wire_greeting *theirs)
{
	u8 version =
		ours->version_max < theirs->version_max ? ours->version_max : theirs->version_max;

	if (memcmp(ours->cluster, theirs->cluster, sizeof(ours->cluster)) != 0)
		return WEFT_ST_WRONG_CLUSTER;
	if (theirs->incarnation < ours->incarnation)
		return WEFT_ST_OLD_INCARNATION;
	if (version < ours->version_min || version < theirs->version_min)
		return WEFT_ST_VERSION;

	*agreed = *ours;
	agreed->version_min = version;
	agreed->version_max = version;
	agreed->role = theirs->role;
	agreed->features = ours->features & theirs->features;
	if (theirs->in_flight < agreed->in_flight)
		agreed->in_flight = theirs->in_flight;
	if (theirs->payload_max < agreed->payload_max)
		agreed->payload_max = theirs->payload_max;
	return WEFT_ST_OK;
}
