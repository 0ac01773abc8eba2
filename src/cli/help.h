// SPDX-License-Identifier: Apache-2.0
// Help, man page and shell completion, made from the tables of commands, flags and options.
#pragma once

#include <stdio.h>

#include "cli/command.h"

// Each writes to `out` and returns TL_EXIT_DONE.
int tl_help_overview(FILE *out);
int tl_help_command(const struct tl_command *command, FILE *out);
int tl_help_man(FILE *out);
int tl_help_completion(FILE *out);

// "-i, --ifaces NAME" in `ret`.
void tl_help_flag(const struct tl_flag *flag, char *ret, size_t size);
