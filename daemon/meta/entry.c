// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * entry.c - entries of the log: how the leader writes them and apply takes them apart
 *
 * An entry holds a validated request in a fixed form. Decoding still looks at every length: a log
 * whose checksums hold can have been written by a newer program.
 */
#include <errno.h>
#include <stdlib.h>

#include "meta/meta.h"

void meta_buffer_free(struct meta_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct meta_buffer){ 0 };
}

void *meta_buffer_add(struct meta_buffer *buffer, size_t len)
{
	size_t size = buffer->size ? buffer->size : 256;
	u8 *data;

	while (size < buffer->len + len)
		size *= 2;
	if (size != buffer->size) {
		data = realloc(buffer->data, size);
		if (!data)
			return NULL;
		buffer->data = data;
		buffer->size = size;
	}
	data = buffer->data + buffer->len;
	memset(data, 0, len);
	buffer->len += len;
	return data;
}

int meta_buffer_put(struct meta_buffer *buffer, const void *data, size_t len)
{
	void *to = meta_buffer_add(buffer, len);

	if (!to)
		return -ENOMEM;
	if (len)
		memcpy(to, data, len);
	return 0;
}

struct weft_m_entry *meta_entry_head(struct meta_buffer *buffer)
{
	return (struct weft_m_entry *)buffer->data;
}

int meta_entry_begin(struct meta_buffer *buffer, enum weft_m_entry_type type)
{
	struct weft_m_entry *head;

	buffer->len = 0;
	head = meta_buffer_add(buffer, sizeof(*head));
	if (!head)
		return -ENOMEM;
	head->magic = cpu_to_le32(WEFT_M_ENTRY_MAGIC);
	head->type = cpu_to_le16((u16)type);
	head->level = cpu_to_le16(WEFT_META_LEVEL);
	head->slot = cpu_to_le32(WEFT_SLOT_NONE);
	return 0;
}

void meta_entry_end(struct meta_buffer *buffer, u64 time_ns)
{
	struct weft_m_entry *head = meta_entry_head(buffer);

	head->time_ns = cpu_to_le64(time_ns);
	head->body_len = cpu_to_le32((u32)(buffer->len - sizeof(*head)));
}

int meta_entry_decode(const void *bytes, size_t len, struct meta_entry *entry)
{
	struct weft_m_entry head;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	if (le32_to_cpu(head.magic) != WEFT_M_ENTRY_MAGIC ||
	    le16_to_cpu(head.level) > WEFT_META_LEVEL || head.mgrp >= 1u << WEFT_ID_MGRP_BITS ||
	    le32_to_cpu(head.body_len) != len - sizeof(head))
		return -EBADMSG;
	*entry = (struct meta_entry){
		.type = le16_to_cpu(head.type),
		.level = le16_to_cpu(head.level),
		.op = le16_to_cpu(head.op),
		.mgrp = head.mgrp,
		.time_ns = le64_to_cpu(head.time_ns),
		.session = le64_to_cpu(head.session),
		.sequence = le64_to_cpu(head.sequence),
		.slot = le32_to_cpu(head.slot),
		.request_crc = le32_to_cpu(head.request_crc),
		.body = (const u8 *)bytes + sizeof(head),
		.body_len = le32_to_cpu(head.body_len),
	};
	return 0;
}

const void *meta_entry_body(const struct meta_entry *entry, size_t head_len, const u8 **tail,
			    size_t *tail_len)
{
	if (entry->body_len < head_len)
		return NULL;
	*tail = (const u8 *)entry->body + head_len;
	*tail_len = entry->body_len - head_len;
	return entry->body;
}
