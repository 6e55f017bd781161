/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake.h - a daemon for tests of the module that can misbehave
 *
 * fake.c speaks netlink: binds, fetches, answers, sends commands and says what the kernel said to
 * them. fake_meta.c is a metadata service in memory: one volume, no data but inline content. Test
 * programs combine them: they answer through fake_meta_answer(), or late, twice, never, or with
 * bytes of their own.
 *
 * Threads: a struct fake belongs to one thread at a time; a struct fake_meta to one thread.
 */
#ifndef WEFT_FAKE_H
#define WEFT_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft_netlink.h"
#include "weft_payload.h"
#include "weft_status.h"

/* --- fake.c */

struct fake {
	int fd;
	uint16_t family;
	uint32_t seq;
	uint64_t generation;
	int error;          /* of the last command, a negative errno */
	char text[256];     /* the kernel's sentence to it */
	uint16_t bad_attr;  /* offset of the attribute that it names, 0 if none */
	bool ready;         /* READY came since the last fetch */
	struct fake_request *queue; /* REQUESTs that came while a command was waited for */
};

struct fake_request {
	struct fake_request *next;
	uint64_t id, session, sequence;
	uint32_t slot;
	uint16_t op;
	uint8_t class;
	uint32_t len;
	uint8_t payload[WEFT_PAYLOAD_MAX];
};

/* A message under construction; at most 64 KiB. */
struct fake_message {
	uint32_t len;
	uint8_t bytes[65536];
};

extern const uint8_t fake_uuid[16];

/*
 * Opens a generic netlink socket in this network namespace. Ends the test when the family is not
 * there.
 */
void fake_open(struct fake *fake);
void fake_close(struct fake *fake);

/* BIND; join: to that generation, else takes over. 0 or a negative errno. */
int fake_bind(struct fake *fake, const uint8_t uuid[16], const char *name);
int fake_join(struct fake *fake, const uint8_t uuid[16], uint64_t generation);

void fake_begin(struct fake *fake, struct fake_message *message, uint8_t cmd, uint16_t flags);
void *fake_put(struct fake_message *message, uint16_t type, const void *data, size_t len);
void fake_put_u8(struct fake_message *message, uint16_t type, uint8_t value);
void fake_put_u32(struct fake_message *message, uint16_t type, uint32_t value);
void fake_put_u64(struct fake_message *message, uint16_t type, uint64_t value);
/*
 * Sends it and waits for the kernel's acknowledgement. 0 or the negative errno, which is also in
 * fake->error.
 */
int fake_send(struct fake *fake, struct fake_message *message);

/*
 * A dump: each(message's attributes) for every object. How many there were, or a negative errno.
 * The socket must not be bound: what else comes to it meanwhile is lost.
 */
int fake_dump(struct fake *fake, uint8_t cmd,
	      void (*each)(const void *attrs, size_t len, void *arg), void *arg);
/* A number among a message's attributes; 0 if it is not there. */
uint64_t fake_number(const void *attrs, size_t len, uint16_t type);

/* Asks for up to count requests. They come by fake_next(). */
int fake_fetch(struct fake *fake, uint32_t count);
/*
 * The next request; fetches when READY comes. NULL: none came within the time. The caller frees it.
 * timeout: milliseconds, 0: only what is there.
 */
struct fake_request *fake_next(struct fake *fake, int timeout);
int fake_answer(struct fake *fake, uint64_t id, uint32_t status, const void *payload, size_t len);

/* --- payloads of requests and answers */
struct fake_payload {
	size_t len;
	uint8_t bytes[WEFT_PAYLOAD_MAX];
};

void *fake_attr(struct fake_payload *payload, uint16_t type, const void *data, size_t len);
/* The first attribute of the type, or NULL. */
const void *fake_find(const void *payload, size_t payload_len, uint16_t type, size_t *len);
uint64_t fake_find_u64(const struct fake_request *req, uint16_t type);

/* --- fake_meta.c */
struct fake_meta;

struct fake_meta *fake_meta_new(void);
void fake_meta_free(struct fake_meta *meta);
/* What a well-behaved service answers: returns the status, fills payload. */
uint32_t fake_meta_answer(struct fake_meta *meta, const struct fake_request *req,
			  struct fake_payload *payload);
/*
 * From the next MOUNT on the volume has this cipher, and inline content of so many bytes; both as
 * they are said, whether that makes sense or not.
 */
void fake_meta_cipher(struct fake_meta *meta, uint32_t cipher, uint32_t inline_max);
/* From the next MOUNT on the volume has a setting that the module does not know; 0: it has not. */
void fake_meta_setting(struct fake_meta *meta, uint32_t setting);
/*
 * From now on EXTENTS says that all of a file is in one chunk of 64 KiB, raw, of a group that nobody
 * knows, sealed by that key; 0: not sealed.
 */
void fake_meta_chunk(struct fake_meta *meta, uint32_t key_id);
/* From now on EXTENTS says that the file is inline, and has this one byte. */
void fake_meta_inline(struct fake_meta *meta);
/* What CHUNKS is answered. */
enum fake_found {
	FAKE_FOUND_OFF,      /* the volume does not deduplicate */
	FAKE_FOUND_NEW,
	FAKE_FOUND_CHUNK,    /* each content is in a chunk that makes sense, and is nowhere */
	FAKE_FOUND_LENGTH,   /* ... that is longer than what was asked for */
	FAKE_FOUND_NO_CHUNK, /* ... that nothing describes */
	FAKE_FOUND_INDEX,    /* ... for contents that were not asked for */
	FAKE_FOUND_GEOMETRY, /* ... whose shards do not fit it */
	FAKE_FOUND_NUMBER,   /* ... which is described under another number */
};
/*
 * The volume deduplicates, from the next MOUNT on. The first so many COMMITs that name a chunk are
 * answered with NEED for the first chunk that they name; the others go well.
 */
void fake_meta_dedup(struct fake_meta *meta, enum fake_found found, unsigned int needs);
/* Bit n: a COMMIT that went well named chunk n. */
uint64_t fake_meta_named(const struct fake_meta *meta);
/* How many NEEDs are left. */
unsigned int fake_meta_needs(const struct fake_meta *meta);
/* FORGETs that came for unlinked inodes */
uint64_t fake_meta_forgotten(const struct fake_meta *meta);
unsigned int fake_meta_sessions(const struct fake_meta *meta); /* open now */
uint64_t fake_meta_session(const struct fake_meta *meta);      /* the number of the youngest */

/* --- fake_serve.c: a daemon in a thread of its own */
enum fake_act {
	FAKE_ANSWER,     /* as the service says */
	FAKE_HOLD,       /* not until fake_serve_release(), or never */
	FAKE_GARBAGE,    /* well-formed attributes of random types, lengths and bytes */
	FAKE_TWICE,
	FAKE_MALFORMED,  /* a payload whose attributes are broken */
	FAKE_WRONG_SIZE, /* well-formed attributes, all of them of wrong lengths */
	FAKE_EMPTY,      /* OK, with nothing */
	FAKE_AGAIN,      /* OVERLOADED: to be asked again */
	FAKE_REFUSE,     /* not done: PERM */
	FAKE_NEED,       /* not done: NEED, with a list of one number */
};

struct fake_server;

/*
 * policy is called in the server's thread; NULL: FAKE_ANSWER. The socket is bound when it returns.
 */
struct fake_server *fake_serve(struct fake_meta *meta,
			       enum fake_act (*policy)(const struct fake_request *req, void *arg),
			       void *arg);
/* The same for another cluster. */
struct fake_server *
fake_serve_cluster(const uint8_t uuid[16], const char *name, struct fake_meta *meta,
		   enum fake_act (*policy)(const struct fake_request *req, void *arg), void *arg);
/*
 * From now on requests of the operation are treated so, if the policy says FAKE_ANSWER or there is
 * none. Any thread.
 */
void fake_serve_act(struct fake_server *server, uint16_t op, enum fake_act what);
/* For fake_join(). */
uint64_t fake_serve_generation(const struct fake_server *server);
/* Closes the socket and joins the thread. */
void fake_serve_end(struct fake_server *server);
/*
 * Treats what is held as it would be treated if it came now, in the order in which it came. Returns
 * when that is done.
 */
void fake_serve_release(struct fake_server *server);
/* How many requests of the operation have come. Any thread. */
unsigned int fake_serve_seen(struct fake_server *server, uint16_t op);

#endif /* WEFT_FAKE_H */
