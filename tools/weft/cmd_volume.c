// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_volume.c - weft volume create, list, show, stats. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weft.h"

static int show_list(const json_t *answer)
{
	static const struct column columns[] = {
		{ "name", "name", SHOW_TEXT }, { "coded", NULL, SHOW_KM }, { ">files", "files", SHOW_NUMBER },
		{ ">bytes", "bytes", SHOW_BYTES }, { ">available", "available", SHOW_BYTES },
		{ "mounted by", "mounted_by", SHOW_TEXT }, { 0 },
	};

	show_objects(json_object_get(answer, "volumes"), columns, "there is no volume yet: 'weft volume create NAME'");
	return 0;
}

static void show_chunks(const json_t *volume)
{
	const char *chunker = json_text(volume, "chunker");
	char size[16], min[16], max[16], random[16];

	format_bytes((uint64_t)json_number(volume, "chunk_size"), size);
	format_bytes((uint64_t)json_number(volume, "chunk_min"), min);
	format_bytes((uint64_t)json_number(volume, "chunk_max"), max);
	format_bytes((uint64_t)json_number(volume, "chunk_random"), random);
	if (!strcmp(chunker, "fixed")) {
		printf("%-14sfixed: %s\n", "chunks", size);
		return;
	}
	printf("%-14s%s: about %s, from %s to %s\n", "chunks", chunker, size, min, max);
	if (!strcmp(chunker, "hybrid"))
		printf("%-14s%s in files that are written at random\n", "", random);
}

/* Chunks are kept as long as some of their bytes are part of a file, so this may be more than the files have. */
static void show_compressed(const json_t *volume)
{
	char plain[16], stored[16];

	printf("%-14s%s in chunks, to %s\n", "compressed", format_bytes((uint64_t)json_number(volume, "compressed"), plain),
	       format_bytes((uint64_t)json_number(volume, "compressed_to"), stored));
}

static void show_dedup(const json_t *volume)
{
	const char *domain = json_text(volume, "dedup_domain");

	if (*domain && strcmp(domain, json_text(volume, "name")))
		printf("%-14son, together with %s\n", "dedup", domain);
	else
		printf("%-14s%s\n", "dedup", json_text(volume, "dedup"));
}

static int show_one(const json_t *volume)
{
	char text[16];

	printf("%-14s%s\n", "name", json_text(volume, "name"));
	printf("%-14s%" PRId64 "+%" PRId64 ": any %" PRId64 " of the stores of a chunk may be lost\n", "coded",
	       json_number(volume, "k"), json_number(volume, "m"), json_number(volume, "m"));
	show_chunks(volume);
	printf("%-14s%s go to 1+%" PRId64 " copies\n", "smaller than", format_bytes((uint64_t)json_number(volume, "ec_min"), text),
	       json_number(volume, "m"));
	printf("%-14s%" PRId64 " bytes stay in the metadata\n", "files up to", json_number(volume, "inline_max"));
	if (strcmp(json_text(volume, "codec"), "none") && json_number(volume, "level"))
		printf("%-14s%s, level %" PRId64 "\n", "codec", json_text(volume, "codec"), json_number(volume, "level"));
	else
		printf("%-14s%s\n", "codec", json_text(volume, "codec"));
	show_dedup(volume);
	printf("%-14s%s\n", "degraded", strcmp(json_text(volume, "degraded"), "refuse") ?
	       "writes go on with fewer stores than the redundancy needs" :
	       "writes are refused when there are fewer stores than the redundancy needs");
	printf("%-14s%" PRId64 "\n", "files", json_number(volume, "files"));
	printf("%-14s%s\n", "bytes", format_bytes((uint64_t)json_number(volume, "bytes"), text));
	if (json_number(volume, "compressed"))
		show_compressed(volume);
	printf("%-14s%s\n", "available", format_bytes((uint64_t)json_number(volume, "available"), text));
	printf("%-14s%s\n", "mounted by", *json_text(volume, "mounted_by") ? json_text(volume, "mounted_by") : "nobody");
	return 0;
}

/* "name      1.0 MiB in files are 512 KiB in chunks     2.00 : 1" */
static void show_stage(const json_t *stats, const char *name, const char *from, const char *what, const char *to, const char *into)
{
	double ratio = json_real_value(json_object_get(json_object_get(stats, "ratios"), name));
	char before[16], after[16], text[80];

	snprintf(text, sizeof(text), "%s %s are %s %s", format_bytes((uint64_t)json_number(stats, from), before), what,
		 format_bytes((uint64_t)json_number(stats, to), after), into);
	if (ratio > 0)
		printf("%-14s%-50s%.2f : 1\n", name, text, ratio);
	else
		printf("%-14s%s\n", name, text);
}

static void show_sharing(const json_t *stats)
{
	json_t *names = json_object_get(stats, "volumes"), *name;
	size_t i;

	if (json_array_size(names) < 2)
		return;
	printf("%-14s", "counted with");
	json_array_foreach(names, i, name)
		if (strcmp(json_string_value(name), json_text(stats, "name")))
			printf("%s ", json_string_value(name));
	printf("from here on\n");
}

static int show_stats(const json_t *stats)
{
	char text[16];

	printf("%-14s%s\n", "name", json_text(stats, "name"));
	printf("%-14s%s in %" PRId64 " files\n", "logical", format_bytes((uint64_t)json_number(stats, "bytes"), text),
	       json_number(stats, "files"));
	if (!json_is_true(json_object_get(stats, "counted"))) {
		printf("%-14sthe volume was made by a version that did not count what its chunks take\n", "");
		return 0;
	}
	show_sharing(stats);
	printf("%-14s%s in files that stay in the metadata\n", "inline", format_bytes((uint64_t)json_number(stats, "inline"), text));
	show_stage(stats, "dedup", "in_chunks", "in files", "plain", "in chunks");
	show_stage(stats, "compression", "plain", "in chunks", "stored", "to store");
	show_stage(stats, "coding", "stored", "to store", "raw", "on stores");
	show_stage(stats, "all", "in_chunks", "in files", "raw", "on stores");
	return 0;
}

static int show_created(const json_t *volume)
{
	printf("created the volume %s, coded %" PRId64 "+%" PRId64 "\n", json_text(volume, "name"), json_number(volume, "k"),
	       json_number(volume, "m"));
	return 0;
}

/* "4M", "1900": bytes; false if it is no size. */
static bool parse_size(const char *text, json_int_t *bytes)
{
	static const char units[] = "KMG";
	char *end;
	const char *unit;

	errno = 0;
	*bytes = strtoll(text, &end, 10);
	if (errno || end == text || *bytes < 0)
		return false;
	if (!*end)
		return true;
	unit = strchr(units, *end);
	if (!unit || end[1] || *bytes > (INT64_MAX >> 40))
		return false;
	*bytes <<= 10 * (unit - units + 1);
	return true;
}

static int show_changed(const json_t *volume)
{
	printf("changed the volume %s; what is written from now on is stored so\n", json_text(volume, "name"));
	return 0;
}

/* Options of create and set. False: the caller returns *status. */
static bool parse_options(int argc, char **argv, const struct option *longs, json_t *args, int *status)
{
	json_int_t number;
	int opt, index;
	char *dash;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "", longs, &index)) != -1) {
		char field[32];

		if (opt && opt != 't') {
			*status = usage_error(&cmd_volume);
			return false;
		}
		snprintf(field, sizeof(field), "%s", longs[index].name);
		while ((dash = strchr(field, '-')))
			*dash = '_';
		if (opt == 't') {
			json_object_set_new(args, field, json_string(optarg));
			continue;
		}
		if (!parse_size(optarg, &number)) {
			*status = fail("--%s %s: give a number, or bytes such as 64K or 4M", longs[index].name, optarg);
			return false;
		}
		json_object_set_new(args, field, json_integer(number));
	}
	if (optind == argc - 1)
		return true;
	*status = usage_error(&cmd_volume);
	return false;
}

static int with_options(const struct options *options, int argc, char **argv, const char *command, const struct option *longs,
			int (*show)(const json_t *))
{
	json_t *args = json_object();
	int status;

	if (!parse_options(argc, argv, longs, args, &status)) {
		json_decref(args);
		return status;
	}
	json_object_set_new(args, "name", json_string(argv[optind]));
	return admin_show(options, command, args, show);
}

/* What may be set later too. */
#define SET_OPTIONS \
	{ "chunk-size", required_argument, NULL, 0 }, { "chunk-min", required_argument, NULL, 0 }, \
	{ "chunk-max", required_argument, NULL, 0 }, { "chunk-random", required_argument, NULL, 0 }, \
	{ "ec-min", required_argument, NULL, 0 }, { "level", required_argument, NULL, 0 }, \
	{ "chunker", required_argument, NULL, 't' }, { "codec", required_argument, NULL, 't' }, \
	{ "degraded", required_argument, NULL, 't' }, { 0 }

static int create(const struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "k", required_argument, NULL, 0 }, { "m", required_argument, NULL, 0 },
		{ "inline-max", required_argument, NULL, 0 }, { "dedup", required_argument, NULL, 't' },
		{ "dedup-domain", required_argument, NULL, 't' }, SET_OPTIONS,
	};

	return with_options(options, argc, argv, "volume create", longs, show_created);
}

static int set(const struct options *options, int argc, char **argv)
{
	static const struct option longs[] = { SET_OPTIONS };

	return with_options(options, argc, argv, "volume set", longs, show_changed);
}

static int run(const struct options *options, int argc, char **argv)
{
	if (argc >= 3 && (!strcmp(argv[1], "create") || !strcmp(argv[1], "set"))) {
		bool creates = *argv[1] == 'c';

		argv[1] = argv[0];
		return creates ? create(options, argc - 1, argv + 1) : set(options, argc - 1, argv + 1);
	}
	if (argc == 2 && !strcmp(argv[1], "list"))
		return admin_show(options, "volume list", NULL, show_list);
	if (argc == 3 && !strcmp(argv[1], "show"))
		return admin_show(options, "volume show", json_pack("{s:s}", "name", argv[2]), show_one);
	if (argc == 3 && !strcmp(argv[1], "stats"))
		return admin_show(options, "volume stats", json_pack("{s:s}", "name", argv[2]), show_stats);
	return usage_error(&cmd_volume);
}

const struct command cmd_volume = {
	.name = "volume", .run = run,
	.usage = "list | show NAME | stats NAME | create NAME [--k K] [--m M] [--chunker hybrid|cdc|variable|fixed]\n"
		 "                   [--chunk-size BYTES] [--chunk-min BYTES] [--chunk-max BYTES] [--chunk-random BYTES]\n"
		 "                   [--ec-min BYTES] [--inline-max BYTES] [--degraded allow|refuse]\n"
		 "                   [--codec none|zstd|lz4|deflate|adaptive] [--level N]\n"
		 "                   [--dedup on|off] [--dedup-domain VOLUME]\n"
		 "  | set NAME [--chunker C] [--chunk-size BYTES] [--chunk-min BYTES] [--chunk-max BYTES]\n"
		 "             [--chunk-random BYTES] [--ec-min BYTES] [--degraded D] [--codec C] [--level N]",
	.help = "create, change, list and show volumes, and what they take",
};
