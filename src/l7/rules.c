// SPDX-License-Identifier: Apache-2.0
#include "l7/rules.h"

#include "base/check.h"
#include "l7/rule_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RULES_MAX 4096u
#define RULE_PORTS_MAX 1024u
#define RULE_HOSTS_MAX 1024u
#define TIMEOUT_DEFAULT_NS (60u * UINT64_C(1000000000)) // a decoder that states none
#define IPPROTO_TCP_ 6
#define IPPROTO_UDP_ 17

// An address with a prefix, IPv4 as ::ffff:a.b.c.d with 96 more bits.
struct host {
	uint8_t address[16];
	uint32_t bits; // 0..128
	bool is_ipv4;
};

struct rule {
	uint16_t protocol;
	uint32_t port_count; // 0: any
	uint32_t host_count; // 0: any
	uint16_t *ports;
	struct host *hosts;
};

struct tl_rules {
	struct rule *rules;
	uint32_t rule_count;
	bool detect;
	bool redact;
	uint64_t over_tcp; // protocols by what they run over, as bits
	uint64_t over_udp;
	const void *options[TL_PROTOCOLS_MAX];
	struct tl_rule_options *defaults[TL_PROTOCOLS_MAX]; // ours, where the caller gave none
	uint64_t timeouts_ns[TL_PROTOCOLS_MAX];
};

// ---- Hosts --------------------------------------------------------------------------------

static void mask_host(struct host *h)
{
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t kept = h->bits > i * 8 ? h->bits - i * 8 : 0;
		if (kept < 8)
			h->address[i] &= (uint8_t)(0xff00 >> kept);
	}
}

// NULL when `text` is good, else what is wrong with it.
static const char *parse_host(const char *text, struct host *ret_host)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct host h = {.bits = 128};

	if (len == 0 || len >= sizeof(address))
		return "neither an IPv4 nor an IPv6 address or CIDR";
	memcpy(address, text, len);
	address[len] = 0;
	if (inet_pton(AF_INET, address, h.address + 12) == 1) {
		memset(h.address + 10, 0xff, 2);
		h.is_ipv4 = true;
	} else if (inet_pton(AF_INET6, address, h.address) != 1) {
		return "neither an IPv4 nor an IPv6 address or CIDR";
	}
	if (slash != NULL) {
		uint32_t bits_max = h.is_ipv4 ? 32 : 128;
		uint32_t bits = 0;
		const char *p = slash + 1;
		for (; *p >= '0' && *p <= '9' && bits <= 128; p++)
			bits = bits * 10 + (uint32_t)(*p - '0');
		if (*p != 0 || p == slash + 1 || bits > bits_max)
			return h.is_ipv4 ? "prefix length must be 0..32"
					 : "prefix length must be 0..128";
		h.bits = bits + (128 - bits_max);
	}
	mask_host(&h);
	*ret_host = h;
	return NULL;
}

static bool host_has(const struct host *h, const uint8_t address[16])
{
	uint32_t whole = h->bits / 8;
	uint32_t rest = h->bits % 8;
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	// `::/0` means IPv6, not what stands for IPv4 within it.
	if (!h->is_ipv4 && h->bits < 96 && memcmp(address, mapped, sizeof(mapped)) == 0)
		return false;
	if (memcmp(h->address, address, whole) != 0)
		return false;
	return rest == 0 || ((h->address[whole] ^ address[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

// ---- Names --------------------------------------------------------------------------------

#define NAME_BYTES_MAX 32u

// Edit distance of two short names (Levenshtein, one row).
static uint32_t distance(const char *a, const char *b)
{
	uint32_t row[NAME_BYTES_MAX + 1];
	uint32_t len = (uint32_t)strnlen(b, NAME_BYTES_MAX);

	for (uint32_t j = 0; j <= len; j++)
		row[j] = j;
	for (uint32_t i = 0; a[i] != 0 && i < NAME_BYTES_MAX; i++) {
		uint32_t diagonal = row[0];
		row[0] = i + 1;
		for (uint32_t j = 0; j < len; j++) {
			uint32_t best = diagonal + (a[i] != b[j]);
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j + 1] + 1 < best)
				best = row[j + 1] + 1;
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[len];
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void unknown_protocol(const char *name, char *ret_text, uint32_t size)
{
	const char *names[TL_PROTOCOLS_MAX];
	const char *nearest = NULL;
	uint32_t least = 3; // farther away is no typing error
	uint32_t count = 0;

	for (uint16_t id = 0; id < tl_decoder_count && id < TL_PROTOCOLS_MAX; id++) {
		if (tl_decoders[id] == NULL)
			continue;
		names[count++] = tl_decoders[id]->name;
		uint32_t d = distance(name, tl_decoders[id]->name);
		if (d < least) {
			least = d;
			nearest = tl_decoders[id]->name;
		}
	}
	qsort(names, count, sizeof(names[0]), compare_names);
	int used = snprintf(ret_text, size, "unknown protocol '%s'%s%s%s built in:", name,
			    nearest != NULL ? ", did you mean '" : ".",
			    nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
	for (uint32_t i = 0; i < count && used >= 0 && (uint32_t)used < size; i++)
		used += snprintf(ret_text + used, size - (uint32_t)used, "%s %s", i ? "," : "",
				 names[i]);
}

// ---- Making -------------------------------------------------------------------------------

static int fill_rule(const struct tl_rule_spec *spec, struct rule *r, char *ret_text, uint32_t size)
{
	const char *name = spec->protocol != NULL ? spec->protocol : "";
	const struct tl_decoder *decoder = tl_decoder_by_name(name);

	if (decoder == NULL) {
		unknown_protocol(name, ret_text, size);
		return -EINVAL;
	}
	// What others carry is found in their connections.
	if (decoder->carrier != NULL && tl_decoder_by_name(decoder->carrier) != NULL)
		decoder = tl_decoder_by_name(decoder->carrier);
	while (tl_decoders[r->protocol] != decoder)
		r->protocol++;
	if (spec->ports.count > RULE_PORTS_MAX || spec->hosts.count > RULE_HOSTS_MAX) {
		snprintf(ret_text, size, "more than %u ports or hosts", RULE_PORTS_MAX);
		return -EINVAL;
	}
	r->ports = calloc(spec->ports.count + 1, sizeof(*r->ports));
	r->hosts = calloc(spec->hosts.count + 1, sizeof(*r->hosts));
	if (r->ports == NULL || r->hosts == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < spec->ports.count; i++) {
		uint64_t port = spec->ports.items[i];
		if (port == 0 || port > UINT16_MAX) {
			snprintf(ret_text, size, "port %llu: must be 1..65535",
				 (unsigned long long)port);
			return -EINVAL;
		}
		r->ports[r->port_count++] = (uint16_t)port;
	}
	for (uint32_t i = 0; i < spec->hosts.count; i++) {
		const char *wrong = parse_host(spec->hosts.items[i], &r->hosts[r->host_count++]);
		if (wrong != NULL) {
			snprintf(ret_text, size, "host %s: %s", spec->hosts.items[i], wrong);
			return -EINVAL;
		}
	}
	return 0;
}

static int fill_protocols(struct tl_rules *rules, const struct tl_rules_spec *spec)
{
	for (uint16_t id = 0; id < tl_decoder_count; id++) {
		const struct tl_decoder *d = tl_decoders[id];
		if (d == NULL)
			continue;
		if (d->over & TL_OVER_TCP)
			rules->over_tcp |= UINT64_C(1) << id;
		if (d->over & TL_OVER_UDP)
			rules->over_udp |= UINT64_C(1) << id;
		rules->timeouts_ns[id] = spec->timeouts_ns != NULL ? spec->timeouts_ns[id] : 0;
		if (rules->timeouts_ns[id] == 0)
			rules->timeouts_ns[id] = d->timeout_s * UINT64_C(1000000000);
		if (rules->timeouts_ns[id] == 0)
			rules->timeouts_ns[id] = TIMEOUT_DEFAULT_NS;
		rules->options[id] = spec->options != NULL ? spec->options[id] : NULL;
		if (rules->options[id] != NULL || d->options == NULL)
			continue;
		int err = tl_rule_options_create(d, &rules->defaults[id]);
		if (err != 0)
			return err;
		rules->options[id] = tl_rule_options_get(rules->defaults[id]);
	}
	return 0;
}

int tl_rules_create(const struct tl_rules_spec *spec, struct tl_rules **ret_rules, char *error,
		    uint32_t error_size)
{
	struct tl_rules *rules = calloc(1, sizeof(*rules));
	char text[200] = "";
	int err = -ENOMEM;

	TL_ASSERT(tl_decoder_count <= TL_PROTOCOLS_MAX);
	snprintf(error, error_size, "out of memory");
	if (rules == NULL)
		return -ENOMEM;
	if (spec->rule_count > RULES_MAX) {
		snprintf(error, error_size, "%u rules: at most %u", spec->rule_count, RULES_MAX);
		err = -EINVAL;
		goto out_destroy;
	}
	rules->detect = spec->detect || spec->rule_count == 0;
	rules->redact = spec->redact;
	rules->rules = calloc(spec->rule_count + 1, sizeof(*rules->rules));
	if (rules->rules == NULL)
		goto out_destroy;
	for (uint32_t i = 0; i < spec->rule_count; i++) {
		const char *name = spec->rules[i].name;
		bool is_named = name != NULL && *name != 0;
		rules->rule_count++;
		err = fill_rule(&spec->rules[i], &rules->rules[i], text, sizeof(text));
		if (err == -EINVAL)
			snprintf(error, error_size, "rule %u%s%s%s: %s", i + 1,
				 is_named ? " (" : "", is_named ? name : "", is_named ? ")" : "",
				 text);
		if (err != 0)
			goto out_destroy;
	}
	err = fill_protocols(rules, spec);
	if (err != 0)
		goto out_destroy;
	if (error_size != 0)
		error[0] = 0;
	*ret_rules = rules;
	return 0;

out_destroy:
	tl_rules_destroy(rules);
	return err;
}

void tl_rules_destroy(struct tl_rules *rules)
{
	if (rules == NULL)
		return;
	for (uint32_t i = 0; i < rules->rule_count; i++) {
		free(rules->rules[i].ports);
		free(rules->rules[i].hosts);
	}
	for (uint32_t id = 0; id < TL_PROTOCOLS_MAX; id++)
		tl_rule_options_destroy(rules->defaults[id]);
	free(rules->rules);
	free(rules);
}

// ---- Looking up ---------------------------------------------------------------------------

static bool rule_has_host(const struct rule *r, const struct tl_flow_identity *flow)
{
	for (uint32_t i = 0; i < r->host_count; i++)
		if (host_has(&r->hosts[i], flow->client_address) ||
		    host_has(&r->hosts[i], flow->server_address))
			return true;
	return r->host_count == 0;
}

static bool is_server_port(uint16_t port, const struct tl_flow_identity *flow)
{
	return port == flow->server_port || (!flow->client_is_sure && port == flow->client_port);
}

static bool rule_has_port(const struct rule *r, const struct tl_flow_identity *flow)
{
	for (uint32_t i = 0; i < r->port_count; i++)
		if (is_server_port(r->ports[i], flow))
			return true;
	return r->port_count == 0;
}

static uint64_t usual_ports(uint64_t candidates, const struct tl_flow_identity *flow)
{
	uint64_t hinted = 0;

	for (uint64_t left = candidates; left != 0; left &= left - 1) {
		const struct tl_decoder *d = tl_decoder_at((uint16_t)__builtin_ctzll(left));
		for (const uint16_t *p = d->ports; p != NULL && *p != 0; p++)
			if (is_server_port(*p, flow))
				hinted |= left & -left;
	}
	return hinted;
}

void tl_rules_look_up(const struct tl_rules *rules, const struct tl_flow_identity *flow,
		      struct tl_rules_answer *ret_answer)
{
	uint64_t over = flow->l4 == IPPROTO_TCP_ ? rules->over_tcp
			: flow->l4 == IPPROTO_UDP_ ? rules->over_udp : 0;
	uint64_t candidates = rules->detect ? over : 0;
	uint64_t by_port = 0;

	for (uint32_t i = 0; i < rules->rule_count; i++) {
		const struct rule *r = &rules->rules[i];
		uint64_t bit = UINT64_C(1) << r->protocol & over;
		if (bit == 0 || !rule_has_port(r, flow) || !rule_has_host(r, flow))
			continue;
		candidates |= bit;
		if (r->port_count != 0)
			by_port |= bit;
	}
	*ret_answer = (struct tl_rules_answer) {
		.candidates = candidates,
		.hinted = by_port | usual_ports(candidates, flow),
	};
	// Two rules that name different protocols leave the decision to the content.
	if (by_port != 0 && (by_port & (by_port - 1)) == 0)
		ret_answer->forced = (uint16_t)__builtin_ctzll(by_port);
}

const void *tl_rules_options(const struct tl_rules *rules, uint16_t protocol)
{
	return protocol < TL_PROTOCOLS_MAX ? rules->options[protocol] : NULL;
}

uint64_t tl_rules_timeout_ns(const struct tl_rules *rules, uint16_t protocol)
{
	uint64_t ns = protocol < TL_PROTOCOLS_MAX ? rules->timeouts_ns[protocol] : 0;
	return ns != 0 ? ns : TIMEOUT_DEFAULT_NS;
}

bool tl_rules_redact(const struct tl_rules *rules)
{
	return rules->redact;
}
