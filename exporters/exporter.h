// SPDX-License-Identifier: Apache-2.0
// The contract between the control lcore and an exporter. Four signals; an exporter takes those
// it has a function for. All functions run on the control lcore and must not block: whoever has
// to wait for a network owns a helper thread and a bounded queue. Exporters never include a
// protocol: they read field tables.
#pragma once

#include "base/option.h"
#include "l7/decoder.h"
#include "metrics/metrics.h"

// What Kubernetes runs at an address; "" for what it doesn't say.
struct tl_workload {
	const char *ns;   // namespace
	const char *kind; // "Deployment", "StatefulSet", "Pod" ... of a cluster address "Service"
	const char *name; // of the deployment, stateful set, service ...
	const char *pod;
	const char *node;
};

// Names that only the control lcore knows; borrowed during the call, "" when unknown.
struct tl_enrichment {
	const char *probe;       // this probe's name
	const char *port_name;   // capture port: "eth1", "file.pcap"
	const char *server_name; // service name of the server side
	const char *name_source; // "configured", "kubernetes", "host", "host_seen", "sni", "dns"
	const struct tl_workload *client; // NULL: none is known there
	const struct tl_workload *server;
	uint8_t span_id[8];      // of this record's span
	char id[27];             // record id, 26 characters and NUL
};

struct tl_roundtrip_signal {
	const struct tl_roundtrip *record;
	const struct tl_enrichment *names;
};

struct tl_span {
	const struct tl_roundtrip *record; // attributes come from its field values
	const struct tl_enrichment *names;
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t parent_span_id[8];         // all 0: a root
	uint8_t kind;                      // enum tl_span_kind
	bool is_error;
	bool is_sampled;
	const char *name;
	uint64_t start_ns, end_ns;
};

struct tl_event {
	uint64_t time_ns;
	const char *kind;   // stable word
	const char *source; // who says so
	const char *json;   // its data, one JSON object
};

enum tl_exporter_severity { TL_EXPORTER_INFO, TL_EXPORTER_WARNING, TL_EXPORTER_ERROR };

struct tl_exporter_env {
	const char *probe;
	const char *version;
	bool is_lossless;   // a file is read: wait rather than drop
	// Boundaries of the histogram style le, as the configuration has them; NULL: none given.
	const struct tl_real_list *le_seconds;
	const struct tl_real_list *le_bytes;
	// One line for the user, without secrets. Any thread; NULL where nobody reads.
	void (*log)(enum tl_exporter_severity severity, const char *line);
};

// Why items were lost. Names in tl_exporter_drop_name().
enum tl_exporter_drop {
	TL_DROP_OTHER,
	TL_DROP_INBOX_FULL, // the sink's helper thread was behind
	TL_DROP_QUEUE_FULL, // the oldest gave way to newer ones
	TL_DROP_TOO_OLD,    // waited longer than allowed
	TL_DROP_REJECTED,   // the receiver said that it won't take them
	TL_DROP_TOO_LARGE,  // and can't be split
	TL_DROP_DAMAGED,    // unreadable in the queue
	TL_DROP_WRITE,      // a file could not be written
	TL_DROP_STOPPED,    // still in memory at the end
	TL_DROP_COUNT,
};

static inline const char *tl_exporter_drop_name(enum tl_exporter_drop reason)
{
	static const char *const names[TL_DROP_COUNT] = {
		[TL_DROP_OTHER] = "other",           [TL_DROP_INBOX_FULL] = "inbox_full",
		[TL_DROP_QUEUE_FULL] = "queue_full", [TL_DROP_TOO_OLD] = "too_old",
		[TL_DROP_REJECTED] = "rejected",     [TL_DROP_TOO_LARGE] = "too_large",
		[TL_DROP_DAMAGED] = "damaged",       [TL_DROP_WRITE] = "write",
		[TL_DROP_STOPPED] = "stopped",
	};
	return names[reason];
}

struct tl_exporter_stats {
	uint64_t accepted;  // items taken
	uint64_t delivered; // items known to have arrived
	uint64_t dropped;   // items lost, for any cause
	uint64_t dropped_by[TL_DROP_COUNT]; // the same by cause
	uint64_t queued;    // items waiting
	uint64_t queued_bytes;
	uint64_t queued_age_ns;   // of the oldest that waits
	uint64_t requests;        // sent to the receiver, retries included
	uint64_t retries;
	uint64_t damaged_bytes;   // of the queue's files, left out when it was opened or read
	uint64_t unclean_starts;  // the run before ended without an orderly stop
	uint64_t clock_steps;     // times a sample's time was held because the clock went back
	uint64_t last_success_ns; // wall time, 0: never
	char last_error[256];     // without secrets
};

struct tl_exporter {
	const char *name;                 // key in the `exporters` section
	const char *help;
	const struct tl_option *options;  // rows of its options struct
	uint32_t options_size;
	bool is_list;                     // several may be configured
	// What rows can't say about the options: 0, or -EINVAL with a line for the user. May be
	// NULL. Called for `config --check` and before open().
	int (*check)(const void *options, char *error, uint32_t error_size);
	// 0, or -errno with a line for the user in `error`. `options` lives as long as the exporter.
	int (*open)(const void *options, const struct tl_exporter_env *env, void **ret_self,
		    char *error, uint32_t error_size);
	int (*metrics)(void *self, struct tl_snapshot *snapshot); // may keep a reference
	int (*roundtrip)(void *self, const struct tl_roundtrip_signal *signal);
	int (*span)(void *self, const struct tl_span *span);
	int (*event)(void *self, const struct tl_event *event);
	// No more signals come: begins to get rid of what waits, without waiting itself. May be NULL.
	void (*end)(void *self);
	// Gets rid of what waits, until `deadline_ns` (CLOCK_MONOTONIC) at the latest.
	int (*flush)(void *self, uint64_t deadline_ns);
	void (*stats)(void *self, struct tl_exporter_stats *ret_stats);
	void (*close)(void *self); // accepts NULL
};

extern const struct tl_exporter *const tl_exporters[]; // built in, ended by NULL
