// SPDX-License-Identifier: GPL-2.0-or-later
/* ctl_header.c - the header of a ctl frame; pure. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "chunk/crc32c.h"
#include "net/ctl.h"

void ctl_header_encode(const struct ctl_frame *frame, struct weft_ctl_header *header)
{
	memset(header, 0, sizeof(*header));
	header->magic = htole32(WEFT_CTL_MAGIC);
	header->version = WEFT_CTL_VERSION;
	header->type = htole16(frame->type);
	header->flags = htole32(frame->flags);
	header->length = htole32((uint32_t)frame->len);
	header->tag = htole64(frame->tag);
	header->session = htole64(frame->session);
	header->sequence = htole64(frame->sequence);
	header->slot = htole32(frame->slot);
	header->op = htole16(frame->op);
	header->request_class = htole16(frame->request_class);
	header->status = htole32(frame->status);
	header->payload_crc = htole32(frame->len ? weft_crc32c(0, frame->payload, frame->len) : 0);
	header->crc = htole32(weft_crc32c(0, header, sizeof(*header)));
}

int ctl_header_decode(const struct weft_ctl_header *header, struct ctl_frame *frame, uint32_t *payload_crc)
{
	struct weft_ctl_header copy = *header;

	copy.crc = 0;
	if (le32toh(header->magic) != WEFT_CTL_MAGIC || header->version != WEFT_CTL_VERSION ||
	    le32toh(header->crc) != weft_crc32c(0, &copy, sizeof(copy)))
		return -EPROTO;
	memset(frame, 0, sizeof(*frame));
	frame->type = le16toh(header->type);
	frame->flags = le32toh(header->flags);
	frame->len = le32toh(header->length);
	frame->tag = le64toh(header->tag);
	frame->session = le64toh(header->session);
	frame->sequence = le64toh(header->sequence);
	frame->slot = le32toh(header->slot);
	frame->op = le16toh(header->op);
	frame->request_class = le16toh(header->request_class);
	frame->status = le32toh(header->status);
	*payload_crc = le32toh(header->payload_crc);
	if (!frame->type || frame->type >= WEFT_CTL_NR || frame->len > WEFT_CTL_PAYLOAD_MAX || header->reserved0 ||
	    header->reserved1 || (frame->flags & ~(uint32_t)(WEFT_CTL_REPLY | WEFT_CTL_PUSH)) ||
	    (frame->flags & WEFT_CTL_REPLY && frame->flags & WEFT_CTL_PUSH))
		return -EPROTO;
	return 0;
}
