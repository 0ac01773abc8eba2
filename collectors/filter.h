// SPDX-License-Identifier: Apache-2.0
// Which of many keys become series: two extended regular expressions, "" for none. A key is
// wanted when it matches `included` (or there is none) and does not match `excluded`. A filter belongs
// to the collector that made it.
#pragma once

#include <regex.h>
#include <stdbool.h>

struct tl_key_filter {
	regex_t included, excluded;
	bool has_included, has_excluded;
};

// 0, or -EINVAL for an expression that is none (the filter then lets everything pass).
int tl_key_filter_init(struct tl_key_filter *filter, const char *included, const char *excluded);
void tl_key_filter_fini(struct tl_key_filter *filter);
bool tl_key_filter_wants(const struct tl_key_filter *filter, const char *key);
