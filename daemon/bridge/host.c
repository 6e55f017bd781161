// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * host.c - connections to store hosts, opened here and handed to the kernel
 *
 * HOST_WANT opens the two connections of a host (bulk and small) side by side, to the host's addresses in turn; each is
 * handed over as soon as it stands and closed here, so that the kernel is its only owner. The request is answered when
 * both stand or one has failed; the kernel asks again when it still needs the host. Several requests for one host share
 * one dialing.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "bridge/bridge.h"
#include "net/address.h"

#define CONNECT_MS 3000u
#define KINDS      2
#define WAITERS_MAX 64 /* requests for one host at a time; the kernel sends one */

struct line {
	uv_poll_t poll;
	struct dial *dial;
	int fd;
	bool polling;
	uint32_t kind;
};

struct dial {
	struct bridge *bridge;
	uint32_t host;
	struct line lines[KINDS];
	uv_timer_t timer;
	unsigned int open;       /* lines that do not stand yet */
	unsigned int handles;    /* libuv's, until it says that they are closed */
	bool over;
	struct upcall *waiters[WAITERS_MAX];
	size_t n_waiters;
};

static void handle_closed(uv_handle_t *handle)
{
	struct dial *dial = handle->data;

	if (--dial->handles == 0)
		free(dial);
}

static void poll_closed(uv_handle_t *handle)
{
	struct line *line = handle->data;
	struct dial *dial = line->dial;

	if (--dial->handles == 0)
		free(dial);
}

static void close_line(struct line *line)
{
	if (line->polling)
		uv_close((uv_handle_t *)&line->poll, poll_closed);
	line->polling = false;
	if (line->fd >= 0)
		close(line->fd);
	line->fd = -1;
}

static void finish(struct dial *dial, uint32_t status)
{
	struct map_host *host = bridge_map_host(dial->bridge, dial->host);

	if (dial->over)
		return;
	dial->over = true;
	if (host && host->dial == dial) {
		host->dial = NULL;
		if (status != WEFT_ST_OK)
			host->next_address++;
	}
	for (size_t i = 0; i < dial->n_waiters; i++)
		bridge_upcall_answer(dial->waiters[i], status, NULL, 0);
	dial->n_waiters = 0;
	for (int i = 0; i < KINDS; i++)
		close_line(&dial->lines[i]);
	uv_close((uv_handle_t *)&dial->timer, handle_closed);
}

static int hand_over(struct line *line)
{
	struct bridge *bridge = line->dial->bridge;
	struct map_host *host = bridge_map_host(bridge, line->dial->host);
	struct nlmsghdr *msg;

	if (!host)
		return -ENOENT;
	msg = bridge_netlink_begin(bridge, WEFT_CMD_HOST_SET, 0);
	mnl_attr_put_u32(msg, WEFT_A_HOST, host->host);
	mnl_attr_put_u32(msg, WEFT_A_STATE, host->state);
	mnl_attr_put_strz(msg, WEFT_A_NAME, host->name);
	for (size_t i = 0; i < host->n_stores; i++)
		mnl_attr_put_u32(msg, WEFT_A_STORE, host->stores[i]);
	mnl_attr_put_u32(msg, WEFT_A_KIND, line->kind);
	mnl_attr_put_u32(msg, WEFT_A_FD, (uint32_t)line->fd);
	return bridge_netlink_send(bridge, "take a connection");
}

static void connect_result(uv_poll_t *poll, int status, int events)
{
	struct line *line = poll->data;
	struct dial *dial = line->dial;
	socklen_t len = sizeof(int);
	int err = -status;

	(void)events;
	if (!err && getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (!err)
		err = -hand_over(line);
	if (err) {
		static struct log_limit limit;
		struct map_host *host = bridge_map_host(dial->bridge, dial->host);

		if (log_limit(&limit, 5, 10))
			log_warn("cannot connect to host %s: %s", host ? host->name : "?", strerror(err));
		finish(dial, WEFT_ST_LOST_PEER);
		return;
	}
	close_line(line);
	if (--dial->open == 0)
		finish(dial, WEFT_ST_OK);
}

static void timed_out(uv_timer_t *timer)
{
	struct dial *dial = timer->data;

	finish(dial, WEFT_ST_TIMEDOUT);
}

/*
 * No TCP_USER_TIMEOUT: the module watches its connections, and unlike TCP it does not take a pause of this machine for the
 * silence of a host.
 */
static int start_line(struct line *line, const struct sockaddr_storage *sockaddr, socklen_t len)
{
	int on = 1, ret;

	line->fd = socket(sockaddr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (line->fd < 0)
		return -errno;
	if (sockaddr->ss_family != AF_UNIX) {
		setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(line->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	if (connect(line->fd, (const struct sockaddr *)sockaddr, len) && errno != EINPROGRESS)
		return -errno;
	ret = uv_poll_init(&line->dial->bridge->loop, &line->poll, line->fd);
	if (ret)
		return ret;
	line->poll.data = line;
	line->polling = true;
	line->dial->handles++;
	return uv_poll_start(&line->poll, UV_WRITABLE, connect_result);
}

static int start_dial(struct dial *dial, const char *text)
{
	struct sockaddr_storage sockaddr;
	struct address address;
	socklen_t len;
	int ret = address_parse(text, &address);

	if (!ret)
		ret = address_sockaddr(&address, &sockaddr, &len);
	for (int i = 0; !ret && i < KINDS; i++)
		ret = start_line(&dial->lines[i], &sockaddr, len);
	return ret;
}

void bridge_host_want(struct upcall *upcall)
{
	struct bridge *bridge = upcall->bridge;
	struct tlv known[WEFT_P_NR];
	struct map_host *host = NULL;
	struct dial *dial;
	uint32_t number;

	if (!tlv_collect(upcall->payload, upcall->len, known, WEFT_P_NR, true) && !tlv_u32(&known[WEFT_P_HOST], &number))
		host = bridge_map_host(bridge, number);
	if (!host || !host->n_addresses) {
		bridge_upcall_answer(upcall, WEFT_ST_WRONG_STORE, NULL, 0);
		return;
	}
	if (host->dial && host->dial->n_waiters < WAITERS_MAX) {
		host->dial->waiters[host->dial->n_waiters++] = upcall;
		return;
	}
	dial = host->dial ? NULL : calloc(1, sizeof(*dial));
	if (!dial) {
		bridge_upcall_answer(upcall, WEFT_ST_OVERLOADED, NULL, 0);
		return;
	}
	dial->bridge = bridge;
	dial->host = number;
	dial->open = KINDS;
	dial->waiters[dial->n_waiters++] = upcall;
	for (uint32_t i = 0; i < KINDS; i++)
		dial->lines[i] = (struct line){ .dial = dial, .fd = -1, .kind = WEFT_CONN_KIND_BULK + i };
	host->dial = dial;
	uv_timer_init(&bridge->loop, &dial->timer);
	dial->timer.data = dial;
	dial->handles = 1;
	uv_timer_start(&dial->timer, timed_out, CONNECT_MS, 0);
	if (start_dial(dial, host->addresses[host->next_address % host->n_addresses]))
		finish(dial, WEFT_ST_LOST_PEER);
}

/* The kernel has dropped the connection already and asks with HOST_WANT when it needs another. */
void bridge_host_failed(struct upcall *upcall)
{
	static struct log_limit limit;
	struct map_host *host = NULL;
	struct tlv known[WEFT_P_NR];
	uint32_t number, status;

	if (!tlv_collect(upcall->payload, upcall->len, known, WEFT_P_NR, false) &&
	    !tlv_u32(&known[WEFT_P_HOST], &number) && !tlv_u32(&known[WEFT_P_STATUS], &status)) {
		host = bridge_map_host(upcall->bridge, number);
		if (log_limit(&limit, 10, 10))
			log_warn("the connection to host %s broke: %s", host ? host->name : "?", status_text(status));
	}
	bridge_upcall_answer(upcall, WEFT_ST_OK, NULL, 0);
}

void bridge_host_forget(struct map_host *host)
{
	struct dial *dial = host->dial;

	host->dial = NULL;
	if (dial)
		finish(dial, WEFT_ST_WRONG_STORE);
}
