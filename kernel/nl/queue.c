// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues of requests and the daemon's side of them: READY, FETCH with its answers, requests that go
 * back.
 *
 * A request that was fetched belongs to the socket that has it; only that socket may answer. When a
 * REQUEST does not fit the socket's buffer, or the socket goes, requests return to their queue in
 * the order of their ids, before younger ones. READY is level-triggered: a socket that has been
 * told is told again only after its next FETCH, and at once if requests remain that it wants. The
 * watchdog repeats what could not be sent; a socket that nobody reads is in nobody's way.
 */
#include "nl/internal.h"

#include <linux/slab.h>

#include "obs/trace.h"

/* To the end of its queue; the caller announces when it has dropped the lock. */
void weft_queue_add(struct weft_request *req)
{
	lockdep_assert_held(&req->cluster->nl.lock);
	req->place = WEFT_REQUEST_QUEUED;
	list_add_tail(&req->link, &req->cluster->nl.queue[req->class - 1]);
	trace_weft_request(req, weft_request_queued);
}

/* Older requests first: the queue's head holds only few that are older than one that comes back. */
static void queue_return(struct weft_request *req)
{
	struct list_head *queue = &req->cluster->nl.queue[req->class - 1];
	struct weft_request *other;

	req->place = WEFT_REQUEST_QUEUED;
	req->owner = NULL;
	list_for_each_entry(other, queue, link) {
		if (other->id > req->id)
			break;
	}
	list_move_tail(&req->link, &other->link);
	trace_weft_request(req, weft_request_returned);
}

/* All that the socket has fetched. Under the cluster's lock. */
void weft_queue_put_back(struct weft_nl_sock *sock)
{
	struct weft_request *req, *next;

	lockdep_assert_held(&sock->cluster->nl.lock);
	list_for_each_entry_safe(req, next, &sock->fetched, link)
		queue_return(req);
}

static struct weft_request *queue_first(struct weft_nl_cluster *nl, unsigned int class_max)
{
	for (unsigned int class = 0; class < class_max; class++)
		if (!list_empty(&nl->queue[class]))
			return list_first_entry(&nl->queue[class], struct weft_request, link);
	return NULL;
}

static int queue_send_ready(struct weft_nl_sock *sock)
{
	struct sk_buff *skb =
		genlmsg_new(nla_total_size_64bit(sizeof(u64)), GFP_NOWAIT | __GFP_NOWARN);
	void *head;

	if (!skb)
		return -ENOMEM;
	head = genlmsg_put(skb, 0, 0, &weft_nl_family, 0, WEFT_CMD_READY);
	if (!head || nla_put_u64_64bit(skb, WEFT_A_GENERATION, sock->generation, WEFT_A_PAD)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return weft_nl_unicast(sock->cluster, skb, sock->portid);
}

void weft_queue_untell(struct weft_cluster *cluster)
{
	struct weft_nl_sock *sock;

	spin_lock(&cluster->nl.lock);
	list_for_each_entry(sock, &cluster->nl.socks, link) {
		sock->told &= !sock->missed;
		sock->missed = false;
	}
	spin_unlock(&cluster->nl.lock);
}

/* Tells every socket that waits for requests it wants; any of them may fetch. Never sleeps. */
void weft_queue_announce(struct weft_cluster *cluster)
{
	struct weft_nl_cluster *nl = &cluster->nl;
	struct weft_nl_sock *sock;
	bool found;

	do {
		found = false;
		spin_lock(&nl->lock);
		list_for_each_entry(sock, &nl->socks, link) {
			if (sock->told || !queue_first(nl, sock->class_max))
				continue;
			sock->told = true;
			refcount_inc(&sock->ref);
			found = true;
			break;
		}
		spin_unlock(&nl->lock);
		if (!found)
			return;
		if (queue_send_ready(sock)) {
			/* Not now: the watchdog tries again. */
			spin_lock(&nl->lock);
			sock->missed = true;
			spin_unlock(&nl->lock);
		}
		weft_nl_sock_put(sock);
	} while (true);
}

static struct sk_buff *queue_request_message(const struct weft_request *req)
{
	struct sk_buff *skb = genlmsg_new(nla_total_size(req->out_len) + 128, GFP_KERNEL);
	void *head;

	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &weft_nl_family, 0, WEFT_CMD_REQUEST);
	if (!head || nla_put_u64_64bit(skb, WEFT_A_REQ_ID, req->id, WEFT_A_PAD) ||
	    nla_put_u16(skb, WEFT_A_OP, req->op) || nla_put_u8(skb, WEFT_A_CLASS, req->class) ||
	    nla_put_u64_64bit(skb, WEFT_A_SESSION, req->session, WEFT_A_PAD) ||
	    nla_put_u32(skb, WEFT_A_SLOT, req->slot) ||
	    nla_put_u64_64bit(skb, WEFT_A_SEQUENCE, req->sequence, WEFT_A_PAD) ||
	    nla_put(skb, WEFT_A_PAYLOAD, req->out_len, req->out)) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

/*
 * Takes the next request for the socket, with a reference. NULL: nothing wanted is there.
 * ERR_PTR(-ESTALE).
 */
static struct weft_request *queue_take(struct weft_nl_sock *sock)
{
	struct weft_nl_cluster *nl = &sock->cluster->nl;
	struct weft_request *req;

	spin_lock(&nl->lock);
	req = sock->stale ? ERR_PTR(-ESTALE) : queue_first(nl, sock->class_max);
	if (!IS_ERR_OR_NULL(req)) {
		refcount_inc(&req->ref);
		set_bit(WEFT_REQUEST_SENT, &req->state);
		req->place = WEFT_REQUEST_FETCHED;
		req->owner = sock;
		list_move_tail(&req->link, &sock->fetched);
		trace_weft_request(req, weft_request_fetched);
	}
	spin_unlock(&nl->lock);
	return req;
}

/* Sends up to count requests. The one that cannot be sent goes back. */
static int queue_fetch(struct weft_nl_sock *sock, u32 count, struct netlink_ext_ack *extack)
{
	struct weft_nl_cluster *nl = &sock->cluster->nl;
	struct weft_request *req;
	struct sk_buff *skb;
	int error = 0;

	for (; count && !error; count--) {
		req = queue_take(sock);
		if (IS_ERR_OR_NULL(req))
			return PTR_ERR_OR_ZERO(req);
		skb = queue_request_message(req);
		error = skb ? weft_nl_unicast(sock->cluster, skb, sock->portid) : -ENOMEM;
		if (error) {
			spin_lock(&nl->lock);
			if (req->place == WEFT_REQUEST_FETCHED && req->owner == sock)
				queue_return(req);
			spin_unlock(&nl->lock);
			NL_SET_ERR_MSG(extack,
				"the socket's receive buffer is full: read what is there, then fetch again");
		}
		weft_request_put(req);
	}
	return error;
}

static int answer_check(const struct nlattr *attr, struct nlattr *tb[],
			struct netlink_ext_ack *extack)
{
	int error = nla_parse_nested(tb, WEFT_ANSWER_MAX, attr, weft_answer_nl_policy, extack);

	if (error)
		return error;
	if (!tb[WEFT_ANSWER_REQ_ID] || !tb[WEFT_ANSWER_STATUS]) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "an answer needs req-id and status");
		return -EINVAL;
	}
	return 0;
}

/*
 * One answer. Of a request that is not this socket's (answered already, gone back, aborted):
 * dropped, that is no fault. A malformed payload ends the request with PROTO, so that its waiter
 * does not wait for ever, and is refused.
 */
static int answer_take(struct weft_nl_sock *sock, struct nlattr *tb[])
{
	struct weft_cluster *cluster = sock->cluster;
	u32 status = nla_get_u32(tb[WEFT_ANSWER_STATUS]), len = 0;
	struct weft_request *req;
	LIST_HEAD(finished);
	void *payload = NULL;
	int error = 0;

	req = weft_request_by_id(cluster, nla_get_u64(tb[WEFT_ANSWER_REQ_ID]));
	if (!req)
		return 0;
	if (tb[WEFT_ANSWER_PAYLOAD] && nla_len(tb[WEFT_ANSWER_PAYLOAD])) {
		len = nla_len(tb[WEFT_ANSWER_PAYLOAD]);
		payload = kvmemdup(nla_data(tb[WEFT_ANSWER_PAYLOAD]), len, GFP_KERNEL);
		if (!payload) {
			weft_request_put(req);
			return -ENOMEM;
		}
		error = weft_payload_normalize(payload, len);
		if (error)
			status = WEFT_ST_PROTO;
	}
	spin_lock(&cluster->nl.lock);
	if (req->place == WEFT_REQUEST_FETCHED && req->owner == sock) {
		if (!error) {
			req->in = payload;
			req->in_len = len;
			payload = NULL;
		}
		if (tb[WEFT_ANSWER_APPLIED])
			req->applied = nla_get_u64(tb[WEFT_ANSWER_APPLIED]);
		weft_request_finish(req, status, &finished);
	}
	spin_unlock(&cluster->nl.lock);
	weft_requests_settle(&finished);
	weft_request_put(req);
	kvfree(payload);
	return error;
}

static int answers_take(struct weft_nl_sock *sock, struct genl_info *info)
{
	struct nlattr *tb[WEFT_ANSWER_MAX + 1];
	const struct nlattr *attr;
	int error, malformed = 0, rem;

	/* All of them are checked before the first counts. */
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		error = nla_type(attr) == WEFT_A_ANSWER ? answer_check(attr, tb, info->extack) : 0;
		if (error)
			return error;
	}
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(attr) != WEFT_A_ANSWER || answer_check(attr, tb, info->extack))
			continue;
		error = answer_take(sock, tb);
		if (error == -EPROTO) {
			NL_SET_ERR_MSG_ATTR(info->extack,
				attr,
				"the answer's payload is malformed; its request has failed");
			malformed = error;
		} else if (error) {
			NL_SET_ERR_MSG_ATTR(info->extack,
				attr,
				"no memory for this answer and those behind it; send them again");
			return error;
		}
	}
	return malformed;
}

int weft_nl_fetch_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct weft_nl_sock *sock = info->user_ptr[0];
	struct weft_nl_cluster *nl = &sock->cluster->nl;
	u32 count = info->attrs[WEFT_A_COUNT] ? nla_get_u32(info->attrs[WEFT_A_COUNT]) : 0;
	u8 class_max = info->attrs[WEFT_A_CLASS] ? nla_get_u8(info->attrs[WEFT_A_CLASS])
						 : WEFT_CLASSES;
	int answered, error = 0;

	if (class_max < 1 || class_max > WEFT_CLASSES) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[WEFT_A_CLASS],
				    "a class is 1, 2 or 3");
		return -EINVAL;
	}
	answered = answers_take(sock, info);
	if (count && answered != -EINVAL) {
		spin_lock(&nl->lock);
		sock->class_max = class_max;
		spin_unlock(&nl->lock);
		error = queue_fetch(sock, count, info->extack);
		spin_lock(&nl->lock);
		sock->told = false;
		sock->missed = false;
		spin_unlock(&nl->lock);
	}
	/*
	 * Answers free slots, and what waited for them is in the queue now; so may be what did not
	 * fit.
	 */
	weft_queue_announce(sock->cluster);
	return answered ?: error;
}
