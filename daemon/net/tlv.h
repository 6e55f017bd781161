/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tlv.h - runs of attributes: __le16 length (with its head of 4 bytes), __le16 type, data, padding to 4 bytes
 *
 * The layout of netlink attributes, little-endian always, so that a payload passes between kernel, bridge and leader as it
 * is. A reader never looks outside its bytes, whatever they hold. A writer grows; a failure to grow is remembered and
 * reported once, by tlv_finish(), so that callers need no check after each attribute.
 */
#ifndef WEFT_NET_TLV_H
#define WEFT_NET_TLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tlv {
	uint16_t type;
	uint16_t len;     /* of the data */
	const void *data; /* aligned to 4 bytes if the run is */
};

struct tlv_reader {
	const uint8_t *at, *end;
	bool broken;
};

void tlv_reader_init(struct tlv_reader *reader, const void *data, size_t len);

/* The next attribute: 1; 0 at the end; -EPROTO when what follows is not an attribute (and from then on). */
int tlv_next(struct tlv_reader *reader, struct tlv *tlv);

/*
 * Collect the attributes of a run by type: known[i].data is NULL when absent, the last one counts when repeated. known has
 * nr entries, for types 0 .. nr - 1. Others are -EOPNOTSUPP if strict, else skipped. 0 or a negative errno.
 */
int tlv_collect(const void *data, size_t len, struct tlv *known, size_t nr, bool strict);

/* The value of an attribute of exactly that size: 0; -ENODATA when it is absent; -EPROTO when its size is wrong. */
int tlv_u32(const struct tlv *tlv, uint32_t *value);
int tlv_u64(const struct tlv *tlv, uint64_t *value);
/* A text without NUL of min .. max bytes, copied with a NUL behind it to buf[max + 1]. Errors as above. */
int tlv_text(const struct tlv *tlv, size_t min, size_t max, char *buf);

struct tlv_writer {
	uint8_t *data;
	size_t len, size, max;
	int error;
};

/* max: longest run, bytes. Nothing is allocated yet. */
void tlv_writer_init(struct tlv_writer *writer, size_t max);
void tlv_writer_free(struct tlv_writer *writer);
void tlv_writer_reset(struct tlv_writer *writer);
void tlv_put(struct tlv_writer *writer, uint16_t type, const void *data, size_t len);
void tlv_put_u32(struct tlv_writer *writer, uint16_t type, uint32_t value);
void tlv_put_u64(struct tlv_writer *writer, uint16_t type, uint64_t value);
void tlv_put_text(struct tlv_writer *writer, uint16_t type, const char *text);
/* Room for len bytes, zeroed, valid until the next tlv_*() on the writer; NULL on failure (remembered). */
void *tlv_reserve(struct tlv_writer *writer, uint16_t type, size_t len);
/* Bytes that an attribute of len bytes of data takes. */
size_t tlv_size(size_t len);
/* 0, -ENOMEM or -EMSGSIZE: the first failure. */
int tlv_finish(const struct tlv_writer *writer);

#endif
