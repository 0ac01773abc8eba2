// SPDX-License-Identifier: Apache-2.0
// The agent's HTTP API, served by libmicrohttpd on its own thread. Scrapes are answered from the
// last published snapshot and never wait for the control lcore; what only the control lcore can
// do (reload, status) is handed to it and answered when it has been done.
#pragma once

#include "base/text.h"
#include "control/bus.h"
#include "control/collection.h"
#include "metrics/metrics.h"

struct tl_http;

enum tl_http_call { TL_HTTP_RELOAD, TL_HTTP_STATUS, TL_HTTP_LOGGER };

// Done on the control thread by tl_http_turn(). Fills `ret_body`; the result is the HTTP status.
typedef unsigned tl_http_call_fn(void *arg, enum tl_http_call call, const char *argument,
				 struct tl_text *ret_body);

struct tl_http_options {
	const char *address;      // "127.0.0.1:9091", "[::1]:9091", ":9091"
	uint64_t timeout_ns;      // of a connection without progress
	uint64_t connections_max;
	uint32_t histogram;       // enum tl_histogram_style without ?histogram=
	struct tl_real_list le_seconds, le_bytes;
	struct tl_collection *collection; // for the pages about the host
};

// -EINVAL for an address that is none, -EADDRINUSE and others with a line in `error`. `options`
// is copied, its lists are not. `bus` outlives the server.
int tl_http_start(const struct tl_http_options *options, struct tl_bus *bus, tl_http_call_fn *call,
		  void *arg, struct tl_http **ret_http, char *error, uint32_t error_size);
void tl_http_stop(struct tl_http *http); // accepts NULL

// Control thread.
void tl_http_publish(struct tl_http *http, struct tl_snapshot *snapshot); // takes it
void tl_http_set_ready(struct tl_http *http, bool ready);
void tl_http_turn(struct tl_http *http); // does the calls that wait; also the sign of life
