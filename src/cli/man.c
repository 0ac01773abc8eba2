// SPDX-License-Identifier: Apache-2.0
// The manual page and the completion for bash.
#include <string.h>

#include "cli/help.h"
#include "config/config.h"
#include "revision.h" // generated

// Text for roff: a hyphen is a minus unless escaped, a leading dot or quote a request.
static void print_roff(FILE *out, const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == '\\')
			(void)fputs("\\e", out);
		else if (*at == '-')
			(void)fputs("\\-", out);
		else if ((*at == '.' || *at == '\'') && at == text)
			(void)fprintf(out, "\\&%c", *at);
		else
			(void)fputc(*at, out);
	}
}

static void print_man_flags(FILE *out, const struct tl_flag *flag)
{
	for (; flag != NULL && flag->name != NULL; flag++) {
		char head[80];

		if (flag->is_hidden)
			continue;
		tl_help_flag(flag, head, sizeof(head));
		(void)fputs(".TP\n.B ", out);
		print_roff(out, head + strspn(head, " "));
		(void)fputc('\n', out);
		print_roff(out, flag->help);
		if (flag->value != NULL && flag->type != TL_FLAG_BOOL) {
			(void)fputs(" (default ", out);
			print_roff(out, flag->value);
			(void)fputc(')', out);
		}
		(void)fputc('\n', out);
	}
}

static void print_man_command(FILE *out, const struct tl_command *command)
{
	(void)fprintf(out, ".SS tapline %s", command->name);
	if (command->arguments != NULL) {
		(void)fputc(' ', out);
		print_roff(out, command->arguments);
	}
	(void)fputc('\n', out);
	print_roff(out, command->summary);
	(void)fputc('\n', out);
	if (command->description != NULL) {
		print_roff(out, command->description);
		(void)fputc('\n', out);
	}
	print_man_flags(out, command->flags);
	for (const char *const *at = command->examples; at != NULL && *at != NULL; at += 2) {
		(void)fputs(".TP\n.B ", out);
		print_roff(out, at[0]);
		(void)fputc('\n', out);
		print_roff(out, at[1]);
		(void)fputc('\n', out);
	}
}

static void print_man_key(void *arg, const char *key, uint32_t depth, const struct tl_option *row)
{
	FILE *out = (FILE *)arg;

	(void)depth;
	if (row->type == TL_OPTION_SECTION) {
		(void)fputs(".SS ", out);
		print_roff(out, key);
		(void)fputc('\n', out);
		print_roff(out, row->help);
		(void)fputc('\n', out);
		return;
	}
	(void)fputs(".TP\n.B ", out);
	print_roff(out, key);
	(void)fputc('\n', out);
	print_roff(out, row->help);
	if (row->value != NULL && *row->value != '\0' && row->type != TL_OPTION_SECRET) {
		(void)fputs(" Default: ", out);
		print_roff(out, row->value);
		(void)fputc('.', out);
	}
	(void)fputs(row->hot ? "\n" : " Needs a restart.\n", out);
}

int tl_help_man(FILE *out)
{
	(void)fprintf(out,
		      ".TH TAPLINE 1 \"\" \"tapline %s\" \"User Commands\"\n"
		      ".SH NAME\ntapline \\- passive application protocol probe\n"
		      ".SH SYNOPSIS\n.B tapline\n.I command\n.RI [ options ]\n"
		      ".SH DESCRIPTION\n"
		      "Reads packets from interfaces, capture files or DPDK devices, rebuilds the\n"
		      "conversations of applications in them and gives records, metrics and reports\n"
		      "of every request and its response. It only listens.\n"
		      ".SH COMMANDS\n",
		      TL_VERSION);
	for (uint32_t i = 0; tl_commands[i] != NULL; i++)
		if (!tl_commands[i]->is_hidden)
			print_man_command(out, tl_commands[i]);
	(void)fputs(".SH CONFIGURATION\n"
		    "One YAML file; every key has a default and an empty file is valid.\n"
		    ".B tapline config\nprints them all with their explanations.\n",
		    out);
	(void)tl_config_each_row(print_man_key, out);
	(void)fputs(".SH EXIT STATUS\n"
		    ".TP\n.B 0\nDone; also after an interrupt.\n"
		    ".TP\n.B 1\nA failure at run time, or a capture that could not be read.\n"
		    ".TP\n.B 2\nA wrong command line or configuration.\n"
		    ".TP\n.B 3\nNothing could be captured; the message says how to mend it.\n"
		    ".SH FILES\n.TP\n.I /etc/tapline/tapline.yaml\nThe agent's configuration.\n",
		    out);
	return TL_EXIT_DONE;
}

// ---- Completion -----------------------------------------------------------------------------

static void print_completion_flags(FILE *out, const struct tl_command *command)
{
	(void)fprintf(out, "\t%s) flags=\"--help", command->name);
	for (const struct tl_flag *flag = command->flags; flag != NULL && flag->name != NULL;
	     flag++)
		if (!flag->is_hidden)
			(void)fprintf(out, " --%s", flag->name);
	(void)fputs("\" ;;\n", out);
}

// What stands behind a flag: the words of a choice, nothing known for the rest but files.
static void print_completion_values(FILE *out, const struct tl_command *command)
{
	for (const struct tl_flag *flag = command->flags; flag != NULL && flag->name != NULL;
	     flag++) {
		if (flag->is_hidden || flag->type == TL_FLAG_BOOL)
			continue;
		if (flag->type == TL_FLAG_CHOICE) {
			(void)fprintf(out, "\t\"%s --%s\") values=\"", command->name, flag->name);
			for (uint32_t i = 0; flag->choices[i] != NULL; i++)
				(void)fprintf(out, "%s%s", i > 0 ? " " : "", flag->choices[i]);
			(void)fputs("\" ;;\n", out);
		} else if (strcmp(flag->name, "ifaces") == 0) {
			(void)fprintf(out,
				      "\t\"%s --ifaces\") values=\"any $(ls /sys/class/net "
				      "2>/dev/null)\" ;;\n",
				      command->name);
		} else if (flag->argument != NULL && strstr(flag->argument, "FILE") != NULL) {
			(void)fprintf(out, "\t\"%s --%s\") files=1 ;;\n", command->name,
				      flag->name);
		} else {
			(void)fprintf(out, "\t\"%s --%s\") nothing=1 ;;\n", command->name,
				      flag->name);
		}
	}
}

int tl_help_completion(FILE *out)
{
	(void)fputs("# bash completion for tapline, generated from its tables\n"
		    "_tapline()\n{\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} flags=\n"
		    "\tlocal values= files= nothing= commands=\"",
		    out);
	for (uint32_t i = 0; tl_commands[i] != NULL; i++)
		if (!tl_commands[i]->is_hidden)
			(void)fprintf(out, "%s%s", i > 0 ? " " : "", tl_commands[i]->name);
	(void)fputs("\"\n\tCOMPREPLY=()\n"
		    "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$commands --help --version\" -- \"$cur\"))\n"
		    "\t\treturn\n\tfi\n"
		    "\tcase \"$command ${COMP_WORDS[COMP_CWORD - 1]}\" in\n",
		    out);
	for (uint32_t i = 0; tl_commands[i] != NULL; i++)
		print_completion_values(out, tl_commands[i]);
	(void)fputs("\t\"help \"*) values=$commands ;;\n\tesac\n"
		    "\tcase \"$command\" in\n",
		    out);
	for (uint32_t i = 0; tl_commands[i] != NULL; i++)
		print_completion_flags(out, tl_commands[i]);
	(void)fputs("\tesac\n"
		    "\tif [ -n \"$nothing\" ]; then\n\t\treturn\n"
		    "\telif [ -n \"$files\" ]; then\n"
		    "\t\tcompopt -o default 2>/dev/null\n"
		    "\telif [ -n \"$values\" ]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n"
		    "\telse\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
		    "\tfi\n}\ncomplete -F _tapline tapline\n",
		    out);
	return TL_EXIT_DONE;
}
