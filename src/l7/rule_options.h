// SPDX-License-Identifier: Apache-2.0
// A decoder's options struct with every member at the default that its rows state: for programs
// and tests that load no configuration. The configuration loader makes its own.
#pragma once

#include "l7/decoder.h"

struct tl_rule_options;

// -ENOMEM; -EINVAL when a row's default can't be read, a bug of the decoder's table. Rows of type
// TABLE, SECTION and TEXT_MAP stay empty, REAL_LIST too.
int tl_rule_options_create(const struct tl_decoder *decoder, struct tl_rule_options **ret_options);
const void *tl_rule_options_get(const struct tl_rule_options *options);
void tl_rule_options_destroy(struct tl_rule_options *options); // takes NULL
