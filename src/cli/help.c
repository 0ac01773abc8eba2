// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <string.h>

#include "base/check.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "config/value.h"

#define COLUMNS 96
#define FLAG_COLUMNS_MAX 34 // a longer flag has its help on the next line

void tl_help_flag(const struct tl_flag *flag, char *ret, size_t size)
{
	char letter[8] = "    ";

	if (flag->letter != 0)
		(void)snprintf(letter, sizeof(letter), "-%c, ", flag->letter);
	(void)snprintf(ret, size, "%s--%s%s%s", letter, flag->name,
		       flag->argument != NULL ? " " : "",
		       flag->argument != NULL ? flag->argument : "");
}

// Prints words from column `at` on, continued at column `indent`.
static void print_wrapped(FILE *out, const char *text, int at, int indent)
{
	int column = at;

	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (column > indent && column + 1 + len > COLUMNS) {
			(void)fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			(void)fputc(' ', out);
			column++;
		}
		(void)fprintf(out, "%.*s", len, text);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	(void)fputc('\n', out);
}

static void print_flag(FILE *out, const struct tl_flag *flag, int width)
{
	char head[80];
	char text[512];
	int len;

	tl_help_flag(flag, head, sizeof(head));
	len = (int)strlen(head);
	if (flag->value != NULL && flag->type != TL_FLAG_BOOL)
		(void)snprintf(text, sizeof(text), "%s (default %s)", flag->help, flag->value);
	else
		(void)snprintf(text, sizeof(text), "%s", flag->help);
	(void)fprintf(out, "  %s", head);
	if (len > width)
		(void)fprintf(out, "\n%*s", width + 4, "");
	else
		(void)fprintf(out, "%*s", width + 2 - len, "");
	print_wrapped(out, text, width + 4, width + 4);
}

static const char *group_of(const struct tl_flag *flag)
{
	return flag->group != NULL && *flag->group != '\0' ? flag->group : "Options";
}

// Flags of one group stand together under it, in table order; groups come as they first appear.
static void print_flags(FILE *out, const struct tl_flag *flags)
{
	bool done[TL_FLAGS_MAX] = {false};
	int width = 0;
	uint32_t count = 0;

	for (; flags != NULL && flags[count].name != NULL; count++) {
		char head[80];

		tl_help_flag(&flags[count], head, sizeof(head));
		int len = (int)strlen(head);
		if (!flags[count].is_hidden && len <= FLAG_COLUMNS_MAX && len > width)
			width = len;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (done[i] || flags[i].is_hidden)
			continue;
		(void)fprintf(out, "\n%s:\n", group_of(&flags[i]));
		for (uint32_t j = i; j < count; j++)
			if (!flags[j].is_hidden &&
			    strcmp(group_of(&flags[i]), group_of(&flags[j])) == 0) {
				print_flag(out, &flags[j], width);
				done[j] = true;
			}
	}
}

int tl_help_command(const struct tl_command *command, FILE *out)
{
	bool has_flags = command->flags != NULL && command->flags->name != NULL;

	(void)fprintf(out, "Usage: tapline %s%s%s%s\n\n", command->name,
		      has_flags ? " [options]" : "", command->arguments != NULL ? " " : "",
		      command->arguments != NULL ? command->arguments : "");
	print_wrapped(out, command->summary, 0, 0);
	if (command->description != NULL)
		print_wrapped(out, command->description, 0, 0);
	print_flags(out, command->flags);
	if (command->examples != NULL)
		(void)fputs("\nExamples:\n", out);
	for (const char *const *at = command->examples; at != NULL && *at != NULL; at += 2)
		(void)fprintf(out, "  %s\n        %s\n", at[0], at[1]);
	return TL_EXIT_DONE;
}

int tl_help_overview(FILE *out)
{
	int width = 0;

	(void)fputs("tapline shows and measures what applications say to each other, from the\n"
		    "packets on the wire.\n\nUsage: tapline COMMAND [options]\n\nCommands:\n",
		    out);
	for (uint32_t i = 0; tl_commands[i] != NULL; i++)
		if ((int)strlen(tl_commands[i]->name) > width)
			width = (int)strlen(tl_commands[i]->name);
	for (uint32_t i = 0; tl_commands[i] != NULL; i++) {
		if (tl_commands[i]->is_hidden)
			continue;
		(void)fprintf(out, "  %-*s  ", width, tl_commands[i]->name);
		print_wrapped(out, tl_commands[i]->summary, width + 4, width + 4);
	}
	(void)fputs("\n`tapline COMMAND --help` says more of each.\n", out);
	return TL_EXIT_DONE;
}

// ---- tapline help ---------------------------------------------------------------------------

struct help_options {
	bool man;
	bool completion;
};

static int run_help(const void *options, const struct tl_arguments *arguments)
{
	const struct help_options *help = (const struct help_options *)options;

	if (help->man)
		return tl_help_man(stdout);
	if (help->completion)
		return tl_help_completion(stdout);
	if (arguments->count == 0)
		return tl_help_overview(stdout);
	const struct tl_command *command = tl_command_find(arguments->items[0]);
	if (command == NULL)
		return tl_cli_usage_error("help", "unknown command \"%.60s\"", arguments->items[0]);
	return tl_help_command(command, stdout);
}

static const struct tl_flag help_flags[] = {
	{.name = "man",
	 .type = TL_FLAG_BOOL,
	 .offset = offsetof(struct help_options, man),
	 .help = "Print the manual page in roff"},
	{.name = "completion",
	 .type = TL_FLAG_BOOL,
	 .offset = offsetof(struct help_options, completion),
	 .help = "Print the completion for bash"},
	TL_FLAG_END,
};

const struct tl_command tl_command_help = {
	.name = "help",
	.summary = "Explain a command",
	.arguments = "[COMMAND]",
	.arguments_max = 1,
	.flags = help_flags,
	.options_size = sizeof(struct help_options),
	.run = run_help,
};
