// SPDX-License-Identifier: GPL-2.0-or-later
/* tlv.c - runs of attributes; see tlv.h. Fuzzed: every length is hostile. */
#include "net/tlv.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAD 4u
#define ALIGN4(n) (((n) + 3u) & ~(size_t)3u)

void tlv_reader_init(struct tlv_reader *reader, const void *data, size_t len)
{
	reader->at = data;
	reader->end = len ? reader->at + len : reader->at; /* no bytes may have no address */
	reader->broken = false;
}

int tlv_next(struct tlv_reader *reader, struct tlv *tlv)
{
	size_t left = (size_t)(reader->end - reader->at), step;
	uint16_t head[2];
	size_t len;

	if (reader->broken)
		return -EPROTO;
	if (!left)
		return 0;
	if (left < HEAD)
		goto broken;
	memcpy(head, reader->at, HEAD);
	len = le16toh(head[0]);
	if (len < HEAD || len > left)
		goto broken;
	tlv->type = le16toh(head[1]);
	tlv->len = (uint16_t)(len - HEAD);
	tlv->data = reader->at + HEAD;
	step = ALIGN4(len);
	reader->at += step < left ? step : left;
	return 1;
broken:
	reader->broken = true;
	return -EPROTO;
}

int tlv_collect(const void *data, size_t len, struct tlv *known, size_t nr, bool strict)
{
	struct tlv_reader reader;
	struct tlv tlv;
	int ret;

	memset(known, 0, nr * sizeof(*known));
	tlv_reader_init(&reader, data, len);
	while ((ret = tlv_next(&reader, &tlv)) == 1) {
		if (tlv.type < nr)
			known[tlv.type] = tlv;
		else if (strict)
			return -EOPNOTSUPP;
	}
	return ret;
}

int tlv_u32(const struct tlv *tlv, uint32_t *value)
{
	if (!tlv->data)
		return -ENODATA;
	if (tlv->len != sizeof(*value))
		return -EPROTO;
	memcpy(value, tlv->data, sizeof(*value));
	*value = le32toh(*value);
	return 0;
}

int tlv_u64(const struct tlv *tlv, uint64_t *value)
{
	if (!tlv->data)
		return -ENODATA;
	if (tlv->len != sizeof(*value))
		return -EPROTO;
	memcpy(value, tlv->data, sizeof(*value));
	*value = le64toh(*value);
	return 0;
}

int tlv_text(const struct tlv *tlv, size_t min, size_t max, char *buf)
{
	if (!tlv->data)
		return -ENODATA;
	if (tlv->len < min || tlv->len > max || memchr(tlv->data, 0, tlv->len))
		return -EPROTO;
	memcpy(buf, tlv->data, tlv->len);
	buf[tlv->len] = 0;
	return 0;
}

void tlv_writer_init(struct tlv_writer *writer, size_t max)
{
	memset(writer, 0, sizeof(*writer));
	writer->max = max;
}

void tlv_writer_free(struct tlv_writer *writer)
{
	free(writer->data);
	memset(writer, 0, sizeof(*writer));
}

void tlv_writer_reset(struct tlv_writer *writer)
{
	writer->len = 0;
	writer->error = 0;
}

size_t tlv_size(size_t len)
{
	return ALIGN4(HEAD + len);
}

static int grow(struct tlv_writer *writer, size_t need)
{
	size_t size = writer->size ? writer->size : 256;
	uint8_t *data;

	if (need <= writer->size)
		return 0;
	while (size < need)
		size *= 2;
	data = realloc(writer->data, size);
	if (!data)
		return -ENOMEM;
	writer->data = data;
	writer->size = size;
	return 0;
}

void *tlv_reserve(struct tlv_writer *writer, uint16_t type, size_t len)
{
	uint16_t head[2];
	uint8_t *at;
	int ret;

	if (writer->error)
		return NULL;
	if (len > UINT16_MAX - HEAD || writer->len + tlv_size(len) > writer->max) {
		writer->error = -EMSGSIZE;
		return NULL;
	}
	ret = grow(writer, writer->len + tlv_size(len));
	if (ret) {
		writer->error = ret;
		return NULL;
	}
	at = writer->data + writer->len;
	memset(at, 0, tlv_size(len));
	head[0] = htole16((uint16_t)(HEAD + len));
	head[1] = htole16(type);
	memcpy(at, head, HEAD);
	writer->len += tlv_size(len);
	return at + HEAD;
}

void tlv_put(struct tlv_writer *writer, uint16_t type, const void *data, size_t len)
{
	void *at = tlv_reserve(writer, type, len);

	if (at && len)
		memcpy(at, data, len);
}

void tlv_put_u32(struct tlv_writer *writer, uint16_t type, uint32_t value)
{
	value = htole32(value);
	tlv_put(writer, type, &value, sizeof(value));
}

void tlv_put_u64(struct tlv_writer *writer, uint16_t type, uint64_t value)
{
	value = htole64(value);
	tlv_put(writer, type, &value, sizeof(value));
}

void tlv_put_text(struct tlv_writer *writer, uint16_t type, const char *text)
{
	tlv_put(writer, type, text, strlen(text));
}

int tlv_finish(const struct tlv_writer *writer)
{
	return writer->error;
}
