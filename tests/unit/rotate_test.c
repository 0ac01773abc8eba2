// SPDX-License-Identifier: Apache-2.0
// Files of lines that rotate: whole lines only, whatever a crash left; how many old ones stay, in
// what form, and for how long.
#include "exporters/record/rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>
#include <zlib.h>

#define LARGE_BYTES (300u << 10) // not buffered

static char folder[64], path[96];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/tl-rotate-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return 1;
	(void)snprintf(path, sizeof(path), "%s/lines", folder);
	return 0;
}

static int remove_folder(void **state)
{
	char command[128];
	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

// The content of path + suffix, unpacked if need be; NULL if there is no such file.
static const char *content(const char *suffix)
{
	static char text[65536];
	char name[128];

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	gzFile file = access(name, F_OK) == 0 ? gzopen(name, "rb") : NULL;
	if (file == NULL)
		return NULL;
	int len = gzread(file, text, sizeof(text) - 1);
	assert_true(len >= 0);
	text[len] = '\0';
	(void)gzclose(file);
	return text;
}

static struct tl_rotating_file *open_file(struct tl_rotating_options options)
{
	struct tl_rotating_file *file = NULL;

	options.path = path;
	assert_int_equal(tl_rotating_open(&options, &file), 0);
	return file;
}

static void test_half_a_line(void **state)
{
	static const char *const found[][2] = {
		{"one\ntwo\nthr", "one\ntwo\nnew\n"}, {"one\n", "one\nnew\n"}, {"", "new\n"},
		{"no line at all", "no line at all\nnew\n"}, {"\n", "\nnew\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		write_file(found[i][0]);
		struct tl_rotating_file *file = open_file((struct tl_rotating_options) {0});
		assert_int_equal(tl_rotating_write(file, "new\n", 4), 0);
		tl_rotating_close(file);
		assert_string_equal(content(""), found[i][1]);
	}
}

static void test_long_half_line(void **state)
{
	static char text[20000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "whole\n", 6);
	write_file(text);
	tl_rotating_close(open_file((struct tl_rotating_options) {0}));
	assert_string_equal(content(""), "whole\n");
}

static mode_t mode_of(const char *suffix)
{
	char name[256];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	assert_int_equal(stat(name, &st), 0);
	return st.st_mode & 0777;
}

// Ten lines to a file; each file but the newest is packed, three of them stay.
static void test_rotation(void **state)
{
	char line[16], last[16];

	(void)state;
	struct tl_rotating_file *file = open_file((struct tl_rotating_options) {
		.bytes_max = 100, .count_max = 3, .compress = true, .fsync = TL_FSYNC_FLUSH});
	for (int i = 0; i < 100; i++) {
		(void)snprintf(line, sizeof(line), "line %04d\n", i);
		assert_int_equal(tl_rotating_write(file, line, 10), 0);
		assert_int_equal(tl_rotating_flush(file), 0);
	}
	tl_rotating_close(file);
	(void)snprintf(last, sizeof(last), "line %04d\n", 90);
	assert_memory_equal(content(""), last, 10);
	for (int old = 1; old <= 3; old++) {
		char suffix[16];
		(void)snprintf(suffix, sizeof(suffix), ".%d.gz", old);
		(void)snprintf(last, sizeof(last), "line %04d\n", 90 - 10 * old);
		assert_non_null(content(suffix));
		assert_int_equal(mode_of(suffix), mode_of("")); // whoever may not read the one
		assert_int_equal(strlen(content(suffix)), 100);
		assert_memory_equal(content(suffix), last, 10);
	}
	assert_null(content(".4.gz"));
	assert_null(content(".4"));
	assert_null(content(".1"));
}

// Lines that a full disk took no more are counted, and the file holds whole lines only.
static void test_lost_lines(void **state)
{
	const struct rlimit small = {.rlim_cur = 40, .rlim_max = RLIM_INFINITY};
	const struct rlimit all = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	struct tl_rotating_file *file;
	char *large = malloc(LARGE_BYTES);

	(void)state;
	assert_non_null(large);
	memset(large, 'x', LARGE_BYTES);
	large[LARGE_BYTES - 1] = '\n';
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(tl_rotating_open(&(struct tl_rotating_options) {.path = path}, &file), 0);
	assert_int_equal(tl_rotating_write(file, "whole\n", 6), 0);
	assert_int_equal(tl_rotating_flush(file), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(tl_rotating_write(file, "more than there is\n", 19), 0);
	assert_int_equal(tl_rotating_flush(file), -EFBIG);
	assert_int_equal(tl_rotating_lost(file), 5);
	assert_string_equal(content(""), "whole\n");
	assert_int_equal(tl_rotating_write(file, large, LARGE_BYTES), -EFBIG); // not taken: not lost
	assert_string_equal(content(""), "whole\n");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	assert_int_equal(tl_rotating_write(file, "again\n", 6), 0);
	assert_int_equal(tl_rotating_flush(file), 0);
	assert_string_equal(content(""), "whole\nagain\n");
	assert_int_equal(tl_rotating_lost(file), 5);
	tl_rotating_close(file);
	free(large);
}

static void test_age(void **state)
{
	const struct utimbuf long_ago = {.actime = 1000, .modtime = 1000};
	char old[128];

	(void)state;
	struct tl_rotating_file *file = open_file((struct tl_rotating_options) {
		.bytes_max = 10, .age_ns_max = UINT64_C(3600000000000)});
	assert_int_equal(tl_rotating_write(file, "line one\n\n", 10), 0);
	assert_int_equal(tl_rotating_write(file, "line two\n\n", 10), 0);
	(void)snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(utime(old, &long_ago), 0);
	assert_int_equal(tl_rotating_write(file, "line 333\n\n", 10), 0);
	tl_rotating_close(file);
	assert_string_equal(content(""), "line 333\n\n");
	assert_string_equal(content(".1"), "line two\n\n");
	assert_null(content(".2"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_half_a_line), TEST(test_long_half_line), TEST(test_rotation),
		TEST(test_lost_lines), TEST(test_age),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
