// SPDX-License-Identifier: Apache-2.0
// What all sinks over HTTP share: a helper thread that encodes, queues, sends, judges the answer
// and tries again. An exporter brings an encoder and a table of rules.
//
//   control lcore --submit(job)--> inbox --encode--> push(lane, payload) --> queue --POST--> receiver
//                                  `------------------- the helper thread --------------------'
//
// A lane is a queue of its own with at most one request under way, so its payloads arrive in
// order; lanes don't wait for one another. A payload is ready to be POSTed (encoded and
// compressed). Delivery is at least once.
//
// The receiver is not trusted: a request has a time limit as a whole, header and body of the
// answer have a size limit, redirects are not followed.
#pragma once

#include "exporters/queue/queue.h"

#define TL_HTTP_LANES_MAX 16u
#define TL_HTTP_URL_BYTES_MAX 900u           // as configured; exporters append a path
#define TL_HTTP_REPLY_BYTES_MAX (4u << 20)   // of an answer's body; the request is aborted beyond
#define TL_HTTP_HEADER_BYTES_MAX (64u << 10) // of all lines of an answer's header
#define TL_HTTP_RETRY_AFTER_NS_MAX UINT64_C(900000000000) // a longer wish is cut to this
#define TL_HTTP_SPLITS_MAX 12u               // halvings of one payload

// ---- Options -----------------------------------------------------------------------------------

struct tl_http_options {
	const char *url;
	const char *name; // of the sink among others of its kind: its queue's folder, its log lines
	uint64_t timeout_ns; // of a whole request
	struct tl_text_map headers;
	struct tl_http_basic_auth {
		const char *username;
		const char *password;
		const char *password_file;
	} basic_auth;
	const char *bearer_token;
	const char *bearer_token_file; // read anew for each request: tokens rotate
	struct tl_http_tls {
		const char *ca_file;
		const char *cert_file;
		const char *key_file;
		bool insecure_skip_verify;
	} tls;
	struct tl_http_backoff {
		uint64_t min_ns;
		uint64_t max_ns;
	} backoff;
	struct tl_queue_options queue;
};

extern const struct tl_option tl_http_basic_auth_rows[];
extern const struct tl_option tl_http_tls_rows[];
extern const struct tl_option tl_http_backoff_rows[];

// The rows of an exporter whose options struct `owner` has a struct tl_http_options `member`.
#define TL_HTTP_ROW(owner, member, field, row_key, row_type, default_value, ...) \
	{.key = row_key, .type = row_type, .offset = offsetof(owner, member.field), \
	 .value = default_value, __VA_ARGS__}
#define TL_HTTP_ROWS(owner, member) \
	TL_HTTP_ROW(owner, member, url, "url", TL_OPTION_TEXT, "\"\"", .required = true, \
		.help = "Where to POST to: http:// or https://, without user and password."), \
	TL_HTTP_ROW(owner, member, timeout_ns, "timeout", TL_OPTION_DURATION, "30s", \
		.min = UINT64_C(100000000), .max = UINT64_C(3600000000000), \
		.help = "Limit of a whole request, from connecting to the end of the answer."), \
	TL_HTTP_ROWS_MORE(owner, member)
// Without those for which an exporter has rules of its own: url, timeout.
#define TL_HTTP_ROWS_MORE(owner, member) \
	TL_HTTP_ROW(owner, member, name, "name", TL_OPTION_TEXT, "default", \
		.help = "Tells sinks of one kind apart; also the folder of its queue."), \
	TL_HTTP_ROW(owner, member, headers, "headers", TL_OPTION_SECRET_MAP, "{}", \
		.help = "Further request headers."), \
	TL_HTTP_ROW(owner, member, basic_auth, "basic_auth", TL_OPTION_SECTION, NULL, \
		.rows = tl_http_basic_auth_rows, .help = "User and password."), \
	TL_HTTP_ROW(owner, member, bearer_token, "bearer_token", TL_OPTION_SECRET, "\"\"", \
		.help = "Sent as Authorization: Bearer."), \
	TL_HTTP_ROW(owner, member, bearer_token_file, "bearer_token_file", TL_OPTION_TEXT, "\"\"", \
		.help = "File with the token, read anew for each request."), \
	TL_HTTP_ROW(owner, member, tls, "tls", TL_OPTION_SECTION, NULL, .rows = tl_http_tls_rows, \
		.help = "Certificates for https."), \
	TL_HTTP_ROW(owner, member, backoff, "backoff", TL_OPTION_SECTION, NULL, \
		.rows = tl_http_backoff_rows, \
		.help = "Pause before a retry: random between 0 and a limit that doubles."), \
	TL_HTTP_ROW(owner, member, queue, "queue", TL_OPTION_SECTION, NULL, .rows = tl_queue_rows, \
		.help = "What waits for the receiver.")

// What the rows can't say: 0, or -EINVAL and a line in `error`. For tl_exporter.check. `url_needed`
// is false where the exporter has other ways to learn its URL.
int tl_http_check(const struct tl_http_options *options, bool url_needed, char *error,
		  uint32_t error_size);

// ---- What an exporter brings -------------------------------------------------------------------

struct tl_http_sink;

enum tl_http_verdict {
	TL_HTTP_DELIVERED,
	TL_HTTP_RETRY,      // later, after Retry-After or the backoff
	TL_HTTP_HOLD,       // the same, but a matter of configuration: told to the user, kept
	TL_HTTP_SPLIT,      // halve it, as often as needed
	TL_HTTP_SPLIT_ONCE, // halve it; a half that fares no better is dropped
	TL_HTTP_DROP,
};

// Status codes first..last; the first row that matches counts. Ended by a row of zeros. A status
// in no row is dropped when it is 4xx and retried otherwise. No answer at all is retried.
struct tl_http_rule {
	uint16_t first, last;
	uint8_t verdict; // enum tl_http_verdict
};

struct tl_http_reply {
	uint32_t status;
	struct tl_bytes body;     // up to TL_HTTP_REPLY_BYTES_MAX
	bool is_cut;              // there was more
	uint64_t retry_after_ns;  // 0: not said
};

// Payloads that take the place of one that was sent; added plain where the sink compresses.
struct tl_http_pieces;
void tl_http_pieces_add(struct tl_http_pieces *pieces, struct tl_bytes payload, uint32_t items);

// What became of the items of a delivered payload. The rest (items - delivered - rejected) is in
// the pieces that were added: those are sent again after the backoff.
struct tl_http_result {
	uint32_t delivered;
	uint32_t rejected;
	char message[120]; // of the receiver, "" for none; shown as last_error
};

struct tl_http_sink_ops {
	const char *content_type;
	// What payloads are encoded in when they are pushed. NULL: nothing; then the sink may compress
	// them, and Content-Encoding follows from what each begins with.
	const char *content_encoding;
	const char *const *header_lines;  // "Name: value", fixed; NULL-terminated or NULL
	const struct tl_http_rule *rules;
	// The helper thread calls all of these; payloads are as they are sent. Turns a job into
	// payloads by tl_http_sink_push and frees it.
	void (*encode)(void *arg, struct tl_http_sink *sink, void *job);
	// Frees a job that won't be encoded. Also called within tl_http_sink_submit.
	void (*discard)(void *arg, void *job);
	// Looks into a 2xx answer; NULL: all items were delivered.
	void (*accepted)(void *arg, struct tl_bytes payload, uint32_t items,
			 const struct tl_http_reply *reply, struct tl_http_result *ret_result,
			 struct tl_http_pieces *again);
	// Adds two or more smaller payloads with the same items. False: it can't be halved. NULL:
	// never.
	bool (*split)(void *arg, uint32_t lane, struct tl_bytes payload, uint32_t items,
		      struct tl_http_pieces *pieces);
};

struct tl_http_lane {
	const char *name; // its folder in the sink's queue
	const char *url;
	// Holds what an earlier division into lanes left: the others wait until it is empty, then
	// its folder goes. Nothing is pushed to it.
	bool goes_first;
	bool is_gzip; // payloads are compressed when they are pushed
	// Of its requests, NULL for those of the sink; name and queue are the sink's in any case.
	const struct tl_http_options *options;
};

struct tl_http_sink_spec {
	const char *exporter; // "remote_write"
	const struct tl_http_options *options;
	const struct tl_exporter_env *env; // copied
	const struct tl_http_sink_ops *ops;
	void *arg;            // of all ops
	const struct tl_http_lane *lanes; // copied
	uint32_t lane_count;
	uint64_t inbox_jobs_max;
	uint64_t inbox_bytes_max; // of the jobs' `bytes`
};

// ---- Using it ----------------------------------------------------------------------------------

// Opens the queues and starts the thread. 0, or -errno and a line in `error`.
int tl_http_sink_create(const struct tl_http_sink_spec *spec, struct tl_http_sink **ret_sink,
			char *error, uint32_t error_size);
// Control lcore. Takes the job over in any case: -ENOBUFS when the inbox is full, then it was
// discarded and its items counted. Never waits, but where files are read (env->is_lossless) for the
// helper thread to encode what it has.
int tl_http_sink_submit(struct tl_http_sink *sink, void *job, uint32_t items, uint64_t bytes);
// Helper thread (from encode) only. `time_ns` is the newest time in the payload; `items` those
// in it. Items of jobs are not those of payloads where an encoder makes more or fewer of them:
// what is accepted, delivered, queued and dropped is counted in items of payloads.
int tl_http_sink_push(struct tl_http_sink *sink, uint32_t lane, struct tl_bytes payload,
		      uint32_t items, uint64_t time_ns);
// Newest time_ns that a lane's queue ever took, over restarts; 0 for none. Helper thread, or
// before the first submit.
uint64_t tl_http_sink_last_time(const struct tl_http_sink *sink, uint32_t lane);
// Begins what tl_http_sink_flush does, and does not wait for its end. Control lcore.
void tl_http_sink_begin_flush(struct tl_http_sink *sink);
// Encodes what was submitted and tries to deliver all that waits, at once, until `deadline_ns`
// (CLOCK_MONOTONIC) at the latest. True when nothing is left. A deadline that has passed only asks.
bool tl_http_sink_flush(struct tl_http_sink *sink, uint64_t deadline_ns);
void tl_http_sink_stats(struct tl_http_sink *sink, struct tl_exporter_stats *ret_stats);
// Ends the thread: aborts what is under way, keeps the rest on disk. Accepts NULL.
void tl_http_sink_destroy(struct tl_http_sink *sink);

// ---- Pure parts, for tests and the fuzzer ------------------------------------------------------

enum tl_http_verdict tl_http_judge(const struct tl_http_rule *rules, uint32_t status);
// The value of Retry-After (RFC 9110 section 10.2.3): seconds or a date. 0 when it can't be read
// or has passed; never more than TL_HTTP_RETRY_AFTER_NS_MAX.
uint64_t tl_http_retry_after(struct tl_bytes value, uint64_t now_ns);
// Scheme, host and path of a URL: what may stand in logs and on the status page. No user, no
// password, no query.
void tl_http_public_url(const char *url, char *ret, size_t size);
