// SPDX-License-Identifier: Apache-2.0
#include "protocols/common/http_span.h"

#include "base/check.h"

// RFC 9110 section 9, PATCH (RFC 5789) and QUERY: any other method is _OTHER.
static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
				      "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"};

// The path is never a part of the name: its values are without bound.
static const char *const names[] = {"{method} {route}", "{method}", "HTTP", NULL};

static const struct tl_span_attribute attributes[] = {
	{.name = "http.request.method", .value = "{method}", .words = methods,
	 .word_count = TL_COUNT_OF(methods), .other = "_OTHER",
	 .original = "http.request.method_original"},
	{.name = "url.scheme", .value = "http"},
	{.name = "url.scheme", .value = "{scheme}"},
	{.name = NULL},
};

const struct tl_span_rules tl_http_span_rules = {
	.kind = TL_SPAN_SERVER,
	.names = names,
	.attributes = attributes,
	.error_type = "{status_code}",
};
