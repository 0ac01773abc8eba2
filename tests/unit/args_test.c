// SPDX-License-Identifier: Apache-2.0
#include "cli/args.h"

#include "base/check.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sample_options {
	bool quiet;
	const char *file;
	const char *roundtrips_file;
	uint64_t max;
	uint64_t size_bytes;
	uint64_t duration_ns;
	uint32_t output;
	struct tl_text_list protos;
};

#define AT(member) .offset = offsetof(struct sample_options, member)

static const char *const output_words[] = {"text", "json", NULL};

static const struct tl_flag sample_flags[] = {
	{.name = "quiet", .letter = 'q', .type = TL_FLAG_BOOL, AT(quiet), .help = "."},
	{.name = "pcap-file", .letter = 'r', .type = TL_FLAG_TEXT, AT(file), .help = "."},
	{.name = "roundtrips.file", .type = TL_FLAG_TEXT, AT(roundtrips_file), .help = "."},
	{.name = "max", .type = TL_FLAG_UINT, AT(max), .value = "7", .max = 100, .help = "."},
	{.name = "size", .type = TL_FLAG_SIZE, AT(size_bytes), .help = "."},
	{.name = "duration", .type = TL_FLAG_DURATION, AT(duration_ns), .help = "."},
	{.name = "output", .type = TL_FLAG_CHOICE, AT(output), .choices = output_words, .help = "."},
	{.name = "proto", .type = TL_FLAG_TEXTS, AT(protos), .help = "."},
	{.name = "secret", .type = TL_FLAG_BOOL, .is_hidden = true, AT(quiet), .help = "."},
	TL_FLAG_END,
};

static const struct tl_command sample = {
	.name = "sample",
	.arguments_max = 1,
	.flags = sample_flags,
	.options_size = sizeof(struct sample_options),
};

const struct tl_command *const tl_commands[] = {&sample, NULL};

#define WORDS_MAX 32

// Splits at single spaces.
static int parse(const char *line, char *copy, struct tl_parsed *parsed)
{
	char *words[WORDS_MAX] = {NULL};
	int count = 0;

	strcpy(copy, line);
	for (char *at = copy; at != NULL && count < WORDS_MAX - 1;)
		words[count++] = strsep(&at, " ");
	return tl_args_parse(&sample, count, words, parsed);
}

static void values_arrive_in_the_struct(void **state)
{
	(void)state;
	struct tl_parsed parsed;
	char copy[256];

	assert_int_equal(parse("sample -q --pcap-file a.pcap --roundtrips.file b --max=3 --size "
			       "1MiB --duration 1m30s --output json --proto x --proto=y",
			       copy, &parsed),
			 0);
	const struct sample_options *options = (const struct sample_options *)parsed.options;
	assert_true(options->quiet);
	assert_string_equal(options->file, "a.pcap");
	assert_string_equal(options->roundtrips_file, "b");
	assert_int_equal(options->max, 3);
	assert_int_equal(options->size_bytes, 1 << 20);
	assert_int_equal(options->duration_ns, 90000000000);
	assert_int_equal(options->output, 1);
	assert_int_equal(options->protos.count, 2);
	assert_string_equal(options->protos.items[1], "y");
	assert_false(parsed.wants_help);
	tl_args_fini(&sample, &parsed);
}

static void defaults_hold_without_flags(void **state)
{
	(void)state;
	struct tl_parsed parsed;
	char copy[256];

	assert_int_equal(parse("sample", copy, &parsed), 0);
	const struct sample_options *options = (const struct sample_options *)parsed.options;
	assert_false(options->quiet);
	assert_string_equal(options->file, "");
	assert_int_equal(options->max, 7);
	assert_int_equal(options->protos.count, 0);
	tl_args_fini(&sample, &parsed);
}

static void the_rest_may_follow_or_stand_between(void **state)
{
	(void)state;
	struct tl_parsed parsed;
	char copy[256];

	assert_int_equal(parse("sample word -q", copy, &parsed), 0);
	assert_true(((const struct sample_options *)parsed.options)->quiet);
	assert_int_equal(parsed.arguments.count, 1);
	assert_string_equal(parsed.arguments.items[0], "word");
	tl_args_fini(&sample, &parsed);
	assert_int_equal(parse("sample -- -q", copy, &parsed), 0);
	assert_string_equal(parsed.arguments.items[0], "-q");
	tl_args_fini(&sample, &parsed);
	assert_int_equal(parse("sample -h a b c", copy, &parsed), 0);
	assert_true(parsed.wants_help);
	tl_args_fini(&sample, &parsed);
}

static void errors_name_the_remedy(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		const char *want;
	} rows[] = {
		{"sample --quite", "unknown option --quite, did you mean --quiet?"},
		{"sample --pcap.file x", "unknown option --pcap.file, did you mean --pcap-file?"},
		{"sample --xyzzy=1", "unknown option --xyzzy"},
		{"sample --secrets", "unknown option --secrets"},
		{"sample -x", "unknown option -x"},
		{"sample --max", "--max needs a value"},
		{"sample -r", "--pcap-file needs a value"},
		{"sample --quiet=1", "--quiet takes no value"},
		{"sample --max lots", "--max needs a whole number, not \"lots\""},
		{"sample --max 101", "--max: 101 is out of range, 0 to 100"},
		{"sample --max -1", "--max needs a whole number, not \"-1\""},
		{"sample --duration 10",
		 "--duration needs a time with its unit such as 10s, 100ms or 5m, not \"10\""},
		{"sample --size big", "--size needs a size such as 4096 or 64MiB, not \"big\""},
		{"sample --output yaml", "--output needs text or json, not \"yaml\""},
		{"sample a b", "unexpected argument \"b\""},
	};

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		struct tl_parsed parsed;
		char copy[256];

		assert_int_equal(parse(rows[i].line, copy, &parsed), -EINVAL);
		assert_string_equal(parsed.error, rows[i].want);
		tl_args_fini(&sample, &parsed);
	}
}

static void a_repeated_flag_has_a_limit(void **state)
{
	(void)state;
	static char *words[TL_FLAG_TEXTS_MAX + 3];
	static char command[] = "sample";
	static char flag[] = "--proto=x";
	struct tl_parsed parsed;

	words[0] = command;
	for (unsigned i = 1; i < TL_FLAG_TEXTS_MAX + 2; i++)
		words[i] = flag;
	assert_int_equal(tl_args_parse(&sample, TL_FLAG_TEXTS_MAX + 1, words, &parsed), 0);
	tl_args_fini(&sample, &parsed);
	assert_int_equal(tl_args_parse(&sample, TL_FLAG_TEXTS_MAX + 2, words, &parsed), -EINVAL);
	assert_string_equal(parsed.error, "--proto is given more than 256 times");
	tl_args_fini(&sample, &parsed);
}

static void commands_are_found_by_name(void **state)
{
	(void)state;
	assert_ptr_equal(tl_command_find("sample"), &sample);
	assert_null(tl_command_find("sampl"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_arrive_in_the_struct),
		cmocka_unit_test(defaults_hold_without_flags),
		cmocka_unit_test(the_rest_may_follow_or_stand_between),
		cmocka_unit_test(errors_name_the_remedy),
		cmocka_unit_test(a_repeated_flag_has_a_limit),
		cmocka_unit_test(commands_are_found_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
