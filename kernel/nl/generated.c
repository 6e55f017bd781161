// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policies and operations of the generic netlink family.
 * Made by tools/uapi-gen from uapi/weft.yaml; do not edit. `make uapi-check` compares.
 */

#include <linux/module.h>

#include "generated.h"

const struct nla_policy weft_answer_nl_policy[WEFT_ANSWER_PAYLOAD + 1] = {
	[WEFT_ANSWER_REQ_ID] = { .type = NLA_U64, },
	[WEFT_ANSWER_STATUS] = { .type = NLA_U32, },
	[WEFT_ANSWER_APPLIED] = { .type = NLA_U64, },
	[WEFT_ANSWER_PAYLOAD] = { .type = NLA_BINARY, .len = 30720, },
};

static const struct nla_policy weft_nl_bind_nl_policy[WEFT_A_JOIN + 1] = {
	[WEFT_A_CLUSTER] = NLA_POLICY_EXACT_LEN(16),
	[WEFT_A_CLUSTER_NAME] = { .type = NLA_NUL_STRING, .len = 63, },
	[WEFT_A_INCARNATION] = { .type = NLA_U32, },
	[WEFT_A_FEATURES] = { .type = NLA_U64, },
	[WEFT_A_JOIN] = { .type = NLA_FLAG, },
	[WEFT_A_GENERATION] = { .type = NLA_U64, },
};

static const struct nla_policy weft_nl_fetch_nl_policy[WEFT_A_COUNT + 1] = {
	[WEFT_A_ANSWER] = NLA_POLICY_NESTED(weft_answer_nl_policy),
	[WEFT_A_COUNT] = { .type = NLA_U32, },
	[WEFT_A_CLASS] = { .type = NLA_U8, },
};

static const struct nla_policy weft_nl_host_set_nl_policy[WEFT_A_FD + 1] = {
	[WEFT_A_HOST] = { .type = NLA_U32, },
	[WEFT_A_NAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[WEFT_A_STATE] = { .type = NLA_U32, },
	[WEFT_A_STORE] = { .type = NLA_U32, },
	[WEFT_A_KIND] = { .type = NLA_U32, },
	[WEFT_A_FD] = { .type = NLA_S32, },
};

static const struct nla_policy weft_nl_host_del_nl_policy[WEFT_A_HOST + 1] = {
	[WEFT_A_HOST] = { .type = NLA_U32, },
};

static const struct nla_policy weft_nl_group_set_nl_policy[WEFT_A_DOMAIN + 1] = {
	[WEFT_A_GROUP] = { .type = NLA_U64, },
	[WEFT_A_K] = NLA_POLICY_RANGE(NLA_U8, 1, 31),
	[WEFT_A_M] = NLA_POLICY_MAX(NLA_U8, 31),
	[WEFT_A_FLAGS] = { .type = NLA_U32, },
	[WEFT_A_WEIGHT] = { .type = NLA_U32, },
	[WEFT_A_SLOTS] = { .type = NLA_BINARY, .len = 128, },
	[WEFT_A_DOMAIN] = { .type = NLA_U64, },
};

static const struct nla_policy weft_nl_group_del_nl_policy[WEFT_A_GROUP + 1] = {
	[WEFT_A_GROUP] = { .type = NLA_U64, },
};

static const struct nla_policy weft_nl_lease_nl_policy[WEFT_A_VOLUME + 1] = {
	[WEFT_A_SESSION] = { .type = NLA_U64, },
	[WEFT_A_DEADLINE] = { .type = NLA_U64, },
	[WEFT_A_STATUS] = { .type = NLA_U32, },
	[WEFT_A_VOLUME] = NLA_POLICY_EXACT_LEN(104),
};

static const struct nla_policy weft_nl_time_nl_policy[WEFT_A_OFFSET + 1] = {
	[WEFT_A_OFFSET] = { .type = NLA_S64, },
};

static const struct nla_policy weft_nl_limits_nl_policy[WEFT_A_BUDGET + 1] = {
	[WEFT_A_CLUSTER] = NLA_POLICY_EXACT_LEN(16),
	[WEFT_A_BUDGET] = { .type = NLA_U64, },
};

static const struct nla_policy weft_nl_abort_nl_policy[WEFT_A_SESSION + 1] = {
	[WEFT_A_CLUSTER] = NLA_POLICY_EXACT_LEN(16),
	[WEFT_A_SESSION] = { .type = NLA_U64, },
};

static const struct genl_split_ops weft_nl_ops[] = {
	{
		.cmd = WEFT_CMD_BIND,
		.policy = weft_nl_bind_nl_policy,
		.maxattr = WEFT_A_JOIN,
		.pre_doit = weft_nl_pre_admin,
		.doit = weft_nl_bind_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_FETCH,
		.policy = weft_nl_fetch_nl_policy,
		.maxattr = WEFT_A_COUNT,
		.pre_doit = weft_nl_pre_bound,
		.post_doit = weft_nl_post_bound,
		.doit = weft_nl_fetch_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_HOST_SET,
		.policy = weft_nl_host_set_nl_policy,
		.maxattr = WEFT_A_FD,
		.pre_doit = weft_nl_pre_bound,
		.post_doit = weft_nl_post_bound,
		.doit = weft_nl_host_set_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_HOST_DEL,
		.policy = weft_nl_host_del_nl_policy,
		.maxattr = WEFT_A_HOST,
		.pre_doit = weft_nl_pre_bound,
		.post_doit = weft_nl_post_bound,
		.doit = weft_nl_host_del_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_GROUP_SET,
		.policy = weft_nl_group_set_nl_policy,
		.maxattr = WEFT_A_DOMAIN,
		.pre_doit = weft_nl_pre_bound,
		.post_doit = weft_nl_post_bound,
		.doit = weft_nl_group_set_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_GROUP_DEL,
		.policy = weft_nl_group_del_nl_policy,
		.maxattr = WEFT_A_GROUP,
		.pre_doit = weft_nl_pre_bound,
		.post_doit = weft_nl_post_bound,
		.doit = weft_nl_group_del_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_LEASE,
		.policy = weft_nl_lease_nl_policy,
		.maxattr = WEFT_A_VOLUME,
		.pre_doit = weft_nl_pre_bound,
		.post_doit = weft_nl_post_bound,
		.doit = weft_nl_lease_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_TIME,
		.policy = weft_nl_time_nl_policy,
		.maxattr = WEFT_A_OFFSET,
		.pre_doit = weft_nl_pre_bound,
		.post_doit = weft_nl_post_bound,
		.doit = weft_nl_time_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_LIMITS,
		.policy = weft_nl_limits_nl_policy,
		.maxattr = WEFT_A_BUDGET,
		.pre_doit = weft_nl_pre_limits,
		.doit = weft_nl_limits_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_ABORT,
		.policy = weft_nl_abort_nl_policy,
		.maxattr = WEFT_A_SESSION,
		.pre_doit = weft_nl_pre_admin,
		.doit = weft_nl_abort_doit,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = WEFT_CMD_REQUEST_GET,
		.dumpit = weft_nl_request_get_dumpit,
		.flags = GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd = WEFT_CMD_HOST_GET,
		.dumpit = weft_nl_host_get_dumpit,
		.flags = GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd = WEFT_CMD_MOUNT_GET,
		.dumpit = weft_nl_mount_get_dumpit,
		.flags = GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
};

static const struct genl_multicast_group weft_nl_mcgrps[] = {
	[WEFT_NLGRP_EVENTS] = { WEFT_MCGRP_EVENTS, .flags = GENL_MCAST_CAP_NET_ADMIN },
};

struct genl_family weft_nl_family __ro_after_init = {
	.name = WEFT_FAMILY_NAME,
	.version = WEFT_FAMILY_VERSION,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.split_ops = weft_nl_ops,
	.n_split_ops = ARRAY_SIZE(weft_nl_ops),
	.mcgrps = weft_nl_mcgrps,
	.n_mcgrps = ARRAY_SIZE(weft_nl_mcgrps),
};
