// SPDX-License-Identifier: Apache-2.0
// What others may know of Redis: the options struct behind `protocols.redis` of the configuration.
#pragma once

#include "base/option.h"

struct tl_redis_options {
	struct tl_text_list key_patterns; // a key that fits is shown as the pattern it fits
	bool record_key;                  // show the first key of a command
};
