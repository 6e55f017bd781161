// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * meta_machine.c - the metadata state machine under the simulation
 *
 * Its database lies in a real directory, its writes are mirrored into a disk of its own (disk.h).
 * When the voter crashes, what a disk could hold then is written out and opened again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster.h"
#include "meta/meta.h"
#include "weft_ctl.h"

#define MAP_SIZE (1ull << 28)
#define NAMES	 300
#define SLOTS	 64
#define GROUPS	 4
#define CHUNKS	 40 /* numbers that COMMITs name */
#define CONTENTS 12
#define BEGINNINGS 6
#define GOING	 32 /* chunks on their way out that are known */

struct medium {
	struct sim_disk *disk;
	uint64_t random;
	char directory[64];
	struct meta_state state;
	struct meta_outcome outcome;
	bool repeated;	/* a request was taken for one that had its number before */
};

/* What the first entries make, the same in every run. */
static struct {
	uint64_t volume;
	uint64_t root;
	uint64_t session;
} made;

/*
 * What some voter saw of chunks on their way out: of that the leader would make entries. It may be old when they are applied,
 * as what a leader saw may be.
 */
static struct {
	struct weft_e_chunk chunks[GOING];
	enum weft_m_entry_type next[GOING];
	unsigned int n;
} going;

/* Of the commands of this process: time and sequences only grow. */
static uint64_t time_ns = 1700000000000000000ull;
static uint64_t sequences[SLOTS];

static void must(int err)
{
	if (err) {
		fprintf(stderr, "the state machine failed: %s\n", strerror(-err));
		abort();
	}
}

/* --- commands --- */

static void entry_of(struct meta_buffer *entry, enum weft_m_entry_type type, const void *body,
		     size_t len, const char *name)
{
	must(meta_entry_begin(entry, type));
	must(meta_buffer_put(entry, body, len));
	must(meta_buffer_put(entry, name, strlen(name)));
	meta_entry_end(entry, time_ns += 1000);
}

/* The entries that a cluster begins with; only the first of each kind does anything. */
static void beginning(struct meta_buffer *entry, unsigned int which)
{
	struct weft_e_cluster cluster = { .uuid = { 1 },
					  .incarnation = cpu_to_le32(1),
					  .name_len = cpu_to_le32(3) };
	struct weft_e_volume volume = {
		.info = { .k = cpu_to_le32(1),
			  .m = cpu_to_le32(0),
			  .chunk_size = cpu_to_le32(1 << 22),
			  .chunk_min = cpu_to_le32(1 << 22),
			  .chunk_max = cpu_to_le32(1 << 22),
			  .inline_max = cpu_to_le32(1900),
			  .dedup_domain = cpu_to_le32(WEFT_DEDUP_OWN) },
		.name_key = { 3, 1, 4 },
		.mode = cpu_to_le32(0755),
		.name_len = cpu_to_le32(4),
	};
	struct weft_e_mount mount = { .client = { 1 },
				      .volume = cpu_to_le64(made.volume),
				      .name_len = cpu_to_le32(6) };
	struct weft_e_host host = { .strings_len = cpu_to_le32(8) };
	struct weft_e_store store = { .uuid = { 1 }, .host = cpu_to_le32(1), .path_len = cpu_to_le32(4) };
	struct {
		struct weft_e_group head;
		__le32 store;
	} group = { { .domain = cpu_to_le64(made.volume), .k = 1, .flags = cpu_to_le16(WEFT_GF_OPEN) },
		    cpu_to_le32(1) };

	switch (which) {
	case 0:
		entry_of(entry, WEFT_ME_CLUSTER_INIT, &cluster, sizeof(cluster), "sim");
		break;
	case 1:
		entry_of(entry, WEFT_ME_VOLUME_CREATE, &volume, sizeof(volume), "main");
		break;
	case 3:
		entry_of(entry, WEFT_ME_HOST_SET, &host, sizeof(host), "");
		must(meta_buffer_put(entry, "host\0\0\0\0", 8));
		meta_entry_end(entry, time_ns += 1000);
		break;
	case 4:
		entry_of(entry, WEFT_ME_STORE_SET, &store, sizeof(store), "/srv");
		break;
	case 5:
		entry_of(entry, WEFT_ME_GROUP_CREATE, &group, sizeof(group.head) + sizeof(group.store), "");
		break;
	default:
		entry_of(entry, WEFT_ME_MOUNT, &mount, sizeof(mount), "client");
	}
}

static void put_time(struct tlv_writer *w)
{
	struct weft_time time = { .sec = cpu_to_le64(time_ns / 1000000000u) };

	tlv_put(w, WEFT_P_TIME, &time, sizeof(time));
}

static uint16_t put_request(struct tlv_writer *w, uint64_t random)
{
	struct weft_create create = { .mode = cpu_to_le32(random & 0x100 ? S_IFREG | 0644
									 : S_IFDIR | 0755) };
	char name[64], other[64];

	snprintf(name, sizeof(name), "name-%u", (unsigned int)(random >> 16) % NAMES);
	snprintf(other, sizeof(other), "name-%u", (unsigned int)(random >> 40) % NAMES);
	tlv_put_u64(w, WEFT_P_PARENT, made.root);
	tlv_put_text(w, WEFT_P_NAME, name);
	switch (random % 5) {
	case 0:
		if (random & 0x100)
			tlv_put_u32(w, WEFT_P_FLAGS, WEFT_PF_RMDIR);
		put_time(w);
		return WEFT_REQ_UNLINK;
	case 1:
		tlv_put_u64(w, WEFT_P_PARENT2, made.root);
		tlv_put_text(w, WEFT_P_NAME2, other);
		tlv_put_u32(w, WEFT_P_FLAGS, 0);
		put_time(w);
		return WEFT_REQ_RENAME;
	default:
		tlv_put(w, WEFT_P_CREATE, &create, sizeof(create));
		return WEFT_REQ_CREATE;
	}
}

/* A chunk of one of a few contents, or a chunk that is there, or was, or never is. */
static uint16_t put_chunk(struct tlv_writer *w, uint64_t random)
{
	struct weft_extent extent = { .length = cpu_to_le64(WEFT_DEDUP_MIN) };
	struct weft_commit commit = { .flags = cpu_to_le32(WEFT_CF_SIZE),
				      .size = cpu_to_le64(WEFT_DEDUP_MIN) };
	struct {
		struct weft_chunk_new chunk;
		struct weft_shard_new shard;
	} new = { { .sid = { cpu_to_le64(made.session), cpu_to_le64(time_ns) },
		    .group = cpu_to_le64(1 + (random >> 48) % GROUPS),
		    .plain_len = cpu_to_le32(WEFT_DEDUP_MIN),
		    .stored_len = cpu_to_le32(WEFT_DEDUP_MIN),
		    .shard_len = cpu_to_le32(WEFT_DEDUP_MIN),
		    .k = 1,
		    .content_id = { 1, (uint8_t)((random >> 24) % CONTENTS) },
		    .flags = cpu_to_le32(random & 0x10 ? WEFT_NF_SHARE : 0) },
		  { .store = cpu_to_le32(1) } };

	tlv_put_u64(w, WEFT_P_INO, made.root + 1 + (random >> 16) % NAMES);
	tlv_put(w, WEFT_P_COMMIT, &commit, sizeof(commit));
	if (random & 0x20) {
		extent.group = cpu_to_le64(1 + (random >> 48) % GROUPS);
		extent.number = cpu_to_le64(1 + (random >> 32) % CHUNKS);
	} else {
		tlv_put(w, WEFT_P_NEWCHUNK, &new, sizeof(new.chunk) + sizeof(new.shard));
	}
	tlv_put(w, WEFT_P_EXTENTS, &extent, sizeof(extent));
	return WEFT_REQ_COMMIT;
}

/* Content and size of one of the first files, or of none: numbers are given in order. */
static uint16_t put_content(struct tlv_writer *w, uint64_t random)
{
	struct weft_commit commit = { .flags = cpu_to_le32(WEFT_CF_SIZE | WEFT_CF_INLINE) };
	struct weft_setattr set = { .valid = cpu_to_le32(WEFT_SA_SIZE),
				    .size = cpu_to_le64((random >> 40) % 3000) };
	struct weft_clone clone = { .source = cpu_to_le64(made.root + 1 + (random >> 24) % NAMES),
				    .length = cpu_to_le64(1 + (random >> 40) % 256) };
	uint64_t ino = made.root + 1 + (random >> 16) % NAMES;
	uint8_t data[256];
	size_t len = 1 + (random >> 32) % sizeof(data);

	tlv_put_u64(w, WEFT_P_INO, ino);
	if ((random & 7) == 2 && le64_to_cpu(clone.source) != ino) {
		tlv_put(w, WEFT_P_CLONE, &clone, sizeof(clone));
		return WEFT_REQ_CLONE;
	}
	if (random & 1) {
		tlv_put(w, WEFT_P_SETATTR, &set, sizeof(set));
		return WEFT_REQ_SETATTR;
	}
	memset(data, (int)(random >> 24), sizeof(data));
	commit.size = cpu_to_le64(len);
	tlv_put(w, WEFT_P_COMMIT, &commit, sizeof(commit));
	tlv_put(w, WEFT_P_DATA, data, len);
	return WEFT_REQ_COMMIT;
}

static void request(struct meta_buffer *entry, uint64_t random, unsigned int bugs)
{
	uint32_t slot = (uint32_t)(random >> 8) % SLOTS;
	bool reuse = bugs & SIM_BUG_REUSE_NUMBER && sequences[slot] && (random >> 50) % 16 == 0;
	struct tlv_writer w;
	struct meta_ask ask;
	const char *why;
	uint16_t op;

	tlv_writer_init(&w, WEFT_PAYLOAD_MAX);
	op = random >> 60 < 3	? put_content(&w, random)
	     : random >> 60 < 6 ? put_chunk(&w, random)
				: put_request(&w, random);
	must(tlv_finish(&w));
	sequences[slot] += !reuse;
	if (meta_request_parse(op, made.session, sequences[slot], slot, w.data, w.len, entry, &ask,
			       &why)) {
		fprintf(stderr, "not a request: %s\n", why);
		abort();
	}
	meta_entry_end(entry, time_ns += 1000);
	tlv_writer_free(&w);
}

/* A step of the deletion of one or two chunks; some of these come too early, twice, or for chunks that were revived. */
static void deletion(struct meta_buffer *entry, uint64_t random)
{
	struct weft_e_chunks body = { .count = cpu_to_le32(1 + (random & 1)) };
	unsigned int first = (unsigned int)(random >> 8) % going.n;

	must(meta_entry_begin(entry, random & 0xf0 ? going.next[first]
				     : random & 0x02 ? WEFT_ME_DELETING : WEFT_ME_DELETED));
	must(meta_buffer_put(entry, &body, sizeof(body)));
	for (unsigned int i = 0; i < 1 + (random & 1); i++)
		must(meta_buffer_put(entry, &going.chunks[(first + i) % going.n], sizeof(going.chunks[0])));
	meta_entry_end(entry, time_ns += 1000);
}

static size_t meta_command(uint64_t random, unsigned int bugs, uint8_t *bytes)
{
	struct meta_buffer entry = { 0 };
	size_t len;

	if (random >> 56 < 16)
		beginning(&entry, (unsigned int)(random % BEGINNINGS));
	else if (random >> 56 < 40 && going.n)
		deletion(&entry, random);
	else
		request(&entry, random, bugs);
	len = entry.len;
	if (len > 512)
		abort();
	memcpy(bytes, entry.data, len);
	meta_buffer_free(&entry);
	return len;
}

/* --- the machine --- */

static void *meta_open(void *medium, uint64_t *applied, uint64_t *term)
{
	struct medium *m = medium;

	must(meta_state_open(&m->state, m->directory, MAP_SIZE, NULL, NULL));
	*applied = m->state.index;
	*term = m->state.term;
	return m;
}

/* The power may go in the middle of a commit. */
static bool done(struct medium *m, int err)
{
	if (err && !sim_disk_is_cut(m->disk))
		must(err);
	return !err;
}

static bool meta_machine_apply(void *state, const struct rnode_entry *entries, unsigned int n)
{
	struct medium *m = state;
	int err = 0;

	if (sim_below(&m->random, 200) == 0)
		sim_disk_cut_after(m->disk, sim_below(&m->random, 8));
	for (unsigned int i = 0; i < n && !err; i++) {
		const struct rnode_entry *e = &entries[i];

		tlv_writer_reset(&m->outcome.answer);
		m->outcome.status = 0;
		err = e->type != RNODE_COMMAND ? meta_apply_nothing(&m->state, e->index, e->term)
					       : meta_apply(&m->state, e->index, e->term, e->bytes,
							    e->len, &m->outcome);
		m->repeated |= m->outcome.status == WEFT_ST_REPEAT;
	}
	if (!err)
		err = meta_state_commit(&m->state);
	return done(m, err);
}

static bool meta_sync(void *state)
{
	struct medium *m = state;

	return done(m, meta_state_sync(&m->state));
}

/* Notes the first chunks of a table whose keys end with their names. */
static void note_going(struct medium *m, enum weft_m_table table, enum weft_m_entry_type next)
{
	struct meta_key first = { .len = 1 };
	struct meta_chunk chunk;
	struct meta_walk walk;
	uint64_t name[2];
	int err;

	must(meta_walk_begin(&walk, &m->state.txn, table));
	err = meta_walk_seek(&walk, &first);
	for (unsigned int i = 0; i < GOING / 2 && !err; i++) {
		memcpy(name, walk.key.bytes + walk.key.len - sizeof(name), sizeof(name));
		must(meta_chunk_get(&m->state.txn, be64toh(name[0]), be64toh(name[1]), &chunk));
		going.next[going.n] = next;
		going.chunks[going.n++] = (struct weft_e_chunk){ .group = cpu_to_le64(chunk.group),
								 .number = cpu_to_le64(chunk.number),
								 .condemned_ns = chunk.head.condemned_ns,
								 .deleted = cpu_to_le32(1) };
		err = meta_walk_next(&walk);
	}
	meta_walk_end(&walk);
}

/* The chunk of each record of the index is there, has that content, and is not being deleted. */
static bool index_is_sound(struct medium *m)
{
	struct meta_key first = { .len = 1 };
	struct weft_m_dedup record;
	struct meta_chunk chunk;
	struct meta_walk walk;
	bool sound = true;
	int err;

	must(meta_walk_begin(&walk, &m->state.txn, WEFT_MT_DEDUP));
	for (err = meta_walk_seek(&walk, &first); !err && sound; err = meta_walk_next(&walk)) {
		must(meta_walk_head(&walk, &record, sizeof(record)));
		sound = !meta_chunk_get(&m->state.txn, le64_to_cpu(record.group),
					le64_to_cpu(record.number), &chunk) &&
			chunk.head.state != WEFT_MC_DELETING &&
			!memcmp(chunk.content_id, walk.key.bytes + sizeof(u64), 16);
	}
	meta_walk_end(&walk);
	return sound;
}

/* The client asks once, in ascending numbers. */
static const char *meta_complaint(void *state)
{
	struct medium *m = state;

	if (m->repeated)
		return "a request had a number that stood for another one before";
	must(meta_state_read(&m->state));
	if (!index_is_sound(m))
		return "a content is said to be in a chunk that is being deleted, or is not there";
	going.n = 0;
	note_going(m, WEFT_MT_CONDEMNED, WEFT_ME_DELETING);
	note_going(m, WEFT_MT_DELETING, WEFT_ME_DELETED);
	return NULL;
}

static uint64_t meta_hash(void *state)
{
	return meta_state_hash(&((struct medium *)state)->state);
}

static void meta_crash(void *state, void *medium, bool power, uint64_t *random)
{
	struct medium *m = medium;
	char path[128];

	/* Closing must not finish what the crash has cut off. */
	sim_disk_cut(m->disk);
	meta_state_close(&m->state);
	if (power)
		sim_disk_power_cut(m->disk);
	else
		sim_disk_kill(m->disk);
	snprintf(path, sizeof(path), "%s/lock.mdb", m->directory);
	unlink(path);
	must(sim_disk_write_out(m->disk, m->directory));
}

static void remove_directory(const char *directory)
{
	static const char *const names[] = { "data.mdb", "lock.mdb" };
	char path[128];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

static void make_directory(char *directory, size_t size)
{
	snprintf(directory, size, "%s/weft-sim-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(directory))
		must(-ENOENT);
}

/* Which numbers a new cluster gives to its first volume, root and session. */
static void learn_numbers(void)
{
	struct meta_outcome outcome;
	struct meta_volume volume;
	struct meta_state state;
	char directory[64];

	if (made.volume)
		return;
	make_directory(directory, sizeof(directory));
	must(meta_state_open(&state, directory, MAP_SIZE, NULL, NULL));
	meta_outcome_init(&outcome);
	for (unsigned int i = 0; i < 3; i++) {
		struct meta_buffer entry = { 0 };

		beginning(&entry, i);
		must(meta_apply(&state, i + 1, 1, entry.data, entry.len, &outcome));
		meta_buffer_free(&entry);
		if (i == 1)
			made.volume = outcome.number;
		if (i == 2)
			made.session = outcome.number;
	}
	must(meta_volume_get(&state.txn, made.volume, &volume));
	made.root = le64_to_cpu(volume.head.info.root);
	meta_outcome_free(&outcome);
	meta_state_close(&state);
	remove_directory(directory);
}

static void *meta_medium_alloc(uint64_t seed)
{
	struct medium *m = calloc(1, sizeof(*m));
	uint64_t applied, term;

	if (!m)
		abort();
	learn_numbers();
	/* Of a cluster before this one. */
	going.n = 0;
	m->random = seed;
	m->disk = sim_disk_alloc(seed, 4096);
	make_directory(m->directory, sizeof(m->directory));
	sim_disk_watch(m->disk, m->directory, "data.mdb");
	meta_outcome_init(&m->outcome);
	/* Making the tables is not what is tested. */
	meta_open(m, &applied, &term);
	meta_state_close(&m->state);
	return m;
}

static void meta_medium_free(void *medium)
{
	struct medium *m = medium;

	meta_outcome_free(&m->outcome);
	sim_disk_unwatch(m->disk);
	sim_disk_free(m->disk);
	remove_directory(m->directory);
	free(m);
}

const struct sim_machine_ops sim_meta_machine = {
	.name = "meta",
	.open = meta_open,
	.apply = meta_machine_apply,
	.sync = meta_sync,
	.hash = meta_hash,
	.crash = meta_crash,
	.medium_alloc = meta_medium_alloc,
	.medium_free = meta_medium_free,
	.command = meta_command,
	.complaint = meta_complaint,
};
