// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The netlink side of the fake daemon: raw sockets, so that any message can be made.
 */
#include "fake.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ALIGN4(n) (((n) + 3) & ~(size_t)3)

static _Atomic uint64_t applied; /* one state for all sockets */

const uint8_t fake_uuid[16] = { 0xfa, 0xce, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

void fake_begin(struct fake *fake, struct fake_message *message, uint8_t cmd, uint16_t flags)
{
	struct nlmsghdr *head = (void *)message->bytes;
	struct genlmsghdr *genl = (void *)(message->bytes + NLMSG_HDRLEN);

	memset(message->bytes, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	head->nlmsg_type = fake->family;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	head->nlmsg_seq = ++fake->seq;
	genl->cmd = cmd;
	genl->version = 1;
	message->len = NLMSG_HDRLEN + GENL_HDRLEN;
}

void *fake_put(struct fake_message *message, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (void *)(message->bytes + message->len);

	if (message->len + NLA_HDRLEN + ALIGN4(len) > sizeof(message->bytes))
		die("message too long");
	memset(attr, 0, NLA_HDRLEN + ALIGN4(len));
	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	if (data)
		memcpy((uint8_t *)attr + NLA_HDRLEN, data, len);
	message->len += NLA_HDRLEN + ALIGN4(len);
	return (uint8_t *)attr + NLA_HDRLEN;
}

void fake_put_u8(struct fake_message *message, uint16_t type, uint8_t value)
{
	fake_put(message, type, &value, sizeof(value));
}

void fake_put_u32(struct fake_message *message, uint16_t type, uint32_t value)
{
	fake_put(message, type, &value, sizeof(value));
}

void fake_put_u64(struct fake_message *message, uint16_t type, uint64_t value)
{
	fake_put(message, type, &value, sizeof(value));
}

/* Walks attributes; returns the first of the type. */
static const struct nlattr *attr_find(const void *bytes, size_t len, uint16_t type)
{
	size_t at = 0;

	while (len >= NLA_HDRLEN && at <= len - NLA_HDRLEN) {
		const struct nlattr *attr = (const void *)((const uint8_t *)bytes + at);

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len - at)
			return NULL;
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr;
		at += ALIGN4(attr->nla_len);
	}
	return NULL;
}

static uint64_t attr_number(const void *bytes, size_t len, uint16_t type)
{
	const struct nlattr *attr = attr_find(bytes, len, type);
	uint64_t value = 0;

	if (attr && attr->nla_len - NLA_HDRLEN <= (int)sizeof(value))
		memcpy(&value, (const uint8_t *)attr + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN);
	return value;
}

static void take_request(struct fake *fake, const uint8_t *attrs, size_t len)
{
	struct fake_request *req = calloc(1, sizeof(*req)), **end = &fake->queue;
	const struct nlattr *payload = attr_find(attrs, len, WEFT_A_PAYLOAD);

	if (!req)
		die("calloc");
	req->id = attr_number(attrs, len, WEFT_A_REQ_ID);
	req->op = attr_number(attrs, len, WEFT_A_OP);
	req->class = attr_number(attrs, len, WEFT_A_CLASS);
	req->session = attr_number(attrs, len, WEFT_A_SESSION);
	req->slot = attr_number(attrs, len, WEFT_A_SLOT);
	req->sequence = attr_number(attrs, len, WEFT_A_SEQUENCE);
	if (payload) {
		req->len = payload->nla_len - NLA_HDRLEN;
		memcpy(req->payload, (const uint8_t *)payload + NLA_HDRLEN, req->len);
	}
	while (*end)
		end = &(*end)->next;
	*end = req;
}

static void take_ack(struct fake *fake, const struct nlmsghdr *head)
{
	const struct nlmsgerr *ack = NLMSG_DATA(head);
	size_t skip = sizeof(*ack);
	const struct nlattr *text;

	fake->error = ack->error;
	fake->text[0] = '\0';
	fake->bad_attr = 0;
	if (!(head->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(head->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(ack->msg.nlmsg_len) - NLMSG_HDRLEN;
	text = attr_find((const uint8_t *)ack + skip, head->nlmsg_len - NLMSG_HDRLEN - skip,
			 NLMSGERR_ATTR_MSG);
	if (text)
		snprintf(fake->text, sizeof(fake->text), "%s", (const char *)text + NLA_HDRLEN);
	fake->bad_attr = attr_number((const uint8_t *)ack + skip,
				     head->nlmsg_len - NLMSG_HDRLEN - skip, NLMSGERR_ATTR_OFFS);
}

/*
 * One datagram. Returns whether it held the acknowledgement of seq; -1: nothing came within the
 * time.
 */
static int receive(struct fake *fake, uint32_t seq, int timeout)
{
	struct pollfd poll_fd = { .fd = fake->fd, .events = POLLIN };
	static _Thread_local uint8_t bytes[131072] __attribute__((aligned(8)));
	struct nlmsghdr *head = (void *)bytes;
	int acked = 0, rest;

	if (poll(&poll_fd, 1, timeout) <= 0)
		return -1;
	rest = recv(fake->fd, bytes, sizeof(bytes), 0);
	if (rest < 0)
		return errno == ENOBUFS ? 0 : -1;
	for (; NLMSG_OK(head, (uint32_t)rest); head = NLMSG_NEXT(head, rest)) {
		const uint8_t *attrs = (uint8_t *)head + NLMSG_HDRLEN + GENL_HDRLEN;
		size_t len = head->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;
		const struct genlmsghdr *genl = NLMSG_DATA(head);

		if (head->nlmsg_type == NLMSG_ERROR) {
			if (head->nlmsg_seq == seq) {
				take_ack(fake, head);
				acked = 1;
			}
		} else if (head->nlmsg_type == GENL_ID_CTRL) {
			fake->family = attr_number(attrs, len, CTRL_ATTR_FAMILY_ID);
		} else if (head->nlmsg_type == fake->family && genl->cmd == WEFT_CMD_REQUEST) {
			take_request(fake, attrs, len);
		} else if (head->nlmsg_type == fake->family && genl->cmd == WEFT_CMD_READY) {
			fake->ready = true;
		} else if (head->nlmsg_type == fake->family && genl->cmd == WEFT_CMD_BIND) {
			fake->generation = attr_number(attrs, len, WEFT_A_GENERATION);
		}
	}
	return acked;
}

int fake_send(struct fake *fake, struct fake_message *message)
{
	struct nlmsghdr *head = (void *)message->bytes;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	uint32_t seq = head->nlmsg_seq;
	int acked;

	head->nlmsg_len = message->len;
	head->nlmsg_flags |= NLM_F_ACK;
	if (sendto(fake->fd, message->bytes, message->len, 0, (void *)&kernel, sizeof(kernel)) < 0)
		return fake->error = -errno;
	do {
		acked = receive(fake, seq, 10000);
		if (acked < 0)
			die("the kernel does not acknowledge a command");
	} while (!acked);
	return fake->error;
}

void fake_open(struct fake *fake)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	struct fake_message *message = malloc(sizeof(*message));
	int on = 1, size = 4 << 20;

	memset(fake, 0, sizeof(*fake));
	fake->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fake->fd < 0 || !message || bind(fake->fd, (void *)&self, sizeof(self)))
		die("netlink socket");
	setsockopt(fake->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fake->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fake->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	fake->family = GENL_ID_CTRL;
	fake_begin(fake, message, CTRL_CMD_GETFAMILY, 0);
	fake_put(message, CTRL_ATTR_FAMILY_NAME, WEFT_FAMILY_NAME, sizeof(WEFT_FAMILY_NAME));
	if (fake_send(fake, message) || fake->family == GENL_ID_CTRL) {
		printf("Bail out! the netlink family %s is not there: is the module loaded?\n",
		       WEFT_FAMILY_NAME);
		exit(1);
	}
	free(message);
}

void fake_close(struct fake *fake)
{
	struct fake_request *req;

	close(fake->fd);
	fake->fd = -1;
	while ((req = fake->queue)) {
		fake->queue = req->next;
		free(req);
	}
}

static int bind_send(struct fake *fake, const uint8_t uuid[16], const char *name,
		     uint64_t generation)
{
	struct fake_message *message = malloc(sizeof(*message));
	int error;

	fake_begin(fake, message, WEFT_CMD_BIND, 0);
	fake_put(message, WEFT_A_CLUSTER, uuid, 16);
	if (name) {
		fake_put(message, WEFT_A_CLUSTER_NAME, name, strlen(name) + 1);
		fake_put_u32(message, WEFT_A_INCARNATION, 1);
	} else {
		fake_put(message, WEFT_A_JOIN, NULL, 0);
		fake_put_u64(message, WEFT_A_GENERATION, generation);
	}
	fake_put_u64(message, WEFT_A_FEATURES, UINT64_MAX);
	error = fake_send(fake, message);
	free(message);
	return error;
}

int fake_bind(struct fake *fake, const uint8_t uuid[16], const char *name)
{
	return bind_send(fake, uuid, name, 0);
}

int fake_join(struct fake *fake, const uint8_t uuid[16], uint64_t generation)
{
	return bind_send(fake, uuid, NULL, generation);
}

int fake_fetch(struct fake *fake, uint32_t count)
{
	struct fake_message *message = malloc(sizeof(*message));
	int error;

	fake->ready = false;
	fake_begin(fake, message, WEFT_CMD_FETCH, 0);
	fake_put_u32(message, WEFT_A_COUNT, count);
	error = fake_send(fake, message);
	free(message);
	return error;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

struct fake_request *fake_next(struct fake *fake, int timeout)
{
	int64_t deadline = now_ms() + timeout, left;
	struct fake_request *req;

	while (!fake->queue) {
		if (fake->ready) {
			if (fake_fetch(fake, 16))
				return NULL;
			continue;
		}
		left = deadline - now_ms();
		if (receive(fake, 0, left > 0 ? left : 0) < 0 && left <= 0)
			return NULL;
	}
	req = fake->queue;
	fake->queue = req->next;
	req->next = NULL;
	return req;
}

int fake_answer(struct fake *fake, uint64_t id, uint32_t status, const void *payload, size_t len)
{
	struct fake_message *message = malloc(sizeof(*message));
	struct nlattr *nest;
	uint32_t start;
	int error;

	fake_begin(fake, message, WEFT_CMD_FETCH, 0);
	start = message->len;
	fake_put(message, WEFT_A_ANSWER | NLA_F_NESTED, NULL, 0);
	fake_put_u64(message, WEFT_ANSWER_REQ_ID, id);
	fake_put_u32(message, WEFT_ANSWER_STATUS, status);
	fake_put_u64(message, WEFT_ANSWER_APPLIED, ++applied);
	if (payload)
		fake_put(message, WEFT_ANSWER_PAYLOAD, payload, len);
	nest = (void *)(message->bytes + start);
	nest->nla_len = message->len - start;
	error = fake_send(fake, message);
	free(message);
	return error;
}

uint64_t fake_number(const void *attrs, size_t len, uint16_t type)
{
	return attr_number(attrs, len, type);
}

int fake_dump(struct fake *fake, uint8_t cmd,
	      void (*each)(const void *attrs, size_t len, void *arg), void *arg)
{
	static _Thread_local uint8_t bytes[131072] __attribute__((aligned(8)));
	struct fake_message *message = malloc(sizeof(*message));
	int count = 0, rest, error;

	fake_begin(fake, message, cmd, NLM_F_DUMP);
	((struct nlmsghdr *)message->bytes)->nlmsg_len = message->len;
	rest = send(fake->fd, message->bytes, message->len, 0);
	free(message);
	if (rest < 0)
		return -errno;
	for (;;) {
		struct nlmsghdr *head = (void *)bytes;

		rest = recv(fake->fd, bytes, sizeof(bytes), 0);
		if (rest < 0)
			return -errno;
		for (; NLMSG_OK(head, (uint32_t)rest); head = NLMSG_NEXT(head, rest)) {
			if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR) {
				memcpy(&error, NLMSG_DATA(head), sizeof(error));
				return error < 0 ? error : count;
			}
			each((uint8_t *)head + NLMSG_HDRLEN + GENL_HDRLEN,
			     head->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN, arg);
			count++;
		}
	}
}

/* --- Payloads: the same layout, little-endian; tests run on little-endian machines only --- */

void *fake_attr(struct fake_payload *payload, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (void *)(payload->bytes + payload->len);

	if (payload->len + NLA_HDRLEN + ALIGN4(len) > sizeof(payload->bytes))
		return NULL;
	memset(attr, 0, NLA_HDRLEN + ALIGN4(len));
	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	if (data)
		memcpy((uint8_t *)attr + NLA_HDRLEN, data, len);
	payload->len += NLA_HDRLEN + ALIGN4(len);
	return (uint8_t *)attr + NLA_HDRLEN;
}

const void *fake_find(const void *payload, size_t payload_len, uint16_t type, size_t *len)
{
	const struct nlattr *attr = attr_find(payload, payload_len, type);

	if (!attr)
		return NULL;
	if (len)
		*len = attr->nla_len - NLA_HDRLEN;
	return (const uint8_t *)attr + NLA_HDRLEN;
}

uint64_t fake_find_u64(const struct fake_request *req, uint16_t type)
{
	return attr_number(req->payload, req->len, type);
}
