// SPDX-License-Identifier: Apache-2.0
// The configuration: one YAML file, described row by row (config/options/, the decoders' and the
// exporters' own rows), loaded into structs that are immutable from then on. A configuration
// owns all its memory and may be read by any thread; it does not change anything by itself.
#pragma once

#include <stdio.h>

#include "base/option.h"
#include "collectors/manager.h"
#include "engine/engine.h"
#include "exporters/exporter.h"
#include "l7/rules.h"
#include "metrics/metrics.h"

#define TL_CONFIG_BYTES_MAX (4u << 20) // of a file
#define TL_CONFIG_DEPTH_MAX 16u        // nested lists and sections
#define TL_CONFIG_NODES_MAX 100000u    // values in a file
#define TL_CONFIG_ERRORS_MAX 20u       // kept; the rest is counted

// One capture port: exactly one of file, interface, device and pci is set, the others are "".
struct tl_capture_port {
	const char *name;
	const char *file;
	const char *interface;
	const char *device; // DPDK devargs of a vdev
	const char *pci;
};

enum tl_capture_idle { TL_CAPTURE_ADAPTIVE, TL_CAPTURE_POLL, TL_CAPTURE_SLEEP };

struct tl_capture_config {
	struct tl_option_table ports; // of struct tl_capture_port
	const char *filter;
	uint64_t snaplen;
	uint64_t workers;             // 0: chosen at start
	uint64_t readers;             // of each interface
	uint64_t buffer_bytes;
	uint64_t packets_max;         // 0: sized to the memory there is
	uint64_t record_ring_bytes;
	uint32_t idle;                // enum tl_capture_idle
	struct tl_text_list decapsulate; // encapsulations to follow, by tl_tunnel_name
	bool promiscuous;
};

struct tl_protocols_config {
	struct tl_option_table rules; // of struct tl_rule_spec
	bool detect;
	bool redact;
};

// One protocol's section; `options` is what the decoder gets, NULL where it has none.
struct tl_protocol_config {
	const struct tl_decoder *decoder; // NULL: a hole in the registry
	bool is_enabled;
	uint64_t timeout_ns;
	const void *options;
};

// One configured exporter: the section, or one entry of the list.
struct tl_exporter_config {
	const struct tl_exporter *exporter;
	bool is_enabled;
	const void *options;
};

struct tl_server_config {
	bool enabled;
	const char *address;      // "127.0.0.1:9091", "[::1]:9091", ":9091"
	uint64_t timeout_ns;      // a request or answer that makes no progress
	uint64_t connections_max;
	uint64_t watchers_max;    // GET /watch at a time
};

struct tl_kubernetes_config {
	bool enabled;
	const char *server;      // URL of the API server, "" takes the pod's environment
	const char *token_file;
	const char *authority;   // PEM file, "" takes the system's
	const char *certificate; // of the client, PEM files, "" for none
	const char *key;
	const char *node;        // only pods of this one, "" for all
	uint64_t objects_max;
};

enum tl_log_level { TL_LOG_DEBUG, TL_LOG_INFO, TL_LOG_WARNING, TL_LOG_ERROR };
enum tl_log_format { TL_LOG_TEXT, TL_LOG_JSON };

struct tl_log_config {
	uint32_t level;  // enum tl_log_level
	uint32_t format; // enum tl_log_format
};

struct tl_limits_config {
	struct tl_flow_options flow;
	struct tl_l7_options l7;
	struct tl_defrag_options defrag;
};

struct tl_config {
	const char *file;  // where it came from, "" for the defaults
	const char *probe; // "" takes the host's name
	struct tl_capture_config capture;
	struct tl_protocols_config protocols;
	struct tl_metrics_options metrics;
	struct tl_server_config server;
	struct tl_text_map names; // "address", "address:port" or ":port" -> service name
	const char *names_file;   // the same, a line each; "" for none
	struct tl_kubernetes_config kubernetes;
	struct tl_log_config log;
	struct tl_limits_config limits;
	const struct tl_protocol_config *protocol; // [tl_decoder_count], by registry id
	const struct tl_exporter_config *exporters;
	uint32_t exporter_count;
	struct tl_collectors_config collectors;
	const void **collector_options;            // [tl_collector_count()], NULL where it has none
	struct tl_config_state *state;             // the loader's own
};

// What is wrong with a file: complete lines "file:line: key: what is wrong, what would be right".
struct tl_config_errors {
	uint32_t count; // lines in `lines`
	uint32_t more;  // errors beyond them
	char lines[TL_CONFIG_ERRORS_MAX][320];
};

// Reads and checks a file. 0, or -errno with at least one line in `errors`: -EINVAL when the
// content is wrong, otherwise why the file could not be read. `*ret_config` is only set on
// success; give it back with tl_config_free.
int tl_config_load(const char *path, struct tl_config **ret_config,
		   struct tl_config_errors *errors);
// The same for text in memory; `name` stands where the file name would in messages.
int tl_config_parse(const char *name, const char *text, size_t len, struct tl_config **ret_config,
		    struct tl_config_errors *errors);
// What is allowed and of no use, as lines like those of errors. Of a configuration without errors.
void tl_config_warnings(const struct tl_config *config, struct tl_config_errors *ret_warnings);
// What an empty file means; NULL on no memory.
struct tl_config *tl_config_default(void);
void tl_config_free(struct tl_config *config); // accepts NULL

// Line of the file that set `key` ("capture.filter"), 0 if it has its default.
uint32_t tl_config_line(const struct tl_config *config, const char *key);
void tl_config_error(struct tl_config_errors *errors, const char *file, uint32_t line,
		     const char *key, const char *format, ...) __attribute__((format(printf, 5, 6)));

// Borrows from `config`, which must outlive the rules made from it. Returns -ENOMEM or 0; give
// the arrays back with tl_config_rules_fini.
struct tl_config_rules {
	struct tl_rules_spec spec;
	struct tl_rule_spec *rules;
	const void **options;
	uint64_t *timeouts_ns;
};
int tl_config_rules_init(const struct tl_config *config, struct tl_config_rules *ret_rules);
void tl_config_rules_fini(struct tl_config_rules *rules);

// Every key with default, help, choices and whether a reload is enough; loads back as the
// defaults. 0 or -errno.
int tl_config_print_reference(FILE *out);
// Every key with its present value, secrets masked.
int tl_config_print_effective(const struct tl_config *config, FILE *out);

// Calls `changed` for every key whose value differs, values as text, secrets masked. Both
// configurations must come from this process. Returns the number of such keys or -ENOMEM.
typedef void tl_config_changed_fn(void *arg, const char *key, const char *before,
				  const char *after, bool is_hot);
int tl_config_diff(const struct tl_config *before, const struct tl_config *after,
		   tl_config_changed_fn *changed, void *arg);

// Walks every row there is, sections before what they contain; for documentation.
typedef void tl_config_row_fn(void *arg, const char *key, uint32_t depth,
			      const struct tl_option *row);
int tl_config_each_row(tl_config_row_fn *visit, void *arg);
