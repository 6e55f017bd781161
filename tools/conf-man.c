// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conf-man.c - writes the manual page weft.conf(5) from the table of keys, daemon/conf/schema.c
 *
 * `make man` writes tools/man/weft.conf.5, `make uapi-check` fails when the committed page is another. What the table does
 * not have (the syntax, a sentence for each section, examples) stands here; a section without its sentence is an error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

static const char head[] =
	".\\\" SPDX-License-Identifier: GPL-2.0-or-later\n"
	".\\\" Made by tools/conf-man.c from daemon/conf/schema.c; do not edit. `make man` writes it.\n"
	".TH WEFT.CONF 5 2026-11-22 weft \"File Formats\"\n"
	".SH NAME\n"
	"weft.conf \\- the configuration of weftd\n"
	".SH DESCRIPTION\n"
	".BR weftd (8)\n"
	"reads\n"
	".I /etc/weft/weft.conf\n"
	"once, when it starts.\n"
	".B weft up\n"
	"writes it for a cluster of one machine.\n"
	".PP\n"
	"A line is empty, a comment that begins with\n"
	".BR # ,\n"
	"the beginning of a section\n"
	".RB [ name ],\n"
	"or\n"
	".IB key \" = \" value .\n"
	"A section may be begun again further down. Nothing is guessed: an unknown section or key, a value out of range, and a key\n"
	"given twice that may be given once are errors, with file and line;\n"
	".B weftd --check\n"
	"looks for them.\n"
	".PP\n"
	"Sizes are bytes, or have a unit\n"
	".BR K \", \" M \", \" G \" or \" T\n"
	"(powers of 1024). Durations are written with\n"
	".BR ms \", \" s \", \" min \", \" h \" or \" d .\n"
	"An address is\n"
	".IR ip : port ,\n"
	".RI [ ip6 ]: port ,\n"
	".IR name : port \" or\"\n"
	".BI unix: /path\\fR.\n"
	"Paths begin at the root.\n";

static const char tail[] =
	".SH EXAMPLES\n"
	"The host of the metadata server, without stores:\n"
	".PP\n"
	".nf\n"
	".RS\n"
	"[cluster]\n"
	"name = demo\n"
	"[meta]\n"
	"listen = 192.0.2.1:7700\n"
	"address = 192.0.2.1:7700\n"
	"path = /var/lib/weft/meta\n"
	"[bridge]\n"
	"enable = no\n"
	".RE\n"
	".fi\n"
	".PP\n"
	"A host with two stores that also mounts volumes:\n"
	".PP\n"
	".nf\n"
	".RS\n"
	"[cluster]\n"
	"name = demo\n"
	"[host]\n"
	"rack = r12\n"
	"[meta]\n"
	"address = 192.0.2.1:7700\n"
	"[store]\n"
	"listen = 192.0.2.12:7701\n"
	"path = /srv/disk1\n"
	"path = /srv/disk2\n"
	".RE\n"
	".fi\n"
	".PP\n"
	"A host that only mounts volumes needs\n"
	".B [cluster]\n"
	"and the addresses in\n"
	".BR [meta] .\n"
	".SH SEE ALSO\n"
	".BR weftd (8),\n"
	".BR weft (8)\n";

static const struct {
	const char *name, *text;
} sections[] = {
	{ "cluster", "The same on all hosts." },
	{ "host", "Who this host is, and where it stands: the shards of a chunk are spread over regions,\n"
	  "datacenters, racks and hosts, as far as there are enough of them." },
	{ "log", "Log lines go to standard error." },
	{ "meta", "The metadata service. Every host needs\n.BR address ;\na host that has\n.B path\nruns a metadata server." },
	{ "store", "The stores of this host. A host that has\n.B path\nruns the role store and needs\n.BR listen ." },
	{ "bridge", "What mounts need of the daemon." },
};

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest unit that divides it. */
static void print_number(enum conf_type type, uint64_t number)
{
	static const struct unit sizes[] = {
		{ "T", 1ull << 40 }, { "G", 1ull << 30 }, { "M", 1ull << 20 }, { "K", 1ull << 10 }, { "", 1 },
	};
	static const struct unit durations[] = {
		{ "d", 86400000 }, { "h", 3600000 }, { "min", 60000 }, { "s", 1000 }, { "ms", 1 },
	};
	static const struct unit plain = { "", 1 };
	const struct unit *unit = type == CONF_SIZE ? sizes : type == CONF_DURATION ? durations : &plain;

	if (!number) {
		fputs(type == CONF_DURATION ? "0s" : "0", stdout);
		return;
	}
	while (number % unit->factor)
		unit++;
	printf("%" PRIu64 "%s", number / unit->factor, unit->name);
}

static const char *value_name(const struct conf_key *key)
{
	static const char *const names[] = {
		[CONF_TEXT] = "text", [CONF_NUMBER] = "number", [CONF_SIZE] = "size", [CONF_DURATION] = "duration",
		[CONF_PERCENT] = "share\\fR%", [CONF_ADDRESS] = "address", [CONF_PATH] = "path", [CONF_UUID] = "uuid",
	};

	return names[key->type];
}

/* The choices with bars between them, as they are typed. */
static void print_key(const struct conf_key *key)
{
	const char *choices = key->type == CONF_BOOL ? "yes|no" : key->choices;

	printf(".TP\n\\fB%s\\fR = ", key->name);
	if (!choices)
		printf("\\fI%s\\fR", value_name(key));
	for (const char *at = choices; at && *at; at++)
		if (*at == '|')
			fputs("\\fR|", stdout);
		else
			printf("%s%c", at == choices || at[-1] == '|' ? "\\fB" : "", *at);
	printf("%s\n%s\n", choices ? "\\fR" : "", key->help);
	if (key->repeats)
		puts("It may be given several times.");
	if (key->fallback && *key->fallback)
		printf("The default is\n.BR %s .\n", key->fallback);
	if (key->max) {
		fputs("From ", stdout);
		print_number(key->type, key->min);
		fputs(" to ", stdout);
		print_number(key->type, key->max);
		puts(".");
	}
}

static int print_section(const char *name)
{
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (!strcmp(sections[i].name, name)) {
			printf(".SS [%s]\n%s\n", name, sections[i].text);
			return 0;
		}
	fprintf(stderr, "conf-man: the section %s needs a sentence in tools/conf-man.c\n", name);
	return -1;
}

int main(void)
{
	const char *section = "";

	fputs(head, stdout);
	puts(".SH SECTIONS AND KEYS");
	for (const struct conf_key *key = conf_schema; key->section; key++) {
		if (strcmp(key->section, section) && print_section(key->section))
			return 1;
		section = key->section;
		print_key(key);
	}
	fputs(tail, stdout);
	return 0;
}
