// SPDX-License-Identifier: Apache-2.0
// Internal to config/: from a tree of nodes to structs, row by row. Every problem becomes one
// line; loading goes on behind it, so that one run shows them all.
#pragma once

#include "config/node.h"
#include "config/schema.h"

// Sets what `root` gives, or every default when it is NULL. -ENOMEM, else 0, also with lines in
// `errors`. Texts live in the state's arena.
int tl_config_fill(struct tl_config_state *state, const char *file, const struct tl_node *root,
		   struct tl_config *config, struct tl_config_errors *errors);
