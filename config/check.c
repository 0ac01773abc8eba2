// SPDX-License-Identifier: Apache-2.0
// What no single row can know: that a port names exactly one source, that a rule's protocol is
// built in, that a label's field exists. Line numbers come from the keys that the file gave.
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/schema.h"
#include "config/value.h"

#define WORDS_MAX 256u // suggestions considered
#define LABELS_MAX 12u  // of one protocol (TL_LABELS_MAX of src/metrics)

__attribute__((format(printf, 4, 5))) static void
complain(const struct tl_config *config, struct tl_config_errors *errors, const char *key,
	 const char *format, ...)
{
	char message[256];
	char nearer[TL_KEY_BYTES];
	uint32_t line = tl_config_line(config, key);
	va_list arguments;

	// The nearest key above that the file gave: an entry of a list when its member has no line.
	(void)snprintf(nearer, sizeof(nearer), "%s", key);
	while (line == 0 && strrchr(nearer, '.') != NULL) {
		*strrchr(nearer, '.') = '\0';
		line = tl_config_line(config, nearer);
	}
	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	tl_config_error(errors, config->file, line, key, "%s", message);
}

static void check_ports(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_capture_port *ports =
		(const struct tl_capture_port *)config->capture.ports.items;

	for (uint32_t i = 0; i < config->capture.ports.count; i++) {
		char key[TL_KEY_BYTES];
		const struct tl_capture_port *port = &ports[i];
		int sources = (*port->file != '\0') + (*port->interface != '\0') +
			      (*port->device != '\0') + (*port->pci != '\0');

		(void)snprintf(key, sizeof(key), "capture.ports[%u]", i);
		if (sources != 1)
			complain(config, errors, key,
				 "needs exactly one of interface, file, device and pci, has %d",
				 sources);
	}
	if (config->capture.ports.count > 16)
		complain(config, errors, "capture.ports", "%u entries, at most 16 are possible",
			 config->capture.ports.count);
}

static void check_tunnels(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_text_list *list = &config->capture.decapsulate;
	const char *words[TL_TUNNEL_COUNT];
	uint32_t count = 0;

	for (uint32_t i = TL_TUNNEL_NONE + 1; i < TL_TUNNEL_COUNT; i++)
		words[count++] = tl_tunnel_name((enum tl_tunnel)i);
	for (uint32_t i = 0; i < list->count; i++) {
		char key[TL_KEY_BYTES];
		const char *nearest = tl_nearest(list->items[i], words, count);

		(void)snprintf(key, sizeof(key), "capture.decapsulate[%u]", i);
		if (tl_tunnel_by_name(list->items[i]) == TL_TUNNEL_NONE)
			complain(config, errors, key, "unknown encapsulation \"%.40s\"%s%s%s",
				 list->items[i], nearest == NULL ? "" : ", did you mean ",
				 nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
	}
}

static const struct tl_decoder *check_protocol(const struct tl_config *config,
					       struct tl_config_errors *errors, const char *key,
					       const char *name)
{
	const char *words[WORDS_MAX];
	char feature[TL_KEY_BYTES];
	uint32_t count = 0;
	const struct tl_decoder *decoder = tl_decoder_by_name(name);

	if (decoder != NULL)
		return decoder;
	for (uint16_t id = 0; id < tl_decoder_count && count < WORDS_MAX; id++)
		if (tl_decoders[id] != NULL)
			words[count++] = tl_decoders[id]->name;
	const char *nearest = tl_nearest(name, words, count);
	(void)snprintf(feature, sizeof(feature), "protocols.%s", name);
	if (tl_absent_feature(feature) != NULL)
		complain(config, errors, key, "protocol %s is not built in", name);
	else if (nearest != NULL)
		complain(config, errors, key, "unknown protocol \"%.40s\", did you mean %s?", name,
			 nearest);
	else
		complain(config, errors, key,
			 "unknown protocol \"%.40s\"; `tapline protocols` lists them", name);
	return NULL;
}

static bool is_enabled(const struct tl_config *config, const struct tl_decoder *decoder)
{
	for (uint16_t id = 0; id < tl_decoder_count; id++)
		if (tl_decoders[id] == decoder)
			return config->protocol[id].is_enabled;
	return false;
}

static void check_rules(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_rule_spec *rules =
		(const struct tl_rule_spec *)config->protocols.rules.items;

	for (uint32_t i = 0; i < config->protocols.rules.count; i++) {
		char key[TL_KEY_BYTES];

		(void)snprintf(key, sizeof(key), "protocols.rules[%u].protocol", i);
		const struct tl_decoder *decoder =
			check_protocol(config, errors, key, rules[i].protocol);
		if (decoder != NULL && !is_enabled(config, decoder))
			complain(config, errors, key,
				 "protocol %s has a rule, but protocols.%s.enabled is false",
				 decoder->name, decoder->name);
		for (uint32_t j = 0; j < rules[i].hosts.count; j++) {
			(void)snprintf(key, sizeof(key), "protocols.rules[%u].hosts[%u]", i, j);
			if (!tl_parse_network(rules[i].hosts.items[j]))
				complain(config, errors, key,
					 "must be an address or a network such as 10.0.0.0/8, not "
					 "\"%.60s\"",
					 rules[i].hosts.items[j]);
		}
	}
}

// What a label may be besides the protocol's own fields (src/metrics/labels.c).
static const char *const common_labels[] = {
	"client.address", "client.port", "server.address", "server.port", "server.name", "status",
	"protocol", "client.namespace", "client.workload", "client.pod", "server.namespace",
	"server.workload", "server.pod",
};

static bool can_be_label(const struct tl_field *field, uint8_t side)
{
	return field->parent == TL_FIELD_TOP && (field->flags & side) != 0 &&
	       field->label != NULL && field->type != TL_FIELD_MAP &&
	       field->type != TL_FIELD_OBJECTS;
}

// Every path that may be a label of the protocol, "request.method". `paths` has `WORDS_MAX`.
static uint32_t label_paths(const struct tl_decoder *decoder, char paths[][64])
{
	uint32_t count = 0;

	for (size_t i = 0; i < TL_COUNT_OF(common_labels); i++)
		(void)snprintf(paths[count++], sizeof(paths[0]), "%s", common_labels[i]);
	for (uint32_t i = 0; i < decoder->field_count && count + 4 <= WORDS_MAX; i++) {
		const struct tl_field *field = &decoder->fields[i];
		const char *names[] = {field->name, field->also};

		for (size_t k = 0; k < TL_COUNT_OF(names) && names[k] != NULL; k++) {
			if (can_be_label(field, TL_FIELD_REQUEST))
				(void)snprintf(paths[count++], sizeof(paths[0]), "request.%s",
					       names[k]);
			if (can_be_label(field, TL_FIELD_RESPONSE))
				(void)snprintf(paths[count++], sizeof(paths[0]), "response.%s",
					       names[k]);
		}
	}
	return count;
}

static void check_label(const struct tl_config *config, struct tl_config_errors *errors,
			const char *key, const struct tl_decoder *decoder, const char *path)
{
	char paths[WORDS_MAX][64];
	const char *words[WORDS_MAX];
	uint32_t count = label_paths(decoder, paths);

	for (uint32_t i = 0; i < count; i++) {
		words[i] = paths[i];
		if (strcmp(path, paths[i]) == 0)
			return;
	}
	const char *nearest = tl_nearest(path, words, count);
	if (nearest != NULL)
		complain(config, errors, key, "\"%.60s\" can't be a label of %s, did you mean %s?",
			 path, decoder->name, nearest);
	else
		complain(config, errors, key,
			 "\"%.60s\" can't be a label of %s; `tapline protocols` shows its fields",
			 path, decoder->name);
}

// Names, number and repetition of one protocol's labels.
static void check_label_list(const struct tl_config *config, struct tl_config_errors *errors,
			     uint32_t index, const struct tl_decoder *decoder,
			     const struct tl_text_list *labels)
{
	char key[TL_KEY_BYTES];

	for (uint32_t i = 0; i < labels->count; i++) {
		(void)snprintf(key, sizeof(key), "metrics.labels[%u].labels[%u]", index, i);
		check_label(config, errors, key, decoder, labels->items[i]);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(labels->items[i], labels->items[j]) == 0)
				complain(config, errors, key, "%.60s is named twice",
					 labels->items[i]);
	}
	(void)snprintf(key, sizeof(key), "metrics.labels[%u].labels", index);
	if (labels->count > LABELS_MAX)
		complain(config, errors, key, "%u labels, at most %u are possible", labels->count,
			 LABELS_MAX);
}

static void check_labels(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_protocol_labels *all =
		(const struct tl_protocol_labels *)config->metrics.labels.items;

	for (uint32_t i = 0; i < config->metrics.labels.count; i++) {
		char key[TL_KEY_BYTES];

		(void)snprintf(key, sizeof(key), "metrics.labels[%u].protocol", i);
		const struct tl_decoder *decoder =
			check_protocol(config, errors, key, all[i].protocol);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(all[j].protocol, all[i].protocol) == 0)
				complain(config, errors, key, "%s has its labels above already",
					 all[i].protocol);
		if (decoder != NULL)
			check_label_list(config, errors, i, decoder, &all[i].labels);
	}
}

static void check_templates(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_template_rule *rules =
		(const struct tl_template_rule *)config->metrics.templates.items;

	for (uint32_t i = 0; i < config->metrics.templates.count; i++) {
		char key[TL_KEY_BYTES];
		char error[160];

		(void)snprintf(key, sizeof(key), "metrics.templates[%u].protocol", i);
		const struct tl_decoder *decoder =
			check_protocol(config, errors, key, rules[i].protocol);
		(void)snprintf(key, sizeof(key), "metrics.templates[%u].field", i);
		if (decoder != NULL)
			check_label(config, errors, key, decoder, rules[i].field);
		(void)snprintf(key, sizeof(key), "metrics.templates[%u]", i);
		if (tl_template_check(&rules[i], error, sizeof(error)) != 0)
			complain(config, errors, key, "%s", error);
	}
}

static void check_l4_labels(const struct tl_config *config, struct tl_config_errors *errors)
{
	static const char *const words[] = {"source.host", "source.port", "destination.host",
					    "destination.port"};

	for (uint32_t i = 0; i < config->metrics.tcp_labels.count; i++) {
		const char *label = config->metrics.tcp_labels.items[i];
		char key[TL_KEY_BYTES];
		bool known = false;

		for (uint32_t j = 0; j < TL_COUNT_OF(words); j++)
			known = known || strcmp(label, words[j]) == 0;
		(void)snprintf(key, sizeof(key), "metrics.l4_labels[%u]", i);
		if (!known)
			complain(config, errors, key,
				 "must be source.host, source.port, destination.host or "
				 "destination.port, not \"%.60s\"",
				 label);
	}
}

static bool is_port(const char *text)
{
	uint64_t port;

	return tl_parse_uint(text, &port) && port >= 1 && port <= 65535;
}

// "10.0.0.1", "10.0.0.1:80", "fd00::1", "[fd00::1]:80", ":80".
static bool is_endpoint(const char *text)
{
	char address[64];
	const char *colon = strrchr(text, ':');

	if (strchr(text, '/') != NULL)
		return false;
	if (tl_parse_network(text))
		return true;
	if (colon == NULL || !is_port(colon + 1) || (size_t)(colon - text) >= sizeof(address))
		return false;
	size_t len = (size_t)(colon - text);
	if (len == 0)
		return true;
	bool bracketed = text[0] == '[' && text[len - 1] == ']' && len > 2;
	memcpy(address, bracketed ? text + 1 : text, len);
	address[bracketed ? len - 2 : len] = '\0';
	return tl_parse_network(address) && (strchr(address, ':') != NULL) == bracketed;
}

static void check_names(const struct tl_config *config, struct tl_config_errors *errors)
{
	for (uint32_t i = 0; i < config->names.count; i++) {
		const struct tl_text_pair *pair = &config->names.items[i];
		char key[TL_KEY_BYTES];

		(void)snprintf(key, sizeof(key), "names.%s", pair->key);
		if (!is_endpoint(pair->key))
			complain(config, errors, key,
				 "must be an address, address:port or :port, as in \"10.0.0.2:80\"");
	}
}

static void check_server(const struct tl_config *config, struct tl_config_errors *errors)
{
	const char *address = config->server.address;
	const char *colon = strrchr(address, ':');

	if (config->server.enabled && (colon == NULL || !is_port(colon + 1) ||
				       (strncmp(address, "localhost:", 10) != 0 &&
					!is_endpoint(address))))
		complain(config, errors, "server.address",
			 "must be address:port such as 127.0.0.1:9091, [::1]:9091 or :9091, not "
			 "\"%.60s\"",
			 address);
}

static void check_collectors(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_text_list *disabled = &config->collectors.disabled;
	const char *names[TL_COLLECTORS_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < tl_collector_count(); i++)
		names[count++] = tl_collector_at(i)->name;
	for (uint32_t i = 0; i < disabled->count; i++) {
		const char *near = tl_nearest(disabled->items[i], names, count);
		bool is_known = false;
		for (uint32_t k = 0; k < count; k++)
			is_known |= strcmp(names[k], disabled->items[i]) == 0;
		if (!is_known)
			complain(config, errors, "collectors.disabled",
				 "there is no collector \"%s\"%s%s%s", disabled->items[i],
				 near == NULL ? "" : ", did you mean ", near == NULL ? "" : near,
				 near == NULL ? "" : "?");
	}
}

static void check_limits(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_limits_config *limits = &config->limits;

	if (limits->flow.reorder_flow_bytes_max > limits->flow.reorder_bytes_max)
		complain(config, errors, "limits.flow.reorder_flow",
			 "must not be more than limits.flow.reorder, of which it is a part");
	if (config->metrics.series_per_family_max > config->metrics.series_max)
		complain(config, errors, "metrics.series_per_family_max",
			 "must not be more than metrics.series_max");
}

// Sinks judge their own options; the same sentence would come from opening them.
static void check_exporters(const struct tl_config *config, struct tl_config_errors *errors)
{
	const struct tl_exporter *before = NULL;
	uint32_t index = 0;

	for (uint32_t i = 0; i < config->exporter_count; i++) {
		const struct tl_exporter_config *one = &config->exporters[i];
		char key[TL_KEY_BYTES], error[200] = "";

		index = one->exporter == before ? index + 1 : 0;
		before = one->exporter;
		if (!one->is_enabled || one->exporter->check == NULL ||
		    one->exporter->check(one->options, error, sizeof(error)) == 0)
			continue;
		(void)snprintf(key, sizeof(key), one->exporter->is_list ? "exporters.%s[%u]" :
			       "exporters.%s", one->exporter->name, index);
		complain(config, errors, key, "%s", error);
	}
}

void tl_config_check(const struct tl_config *config, struct tl_config_errors *errors)
{
	check_ports(config, errors);
	check_tunnels(config, errors);
	check_rules(config, errors);
	check_labels(config, errors);
	check_templates(config, errors);
	check_l4_labels(config, errors);
	check_names(config, errors);
	check_server(config, errors);
	check_limits(config, errors);
	check_exporters(config, errors);
	check_collectors(config, errors);
}

// ---- What is of no use ----------------------------------------------------------------------

struct warning {
	const struct tl_config *config;
	struct tl_config_errors *lines;
};

static void warn(void *arg, const char *key, const char *words)
{
	struct warning *warning = arg;
	complain(warning->config, warning->lines, key, "warning: %s", words);
}

void tl_config_warnings(const struct tl_config *config, struct tl_config_errors *ret_warnings)
{
	struct warning warning = {config, ret_warnings};

	*ret_warnings = (struct tl_config_errors) {0};
	tl_metrics_advise(&config->metrics, warn, &warning);
}

// ---- What workers need of it ----------------------------------------------------------------

// `enabled: false` has no member in the rules: where it is used, recognition by content becomes
// one portless rule for each protocol that is left.
static bool needs_rules_for_rest(const struct tl_config *config)
{
	bool detects = config->protocols.rules.count == 0 || config->protocols.detect;

	for (uint16_t id = 0; id < tl_decoder_count; id++)
		if (config->protocol[id].decoder != NULL && !config->protocol[id].is_enabled)
			return detects;
	return false;
}

int tl_config_rules_init(const struct tl_config *config, struct tl_config_rules *ret_rules)
{
	uint32_t count = config->protocols.rules.count;
	bool rest = needs_rules_for_rest(config);
	struct tl_config_rules rules = {
		.rules = (struct tl_rule_spec *)calloc(count + tl_decoder_count + 1u,
						       sizeof(*rules.rules)),
		.options = (const void **)calloc(tl_decoder_count, sizeof(*rules.options)),
		.timeouts_ns = (uint64_t *)calloc(tl_decoder_count, sizeof(*rules.timeouts_ns)),
	};

	if (rules.rules == NULL || rules.options == NULL || rules.timeouts_ns == NULL) {
		tl_config_rules_fini(&rules);
		return -ENOMEM;
	}
	if (count > 0)
		memcpy(rules.rules, config->protocols.rules.items, count * sizeof(*rules.rules));
	for (uint16_t id = 0; id < tl_decoder_count; id++) {
		const struct tl_protocol_config *protocol = &config->protocol[id];

		if (protocol->decoder == NULL)
			continue;
		rules.options[id] = protocol->options;
		rules.timeouts_ns[id] = protocol->timeout_ns;
		if (rest && protocol->is_enabled)
			rules.rules[count++] = (struct tl_rule_spec) {
				.name = "", .protocol = protocol->decoder->name};
	}
	rules.spec = (struct tl_rules_spec) {
		.rules = rules.rules,
		.rule_count = count,
		.detect = config->protocols.detect && !rest,
		.redact = config->protocols.redact,
		.options = rules.options,
		.timeouts_ns = rules.timeouts_ns,
	};
	*ret_rules = rules;
	return 0;
}

void tl_config_rules_fini(struct tl_config_rules *rules)
{
	free(rules->rules);
	free(rules->options);
	free(rules->timeouts_ns);
	*rules = (struct tl_config_rules) {0};
}
