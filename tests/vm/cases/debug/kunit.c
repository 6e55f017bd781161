// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The KUnit suites of the module, which ran when it was loaded: each has run and none has failed.
 */
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* True: the suite has run, and nothing in it has failed. */
static bool suite_passed(const char *results)
{
	FILE *file = fopen(results, "r");
	bool ran = false, failed = false;
	char line[512];

	if (!file) {
		printf("%s: %s\n", results, strerror(errno));
		return false;
	}
	while (fgets(line, sizeof(line), file)) {
		fputs(line, stdout);
		ran |= !strncmp(line, "ok ", 3);
		failed |= !!strstr(line, "not ok ");
	}
	fclose(file);
	return ran && !failed;
}

int main(void)
{
	unsigned int bad = 0;
	glob_t suites;

	if (glob("/sys/kernel/debug/kunit/weft*/results", 0, NULL, &suites)) {
		printf("the module has no KUnit suites in debugfs\n");
		return 1;
	}
	for (size_t i = 0; i < suites.gl_pathc; i++)
		bad += !suite_passed(suites.gl_pathv[i]);
	printf("%zu suites\n", suites.gl_pathc);
	globfree(&suites);
	return bad != 0;
}
