// SPDX-License-Identifier: Apache-2.0
// From the process's argv to one command and back to an exit status.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/help.h"
#include "config/value.h"

#define COMMANDS_MAX 32u

int tl_cli_usage_error(const char *command, const char *format, ...)
{
	va_list arguments;

	(void)fprintf(stderr, "tapline%s%s: ", *command != '\0' ? " " : "", command);
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fprintf(stderr, "; see tapline %s%s--help\n", command, *command != '\0' ? " " : "");
	return TL_EXIT_USAGE;
}

int tl_cli_error(int status, const char *format, ...)
{
	va_list arguments;

	(void)fputs("tapline: ", stderr);
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fputc('\n', stderr);
	return status;
}

// Of a failure that is over stdio keeps no errno, but a pipe without a reader stays broken.
static bool reader_is_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

int tl_cli_finish_output(int status)
{
	errno = 0;
	bool lost = fflush(stdout) != 0 || ferror(stdout) != 0;

	if (!lost || errno == EPIPE || (errno == 0 && reader_is_gone()))
		return status;
	return tl_cli_error(TL_EXIT_FAILURE, "can't write to standard output: %s",
			    errno != 0 ? strerror(errno) : "earlier output was lost");
}

static int unknown_command(const char *name)
{
	const char *words[COMMANDS_MAX];
	uint32_t count = 0;

	for (; tl_commands[count] != NULL && count < COMMANDS_MAX; count++)
		words[count] = tl_commands[count]->is_hidden ? NULL : tl_commands[count]->name;
	const char *nearest = tl_nearest(name, words, count);
	if (*name == '-')
		return tl_cli_usage_error("", "a command comes first, not %.60s", name);
	if (access(name, R_OK) == 0)
		return tl_cli_usage_error("", "\"%.60s\" is no command; a capture file is read by"
					  " tapline watch --pcap-file FILE, or stats", name);
	if (nearest != NULL)
		return tl_cli_usage_error("", "unknown command \"%.60s\", did you mean %s?", name,
					  nearest);
	return tl_cli_usage_error("", "unknown command \"%.60s\"", name);
}

static int run_command(const struct tl_command *command, int argc, char **argv)
{
	struct tl_parsed parsed;
	int ret = tl_args_parse(command, argc, argv, &parsed);
	int status;

	if (ret == -ENOMEM)
		status = tl_cli_error(TL_EXIT_FAILURE, "out of memory");
	else if (ret < 0)
		status = tl_cli_usage_error(command->name, "%s", parsed.error);
	else if (parsed.wants_help)
		status = tl_help_command(command, stdout);
	else
		status = command->run(parsed.options, &parsed.arguments);
	tl_args_fini(command, &parsed);
	return tl_cli_finish_output(status);
}

int tl_cli_main(int argc, char **argv)
{
	const struct tl_command *command;
	const char *name = argc > 1 ? argv[1] : "";

	// A reader that goes away shows as EPIPE, so that sinks can be flushed first.
	(void)signal(SIGPIPE, SIG_IGN);
	tl_take_privileges();
	if (*name == '\0') {
		(void)tl_help_overview(stderr);
		return TL_EXIT_USAGE;
	}
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
		return tl_cli_finish_output(tl_help_overview(stdout));
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	command = tl_command_find(name);
	if (command == NULL)
		return unknown_command(name);
	return run_command(command, argc - 1, argv + 1);
}

int tl_cli_status_of(int rc)
{
	switch (rc) {
	case 0:
		return TL_EXIT_DONE;
	case -EPERM:
	case -EACCES:
	case -ENODEV:
	case -ENOENT:
	case -EBUSY:
		return TL_EXIT_CAPTURE;
	case -EINVAL:
		return TL_EXIT_USAGE;
	default:
		return TL_EXIT_FAILURE;
	}
}
