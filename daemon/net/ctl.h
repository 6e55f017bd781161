/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl.h - framed connections between weftd processes (uapi/weft_ctl.h) on a libuv loop
 *
 * Threading: a connection belongs to its loop's thread; every function here is called on that thread only, and every
 * callback runs there. Nothing blocks.
 *
 * Ownership: the connection is the caller's from ctl_accept's callback or ctl_connect() until it calls ctl_close();
 * .closed runs once after that, or after the connection broke by itself, and then it is gone. A frame's payload is valid
 * during the callback only.
 *
 * Bounds: what waits to be written is at most ctl_limits.queue_max bytes; ctl_send() then fails with -EAGAIN and the caller
 * decides (answers are small and bounded by the requests in flight; pushes are dropped and repeated). A peer that does not
 * read for ctl_limits.write_timeout_ms loses its connection.
 */
#ifndef WEFT_NET_CTL_H
#define WEFT_NET_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "net/tlv.h"
#include "uapi/weft_ctl.h"
#include "uapi/weft_status.h"

struct ctl_conn;

/* A frame's header in host order. */
struct ctl_frame {
	uint16_t type;         /* enum weft_ctl_type */
	uint32_t flags;
	uint64_t tag;
	uint64_t session;
	uint64_t sequence;
	uint32_t slot;
	uint16_t op;
	uint16_t request_class;
	uint32_t status;
	const void *payload;
	size_t len;
};

/* Who the other side says it is; known after its HELLO. */
struct ctl_peer {
	uint32_t role;         /* enum weft_ctl_role */
	uint32_t host;         /* 0 when it has no number yet */
	uint8_t cluster[16];   /* zero: it does not know yet */
	uint32_t incarnation;
	char name[256];
	char address[128];     /* for messages */
	uid_t uid;             /* AF_UNIX: of the process; otherwise (uid_t)-1 */
};

struct ctl_ops {
	/* HELLO was exchanged. A non-zero return (negative errno) closes the connection. */
	int (*ready)(struct ctl_conn *conn, void *ctx);
	/* A request or push of the peer; answer it, now or later, by ctl_reply() with its tag. */
	void (*request)(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame);
	/* Gone. why: 0 after ctl_close(), else a negative errno and what: a sentence. Requests that were not answered get their .done first. */
	void (*closed)(struct ctl_conn *conn, void *ctx, int why, const char *what);
};

/* What this side says of itself. Kept, not copied, and read at each HELLO: it may be filled in later. */
struct ctl_self {
	uint32_t role;
	uint32_t host;
	uint8_t cluster[16];   /* zero: not known yet: accepts any */
	uint32_t incarnation;
	const char *name;
};

struct ctl_listener;

/*
 * Listen on "IP:PORT", "[IP6]:PORT", "HOST:PORT" or "unix:/path" (an old socket file is replaced if nobody answers on it;
 * mode 0600). For each connection ops is used with the context that accept returns (NULL refuses). 0 or negative errno.
 */
int ctl_listen(uv_loop_t *loop, const char *address, const struct ctl_self *self, const struct ctl_ops *ops,
	       void *(*accept)(struct ctl_conn *conn, void *listener_ctx), void *listener_ctx,
	       struct ctl_listener **listener);
void ctl_listener_close(struct ctl_listener *listener);

/*
 * Connect to an address as above. Never fails at once but for -ENOMEM and -EINVAL (NULL and errno set): a failure to
 * connect comes as .closed. timeout_ms bounds connecting and HELLO.
 */
struct ctl_conn *ctl_connect(uv_loop_t *loop, const char *address, const struct ctl_self *self, const struct ctl_ops *ops,
			     void *ctx, unsigned int timeout_ms);

/* Begin to close; .closed follows from the loop, never from inside this call. May be called twice. */
void ctl_close(struct ctl_conn *conn);

const struct ctl_peer *ctl_peer(const struct ctl_conn *conn);
void *ctl_ctx(const struct ctl_conn *conn);

/*
 * Answer of a request that this side made: frame->status and payload, or, when the connection went first, WEFT_ST_LOST_PEER
 * without a payload. Runs exactly once for each ctl_call() that returned 0.
 */
typedef void ctl_done_fn(void *ctx, const struct ctl_frame *frame);

/* Send a request (frame: type, op, session, slot, ... and payload; the tag is made here). 0, -EAGAIN (queue full), -ENOTCONN, -ENOMEM. */
int ctl_call(struct ctl_conn *conn, const struct ctl_frame *frame, ctl_done_fn *done, void *ctx);
/* Send a push. Errors as above. */
int ctl_push(struct ctl_conn *conn, uint16_t type, const void *payload, size_t len);
/* Answer request (its type and tag count) with a status and a payload. Errors as above. */
int ctl_reply(struct ctl_conn *conn, const struct ctl_frame *request, uint32_t status, const void *payload, size_t len);

/* Bytes that wait to be written: whoever has much to send that can wait lets others go first while there are some. */
size_t ctl_queued(const struct ctl_conn *conn);

/* Encode and check headers; pure, for tests and fuzzers. */
void ctl_header_encode(const struct ctl_frame *frame, struct weft_ctl_header *header);
/* 0, or -EPROTO: frame is filled, frame->len is the payload's length, frame->payload NULL. payload_crc is returned apart. */
int ctl_header_decode(const struct weft_ctl_header *header, struct ctl_frame *frame, uint32_t *payload_crc);

#endif
