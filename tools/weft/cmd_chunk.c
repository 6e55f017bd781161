// SPDX-License-Identifier: GPL-2.0-or-later
/* cmd_chunk.c - weft chunk list, dump: chunks out of what stopped stores have on their disks. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/chunk/chunk.h"
#include "weft.h"

#define ID_FORMAT "%016lx-%016lx"
#define ID_LEN	  34

static void warn(const char *path, const char *why)
{
	fprintf(stderr, "weft: %s: %s\n", path, why);
}

/* Search all paths. The places are the caller's in any case. */
static int places_find(struct chunk_places *places, int n, char **paths)
{
	int err = 0;

	*places = (struct chunk_places){ .warn = warn };
	for (int i = 0; i < n && !err; i++)
		err = chunk_find(places, paths[i]);
	if (err)
		return fail("%s", strerror(-err));
	chunk_find_end(places);
	return 0;
}

/* How many places from number `first` on are of its chunk. */
static size_t chunk_count(const struct chunk_places *places, size_t first)
{
	size_t n = 1;

	while (first + n < places->n && chunk_place_same(&places->list[first], &places->list[first + n]))
		n++;
	return n;
}

static json_t *chunk_json(const struct chunk_place *places, size_t n, u32 used)
{
	const struct weft_shard_info *info = &places[0].info;
	json_t *indexes = json_array();
	char id[ID_LEN];
	u32 have = 0;

	for (size_t i = 0; i < n; i++)
		have |= 1u << places[i].info.index;
	have &= used;
	for (unsigned int i = 0; i < 32; i++)
		if (have & 1u << i)
			json_array_append_new(indexes, json_integer(i));
	snprintf(id, sizeof(id), ID_FORMAT, (unsigned long)info->sid_session, (unsigned long)info->sid_counter);
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:i, s:i, s:o}", "chunk", id, "group",
			 (json_int_t)info->group, "volume", (json_int_t)info->volume, "inode", (json_int_t)info->ino,
			 "offset", (json_int_t)info->file_offset, "version", (json_int_t)info->version, "length",
			 (json_int_t)info->plain_len, "stored", (json_int_t)info->stored_len, "codec",
			 chunk_codec_name(info->codec), "encrypted", info->cipher != WEFT_CIPHER_NONE, "k", info->k,
			 "m", info->m, "shards", indexes);
}

static void print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
}

static int run_list(const struct options *options, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "chunk", "chunk", SHOW_TEXT },	 { ">inode", "inode", SHOW_NUMBER },
		{ ">offset", "offset", SHOW_NUMBER },	 { ">length", "length", SHOW_NUMBER },
		{ ">stored", "stored", SHOW_NUMBER },	 { "codec", "codec", SHOW_TEXT },
		{ "encrypted", "encrypted", SHOW_FLAG }, { "coded", NULL, SHOW_KM },
		{ "shards", "shards", SHOW_JOINED },	 { 0 },
	};
	struct chunk_places places;
	json_t *chunks;
	int ret;

	if (argc < 2)
		return usage_error(&cmd_chunk);
	ret = places_find(&places, argc - 1, argv + 1);
	if (!ret) {
		chunks = json_array();
		for (size_t i = 0, n; i < places.n; i += n) {
			n = chunk_count(&places, i);
			json_array_append_new(chunks, chunk_json(&places.list[i], n, ~0u));
		}
		if (options->json)
			print_json(chunks);
		else
			show_objects(chunks, columns, "there are no shards");
		json_decref(chunks);
	}
	chunk_places_free(&places);
	return ret;
}

/* The chunk that is asked for, or the only one there is: its places. NULL after a failure that was said. */
static const struct chunk_place *chunk_pick(const struct chunk_places *places, const char *id, size_t *n)
{
	for (size_t i = 0; i < places->n; i += *n) {
		const struct weft_shard_info *info = &places->list[i].info;
		char text[ID_LEN];

		*n = chunk_count(places, i);
		snprintf(text, sizeof(text), ID_FORMAT, (unsigned long)info->sid_session,
			 (unsigned long)info->sid_counter);
		if (id ? !strcmp(text, id) : *n == places->n)
			return &places->list[i];
	}
	if (!places->n)
		fail("there is no shard to read");
	else if (id)
		fail("there is no shard of the chunk %s; 'weft chunk list' shows which there are", id);
	else
		fail("these are shards of several chunks: name one with --chunk; 'weft chunk list' shows them");
	return NULL;
}

/*
 * Bring the shards that agree with most others to the front: a stray one must not keep the rest from being read.
 * Returns how many.
 */
static size_t shards_agree(struct chunk_shard *shards, size_t n)
{
	struct chunk_shard model = shards[0];
	size_t most = 0, kept = 0;

	for (size_t i = 0; i < n; i++) {
		size_t count = 0;

		for (size_t j = 0; j < n; j++)
			count += chunk_same(&shards[i], &shards[j]);
		if (count > most) {
			model = shards[i];
			most = count;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct chunk_shard shard = shards[i];

		if (!chunk_same(&model, &shard))
			continue;
		shards[i] = shards[kept];
		shards[kept++] = shard;
	}
	return kept;
}

static int write_out(const char *path, const u8 *bytes, size_t len)
{
	FILE *file = path ? fopen(path, "we") : stdout;

	if (!file)
		return fail("cannot write %s: %s", path, strerror(errno));
	if (fwrite(bytes, 1, len, file) != len || (path ? fclose(file) : fflush(file)))
		return fail("cannot write %s: %s", path ? path : "to standard output", strerror(errno));
	return 0;
}

struct dump {
	const struct options *options;
	const char *id, *output;
	const char *key_file, *secret_file;
	struct chunk_keys *keys; /* NULL: none were given */
};

static int decode_and_write(const struct dump *dump, struct chunk_shard *shards, size_t n, const struct chunk_place *places)
{
	size_t agree = shards_agree(shards, n);
	u32 len = shards[0].info.plain_len, used;
	struct chunk_error error;
	u8 *plain = malloc(len);
	int ret = 1;

	if (agree < n)
		fprintf(stderr, "weft: %zu of %zu shards are of another chunk of the same name and are left out\n",
			n - agree, n);
	if (!plain)
		fail("out of memory");
	else if (chunk_decode(shards, agree, dump->keys, plain, &used, &error))
		fail("the chunk cannot be read: %s", error.text);
	else
		ret = write_out(dump->output, plain, len);
	if (!ret && dump->output) {
		json_t *said = chunk_json(places, n, used);
		const struct weft_shard_info *info = &shards[0].info;

		if (dump->options->json)
			print_json(said);
		else
			printf("%u bytes of inode %lu from byte %lu on are in %s\n", len, (unsigned long)info->ino,
			       (unsigned long)info->file_offset, dump->output);
		json_decref(said);
	}
	free(plain);
	return ret;
}

static int dump_places(const struct dump *dump, const struct chunk_place *places, size_t n)
{
	struct chunk_shard *shards = calloc(n, sizeof(*shards));
	u8 **bytes = calloc(n, sizeof(*bytes));
	size_t got = 0;
	int ret = 1;

	if (!shards || !bytes) {
		fail("out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const char *why;

		if (chunk_load(&places[i], &shards[got], &bytes[i], &why))
			warn(places[i].path, why);
		else
			got++;
	}
	if (got)
		ret = decode_and_write(dump, shards, got, places);
	else
		fail("none of its shards can be read");
out:
	for (size_t i = 0; bytes && i < n; i++)
		free(bytes[i]);
	free(bytes);
	free(shards);
	return ret;
}

/* Find the chunk and write it. The keys, if any, are there. */
static int dump_paths(const struct dump *dump, int n_paths, char **paths)
{
	const struct chunk_place *first;
	struct chunk_places places;
	size_t n;
	int ret = places_find(&places, n_paths, paths);

	if (!ret) {
		first = chunk_pick(&places, dump->id, &n);
		ret = first ? dump_places(dump, first, n) : 1;
	}
	chunk_places_free(&places);
	return ret;
}

static int dump_parse(struct dump *dump, int argc, char **argv)
{
	static const struct option names[] = { { "chunk", required_argument, NULL, 'c' },
					       { "output", required_argument, NULL, 'o' },
					       { "key-file", required_argument, NULL, 'k' },
					       { "passphrase-file", required_argument, NULL, 'p' },
					       { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'c':
			dump->id = optarg;
			break;
		case 'o':
			dump->output = optarg;
			break;
		case 'k':
			dump->key_file = optarg;
			break;
		case 'p':
			dump->secret_file = optarg;
			break;
		default:
			return usage_error(&cmd_chunk);
		}
	}
	if (optind == argc)
		return usage_error(&cmd_chunk);
	if (dump->secret_file && !dump->key_file)
		return fail("--passphrase-file is for a key file: name that with --key-file");
	if (!dump->output && isatty(STDOUT_FILENO))
		return fail("this would write the chunk's bytes to a terminal: name a file with --output");
	return 0;
}

static int run_dump(const struct options *options, int argc, char **argv)
{
	struct dump dump = { .options = options };
	struct chunk_keys keys;
	int ret = dump_parse(&dump, argc, argv);

	if (!ret && dump.key_file) {
		ret = chunk_keys_read(dump.key_file, dump.secret_file, &keys);
		dump.keys = &keys;
	}
	if (!ret)
		ret = dump_paths(&dump, argc - optind, argv + optind);
	explicit_bzero(&keys, sizeof(keys));
	return ret;
}

static int run(const struct options *options, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	argv[argc > 1] = argv[0]; /* what getopt names in its messages */
	if (!strcmp(what, "list"))
		return run_list(options, argc - 1, argv + 1);
	if (!strcmp(what, "dump"))
		return run_dump(options, argc - 1, argv + 1);
	return usage_error(&cmd_chunk);
}

const struct command cmd_chunk = {
	.name = "chunk",
	.run = run,
	.usage = "list PATH...\n"
		 "                | dump [--chunk ID] [--output FILE] [--key-file FILE [--passphrase-file FILE]] PATH...",
	.help = "what is in the shards of a stopped store",
};
