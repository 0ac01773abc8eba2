// SPDX-License-Identifier: Apache-2.0
// What others may know of HTTP/1: the options struct behind `protocols.http` of the configuration.
#pragma once

#include "base/option.h"

struct tl_http_options {
	struct tl_text_list request_headers;  // names to record; "*": all but secrets
	struct tl_text_list response_headers;
	struct tl_text_list routes;           // patterns, first match wins
	struct tl_text_list redact_keys;      // query keys to mask besides the built-in ones
	uint64_t capture_body_max;            // bytes kept of a body
	bool capture_body;
};
