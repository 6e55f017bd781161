// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ctl.c - framed connections on libuv; see ctl.h for threading and ownership
 *
 * A connection goes CONNECTING -> HELLO -> READY -> CLOSING. Its memory is freed when all of its libuv handles are closed;
 * .closed runs just before. Each call waits in a hash by its tag until it is answered or the connection goes.
 */
#include "net/ctl.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "chunk/crc32c.h"
#include "net/address.h"

#define HELLO_PAYLOAD_MAX 4096u
#define HELLO_TIMEOUT_MS  5000u
#define QUEUE_MAX         (32u * 1024 * 1024)
#define CALL_BUCKETS      1024u
#define READ_MIN          65536u
#define TCP_TIMEOUT_MS    5000

enum conn_state { CONNECTING, HELLO, READY, CLOSING };

struct call {
	struct call *next;
	uint64_t tag;
	ctl_done_fn *done;
	void *ctx;
};

struct ctl_conn {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} u;
	uv_timer_t timer;             /* connect and HELLO */
	uv_connect_t connect_req;
	uv_getaddrinfo_t resolve_req;
	uv_loop_t *loop;
	enum conn_state state;
	bool outgoing;
	bool is_unix;
	bool connect_pending, resolve_pending;
	int open_handles;             /* freed when it drops to zero */
	const struct ctl_self *self;
	const struct ctl_ops *ops;
	void *ctx;
	struct ctl_peer peer;
	int why;
	char what[256];
	uint64_t next_tag;
	uint8_t *rx;
	size_t rx_len, rx_size;
	struct call *calls[CALL_BUCKETS];
};

struct ctl_listener {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} u;
	bool is_unix;
	char path[128];
	const struct ctl_self *self;
	const struct ctl_ops *ops;
	void *(*accept)(struct ctl_conn *conn, void *listener_ctx);
	void *listener_ctx;
};

struct tx {
	uv_write_t req;
	struct ctl_conn *conn;
	struct weft_ctl_header header;
	uint8_t payload[];
};

/* --- the end ------------------------------------------------------------------------------------------------------- */

static void finish_calls(struct ctl_conn *conn)
{
	struct ctl_frame lost = { .status = WEFT_ST_LOST_PEER };

	for (size_t i = 0; i < CALL_BUCKETS; i++) {
		while (conn->calls[i]) {
			struct call *call = conn->calls[i];

			conn->calls[i] = call->next;
			lost.tag = call->tag;
			call->done(call->ctx, &lost);
			free(call);
		}
	}
}

static void maybe_free(struct ctl_conn *conn)
{
	if (conn->open_handles || conn->connect_pending || conn->resolve_pending)
		return;
	finish_calls(conn);
	if (conn->ops)
		conn->ops->closed(conn, conn->ctx, conn->why, conn->what);
	free(conn->rx);
	free(conn);
}

static void handle_closed(uv_handle_t *handle)
{
	struct ctl_conn *conn = handle->data;

	conn->open_handles--;
	maybe_free(conn);
}

__attribute__((format(printf, 3, 4))) static void conn_fail(struct ctl_conn *conn, int why, const char *fmt, ...)
{
	va_list args;

	if (conn->state == CLOSING)
		return;
	conn->state = CLOSING;
	conn->why = why;
	va_start(args, fmt);
	vsnprintf(conn->what, sizeof(conn->what), fmt, args);
	va_end(args);
	if (conn->resolve_pending)
		uv_cancel((uv_req_t *)&conn->resolve_req);
	uv_close(&conn->u.handle, handle_closed);
	uv_close((uv_handle_t *)&conn->timer, handle_closed);
}

void ctl_close(struct ctl_conn *conn)
{
	conn_fail(conn, 0, "closed");
}

const struct ctl_peer *ctl_peer(const struct ctl_conn *conn)
{
	return &conn->peer;
}

void *ctl_ctx(const struct ctl_conn *conn)
{
	return conn->ctx;
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

static void tx_done(uv_write_t *req, int status)
{
	struct tx *tx = req->data;

	if (status < 0 && status != UV_ECANCELED)
		conn_fail(tx->conn, status, "cannot send to %s: %s", tx->conn->peer.address, uv_strerror(status));
	free(tx);
}

size_t ctl_queued(const struct ctl_conn *conn)
{
	return uv_stream_get_write_queue_size(&conn->u.stream);
}

static int send_frame(struct ctl_conn *conn, const struct ctl_frame *frame)
{
	struct tx *tx;
	uv_buf_t buf;
	int ret;

	if (frame->len > WEFT_CTL_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (ctl_queued(conn) + frame->len > QUEUE_MAX)
		return -EAGAIN;
	tx = malloc(sizeof(*tx) + frame->len);
	if (!tx)
		return -ENOMEM;
	tx->conn = conn;
	tx->req.data = tx;
	ctl_header_encode(frame, &tx->header);
	if (frame->len)
		memcpy(tx->payload, frame->payload, frame->len);
	buf = uv_buf_init((char *)&tx->header, (unsigned int)(sizeof(tx->header) + frame->len));
	ret = uv_write(&tx->req, &conn->u.stream, &buf, 1, tx_done);
	if (ret) {
		free(tx);
		conn_fail(conn, ret, "cannot send to %s: %s", conn->peer.address, uv_strerror(ret));
		return -ENOTCONN;
	}
	return 0;
}
static_assert(offsetof(struct tx, payload) == offsetof(struct tx, header) + sizeof(struct weft_ctl_header),
	      "header and payload are sent as one buffer");

int ctl_call(struct ctl_conn *conn, const struct ctl_frame *frame, ctl_done_fn *done, void *ctx)
{
	struct ctl_frame copy = *frame;
	struct call *call;
	int ret;

	if (conn->state != READY)
		return -ENOTCONN;
	call = malloc(sizeof(*call));
	if (!call)
		return -ENOMEM;
	copy.flags = 0;
	copy.tag = conn->next_tag++;
	ret = send_frame(conn, &copy);
	if (ret) {
		free(call);
		return ret;
	}
	*call = (struct call){ .tag = copy.tag, .done = done, .ctx = ctx };
	call->next = conn->calls[copy.tag % CALL_BUCKETS];
	conn->calls[copy.tag % CALL_BUCKETS] = call;
	return 0;
}

int ctl_push(struct ctl_conn *conn, uint16_t type, const void *payload, size_t len)
{
	struct ctl_frame frame = {
		.type = type, .flags = WEFT_CTL_PUSH, .slot = WEFT_SLOT_NONE, .payload = payload, .len = len
	};

	return conn->state == READY ? send_frame(conn, &frame) : -ENOTCONN;
}

int ctl_reply(struct ctl_conn *conn, const struct ctl_frame *request, uint32_t status, const void *payload, size_t len)
{
	struct ctl_frame frame = {
		.type = request->type, .flags = WEFT_CTL_REPLY, .tag = request->tag, .op = request->op,
		.session = request->session, .slot = request->slot, .sequence = request->sequence,
		.status = status, .payload = payload, .len = len,
	};

	return conn->state == READY ? send_frame(conn, &frame) : -ENOTCONN;
}

/* --- HELLO --------------------------------------------------------------------------------------------------------- */

static int send_hello(struct ctl_conn *conn, const struct ctl_frame *request, uint32_t status)
{
	struct ctl_frame frame = { .type = WEFT_CTL_HELLO, .slot = WEFT_SLOT_NONE, .status = status };
	struct tlv_writer writer;
	int ret;

	tlv_writer_init(&writer, HELLO_PAYLOAD_MAX);
	tlv_put(&writer, WEFT_C_CLUSTER, conn->self->cluster, 16);
	tlv_put_u32(&writer, WEFT_C_INCARNATION, conn->self->incarnation);
	tlv_put_u32(&writer, WEFT_C_ROLE, conn->self->role);
	tlv_put_u32(&writer, WEFT_C_HOST_NR, conn->self->host);
	tlv_put_text(&writer, WEFT_C_NAME, conn->self->name ? conn->self->name : "");
	ret = tlv_finish(&writer);
	if (!ret) {
		if (request) {
			frame.flags = WEFT_CTL_REPLY;
			frame.tag = request->tag;
		}
		frame.payload = writer.data;
		frame.len = writer.len;
		ret = send_frame(conn, &frame);
	}
	tlv_writer_free(&writer);
	return ret;
}

static int read_hello(struct ctl_conn *conn, const struct ctl_frame *frame)
{
	static const uint8_t unknown[16];
	struct tlv known[WEFT_C_NR];
	int ret = tlv_collect(frame->payload, frame->len, known, WEFT_C_NR, false);

	if (!ret)
		ret = tlv_u32(&known[WEFT_C_INCARNATION], &conn->peer.incarnation);
	if (!ret)
		ret = tlv_u32(&known[WEFT_C_ROLE], &conn->peer.role);
	if (!ret)
		ret = tlv_u32(&known[WEFT_C_HOST_NR], &conn->peer.host);
	if (!ret)
		ret = tlv_text(&known[WEFT_C_NAME], 0, sizeof(conn->peer.name) - 1, conn->peer.name);
	if (ret || known[WEFT_C_CLUSTER].len != 16) {
		conn_fail(conn, -EPROTO, "%s sent a HELLO that is not valid", conn->peer.address);
		return -EPROTO;
	}
	memcpy(conn->peer.cluster, known[WEFT_C_CLUSTER].data, 16);
	if (memcmp(conn->peer.cluster, unknown, 16) && memcmp(conn->self->cluster, unknown, 16) &&
	    memcmp(conn->peer.cluster, conn->self->cluster, 16)) {
		/* Told whose we are, the peer can say in its own log what is wrong. */
		if (!conn->outgoing)
			send_hello(conn, frame, WEFT_ST_WRONG_CLUSTER);
		conn_fail(conn, -EPROTO, "%s belongs to another cluster", conn->peer.address);
		return -EPROTO;
	}
	return 0;
}

static void handle_hello(struct ctl_conn *conn, const struct ctl_frame *frame)
{
	if (frame->type != WEFT_CTL_HELLO || !!(frame->flags & WEFT_CTL_REPLY) != conn->outgoing) {
		conn_fail(conn, -EPROTO, "%s did not begin with HELLO", conn->peer.address);
		return;
	}
	if (read_hello(conn, frame))
		return;
	if (!conn->outgoing && send_hello(conn, frame, WEFT_ST_OK)) {
		conn_fail(conn, -EIO, "cannot answer HELLO of %s", conn->peer.address);
		return;
	}
	uv_timer_stop(&conn->timer);
	conn->state = READY;
	if (conn->ops->ready(conn, conn->ctx))
		conn_fail(conn, -EPERM, "%s was refused", conn->peer.address);
}

/* --- receiving ----------------------------------------------------------------------------------------------------- */

static void handle_reply(struct ctl_conn *conn, const struct ctl_frame *frame)
{
	for (struct call **at = &conn->calls[frame->tag % CALL_BUCKETS]; *at; at = &(*at)->next) {
		struct call *call = *at;

		if (call->tag != frame->tag)
			continue;
		*at = call->next;
		call->done(call->ctx, frame);
		free(call);
		return;
	}
	conn_fail(conn, -EPROTO, "%s answered what nobody asked", conn->peer.address);
}

static void handle_frame(struct ctl_conn *conn, const struct ctl_frame *frame)
{
	if (conn->state == HELLO)
		handle_hello(conn, frame);
	else if (frame->flags & WEFT_CTL_REPLY)
		handle_reply(conn, frame);
	else if (frame->type == WEFT_CTL_HELLO)
		conn_fail(conn, -EPROTO, "%s sent HELLO twice", conn->peer.address);
	else
		conn->ops->request(conn, conn->ctx, frame);
}

/* Handle whole frames at the front of rx; keep the rest. */
static void consume(struct ctl_conn *conn)
{
	size_t at = 0;

	while (conn->state != CLOSING && conn->rx_len - at >= sizeof(struct weft_ctl_header)) {
		struct weft_ctl_header header;
		struct ctl_frame frame;
		uint32_t payload_crc;

		memcpy(&header, conn->rx + at, sizeof(header));
		if (ctl_header_decode(&header, &frame, &payload_crc) ||
		    (conn->state == HELLO && frame.len > HELLO_PAYLOAD_MAX)) {
			conn_fail(conn, -EPROTO, "%s sent what is not a frame of this protocol", conn->peer.address);
			return;
		}
		if (conn->rx_len - at < sizeof(header) + frame.len)
			break;
		frame.payload = conn->rx + at + sizeof(header);
		if (payload_crc != (frame.len ? weft_crc32c(0, frame.payload, frame.len) : 0)) {
			conn_fail(conn, -EPROTO, "a frame of %s was damaged on its way", conn->peer.address);
			return;
		}
		at += sizeof(header) + frame.len;
		handle_frame(conn, &frame);
	}
	memmove(conn->rx, conn->rx + at, conn->rx_len - at);
	conn->rx_len -= at;
}

/* Room for the rest of the frame that has begun, or for a good read. */
static void alloc_rx(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct ctl_conn *conn = handle->data;
	size_t want = conn->rx_len + READ_MIN;

	(void)suggested;
	if (conn->rx_len >= sizeof(struct weft_ctl_header)) {
		uint32_t length;

		memcpy(&length, conn->rx + offsetof(struct weft_ctl_header, length), sizeof(length));
		length = le32toh(length);
		/* consume() has checked the header, so the length is within bounds. */
		if (sizeof(struct weft_ctl_header) + length > want)
			want = sizeof(struct weft_ctl_header) + length;
	}
	if (want > conn->rx_size) {
		uint8_t *rx = realloc(conn->rx, want);

		if (!rx) {
			*buf = uv_buf_init(NULL, 0);
			return;
		}
		conn->rx = rx;
		conn->rx_size = want;
	}
	*buf = uv_buf_init((char *)conn->rx + conn->rx_len, (unsigned int)(conn->rx_size - conn->rx_len));
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct ctl_conn *conn = stream->data;

	(void)buf;
	if (n == UV_EOF)
		conn_fail(conn, -ECONNRESET, "%s closed the connection", conn->peer.address);
	else if (n < 0)
		conn_fail(conn, (int)n, "lost %s: %s", conn->peer.address, uv_strerror((int)n));
	if (n <= 0)
		return;
	conn->rx_len += (size_t)n;
	consume(conn);
}

/* --- beginnings ---------------------------------------------------------------------------------------------------- */

static void timed_out(uv_timer_t *timer)
{
	struct ctl_conn *conn = timer->data;

	conn_fail(conn, -ETIMEDOUT, "%s did not answer in time", conn->peer.address);
}

static struct ctl_conn *conn_alloc(uv_loop_t *loop, bool is_unix, const struct ctl_self *self, const struct ctl_ops *ops,
				   void *ctx)
{
	struct ctl_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->loop = loop;
	conn->is_unix = is_unix;
	conn->self = self;
	conn->ops = ops;
	conn->ctx = ctx;
	conn->peer.uid = (uid_t)-1;
	conn->next_tag = 1;
	snprintf(conn->peer.address, sizeof(conn->peer.address), "?");
	if (is_unix)
		uv_pipe_init(loop, &conn->u.pipe, 0);
	else
		uv_tcp_init(loop, &conn->u.tcp);
	uv_timer_init(loop, &conn->timer);
	conn->u.handle.data = conn;
	conn->timer.data = conn;
	conn->open_handles = 2;
	return conn;
}

static void tune_socket(struct ctl_conn *conn)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	uv_os_fd_t fd;
	int timeout = TCP_TIMEOUT_MS;

	if (uv_fileno(&conn->u.handle, &fd))
		return;
	if (conn->is_unix) {
		if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
			conn->peer.uid = cred.uid;
		if (!conn->outgoing)
			snprintf(conn->peer.address, sizeof(conn->peer.address), "local process %d", (int)cred.pid);
		return;
	}
	uv_tcp_nodelay(&conn->u.tcp, 1);
	uv_tcp_keepalive(&conn->u.tcp, 1, 5);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	if (!conn->outgoing)
		address_of_socket(fd, true, conn->peer.address, sizeof(conn->peer.address));
}

static void begin_hello(struct ctl_conn *conn)
{
	int ret;

	tune_socket(conn);
	conn->state = HELLO;
	ret = uv_read_start(&conn->u.stream, alloc_rx, received);
	if (!ret && conn->outgoing)
		ret = send_hello(conn, NULL, WEFT_ST_OK);
	if (ret)
		conn_fail(conn, ret, "cannot talk to %s", conn->peer.address);
}

static void connected(uv_connect_t *req, int status)
{
	struct ctl_conn *conn = req->data;

	conn->connect_pending = false;
	if (conn->state == CLOSING)
		maybe_free(conn);
	else if (status)
		conn_fail(conn, status, "cannot connect to %s: %s", conn->peer.address, uv_strerror(status));
	else
		begin_hello(conn);
}

static void connect_to(struct ctl_conn *conn, const struct sockaddr *sockaddr)
{
	int ret = uv_tcp_connect(&conn->connect_req, &conn->u.tcp, sockaddr, connected);

	if (ret)
		conn_fail(conn, ret, "cannot connect to %s: %s", conn->peer.address, uv_strerror(ret));
	else
		conn->connect_pending = true;
}

static void resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *info)
{
	struct ctl_conn *conn = req->data;

	conn->resolve_pending = false;
	if (conn->state == CLOSING)
		maybe_free(conn);
	else if (status)
		conn_fail(conn, status, "cannot find the address of %s: %s", conn->peer.address, uv_strerror(status));
	else
		connect_to(conn, info->ai_addr);
	uv_freeaddrinfo(info);
}

struct ctl_conn *ctl_connect(uv_loop_t *loop, const char *address, const struct ctl_self *self, const struct ctl_ops *ops,
			     void *ctx, unsigned int timeout_ms)
{
	struct sockaddr_storage storage;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct address parsed;
	struct ctl_conn *conn;
	socklen_t len;
	int ret = address_parse(address, &parsed);

	if (ret) {
		errno = -ret;
		return NULL;
	}
	conn = conn_alloc(loop, parsed.unix_path, self, ops, ctx);
	if (!conn) {
		errno = ENOMEM;
		return NULL;
	}
	conn->outgoing = true;
	conn->connect_req.data = conn;
	conn->resolve_req.data = conn;
	snprintf(conn->peer.address, sizeof(conn->peer.address), "%.*s", (int)sizeof(conn->peer.address) - 1, address);
	uv_timer_start(&conn->timer, timed_out, timeout_ms, 0);
	if (parsed.unix_path) {
		conn->connect_pending = true;
		uv_pipe_connect(&conn->connect_req, &conn->u.pipe, parsed.host, connected);
	} else if (!address_sockaddr(&parsed, &storage, &len)) {
		connect_to(conn, (struct sockaddr *)&storage);
	} else {
		ret = uv_getaddrinfo(loop, &conn->resolve_req, resolved, parsed.host, parsed.port, &hints);
		if (ret)
			conn_fail(conn, ret, "cannot look up %s: %s", address, uv_strerror(ret));
		else
			conn->resolve_pending = true;
	}
	return conn;
}

/* --- listening ----------------------------------------------------------------------------------------------------- */

static void accept_conn(uv_stream_t *stream, int status)
{
	struct ctl_listener *listener = stream->data;
	struct ctl_conn *conn;

	if (status)
		return;
	conn = conn_alloc(stream->loop, listener->is_unix, listener->self, NULL, NULL);
	if (!conn)
		return; /* stays in the backlog; libuv tells again */
	if (uv_accept(stream, &conn->u.stream)) {
		ctl_close(conn);
		return;
	}
	conn->state = HELLO;
	tune_socket(conn);
	conn->ctx = listener->accept(conn, listener->listener_ctx);
	if (!conn->ctx) {
		ctl_close(conn);
		return;
	}
	conn->ops = listener->ops;
	uv_timer_start(&conn->timer, timed_out, HELLO_TIMEOUT_MS, 0);
	begin_hello(conn);
}

static bool unix_socket_is_stale(const struct address *address)
{
	struct sockaddr_storage storage;
	socklen_t len;
	struct stat st;
	bool stale;
	int fd;

	if (lstat(address->host, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	address_sockaddr(address, &storage, &len);
	stale = connect(fd, (struct sockaddr *)&storage, len) && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int bind_unix(struct ctl_listener *listener, uv_loop_t *loop, const struct address *address)
{
	mode_t mask;
	int ret;

	uv_pipe_init(loop, &listener->u.pipe, 0);
	if (unix_socket_is_stale(address))
		unlink(address->host);
	mask = umask(0177);
	ret = uv_pipe_bind(&listener->u.pipe, address->host);
	umask(mask);
	return ret;
}

static int bind_tcp(struct ctl_listener *listener, uv_loop_t *loop, const struct address *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	uv_getaddrinfo_t resolve;
	int ret;

	uv_tcp_init(loop, &listener->u.tcp);
	ret = uv_getaddrinfo(loop, &resolve, NULL, address->host, address->port, &hints);
	if (ret)
		return ret;
	ret = uv_tcp_bind(&listener->u.tcp, resolve.addrinfo->ai_addr, 0);
	uv_freeaddrinfo(resolve.addrinfo);
	return ret;
}

static void listener_closed(uv_handle_t *handle)
{
	free(handle->data);
}

int ctl_listen(uv_loop_t *loop, const char *address, const struct ctl_self *self, const struct ctl_ops *ops,
	       void *(*accept)(struct ctl_conn *conn, void *listener_ctx), void *listener_ctx,
	       struct ctl_listener **out)
{
	struct ctl_listener *listener;
	struct address parsed;
	int ret = address_parse(address, &parsed);

	if (ret)
		return ret;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->is_unix = parsed.unix_path;
	listener->self = self;
	listener->ops = ops;
	listener->accept = accept;
	listener->listener_ctx = listener_ctx;
	ret = parsed.unix_path ? bind_unix(listener, loop, &parsed) : bind_tcp(listener, loop, &parsed);
	listener->u.handle.data = listener;
	if (!ret)
		ret = uv_listen(&listener->u.stream, 512, accept_conn);
	if (ret) {
		uv_close(&listener->u.handle, listener_closed);
		return ret;
	}
	*out = listener;
	return 0;
}

void ctl_listener_close(struct ctl_listener *listener)
{
	uv_close(&listener->u.handle, listener_closed);
}
