// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: one netlink multicast for whoever listens and one line in the kernel's log, both
 * rate-limited by what carries them. Called from anywhere but interrupts; never sleeps; what cannot
 * be sent is dropped.
 */
#include <net/genetlink.h>

#include "nl/generated.h"
#include "weft.h"

/* A line of the kernel's log holds less than 1024 bytes, with its head. */
#define EVENT_TEXT_MAX 800

static struct sk_buff *event_message(struct weft_cluster *cluster, u32 event, u64 session, u64 ino,
				     u64 offset, u64 group, const char *text)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_ATOMIC);
	void *head;

	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &weft_nl_family, 0, WEFT_CMD_EVENT);
	if (!head || nla_put(skb, WEFT_A_CLUSTER, sizeof(cluster->uuid), &cluster->uuid) ||
	    nla_put_u32(skb, WEFT_A_EVENT, event) ||
	    (session && nla_put_u64_64bit(skb, WEFT_A_SESSION, session, WEFT_A_PAD)) ||
	    (ino && (nla_put_u64_64bit(skb, WEFT_A_INO, ino, WEFT_A_PAD) ||
		     nla_put_s64(skb, WEFT_A_OFFSET, offset, WEFT_A_PAD))) ||
	    (group && nla_put_u64_64bit(skb, WEFT_A_GROUP, group, WEFT_A_PAD)) ||
	    nla_put_string(skb, WEFT_A_TEXT, text)) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

void weft_event(struct weft_cluster *cluster, u32 event, u64 session, u64 ino, u64 offset,
		u64 group, const char *fmt, ...)
{
	char text[EVENT_TEXT_MAX];
	struct sk_buff *skb;
	struct net *net;
	va_list args;

	va_start(args, fmt);
	vscnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	pr_notice_ratelimited("weft: cluster %s: %s\n", cluster->name, text);
	skb = event_message(cluster, event, session, ino, offset, group, text);
	if (!skb)
		return;
	rcu_read_lock();
	net = READ_ONCE(cluster->net);
	if (net)
		genlmsg_multicast_netns(&weft_nl_family, net, skb, 0, WEFT_NLGRP_EVENTS,
					GFP_ATOMIC);
	else
		nlmsg_free(skb);
	rcu_read_unlock();
}
