// SPDX-License-Identifier: Apache-2.0
// From argv to a command's options struct, by its flag table.
#pragma once

#include "cli/command.h"

#define TL_FLAGS_MAX 64u      // of one command
#define TL_FLAG_TEXTS_MAX 256u // values of one repeatable flag

struct tl_parsed {
	void *options;       // options_size bytes, NULL when that is 0
	bool wants_help;
	struct tl_arguments arguments;
	char error[320];     // one line when parsing failed
};

// Parses argv[1..]; argv[0] is the command's name. Texts are borrowed from argv. 0, -EINVAL with
// `error` set, or -ENOMEM. Give back with tl_args_fini in every case.
int tl_args_parse(const struct tl_command *command, int argc, char **argv,
		  struct tl_parsed *ret_parsed);
void tl_args_fini(const struct tl_command *command, struct tl_parsed *parsed);

const struct tl_command *tl_command_find(const char *name); // NULL if there is none
