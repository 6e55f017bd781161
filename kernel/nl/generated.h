/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * generated.h - policies and operations of the family
 * Made by tools/uapi-gen from uapi/weft.yaml; do not edit. `make uapi-check` compares.
 */

#ifndef _WEFT_NL_GENERATED_H
#define _WEFT_NL_GENERATED_H

#include <net/genetlink.h>
#include <net/netlink.h>

#include "uapi/weft_netlink.h"

extern const struct nla_policy weft_answer_nl_policy[WEFT_ANSWER_PAYLOAD + 1];
int weft_nl_abort_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_bind_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_fetch_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_group_del_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_group_set_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_host_del_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_host_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int weft_nl_host_set_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_lease_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_limits_doit(struct sk_buff *skb, struct genl_info *info);
int weft_nl_mount_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int weft_nl_pre_admin(const struct genl_split_ops *ops, struct sk_buff *skb, struct genl_info *info);
int weft_nl_pre_bound(const struct genl_split_ops *ops, struct sk_buff *skb, struct genl_info *info);
int weft_nl_pre_limits(const struct genl_split_ops *ops, struct sk_buff *skb, struct genl_info *info);
int weft_nl_request_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int weft_nl_time_doit(struct sk_buff *skb, struct genl_info *info);
void weft_nl_post_bound(const struct genl_split_ops *ops, struct sk_buff *skb, struct genl_info *info);

enum {
	WEFT_NLGRP_EVENTS,
};

extern struct genl_family weft_nl_family;

#endif /* _WEFT_NL_GENERATED_H */
