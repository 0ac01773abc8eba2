// SPDX-License-Identifier: Apache-2.0
#include "protocols/dns/span.h"

// There is no convention for spans of DNS yet; the attributes are those of its metric.
static const char *const span_names[] = {"DNS {qtype}", NULL};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "network.protocol.name", .value = "dns"},
	{.name = NULL},
};
const struct tl_span_rules dns_span_rules = {
	.kind = TL_SPAN_CLIENT, .names = span_names, .attributes = span_attributes,
	.error_type = "{rcode}",
};
