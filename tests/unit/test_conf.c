// SPDX-License-Identifier: GPL-2.0-or-later
/* The configuration: values, fallbacks, and the sentence for each mistake. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/value.h"

static struct conf *parse(const char *text)
{
	char error[512] = "";
	struct conf *conf = conf_parse(text, strlen(text), "test.conf", error, sizeof(error));

	if (!conf)
		fail_msg("%s", error);
	return conf;
}

static void values_and_fallbacks(void **state)
{
	struct conf *conf = parse("# a comment\n"
				  "[cluster]\n  name = demo  \n"
				  "[meta]\naddress = 192.0.2.1:7411\naddress=[2001:db8::1]:7411\ngrace = 2h\nlog-segment = 64M\n"
				  "[store]\npath = /srv/a\npath = /srv/b\nreserve = 7%\n"
				  "[bridge]\nlock-memory = no");

	(void)state;
	assert_string_equal(conf_text(conf, "cluster", NULL, "name", 0), "demo");
	assert_int_equal(conf_count(conf, "meta", NULL, "address"), 2);
	assert_string_equal(conf_text(conf, "meta", NULL, "address", 1), "[2001:db8::1]:7411");
	assert_null(conf_text(conf, "meta", NULL, "address", 2));
	assert_int_equal(conf_number(conf, "meta", NULL, "grace"), 2 * 3600 * 1000);
	assert_int_equal(conf_number(conf, "meta", NULL, "log-segment"), 64 << 20);
	assert_int_equal(conf_number(conf, "meta", NULL, "election-timeout"), 400);
	assert_int_equal(conf_number(conf, "store", NULL, "reserve"), 7);
	assert_string_equal(conf_text(conf, "store", NULL, "path", 1), "/srv/b");
	assert_string_equal(conf_text(conf, "store", NULL, "backend", 0), "auto");
	assert_false(conf_bool(conf, "bridge", "lock-memory"));
	assert_true(conf_bool(conf, "bridge", "enable"));
	conf_free(conf);
}

static const struct {
	const char *text, *sentence;
} mistakes[] = {
	{ "[host]\nnaem = a\n", "test.conf:2: unknown key 'naem' in [host]; did you mean 'name'?" },
	{ "[host]\nsomething-else = a\n", "test.conf:2: unknown key 'something-else' in [host]" },
	{ "\n[hots]\n", "test.conf:2: unknown section [hots]" },
	{ "name = a\n", "test.conf:1: a key stands before the first [section]" },
	{ "[host\n", "test.conf:1: a section is written as [name] or [name title]" },
	{ "[host]\nname\n", "test.conf:2: expected key = value, [section] or # comment" },
	{ "[host]\nname =\n", "test.conf:2: 'name' has no value" },
	{ "[host]\nname = a\nname = b\n", "test.conf:3: 'name' was given before" },
	{ "[log]\nlevel = loud\n", "test.conf:2: 'level = loud': must be one of error|warn|info|debug" },
	{ "[meta]\ngrace = 10\n", "test.conf:2: 'grace = 10': must be a duration, such as 500ms, 10s or 5min" },
	{ "[meta]\ndown = 1ms\n", "test.conf:2: 'down = 1ms': must be between 300ms and 10min" },
	{ "[meta]\nmap-size = 99999999999999999999T\n", "test.conf:2: 'map-size = 99999999999999999999T': must be between 16M and 64T" },
	{ "[meta]\nlog-keep-percent = 101%\n", "test.conf:2: 'log-keep-percent = 101%': must be between 0% and 100%" },
	{ "[meta]\nlisten = somewhere\n",
	  "test.conf:2: 'listen = somewhere': must be IP:PORT, [IP6]:PORT, NAME:PORT or unix:/path (of at most 107 bytes)" },
	{ "[meta]\npath = srv\n", "test.conf:2: 'path = srv': must be a path from the root, such as /srv/weft" },
	{ "[cluster]\nuuid = 12\n", "test.conf:2: 'uuid = 12': must be a UUID: 32 hexadecimal digits, with or without dashes" },
	{ "[bridge]\nenable = maybe\n", "test.conf:2: 'enable = maybe': must be yes or no" },
};

static void each_mistake_has_its_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		char error[512] = "";

		assert_null(conf_parse(mistakes[i].text, strlen(mistakes[i].text), "test.conf", error, sizeof(error)));
		assert_int_equal(errno, EINVAL);
		assert_string_equal(error, mistakes[i].sentence);
	}
}

static void a_nul_byte_is_refused(void **state)
{
	static const char text[] = "[host]\nname = a\0b\n";
	char error[512];

	(void)state;
	assert_null(conf_parse(text, sizeof(text) - 1, "test.conf", error, sizeof(error)));
	assert_string_equal(error, "test.conf:2: the line holds a NUL byte");
}

static void every_fallback_passes_its_own_check(void **state)
{
	(void)state;
	for (const struct conf_key *key = conf_schema; key->section; key++) {
		char why[256] = "";
		uint64_t number;

		if (key->fallback && *key->fallback && value_check(key, key->fallback, &number, why, sizeof(why)))
			fail_msg("[%s] %s = %s: %s", key->section, key->name, key->fallback, why);
		assert_non_null(key->help);
	}
}

static void uuids_are_read_and_written(void **state)
{
	static const char text[] = "01234567-89ab-cdef-0123-456789abcdef";
	uint8_t uuid[16];
	char back[37];

	(void)state;
	assert_int_equal(value_uuid(text, uuid), 0);
	value_uuid_format(uuid, back);
	assert_string_equal(back, text);
	assert_int_equal(value_uuid("0123456789ABCDEF0123456789abcdef", uuid), 0);
	value_uuid_format(uuid, back);
	assert_string_equal(back, text);
	assert_int_equal(value_uuid("0123456789abcdef0123456789abcdef0", uuid), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_and_fallbacks),
		cmocka_unit_test(each_mistake_has_its_sentence),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(every_fallback_passes_its_own_check),
		cmocka_unit_test(uuids_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
