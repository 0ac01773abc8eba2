// SPDX-License-Identifier: Apache-2.0
// Which flows may be which protocol, and the protocols' options: the part of the configuration
// that workers read. Immutable once made; a reload makes a new one and swaps it between bursts.
#pragma once

#include "base/option.h"
#include "flow/flow.h"
#include "l7/decoder.h"

// One rule, of the configuration (`protocols.rules`) or of --proto 'name;port,port;host'.
struct tl_rule_spec {
	const char *name;            // free text, for messages
	const char *protocol;        // registry name
	struct tl_uint_list ports;   // server ports; empty: any
	struct tl_text_list hosts;   // addresses or CIDRs of either end; empty: any
};

struct tl_rules_spec {
	const struct tl_rule_spec *rules; // none: every protocol, by content, on every port
	uint32_t rule_count;
	bool detect;                 // with rules: also recognise protocols elsewhere by content
	bool redact;                 // sensitive values are masked by decoders that know them
	const void *const *options;  // [registry id] options struct; NULL entry: the defaults
	const uint64_t *timeouts_ns; // [registry id]; NULL or 0: the decoder's own
};

struct tl_rules;

// Copies the rules; `spec->options` structs stay the caller's and must outlive the result. On
// -EINVAL `error` names the rule and what is wrong with it.
int tl_rules_create(const struct tl_rules_spec *spec, struct tl_rules **ret_rules, char *error,
		    uint32_t error_size);
void tl_rules_destroy(struct tl_rules *rules);

// A packet filter expression (pcap-filter syntax) that passes what the rules can match: tagged,
// tunnelled and fragmented traffic included. NULL when everything must pass. Caller frees.
char *tl_rules_filter(const struct tl_rules *rules);
