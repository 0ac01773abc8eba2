// SPDX-License-Identifier: Apache-2.0
// One lane of an HTTP sink: its queue, the payload under way and the curl handle that sends it.
// Helper thread only.
#pragma once

#include "base/text.h"
#include "exporters/http_sink/http_sink.h"

#include <curl/curl.h>

struct tl_http_piece {
	struct tl_http_piece *next;
	uint32_t items;
	uint32_t len;
	uint32_t splits; // halvings that made it
	uint8_t data[];
};

struct tl_http_pieces {
	struct tl_http_piece *first, **last;
	uint64_t items;
	bool is_gzip; // they are compressed when they are added
};

struct tl_http_answer {
	uint32_t status;       // 0: none yet
	bool is_head_complete;
	bool is_cut;
	uint64_t head_bytes;
	uint64_t body_bytes;   // received, kept or not
	uint64_t retry_after_ns;
	struct tl_text body;
};

// What became of the items of the frame under way; booked when it is done.
struct tl_http_books {
	uint64_t delivered;
	uint64_t dropped[TL_DROP_COUNT];
};

struct tl_http_lane_state {
	const struct tl_http_options *options;
	const struct tl_http_sink_ops *ops;
	void *arg;
	const char *exporter;
	uint32_t index; // of the sink's lanes
	bool is_gzip;
	char name[32];
	char url[1024];
	struct tl_queue *queue;
	uint64_t last_time_ns;
	uint64_t seq;                 // of the frame under way, 0: none
	struct tl_http_piece *pieces; // what is left of it, the first is the next to send
	struct tl_http_books frame;
	struct tl_http_books total;
	CURL *easy;
	struct curl_slist *headers;
	bool is_busy;
	bool goes_first;
	struct tl_http_answer answer;
	uint64_t next_ns;             // not before, CLOCK_MONOTONIC
	bool is_told_to_wait;         // next_ns is the receiver's wish
	bool has_delivered;           // the last request did, at least some of its items
	uint32_t failures;            // in a row
	uint64_t attempts;            // requests ever
	uint64_t retries;
	uint64_t random;
	struct tl_text token, secret; // as sent, as given: kept to be left out of messages
	char curl_error[CURL_ERROR_SIZE];
	char error[192];              // of the last failure
};

int tl_http_lane_init(struct tl_http_lane_state *lane, const struct tl_http_sink_spec *spec,
		      uint32_t index, struct tl_queue_recovery *ret_recovery, char *error,
		      uint32_t error_size);
// Frees all; returns items lost because they were in memory only.
uint64_t tl_http_lane_fini(struct tl_http_lane_state *lane);
// Begins a request if one is due and there is something to send.
void tl_http_lane_start(struct tl_http_lane_state *lane, CURLM *multi, uint64_t now_ns);
// The request is over.
void tl_http_lane_done(struct tl_http_lane_state *lane, CURLcode code, uint64_t now_ns);
bool tl_http_lane_is_empty(struct tl_http_lane_state *lane);

// The callbacks of curl, for the fuzzer: `arg` is the lane.
size_t tl_http_on_header(char *data, size_t size, size_t count, void *arg);
size_t tl_http_on_body(char *data, size_t size, size_t count, void *arg);
