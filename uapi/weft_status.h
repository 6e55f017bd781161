/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_status.h - every outcome that weft puts on a wire, in a trace or before a person
 *
 * One x-macro table: X(NAME, number, errno, text). The number is what travels and is never reused; the errno is what a
 * system call returns (converted at the VFS edge only); the text is what a person reads. New lines go to the end of
 * their block with a fresh number.
 *
 * Changelog
 *   1  first table
 */
#ifndef _UAPI_WEFT_STATUS_H
#define _UAPI_WEFT_STATUS_H

#define WEFT_STATUS_TABLE(X)                                                                         \
	X(OK,               0,   0,            "done")                                               \
	/* what a file system says to programs */                                                    \
	X(NOENT,            1,   ENOENT,       "no such file or directory")                          \
	X(EXIST,            2,   EEXIST,       "the name exists already")                            \
	X(NOTDIR,           3,   ENOTDIR,      "not a directory")                                    \
	X(ISDIR,            4,   EISDIR,       "is a directory")                                     \
	X(NOTEMPTY,         5,   ENOTEMPTY,    "the directory is not empty")                         \
	X(XDEV,             6,   EXDEV,        "the two names are in different volumes")             \
	X(LOOP,             7,   ELOOP,        "a directory cannot be moved below itself")           \
	X(NAMETOOLONG,      8,   ENAMETOOLONG, "the name is longer than 255 bytes")                  \
	X(MLINK,            9,   EMLINK,       "too many links")                                     \
	X(NOSPC,            10,  ENOSPC,       "no space left in the cluster")                       \
	X(DQUOT,            11,  EDQUOT,       "quota exceeded")                                     \
	X(FBIG,             12,  EFBIG,        "the file would be too large")                        \
	X(PERM,             13,  EPERM,        "not permitted")                                      \
	X(ACCES,            14,  EACCES,       "permission denied")                                  \
	X(ROFS,             15,  EROFS,        "the volume is mounted read-only")                    \
	X(STALE,            16,  ESTALE,       "the object no longer exists")                        \
	X(INVAL,            17,  EINVAL,       "the request is not valid")                           \
	X(OPNOTSUPP,        18,  EOPNOTSUPP,   "not supported")                                      \
	X(BUSY,             19,  EBUSY,        "in use")                                             \
	X(RANGE,            20,  ERANGE,       "the answer does not fit the buffer")                 \
	X(NODATA,           21,  ENODATA,      "no such attribute")                                  \
	X(NOMEM,            22,  ENOMEM,       "out of memory")                                      \
	X(IO,               23,  EIO,          "input/output error")                                 \
	X(INTR,             24,  EINTR,        "interrupted")                                        \
	X(TIMEDOUT,         25,  ETIMEDOUT,    "timed out")                                          \
	/* sessions and the metadata service */                                                      \
	X(SESSION_LOST,     40,  EIO,          "the session with the metadata service was closed")   \
	X(NOT_LEADER,       41,  EAGAIN,       "this metadata server is not the leader")             \
	X(NEED,             42,  EAGAIN,       "some of the named chunks must be written again")     \
	X(NO_VOLUME,        43,  ENOENT,       "no volume of that name")                             \
	X(VOLUME_BUSY,      44,  EBUSY,        "another client has the volume mounted")              \
	X(NO_GROUP,         45,  EIO,          "too few stores are up to write with the volume's redundancy") \
	X(RECOVERY,         46,  EROFS,        "the metadata service is in recovery mode")           \
	X(OVERLOADED,       47,  EAGAIN,       "too many requests are waiting")                      \
	X(LEVEL,            48,  EPROTO,       "the feature level does not allow this")              \
	X(META_FULL,        49,  ENOSPC,       "the disk of the metadata service is full")           \
	X(REPEAT,           50,  EIO,          "a request number was used again for another request") \
	X(QUEUED,           51,  EINPROGRESS,  "queued")                                             \
	/* stores and chunks */                                                                      \
	X(ABSENT,           60,  ENODATA,      "the shard is not here")                              \
	X(CORRUPT,          61,  EILSEQ,       "the data does not match its checksums")              \
	X(CONFLICT,         62,  EEXIST,       "a shard of that name exists with other bytes")       \
	X(STORE_FULL,       63,  ENOSPC,       "the store is full")                                  \
	X(WRONG_CLUSTER,    64,  EPROTO,       "the store belongs to another cluster")               \
	X(WRONG_STORE,      65,  ENXIO,        "no such store on this host")                         \
	X(OLD_INCARNATION,  66,  EPROTO,       "the peer speaks for an older incarnation of the cluster") \
	X(FORBIDDEN,        67,  EACCES,       "the peer's role may not do this")                    \
	X(UNREADABLE,       68,  EIO,          "more shards are missing than the redundancy covers") \
	X(STORE_IO,         69,  EIO,          "the store's disk failed")                            \
	/* protocols */                                                                              \
	X(PROTO,            80,  EPROTO,       "malformed message")                                  \
	X(VERSION,          81,  EPROTO,       "no common protocol version")                         \
	X(UNKNOWN_OP,       82,  EOPNOTSUPP,   "unknown operation")                                  \
	X(TOO_BIG,          83,  EMSGSIZE,     "the message is larger than allowed")                 \
	X(GENERATION,       84,  ESTALE,       "another daemon has taken over")                      \
	X(NOT_BOUND,        85,  ENOTCONN,     "no daemon is bound")                                 \
	X(ABORTED,          86,  EIO,          "ended by the administrator")                         \
	X(LOST_PEER,        87,  EIO,          "the connection was lost")

enum weft_status {
#define WEFT_STATUS_ENUM(name, number, err, text) WEFT_ST_##name = number,
	WEFT_STATUS_TABLE(WEFT_STATUS_ENUM)
#undef WEFT_STATUS_ENUM
};

#endif /* _UAPI_WEFT_STATUS_H */
