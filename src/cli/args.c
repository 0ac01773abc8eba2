// SPDX-License-Identifier: Apache-2.0
#include "cli/args.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "config/value.h"

#define FLAG_VALUE_BASE 256 // getopt's value of the first flag; below are letters

__attribute__((format(printf, 2, 3))) static int refuse(struct tl_parsed *parsed,
							const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(parsed->error, sizeof(parsed->error), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

const struct tl_command *tl_command_find(const char *name)
{
	for (uint32_t i = 0; tl_commands[i] != NULL; i++)
		if (strcmp(tl_commands[i]->name, name) == 0)
			return tl_commands[i];
	return NULL;
}

// ---- One value ------------------------------------------------------------------------------

static int set_number(const struct tl_flag *flag, const char *text, uint64_t *ret,
		      struct tl_parsed *parsed)
{
	bool good;
	const char *should;
	uint64_t number = 0;

	switch (flag->type) {
	case TL_FLAG_SIZE:
		good = tl_parse_size(text, &number);
		should = "a size such as 4096 or 64MiB";
		break;
	case TL_FLAG_DURATION:
		good = tl_parse_duration(text, &number);
		should = "a time with its unit such as 10s, 100ms or 5m";
		break;
	default:
		good = tl_parse_uint(text, &number);
		should = "a whole number";
	}
	if (!good)
		return refuse(parsed, "--%s needs %s, not \"%.60s\"", flag->name, should, text);
	if (number < flag->min || (flag->max != 0 && number > flag->max)) {
		if (flag->type != TL_FLAG_UINT)
			return refuse(parsed, "--%s: %.60s is out of range", flag->name, text);
		return refuse(parsed, "--%s: %.60s is out of range, %" PRIu64 " to %" PRIu64,
			      flag->name, text, flag->min, flag->max);
	}
	*ret = number;
	return 0;
}

static int set_choice(const struct tl_flag *flag, const char *text, uint32_t *ret,
		      struct tl_parsed *parsed)
{
	char words[160] = "";

	for (uint32_t i = 0; flag->choices[i] != NULL; i++) {
		size_t len = strlen(words);
		const char *glue = i == 0 ? "" : flag->choices[i + 1] == NULL ? " or " : ", ";

		if (strcmp(flag->choices[i], text) == 0) {
			*ret = i;
			return 0;
		}
		(void)snprintf(words + len, sizeof(words) - len, "%s%s", glue, flag->choices[i]);
	}
	return refuse(parsed, "--%s needs %s, not \"%.60s\"", flag->name, words, text);
}

static int add_text(const struct tl_flag *flag, const char *text, struct tl_text_list *list,
		    struct tl_parsed *parsed)
{
	if (list->count == TL_FLAG_TEXTS_MAX)
		return refuse(parsed, "--%s is given more than %u times", flag->name,
			      TL_FLAG_TEXTS_MAX);
	if (list->items == NULL) {
		list->items = (const char **)calloc(TL_FLAG_TEXTS_MAX, sizeof(*list->items));
		if (list->items == NULL)
			return -ENOMEM;
	}
	list->items[list->count++] = text;
	return 0;
}

static int set_flag(const struct tl_flag *flag, const char *text, struct tl_parsed *parsed)
{
	void *value = (unsigned char *)parsed->options + flag->offset;

	switch (flag->type) {
	case TL_FLAG_BOOL:
		*(bool *)value = true;
		return 0;
	case TL_FLAG_TEXT:
		*(const char **)value = text;
		return 0;
	case TL_FLAG_CHOICE:
		return set_choice(flag, text, (uint32_t *)value, parsed);
	case TL_FLAG_TEXTS:
		return add_text(flag, text, (struct tl_text_list *)value, parsed);
	default:
		return set_number(flag, text, (uint64_t *)value, parsed);
	}
}

static void set_defaults(const struct tl_command *command, struct tl_parsed *parsed)
{
	for (const struct tl_flag *flag = command->flags; flag != NULL && flag->name != NULL;
	     flag++) {
		if (flag->value != NULL)
			TL_ASSERT(set_flag(flag, flag->value, parsed) == 0);
		else if (flag->type == TL_FLAG_TEXT)
			TL_ASSERT(set_flag(flag, "", parsed) == 0);
	}
}

// ---- The command line -----------------------------------------------------------------------

// getopt's tables from ours. `shorts` has 2 * TL_FLAGS_MAX + 4 bytes.
static uint32_t make_tables(const struct tl_command *command, struct option *longs, char *shorts)
{
	uint32_t count = 0;
	char *at = shorts;

	*at++ = ':'; // tell a missing argument from an unknown flag
	*at++ = 'h';
	for (const struct tl_flag *flag = command->flags; flag != NULL && flag->name != NULL;
	     flag++) {
		int has_argument = flag->type == TL_FLAG_BOOL ? no_argument : required_argument;

		TL_ASSERT(count < TL_FLAGS_MAX);
		longs[count] = (struct option) {
			.name = flag->name,
			.has_arg = has_argument,
			.val = FLAG_VALUE_BASE + (int)count,
		};
		if (flag->letter != 0) {
			*at++ = flag->letter;
			if (has_argument == required_argument)
				*at++ = ':';
		}
		count++;
	}
	longs[count] = (struct option) {.name = "help", .has_arg = no_argument, .val = 'h'};
	longs[count + 1] = (struct option) {0};
	*at = '\0';
	return count;
}

static const struct tl_flag *flag_of(const struct tl_command *command, int value, uint32_t count)
{
	if (value >= FLAG_VALUE_BASE && (uint32_t)(value - FLAG_VALUE_BASE) < count)
		return &command->flags[value - FLAG_VALUE_BASE];
	for (uint32_t i = 0; i < count; i++)
		if (command->flags[i].letter == value)
			return &command->flags[i];
	return NULL;
}

static int refuse_unknown(const struct tl_command *command, uint32_t count, const char *word,
			  struct tl_parsed *parsed)
{
	const char *words[TL_FLAGS_MAX + 1];
	char name[64];

	for (uint32_t i = 0; i < count; i++)
		words[i] = command->flags[i].is_hidden ? NULL : command->flags[i].name;
	words[count] = "help";
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	const char *nearest = tl_nearest(name, words, count + 1);
	if (nearest != NULL)
		return refuse(parsed, "unknown option --%s, did you mean --%s?", name, nearest);
	return refuse(parsed, "unknown option --%s", name);
}

// What getopt_long() answered with '?'.
static int refuse_answer(const struct tl_command *command, uint32_t count, char **argv,
			 struct tl_parsed *parsed)
{
	const struct tl_flag *flag = flag_of(command, optopt, count);

	if (optopt == 0)
		return refuse_unknown(command, count, argv[optind - 1], parsed);
	if (flag != NULL && flag->type == TL_FLAG_BOOL)
		return refuse(parsed, "--%s takes no value", flag->name);
	return refuse(parsed, "unknown option -%c", optopt);
}

static bool has_flag(const struct tl_command *command, const char *name)
{
	for (const struct tl_flag *flag = command->flags; flag != NULL && flag->name != NULL; flag++)
		if (strcmp(flag->name, name) == 0)
			return true;
	return false;
}

int tl_args_parse(const struct tl_command *command, int argc, char **argv,
		  struct tl_parsed *ret_parsed)
{
	struct option longs[TL_FLAGS_MAX + 2];
	char shorts[2 * TL_FLAGS_MAX + 4];
	uint32_t count = make_tables(command, longs, shorts);
	int answer;
	int ret = 0;

	*ret_parsed = (struct tl_parsed) {0};
	if (command->options_size > 0) {
		ret_parsed->options = calloc(1, command->options_size);
		if (ret_parsed->options == NULL)
			return -ENOMEM;
	}
	set_defaults(command, ret_parsed);
	opterr = 0;
	optind = 0; // also resets what getopt keeps between calls
	while (ret == 0 && (answer = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct tl_flag *flag = flag_of(command, answer, count);

		if (flag != NULL)
			ret = set_flag(flag, optarg, ret_parsed);
		else if (answer == 'h')
			ret_parsed->wants_help = true;
		else if (answer == ':')
			ret = refuse(ret_parsed, "--%s needs a value",
				     flag_of(command, optopt, count)->name);
		else
			ret = refuse_answer(command, count, argv, ret_parsed);
	}
	if (ret < 0)
		return ret;
	ret_parsed->arguments = (struct tl_arguments) {
		.items = (const char *const *)(argv + optind),
		.count = (uint32_t)(argc - optind),
	};
	if (ret_parsed->wants_help || ret_parsed->arguments.count <= command->arguments_max)
		return 0;
	const char *extra = ret_parsed->arguments.items[command->arguments_max];
	if (has_flag(command, "pcap-file") && access(extra, R_OK) == 0)
		return refuse(ret_parsed, "a capture file is read by --pcap-file %.60s", extra);
	return refuse(ret_parsed, "unexpected argument \"%.60s\"", extra);
}

void tl_args_fini(const struct tl_command *command, struct tl_parsed *parsed)
{
	for (const struct tl_flag *flag = command->flags;
	     parsed->options != NULL && flag != NULL && flag->name != NULL; flag++)
		if (flag->type == TL_FLAG_TEXTS) {
			void *value = (unsigned char *)parsed->options + flag->offset;
			free(((struct tl_text_list *)value)->items);
		}
	free(parsed->options);
	parsed->options = NULL;
}
