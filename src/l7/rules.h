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

// ---- What detection asks (stream/detect.c) ---------------------------------------------------

#define TL_PROTOCOLS_MAX 64u // registry ids are below this: sets of protocols are 64-bit masks

// What the rules say of one flow. Where the client side is not sure, a port or host of either end
// counts as the server's.
struct tl_rules_answer {
	uint64_t candidates; // registry ids the flow may be, as bits; none: the flow is excluded
	uint64_t hinted;     // those of them whose usual ports (or a rule's ports) have its server port
	uint16_t forced;     // a rule with ports names exactly this protocol for it; 0: none
};

// Pure. Candidates are restricted to decoders that run over the flow's L4.
void tl_rules_look_up(const struct tl_rules *rules, const struct tl_flow_identity *flow,
		      struct tl_rules_answer *ret_answer);
// The options struct of a protocol in this configuration; NULL where its decoder has no options.
const void *tl_rules_options(const struct tl_rules *rules, uint16_t protocol);
// How long a request of this protocol waits for an answer; never 0.
uint64_t tl_rules_timeout_ns(const struct tl_rules *rules, uint16_t protocol);
// True when decoders that know sensitive values are to mask them.
bool tl_rules_redact(const struct tl_rules *rules);

// ---- The command line's form -----------------------------------------------------------------

// Reads 'protocol;port[,port][;host[,host]]', a host being an address or a CIDR; what is empty or
// left out means any. Owns what it puts into `ret_spec`: free with tl_rule_spec_fini. -EINVAL with
// one line in `error`, -ENOMEM. The protocol's name and the hosts are checked by tl_rules_create.
int tl_rule_parse(const char *text, struct tl_rule_spec *ret_spec, char *error,
		  uint32_t error_size);
void tl_rule_spec_fini(struct tl_rule_spec *spec);
