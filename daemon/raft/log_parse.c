// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log_parse.c - the bytes of a voter's directory (uapi/weft_log.h), read and written
 *
 * Pure: memory in, memory out. What is parsed is hostile until every field was checked: a disk that
 * returns garbage, or a file that somebody copied here, must end in an error, never in a wrong
 * entry. No read beyond the given sizes.
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "chunk/crc32c.h"
#include "raft/internal.h"

static const uint8_t zeros[64];

static bool all_zero(const void *p, size_t len)
{
	return len <= sizeof(zeros) && memcmp(p, zeros, len) == 0;
}

static uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

/* CRC of a struct of size bytes whose CRC field, 32 bits at crc_at, counts as zero. */
static uint32_t crc_without(const void *bytes, size_t size, size_t crc_at)
{
	const uint8_t *p = bytes;
	uint32_t crc = weft_crc32c(0, p, crc_at);

	crc = weft_crc32c(crc, zeros, 4);
	return weft_crc32c(crc, p + crc_at + 4, size - crc_at - 4);
}

static int check_owner(const struct rlog_owner *owner, const uint8_t *cluster, uint64_t server)
{
	if (memcmp(owner->cluster, cluster, sizeof(owner->cluster)) || owner->server != server)
		return -EXDEV;
	return 0;
}

int rlog_state_encode(const struct rlog_owner *owner, const struct rlog_state *state, void *slot)
{
	struct weft_log_state s = {
		.magic = htole32(WEFT_LOG_STATE_MAGIC),
		.format = htole16(WEFT_LOG_VERSION),
		.flags = htole16(state->replaced ? WEFT_LOG_REPLACED : 0),
		.server = htole64(owner->server),
		.sequence = htole64(state->sequence),
		.term = htole64(state->term),
		.vote = htole64(state->vote),
		.checkpoint_index = htole64(state->checkpoint_index),
		.checkpoint_term = htole64(state->checkpoint_term),
		.conf_index = htole64(state->conf_index),
		.conf_len = htole32(state->conf_len),
	};
	uint32_t crc;

	if (state->conf_len > WEFT_LOG_CONF_MAX)
		return -EMSGSIZE;
	memset(slot, 0, WEFT_LOG_STATE_SLOT);
	memcpy(s.cluster, owner->cluster, sizeof(s.cluster));
	if (state->conf_len)
		memcpy((uint8_t *)slot + sizeof(s), state->conf, state->conf_len);
	crc = crc_without(&s, sizeof(s), offsetof(struct weft_log_state, crc));
	s.crc = htole32(weft_crc32c(crc, (uint8_t *)slot + sizeof(s), state->conf_len));
	memcpy(slot, &s, sizeof(s));
	return 0;
}

int rlog_state_decode(const struct rlog_owner *owner, const void *slot, struct rlog_state *state)
{
	struct weft_log_state s;
	const uint8_t *conf = (const uint8_t *)slot + sizeof(s);
	uint32_t conf_len;
	uint32_t crc;

	memcpy(&s, slot, sizeof(s));
	conf_len = le32toh(s.conf_len);
	if (le32toh(s.magic) != WEFT_LOG_STATE_MAGIC || le16toh(s.format) != WEFT_LOG_VERSION ||
	    le16toh(s.flags) & ~WEFT_LOG_REPLACED || conf_len > WEFT_LOG_CONF_MAX)
		return -EUCLEAN;
	crc = weft_crc32c(crc_without(&s, sizeof(s), offsetof(struct weft_log_state, crc)), conf,
			  conf_len);
	if (crc != le32toh(s.crc))
		return -EUCLEAN;
	*state = (struct rlog_state){
		.sequence = le64toh(s.sequence),
		.term = le64toh(s.term),
		.vote = le64toh(s.vote),
		.checkpoint_index = le64toh(s.checkpoint_index),
		.checkpoint_term = le64toh(s.checkpoint_term),
		.conf_index = le64toh(s.conf_index),
		.conf_len = conf_len,
		.replaced = le16toh(s.flags) & WEFT_LOG_REPLACED,
		.conf = conf_len ? (void *)conf : NULL,
	};
	if (!state->checkpoint_index != !conf_len ||
	    !state->checkpoint_index != !state->checkpoint_term ||
	    !state->checkpoint_index != !state->conf_index ||
	    state->conf_index > state->checkpoint_index || state->checkpoint_term > state->term ||
	    (conf_len && rdrv_conf_check(conf, conf_len)))
		return -EUCLEAN;
	return check_owner(owner, s.cluster, le64toh(s.server));
}

void rlog_header_encode(const struct rlog_owner *owner, const struct rlog_header *header,
			void *block)
{
	struct weft_log_segment s = {
		.magic = htole32(WEFT_LOG_SEGMENT_MAGIC),
		.format = htole16(WEFT_LOG_VERSION),
		.flags = htole16(header->reset ? WEFT_LOG_RESET : 0),
		.server = htole64(owner->server),
		.segment = htole64(header->segment),
		.size = htole64(header->size),
		.first_index = htole64(header->first_index),
		.prev_term = htole64(header->prev_term),
		.salt = htole64(header->salt),
		.time_ms = htole64(header->time_ms),
		.prev_crc = htole32(header->prev_crc),
	};

	memcpy(s.cluster, owner->cluster, sizeof(s.cluster));
	s.crc = htole32(crc_without(&s, sizeof(s), offsetof(struct weft_log_segment, crc)));
	memset(block, 0, WEFT_LOG_BLOCK);
	memcpy(block, &s, sizeof(s));
}

int rlog_header_decode(const struct rlog_owner *owner, uint64_t segment, const void *block,
		       struct rlog_header *header)
{
	struct weft_log_segment s;
	uint16_t flags;

	memcpy(&s, block, sizeof(s));
	flags = le16toh(s.flags);
	if (le32toh(s.magic) != WEFT_LOG_SEGMENT_MAGIC || le16toh(s.format) != WEFT_LOG_VERSION ||
	    flags & ~WEFT_LOG_RESET || !all_zero(s.reserved, sizeof(s.reserved)) ||
	    le32toh(s.crc) != crc_without(&s, sizeof(s), offsetof(struct weft_log_segment, crc)) ||
	    le64toh(s.segment) != segment)
		return -ENODATA;
	*header = (struct rlog_header){
		.segment = segment,
		.size = le64toh(s.size),
		.first_index = le64toh(s.first_index),
		.prev_term = le64toh(s.prev_term),
		.salt = le64toh(s.salt),
		.time_ms = le64toh(s.time_ms),
		.prev_crc = le32toh(s.prev_crc),
		.reset = flags & WEFT_LOG_RESET,
	};
	if (header->size < WEFT_LOG_SEGMENT_MIN || header->size > WEFT_LOG_SEGMENT_MAX ||
	    header->size % WEFT_LOG_BLOCK || !header->first_index || !header->salt ||
	    (header->first_index > 1) != (header->prev_term > 0))
		return -ENODATA;
	return check_owner(owner, s.cluster, le64toh(s.server));
}

uint64_t rlog_record_size(uint32_t length)
{
	return sizeof(struct weft_log_record) + round_up(length, WEFT_LOG_ALIGN);
}

uint64_t rlog_record_encode(const struct rlog_entry *entry, uint64_t durable, uint64_t salt,
			    uint32_t prev_crc, void *at, uint32_t *crc)
{
	uint64_t size = rlog_record_size(entry->len);
	uint8_t *data = (uint8_t *)at + sizeof(struct weft_log_record);
	struct weft_log_record r = {
		.magic = htole32(WEFT_LOG_RECORD_MAGIC),
		.type = entry->type,
		.index = htole64(entry->index),
		.term = htole64(entry->term),
		.durable = htole64(durable),
		.salt = htole64(salt),
		.length = htole32(entry->len),
		.data_crc = htole32(weft_crc32c(0, entry->bytes, entry->len)),
		.prev_crc = htole32(prev_crc),
	};

	*crc = crc_without(&r, sizeof(r), offsetof(struct weft_log_record, crc));
	r.crc = htole32(*crc);
	memcpy(at, &r, sizeof(r));
	memcpy(data, entry->bytes, entry->len);
	memset(data + entry->len, 0, size - sizeof(r) - entry->len);
	return size;
}

/* The header of a record of this segment at offset, whatever its data: its own CRC holds. */
static bool record_header(const uint8_t *bytes, uint64_t size, uint64_t offset, uint64_t salt,
			  struct weft_log_record *r)
{
	if (offset > size || size - offset < sizeof(*r))
		return false;
	memcpy(r, bytes + offset, sizeof(*r));
	return le32toh(r->magic) == WEFT_LOG_RECORD_MAGIC && le64toh(r->salt) == salt &&
	       le32toh(r->crc) == crc_without(r, sizeof(*r), offsetof(struct weft_log_record, crc));
}

void rlog_cursor_init(struct rlog_cursor *cursor, const struct rlog_header *header,
		      const void *bytes, uint64_t size)
{
	uint64_t end = header->size - WEFT_LOG_BLOCK;

	*cursor = (struct rlog_cursor){
		.bytes = bytes,
		.size = size < end ? size : end,
		.offset = WEFT_LOG_BLOCK,
		.salt = header->salt,
		.index = header->first_index,
		.term = header->prev_term,
		.prev_crc = header->prev_crc,
	};
}

static bool record_at(const struct rlog_cursor *c, uint64_t offset, struct rlog_record *record)
{
	struct weft_log_record r;
	uint32_t length;

	if (!record_header(c->bytes, c->size, offset, c->salt, &r))
		return false;
	length = le32toh(r.length);
	if (length > RNODE_ENTRY_MAX || rlog_record_size(length) > c->size - offset)
		return false;
	*record = (struct rlog_record){
		.index = le64toh(r.index),
		.term = le64toh(r.term),
		.durable = le64toh(r.durable),
		.crc = le32toh(r.crc),
		.length = length,
		.offset = offset,
		.type = r.type,
		.data = c->bytes + offset + sizeof(r),
	};
	if (record->index != c->index || le32toh(r.prev_crc) != c->prev_crc ||
	    record->term < c->term || !record->term || record->durable >= record->index ||
	    !all_zero(r.reserved, sizeof(r.reserved)) || r.reserved2 || r.reserved3 ||
	    weft_crc32c(0, record->data, length) != le32toh(r.data_crc))
		return false;
	switch (record->type) {
	case WEFT_LOG_COMMAND:
		return length > 0;
	case WEFT_LOG_BARRIER:
		return length == 0;
	case WEFT_LOG_CHANGE:
		return rdrv_conf_check(record->data, length) == 0;
	default:
		return false;
	}
}

bool rlog_cursor_next(struct rlog_cursor *c, struct rlog_record *record)
{
	uint64_t block = round_up(c->offset, WEFT_LOG_BLOCK);

	/* Either the batch goes on, or the next one begins at the next block. */
	if (!record_at(c, c->offset, record) &&
	    (block == c->offset || !record_at(c, block, record)))
		return false;
	c->offset = record->offset + rlog_record_size(record->length);
	c->index = record->index + 1;
	c->term = record->term;
	c->prev_crc = record->crc;
	return true;
}

uint64_t rlog_durable_claim(const void *bytes, uint64_t size, uint64_t offset, uint64_t salt)
{
	uint64_t claim = 0;
	struct weft_log_record r;

	for (offset = round_up(offset, WEFT_LOG_ALIGN); offset < size; offset += WEFT_LOG_ALIGN)
		if (record_header(bytes, size, offset, salt, &r) && le64toh(r.durable) > claim)
			claim = le64toh(r.durable);
	return claim;
}
