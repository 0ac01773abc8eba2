// SPDX-License-Identifier: Apache-2.0
// The HTTP server between its files: http.c serves pages and calls, http_watch.c the streams of records
// and events. Requests are served on the server's one thread; the functions of http.h, and the wakes of
// readers, come on the control thread.
#pragma once

#include "base/text.h"
#include "control/http.h"

#include <microhttpd.h>
#include <pthread.h>

struct tl_http_job {
	enum tl_http_call kind;
	char argument[64];
	struct tl_text body;
	unsigned status;
	bool is_waiting, is_done;
};

struct tl_http {
	struct tl_http_options options;
	struct MHD_Daemon *daemon;
	struct tl_bus *bus;
	tl_http_call_fn *call_fn;
	void *call_arg;
	pthread_mutex_t lock; // of all below
	pthread_cond_t done;
	struct tl_snapshot *snapshot;
	struct tl_http_job call;     // one at a time: the server has one thread
	uint64_t turned_ns;
	bool is_ready, is_stopping;
};

// What MHD keeps per request for us.
struct tl_http_request {
	struct tl_http *http;
	struct tl_text body; // of a POST
	struct MHD_Connection *connection;
	struct tl_subscriber *subscriber;
	bool is_too_long;     // its body
	bool is_suspended;
	bool was_woken; // between looking at the queue and suspending
};

// ---- http.c

enum MHD_Result tl_http_answer_text(struct MHD_Connection *connection, unsigned status,
				    const char *text);
// A parameter of the query, "" where it was not given.
const char *tl_http_query(struct MHD_Connection *connection, const char *key);

// ---- http_watch.c

// GET /watch, and GET /api/v1/events with follow=true.
enum MHD_Result tl_http_watch(struct tl_http_request *request);
enum MHD_Result tl_http_follow_events(struct tl_http_request *request);
