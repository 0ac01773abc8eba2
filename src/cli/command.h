// SPDX-License-Identifier: Apache-2.0
// A subcommand is a row: its name, its flags, its function. Parsing, help, the man page and the
// shell completion are made from the rows. Adding a command: a file with one struct tl_command,
// and its line in commands.c.
#pragma once

#include "base/option.h"
#include "cli/exit.h"

enum tl_flag_type {
	TL_FLAG_BOOL,     // bool; takes no argument
	TL_FLAG_TEXT,     // const char *, "" when not given
	TL_FLAG_UINT,     // uint64_t
	TL_FLAG_SIZE,     // uint64_t bytes; "64MiB"
	TL_FLAG_DURATION, // uint64_t nanoseconds; "10s"
	TL_FLAG_CHOICE,   // uint32_t: index into `choices`
	TL_FLAG_TEXTS,    // struct tl_text_list; may be given several times
};

struct tl_flag {
	const char *name;     // long form, without the dashes
	char letter;          // short form, 0 for none
	uint8_t type;         // enum tl_flag_type
	bool is_hidden;       // works, but help does not show it
	uint32_t offset;      // of the member in the command's options struct
	const char *value;    // default as it would be written, NULL: zero, "" or the first choice
	uint64_t min, max;    // bounds of UINT, SIZE, DURATION; both 0: unbounded
	const char *const *choices; // CHOICE: words, NULL-terminated
	const char *argument; // shown in help: "FILE"
	const char *group;    // heading in help, "" or NULL for "Options"
	const char *help;     // without the default
};

#define TL_FLAG_END {.name = NULL}

// What is left of the command line behind the flags; borrowed.
struct tl_arguments {
	const char *const *items;
	uint32_t count;
};

struct tl_command {
	const char *name;
	const char *summary;         // one line for the list of commands
	const char *description;     // further sentences for its own help, NULL for none
	const char *arguments;       // "[NAME...]" in the usage line, NULL for none
	uint32_t arguments_max;
	bool is_hidden;
	const struct tl_flag *flags; // ended by name == NULL; NULL for none
	uint32_t options_size;       // of the struct the flags are put into
	const char *const *examples; // command line, what it does, in turn; ended by NULL
	// Returns an enum tl_exit. `options` is the filled struct, NULL when options_size is 0.
	int (*run)(const void *options, const struct tl_arguments *arguments);
};

extern const struct tl_command *const tl_commands[]; // in the order of help, ended by NULL

// Runs the command that argv names; returns the exit status of the process.
int tl_cli_main(int argc, char **argv);

// "tapline COMMAND: message; see tapline COMMAND --help" on standard error; TL_EXIT_USAGE.
int tl_cli_usage_error(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
// "tapline: message" on standard error; returns `status`.
int tl_cli_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The exit status for a -errno of what could not be started or went on wrong.
int tl_cli_status_of(int rc);
// Makes effective what the program's file permits (setcap ...=p). Such a file also starts where the
// capability can't be had, as for a capture file in a container with none; =ep would not.
void tl_take_privileges(void);
// Flushes standard output. Returns `status`, or TL_EXIT_FAILURE with a message when what was
// written is lost (a full disk); a reader who went away is not an error.
int tl_cli_finish_output(int status);
