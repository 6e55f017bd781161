// SPDX-License-Identifier: GPL-2.0-only
/*
 * policy.c - which policy new content of a file gets: the volume's, as it is now, with what the file sets itself
 *
 * Both may change at any time, and count from the next unit on. What this kernel has no library for is not compressed.
 */
#include <linux/seq_file.h>

#include "io/internal.h"

/* Inline content grows into one chunk, not into several. */
static bool policy_fits(const struct weft_policy *policy)
{
	return policy->chunks.min >= PAGE_SIZE;
}

/* -ENOPKG: this kernel has no library for it. */
static int policy_codec(const struct weft_policy *policy)
{
	if (policy->codec != WEFT_CODEC_RAW && !weft_codec(policy->codec))
		return -ENOPKG;
	if (policy->codec_policy == WEFT_CODEC_ADAPTIVE && !weft_codec(WEFT_CODEC_LZ4))
		return -ENOPKG;
	return 0;
}

static struct weft_policy policy_of_mount(struct weft_mount *mount)
{
	struct weft_policy policy;

	spin_lock(&mount->policy_lock);
	policy = mount->policy;
	spin_unlock(&mount->policy_lock);
	return policy;
}

int weft_policy_take(struct weft_mount *mount, const struct weft_volume_info *info)
{
	struct weft_policy policy;
	int error;

	if (!weft_chunker_of(le32_to_cpu(info->chunker)) || le32_to_cpu(info->codec) > WEFT_CODEC_DEFLATE ||
	    le16_to_cpu(info->codec_policy) > WEFT_CODEC_ADAPTIVE)
		return -EOPNOTSUPP;
	if (!weft_policy_of_volume(&policy, info) || !policy_fits(&policy))
		return -EPROTO;
	error = policy_codec(&policy);
	if (error)
		return error;
	spin_lock(&mount->policy_lock);
	mount->policy = policy;
	spin_unlock(&mount->policy_lock);
	WRITE_ONCE(mount->ec_min, le32_to_cpu(info->ec_min));
	WRITE_ONCE(mount->flags, le32_to_cpu(info->flags));
	return 0;
}

void weft_policy_update(struct weft_mount *mount, const struct weft_volume_info *info)
{
	int error;

	/* The mount is still being made: the answer that makes it says the same. */
	if (!READ_ONCE(mount->volume))
		return;
	if (le64_to_cpu(info->volume) != mount->volume) {
		pr_err_ratelimited("weft: volume %s: the daemon told of another volume's policies\n", mount->volume_name);
		return;
	}
	error = weft_policy_take(mount, info);
	if (error == mount->policy_error)
		return;
	mount->policy_error = error;
	if (error)
		pr_err("weft: volume %s: its policies were changed to what this kernel %s; new files are written by the old ones\n",
		       mount->volume_name, error == -ENOPKG ? "has no library for" : "does not know");
}

void weft_policy_show(struct seq_file *seq, struct weft_mount *mount)
{
	const struct weft_policy policy = policy_of_mount(mount);

	seq_printf(seq, "\n\tpolicy: %s %u/%u/%u/%u %s %u", policy.chunker->name, policy.chunks.min, policy.chunks.target,
		   policy.chunks.max, policy.chunks.random, weft_policy_codec_name(policy.codec, policy.codec_policy),
		   policy.codec_level);
}

const char *weft_policy_try(struct weft_mount *mount, u64 own)
{
	const struct weft_policy volume = policy_of_mount(mount);
	struct weft_policy policy;
	const char *wrong = weft_own_apply(&policy, &volume, own);

	if (wrong)
		return wrong;
	if (!policy_fits(&policy))
		return "chunk-min is at least a page of memory";
	return policy_codec(&policy) ? "this kernel has no library for that codec (zstd, LZ4 or deflate)" : NULL;
}

void weft_policy_of(struct weft_inode *inode, struct weft_policy *policy)
{
	const struct weft_policy volume = policy_of_mount(weft_inode_mount(inode));

	/* What the volume had when it was set may have changed since. */
	if (weft_own_apply(policy, &volume, READ_ONCE(inode->policy)) || !policy_fits(policy))
		*policy = volume;
	if (policy_codec(policy))
		policy->codec = WEFT_CODEC_RAW;
	if (policy->codec == WEFT_CODEC_RAW)
		policy->codec_policy = WEFT_CODEC_FIXED;
	if (!policy->codec_level)
		policy->codec_level = policy->codec == WEFT_CODEC_DEFLATE ? 6 : 3;
}
