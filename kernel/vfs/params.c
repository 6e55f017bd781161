// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mount's source and options. Every refusal says what is wrong and what to do.
 *
 *	mount -t weft [CLUSTER:]VOLUME DIR -o budget=SIZE
 */
#include <linux/fs_parser.h>
#include <linux/nsproxy.h>
#include <linux/slab.h>

#include "vfs/vfs.h"

enum weft_param {
	PARAM_BUDGET,
};

static const struct fs_parameter_spec params[] = { fsparam_string("budget", PARAM_BUDGET), {} };

/* The whole source is kept by the caller for /proc/mounts. */
static int params_source(struct fs_context *fc, const char *source)
{
	struct weft_fs_context *ctx = fc->fs_private;
	const char *colon = strchr(source, ':'), *volume = colon ? colon + 1 : source;
	size_t cluster_len = colon ? colon - source : 0;

	if (colon && !cluster_len)
		return invalf(fc,
			"weft: the source is [CLUSTER:]VOLUME; no cluster stands before the colon of \"%s\"",
			source);
	if (cluster_len > WEFT_CLUSTER_NAME_MAX)
		return invalf(fc, "weft: the cluster's name is longer than %u bytes",
			      WEFT_CLUSTER_NAME_MAX);
	if (!*volume || strlen(volume) > WEFT_NAME_MAX || strpbrk(volume, "/:"))
		return invalf(fc,
			      "weft: the source is [CLUSTER:]VOLUME; \"%s\" is no name of a volume",
			      volume);
	memcpy(ctx->cluster_name, source, cluster_len);
	ctx->cluster_name[cluster_len] = '\0';
	strscpy(ctx->volume_name, volume, sizeof(ctx->volume_name));
	return 0;
}

static int params_budget(struct fs_context *fc, const char *text)
{
	struct weft_fs_context *ctx = fc->fs_private;
	unsigned long long budget;
	char *end;

	budget = memparse(text, &end);
	if (end == text || *end || *text == '-')
		return invalf(fc, "weft: budget=%s is no size: a number with K, M or G", text);
	if (budget < WEFT_BUDGET_MIN || budget > WEFT_BUDGET_MAX)
		return invalf(fc, "weft: budget=%s is out of range: 16M to 16T", text);
	ctx->budget = budget;
	return 0;
}

static int params_parse(struct fs_context *fc, struct fs_parameter *param)
{
	struct fs_parse_result result;
	int opt;

	if (!strcmp(param->key, "source")) {
		if (param->type != fs_value_is_string)
			return invalf(fc, "weft: the source is not a string");
		if (fc->source)
			return invalf(fc, "weft: more than one source was given");
		opt = params_source(fc, param->string);
		if (!opt) {
			fc->source = param->string;
			param->string = NULL;
		}
		return opt;
	}
	opt = fs_parse(fc, params, param, &result);
	if (opt < 0)
		return opt;
	return params_budget(fc, param->string);
}

static void params_free(struct fs_context *fc)
{
	struct weft_fs_context *ctx = fc->fs_private;

	if (!ctx)
		return;
	weft_cluster_put(ctx->cluster);
	kfree(ctx);
}

static const struct fs_context_operations context_ops = {
	.parse_param = params_parse,
	.get_tree = weft_get_tree,
	.reconfigure = weft_reconfigure,
	.free = params_free,
};

int weft_init_fs_context(struct fs_context *fc)
{
	struct weft_fs_context *ctx;

	/*
	 * What a daemon answers is believed about owners and set-user-ID bits: nobody but the
	 * administrator mounts.
	 */
	if (fc->user_ns != &init_user_ns) {
		errorf(fc, "weft: cannot be mounted from a user namespace");
		return -EPERM;
	}
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;
	fc->fs_private = ctx;
	fc->ops = &context_ops;
	return 0;
}
