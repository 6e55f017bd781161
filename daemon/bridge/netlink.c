// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * netlink.c - the bridge's socket to the kernel
 *
 * A command runs inside sendmsg(), so what it needs (a file descriptor) may be closed when the call returns. Refusals come
 * back as messages with the kernel's sentence; they are logged with what we wanted. A lost wake-up (the socket's buffer was
 * full) is mended by fetching once a second whatever happens.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "bridge/bridge.h"
#include "weftd.h"

#define RX_SIZE    (128u * 1024)
#define TX_SIZE    (64u * 1024)
#define RCVBUF     (8 * 1024 * 1024)
#define POLL_MS    1000u

struct nlmsghdr *bridge_netlink_begin(struct bridge *bridge, uint8_t cmd, uint16_t flags)
{
	struct bridge_netlink *nl = &bridge->nl;
	struct genlmsghdr *genl;

	nl->msg = mnl_nlmsg_put_header(nl->tx);
	nl->msg->nlmsg_type = nl->family;
	nl->msg->nlmsg_flags = NLM_F_REQUEST | flags;
	nl->msg->nlmsg_seq = ++nl->seq;
	genl = mnl_nlmsg_put_extra_header(nl->msg, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = WEFT_FAMILY_VERSION;
	return nl->msg;
}

int bridge_netlink_send(struct bridge *bridge, const char *what)
{
	struct bridge_netlink *nl = &bridge->nl;

	if (!nl->sock)
		return -ENOTCONN;
	if (mnl_socket_sendto(nl->sock, nl->msg, nl->msg->nlmsg_len) < 0) {
		log_warn("cannot tell the kernel to %s: %s", what, strerror(errno));
		return -errno;
	}
	return 0;
}

/* --- what the kernel sends ---------------------------------------------------------------------------------------------- */

struct attrs {
	const struct nlattr *at[WEFT_A_MAX + 1];
};

static int collect(const struct nlattr *attr, void *data)
{
	static const uint16_t sizes[WEFT_A_MAX + 1] = {
		[WEFT_A_REQ_ID] = 8, [WEFT_A_OP] = 2, [WEFT_A_CLASS] = 1, [WEFT_A_SESSION] = 8, [WEFT_A_SLOT] = 4,
		[WEFT_A_SEQUENCE] = 8, [WEFT_A_GENERATION] = 8, [WEFT_A_FEATURES] = 8,
	};
	struct attrs *attrs = data;
	uint16_t type = mnl_attr_get_type(attr);

	if (type > WEFT_A_MAX)
		return MNL_CB_OK;
	if (sizes[type] && mnl_attr_get_payload_len(attr) != sizes[type])
		return MNL_CB_ERROR;
	attrs->at[type] = attr;
	return MNL_CB_OK;
}

static void handle_bound(struct bridge *bridge, const struct attrs *attrs)
{
	if (!attrs->at[WEFT_A_GENERATION])
		return;
	bridge->nl.bound = true;
	bridge->nl.ready = true;
	bridge->nl.features = attrs->at[WEFT_A_FEATURES] ? mnl_attr_get_u64(attrs->at[WEFT_A_FEATURES]) : 0;
	log_info("bound to the kernel  generation=%llu",
		 (unsigned long long)mnl_attr_get_u64(attrs->at[WEFT_A_GENERATION]));
	bridge_map_push(bridge);
	bridge_netlink_begin(bridge, WEFT_CMD_MOUNT_GET, NLM_F_DUMP);
	bridge_netlink_send(bridge, "list its mounts");
}

static void handle_message(struct bridge *bridge, const struct nlmsghdr *msg)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(msg);
	struct attrs attrs = { 0 };

	if (mnl_nlmsg_get_payload_len(msg) < sizeof(*genl) ||
	    mnl_attr_parse(msg, sizeof(*genl), collect, &attrs) < 0) {
		log_warn("the kernel sent a message that cannot be read: module and daemon do not fit together");
		return;
	}
	switch (genl->cmd) {
	case WEFT_CMD_BIND:
		handle_bound(bridge, &attrs);
		break;
	case WEFT_CMD_READY:
		bridge->nl.ready = true;
		break;
	case WEFT_CMD_REQUEST:
		bridge_upcall_add(bridge, attrs.at);
		break;
	case WEFT_CMD_MOUNT_GET:
		if (attrs.at[WEFT_A_SESSION])
			bridge_session_add(bridge, mnl_attr_get_u64(attrs.at[WEFT_A_SESSION]));
		break;
	default:
		break;
	}
}

static const char *extack_text(const struct nlmsghdr *msg, const struct nlmsgerr *err)
{
	size_t skip = sizeof(*err);
	const struct nlattr *attr;

	if (!(msg->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	if (!(msg->nlmsg_flags & NLM_F_CAPPED))
		skip += err->msg.nlmsg_len - sizeof(struct nlmsghdr);
	if (mnl_nlmsg_get_payload_len(msg) < skip)
		return "";
	mnl_attr_for_each(attr, msg, skip)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attr);
	return "";
}

static void handle_error(struct bridge *bridge, const struct nlmsghdr *msg)
{
	static struct log_limit limit;
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(msg);
	const struct genlmsghdr *genl = (const struct genlmsghdr *)(err + 1);

	if (mnl_nlmsg_get_payload_len(msg) < sizeof(*err) || !err->error)
		return;
	if (err->error == -ESTALE) {
		log_error("another weftd has become the kernel's daemon in this network namespace; this one ends");
		bridge_stop(bridge, WEFTD_EXIT_FATAL);
		return;
	}
	/*
	 * The answers that were in it are lost to us. Whoever binds next is given their requests
	 * again, and the metadata service knows the repeats.
	 */
	if (mnl_nlmsg_get_payload_len(msg) >= sizeof(*err) + sizeof(*genl) && genl->cmd == WEFT_CMD_FETCH &&
	    err->error != -EAGAIN) {
		log_error("the kernel did not take answers: %s: %s; starting anew", extack_text(msg, err),
			  strerror(-err->error));
		bridge_stop(bridge, 1);
		return;
	}
	if (log_limit(&limit, 20, 10))
		log_warn("the kernel refused command %d: %s%s%s",
			 mnl_nlmsg_get_payload_len(msg) >= sizeof(*err) + sizeof(*genl) ? genl->cmd : -1,
			 extack_text(msg, err), *extack_text(msg, err) ? ": " : "", strerror(-err->error));
}

static void handle_batch(struct bridge *bridge, size_t len)
{
	const struct nlmsghdr *msg = (const struct nlmsghdr *)bridge->nl.rx;
	int left = (int)len;

	while (mnl_nlmsg_ok(msg, left) && bridge->nl.sock) {
		if (msg->nlmsg_type == NLMSG_ERROR)
			handle_error(bridge, msg);
		else if (msg->nlmsg_type == bridge->nl.family)
			handle_message(bridge, msg);
		msg = mnl_nlmsg_next(msg, &left);
	}
}

static void readable(uv_poll_t *poll, int status, int events)
{
	struct bridge *bridge = poll->data;

	(void)events;
	if (status < 0)
		return;
	while (bridge->nl.sock) {
		ssize_t n = mnl_socket_recvfrom(bridge->nl.sock, bridge->nl.rx, bridge->nl.rx_size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			bridge->nl.ready = true;
			continue;
		}
		if (n <= 0)
			return;
		handle_batch(bridge, (size_t)n);
	}
}

/* --- opening --------------------------------------------------------------------------------------------------------------- */

static int family_id(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID && mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
		*(uint16_t *)data = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int find_family(struct bridge *bridge)
{
	struct bridge_netlink *nl = &bridge->nl;
	const struct nlmsghdr *msg;
	ssize_t n;
	int left;

	nl->family = GENL_ID_CTRL;
	bridge_netlink_begin(bridge, CTRL_CMD_GETFAMILY, 0);
	mnl_attr_put_strz(nl->msg, CTRL_ATTR_FAMILY_NAME, WEFT_FAMILY_NAME);
	nl->family = 0;
	if (mnl_socket_sendto(nl->sock, nl->msg, nl->msg->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(nl->sock, nl->rx, nl->rx_size); /* answered inside sendto: never waits */
	if (n < 0)
		return -errno;
	msg = (const struct nlmsghdr *)nl->rx;
	left = (int)n;
	if (mnl_nlmsg_ok(msg, left) && msg->nlmsg_type == GENL_ID_CTRL)
		mnl_attr_parse(msg, sizeof(struct genlmsghdr), family_id, &nl->family);
	return nl->family ? 0 : -ENOENT;
}

static void poll_tick(uv_timer_t *timer)
{
	struct bridge *bridge = timer->data;

	if (bridge->nl.bound)
		bridge->nl.ready = true;
	else if (bridge->leader.ready)
		bridge_bind(bridge);
	/* What the connection had no room for. */
	if (bridge->leader.ready)
		bridge_upcall_resend(bridge);
}

int bridge_netlink_open(struct bridge *bridge)
{
	struct bridge_netlink *nl = &bridge->nl;
	int on = 1, size = RCVBUF, ret;

	if (!nl->rx)
		nl->rx = malloc(RX_SIZE);
	if (!nl->tx)
		nl->tx = malloc(TX_SIZE);
	nl->rx_size = RX_SIZE;
	if (!nl->rx || !nl->tx)
		return -ENOMEM;
	nl->sock = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!nl->sock)
		return -errno;
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		ret = -errno;
		goto err_close;
	}
	mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	if (setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	ret = find_family(bridge);
	if (ret)
		goto err_close;
	uv_poll_init(&bridge->loop, &nl->poll, mnl_socket_get_fd(nl->sock));
	nl->poll.data = bridge;
	uv_poll_start(&nl->poll, UV_READABLE, readable);
	uv_timer_init(&bridge->loop, &nl->retry);
	nl->retry.data = bridge;
	uv_timer_start(&nl->retry, poll_tick, POLL_MS, POLL_MS);
	return 0;

err_close:
	mnl_socket_close(nl->sock);
	nl->sock = NULL;
	return ret;
}

void bridge_netlink_close(struct bridge *bridge)
{
	struct bridge_netlink *nl = &bridge->nl;

	if (nl->sock) {
		uv_close((uv_handle_t *)&nl->poll, NULL);
		uv_close((uv_handle_t *)&nl->retry, NULL);
		mnl_socket_close(nl->sock);
	}
	nl->sock = NULL;
	nl->bound = false;
}
