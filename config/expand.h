// SPDX-License-Identifier: Apache-2.0
// Internal to config/: references to the environment inside a value.
#pragma once

#include "config/arena.h"

// Replaces ${NAME} and ${NAME:-default} in `text`; "$${" stands for a plain "${". What the
// environment holds is not looked at again. The result is `text` itself or lives in `arena`.
// -EINVAL with a line in `error` that does not show any variable's value, -ENOMEM.
int tl_expand(struct tl_arena *arena, const char *text, const char **ret_text, char *error,
	      size_t error_size);
