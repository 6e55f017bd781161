// SPDX-License-Identifier: GPL-2.0-or-later
/* schema.c - every key of the configuration. The manual page weft.conf(5) is made from this table. */
#include "conf/conf.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

const struct conf_key conf_schema[] = {
	{ "cluster", "name", CONF_TEXT, .fallback = "weft",
	  .help = "Name of the cluster: lower-case letters, digits, '-' and '_'." },
	{ "cluster", "uuid", CONF_UUID,
	  .help = "UUID of the cluster. The metadata server makes one at its first start; others learn it." },
	{ "cluster", "run", CONF_PATH, .fallback = "/run/weft",
	  .help = "Directory for sockets: RUN/CLUSTER/admin.sock and others." },

	{ "host", "name", CONF_TEXT, .help = "Name of this host in the cluster; the machine's host name if not given." },
	{ "host", "region", CONF_TEXT, .fallback = "", .help = "Where the host stands: its region." },
	{ "host", "datacenter", CONF_TEXT, .fallback = "", .help = "Where the host stands: its datacenter." },
	{ "host", "rack", CONF_TEXT, .fallback = "", .help = "Where the host stands: its rack." },

	{ "log", "level", CONF_CHOICE, .fallback = "info", .choices = "error|warn|info|debug",
	  .help = "Lines that are less important are not written." },

	{ "meta", "address", CONF_ADDRESS, .repeats = true,
	  .help = "Where a metadata server listens; one line a server." },
	{ "meta", "listen", CONF_ADDRESS, .repeats = true, .help = "Where this metadata server listens." },
	{ "meta", "path", CONF_PATH, .help = "Directory of the metadata server's database and log." },
	{ "meta", "log-path", CONF_PATH, .help = "Directory of the log, if it is on a disk of its own." },
	{ "meta", "map-size", CONF_SIZE, .fallback = "1T", .min = 16 * MIB, .max = 64 * TIB,
	  .help = "Address space reserved for the database; its file grows only as far as it is filled." },
	{ "meta", "log-segment", CONF_SIZE, .fallback = "16M", .min = 4 * MIB, .max = 1 * GIB,
	  .help = "Size of a segment of the log." },
	{ "meta", "log-keep", CONF_SIZE, .fallback = "8G", .min = 0, .max = 1 * TIB,
	  .help = "Log kept behind the last checkpoint for servers that come back, at most." },
	{ "meta", "log-keep-percent", CONF_PERCENT, .fallback = "10%", .help = "The same, as a share of the disk." },
	{ "meta", "election-timeout", CONF_DURATION, .fallback = "400ms", .min = 100, .max = 60 * SECOND,
	  .help = "A voter that hears nothing for so long stands for election." },
	{ "meta", "grace", CONF_DURATION, .fallback = "10min", .min = 0, .max = 30 * DAY,
	  .help = "How long a chunk that nothing refers to is kept." },
	{ "meta", "session-timeout", CONF_DURATION, .fallback = "30s", .min = 1 * SECOND, .max = 1 * HOUR,
	  .help = "A mount that is silent for so long may be replaced by another." },
	{ "meta", "heartbeat", CONF_DURATION, .fallback = "1s", .min = 100, .max = 60 * SECOND,
	  .help = "How often hosts say that they are alive." },
	{ "meta", "suspect", CONF_DURATION, .fallback = "2500ms", .min = 200, .max = 10 * MINUTE,
	  .help = "A host that is silent for so long is suspected." },
	{ "meta", "down", CONF_DURATION, .fallback = "4500ms", .min = 300, .max = 10 * MINUTE,
	  .help = "A host that is silent for so long is down." },
	{ "meta", "rebuilds", CONF_NUMBER, .fallback = "5", .min = 1, .max = 1000,
	  .help = "Rebuilds under way a store host, at most." },

	{ "store", "path", CONF_PATH, .repeats = true, .help = "Directory of a store; one line a store." },
	{ "store", "listen", CONF_ADDRESS, .repeats = true, .help = "Where the stores of this host listen." },
	{ "store", "advertise", CONF_ADDRESS, .repeats = true,
	  .help = "Addresses told to others, best first, if they differ from where the host listens." },
	{ "store", "backend", CONF_CHOICE, .fallback = "auto", .choices = "auto|uring|threads",
	  .help = "How files are read and written; auto takes io_uring where the kernel allows it." },
	{ "store", "threads", CONF_NUMBER, .fallback = "0", .min = 0, .max = 1024,
	  .help = "Threads for work that blocks; 0: by the number of CPUs, at least 16." },
	{ "store", "memory", CONF_SIZE, .fallback = "256M", .min = 64 * MIB, .max = 1 * TIB,
	  .help = "Memory for requests under way, at most." },
	{ "store", "size", CONF_SIZE, .fallback = "0", .min = 0, .max = 1024 * TIB,
	  .help = "Bytes that a store may fill; 0: its file system." },
	{ "store", "reserve", CONF_PERCENT, .fallback = "5%", .help = "Share of a store that only rebuilds may fill." },
	{ "store", "reserve-hard", CONF_PERCENT, .fallback = "2%", .help = "Share of a store that nothing may fill." },
	{ "store", "segment", CONF_SIZE, .fallback = "64M", .min = 1 * MIB, .max = 64 * MIB,
	  .help = "Size of a segment file; shards below 256 KiB go there." },

	{ "bridge", "renew", CONF_DURATION, .fallback = "1s", .min = 100, .max = 10 * SECOND,
	  .help = "How often the mounts' sessions are renewed." },
	{ "bridge", "enable", CONF_BOOL, .fallback = "yes", .help = "Whether this host may mount volumes." },
	{ "bridge", "lock-memory", CONF_BOOL, .fallback = "yes",
	  .help = "Keep the bridge in memory, so that writing back pages never waits for its own pages." },
	{ NULL },
};
