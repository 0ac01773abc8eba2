// SPDX-License-Identifier: Apache-2.0
#include "control/http_internal.h"

#include "base/clock.h"
#include "config/value.h"
#include "control/log.h"
#include "control/scrape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ALIVE_NS UINT64_C(10000000000)    // the control lcore must have turned within this time
#define CALL_SECONDS_MAX 30               // a call waits this long for the control lcore
#define SCRAPE_BLOCK_BYTES 32768u
#define POST_BYTES_MAX 4096u
#define GOODBYE_NS UINT64_C(1000000000)   // for watchers to take the rest at the end

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status,
			      const char *content_type, const void *body, size_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", content_type);
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result tl_http_answer_text(struct MHD_Connection *connection, unsigned status,
				    const char *text)
{
	return answer(connection, status, "text/plain; charset=utf-8", text, strlen(text));
}

const char *tl_http_query(struct MHD_Connection *connection, const char *key)
{
	const char *value = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, key);
	return value == NULL ? "" : value;
}

// ---- Scrapes -----------------------------------------------------------------------------------

static ssize_t read_scrape(void *arg, uint64_t position, char *buffer, size_t max)
{
	(void)position;
	ssize_t len = tl_scrape_read(arg, buffer, max);
	return len > 0 ? len : len == 0 ? MHD_CONTENT_READER_END_OF_STREAM :
	       MHD_CONTENT_READER_END_WITH_ERROR;
}

static void close_scrape(void *arg)
{
	tl_scrape_close(arg);
}

static enum MHD_Result get_metrics(struct tl_http_request *request, bool is_self)
{
	struct tl_http *http = request->http;
	struct MHD_Connection *connection = request->connection;
	struct tl_scrape_request wanted = {
		.is_self = is_self,
		.accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept"),
		.accept_encoding = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
							       "Accept-Encoding"),
		.style = http->options.histogram,
		.le_seconds = &http->options.le_seconds,
		.le_bytes = &http->options.le_bytes,
	};
	const char *style = tl_http_query(connection, "histogram");

	if (style[0] != '\0' && !tl_scrape_style(style, &wanted.style))
		return tl_http_answer_text(connection, MHD_HTTP_BAD_REQUEST,
					   "histogram: must be vmrange, le or native\n");
	(void)pthread_mutex_lock(&http->lock);
	struct tl_snapshot *snapshot =
		http->snapshot == NULL ? NULL : tl_snapshot_get(http->snapshot);
	(void)pthread_mutex_unlock(&http->lock);
	if (snapshot == NULL)
		return tl_http_answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
					   "no metrics have been merged yet\n");
	struct tl_scrape *scrape = tl_scrape_open(&wanted, snapshot);
	struct MHD_Response *response = scrape == NULL ? NULL :
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SCRAPE_BLOCK_BYTES, read_scrape,
						  scrape, close_scrape);
	if (response == NULL) {
		tl_scrape_close(scrape);
		return tl_http_answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	}
	(void)MHD_add_response_header(response, "Content-Type", tl_scrape_content_type(scrape));
	(void)MHD_add_response_header(response, "Vary", "Accept, Accept-Encoding");
	if (tl_scrape_is_gzip(scrape))
		(void)MHD_add_response_header(response, "Content-Encoding", "gzip");
	enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

// ---- The host ------------------------------------------------------------------------------------

static const char *query_argument(void *arg, const char *name)
{
	return tl_http_query(arg, name);
}

static enum MHD_Result get_host_page(struct tl_http_request *request, const char *method, const char *path)
{
	struct MHD_Connection *connection = request->connection;
	struct tl_text page = {0};

	if (strcmp(path, "/api/v1/events") == 0 && strcmp(tl_http_query(connection, "follow"), "true") == 0)
		return tl_http_follow_events(request);
	unsigned status = tl_collection_page(request->http->options.collection, method, path,
					     query_argument, connection, &page);
	bool is_lines = status == MHD_HTTP_OK && strcmp(path, "/api/v1/events") == 0;
	enum MHD_Result result = status == 0 ?
		tl_http_answer_text(connection, MHD_HTTP_NOT_FOUND, "no such page; GET / lists them\n") :
		answer(connection, status, is_lines ? "application/x-ndjson" : "application/json",
		       page.data == NULL ? "" : page.data, page.len);
	tl_text_free(&page);
	return result;
}

// ---- Calls that the control lcore does -----------------------------------------------------------

static enum MHD_Result do_call(struct tl_http_request *request, enum tl_http_call kind, const char *argument,
			       const char *content_type)
{
	struct tl_http *http = request->http;
	struct timespec deadline;

	(void)clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += CALL_SECONDS_MAX;
	(void)pthread_mutex_lock(&http->lock);
	struct tl_http_job *call = &http->call;
	tl_text_clear(&call->body);
	call->kind = kind;
	(void)snprintf(call->argument, sizeof(call->argument), "%s", argument);
	call->is_done = false;
	call->is_waiting = true;
	int rc = 0;
	while (!call->is_done && !http->is_stopping && rc == 0)
		rc = pthread_cond_timedwait(&http->done, &http->lock, &deadline);
	call->is_waiting = false;
	enum MHD_Result result =
		call->is_done ? answer(request->connection, call->status, content_type,
				       call->body.data == NULL ? "" : call->body.data,
				       call->body.len)
			      : tl_http_answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
						    "the control lcore did not answer in time\n");
	(void)pthread_mutex_unlock(&http->lock);
	return result;
}

void tl_http_turn(struct tl_http *http)
{
	(void)pthread_mutex_lock(&http->lock);
	http->turned_ns = tl_clock_ns(CLOCK_MONOTONIC);
	struct tl_http_job *call = &http->call;
	if (call->is_waiting && !call->is_done) {
		// The lock stays held: the HTTP thread is waiting for this very answer.
		call->status = http->call_fn(http->call_arg, call->kind, call->argument, &call->body);
		call->is_done = true;
		(void)pthread_cond_signal(&http->done);
	}
	(void)pthread_mutex_unlock(&http->lock);
	tl_bus_tick(http->bus);
}

// `level=debug` of a form body or of the query.
static enum MHD_Result post_logger(struct tl_http_request *request)
{
	const char *level = tl_http_query(request->connection, "level");
	char form[32] = "";

	if (request->body.data != NULL) {
		const char *found = strstr(request->body.data, "level=");
		if (found != NULL)
			(void)sscanf(found + strlen("level="), "%31[a-zA-Z]", form);
	}
	return do_call(request, TL_HTTP_LOGGER, form[0] != '\0' ? form : level, "application/json");
}

static enum MHD_Result get_health(struct tl_http_request *request)
{
	struct tl_http *http = request->http;

	(void)pthread_mutex_lock(&http->lock);
	bool is_alive = tl_clock_ns(CLOCK_MONOTONIC) - http->turned_ns < ALIVE_NS;
	(void)pthread_mutex_unlock(&http->lock);
	return is_alive ? tl_http_answer_text(request->connection, MHD_HTTP_OK, "ok\n")
			: tl_http_answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
					      "the control lcore has not turned for 10 s\n");
}

static enum MHD_Result get_ready(struct tl_http_request *request)
{
	struct tl_http *http = request->http;

	(void)pthread_mutex_lock(&http->lock);
	bool is_ready = http->is_ready;
	(void)pthread_mutex_unlock(&http->lock);
	return is_ready ? tl_http_answer_text(request->connection, MHD_HTTP_OK, "ok\n")
			: tl_http_answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
					      "not capturing\n");
}

static const char index_page[] =
	"tapline agent\n"
	"GET  /protocol/metrics   what was seen (?histogram=vmrange|le|native)\n"
	"GET  /metrics            the probe itself\n"
	"GET  /watch              records as JSON lines (?protocol=&status=&slow=&max_message=&timeout=)\n"
	"GET  /api/v1/status      ports, lcores, losses, hints\n"
	"GET  /api/v1/tracers     collectors of the host: state, runs, failures\n"
	"PUT  /api/v1/tracers/NAME/start|stop\n"
	"GET  /api/v1/events      stored events as JSON lines (?tracer=&since=1h&limit=;"
	" ?follow=true goes on)\n"
	"GET  /api/v1/containers  (?container_id=)\n"
	"GET  /healthz /readyz\n"
	"POST /-/reload           read the configuration again\n"
	"POST /-/logger           level=debug|info|warning|error\n";

enum route {
	ROUTE_INDEX, ROUTE_METRICS, ROUTE_PROTOCOL_METRICS, ROUTE_HEALTH, ROUTE_READY, ROUTE_WATCH,
	ROUTE_STATUS, ROUTE_RELOAD, ROUTE_LOGGER, ROUTE_NONE
};

static const struct {
	const char *method;
	const char *path;
} routes[ROUTE_NONE] = {
	[ROUTE_INDEX] = {"GET", "/"},
	[ROUTE_METRICS] = {"GET", "/metrics"},
	[ROUTE_PROTOCOL_METRICS] = {"GET", "/protocol/metrics"},
	[ROUTE_HEALTH] = {"GET", "/healthz"},
	[ROUTE_READY] = {"GET", "/readyz"},
	[ROUTE_WATCH] = {"GET", "/watch"},
	[ROUTE_STATUS] = {"GET", "/api/v1/status"},
	[ROUTE_RELOAD] = {"POST", "/-/reload"},
	[ROUTE_LOGGER] = {"POST", "/-/logger"},
};

static enum MHD_Result answer_method(struct MHD_Connection *connection, const char *method)
{
	static const char text[] = "wrong method; GET / lists them\n";
	struct MHD_Response *response = MHD_create_response_from_buffer(
		sizeof(text) - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);

	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	(void)MHD_add_response_header(response, "Allow",
				      strcmp(method, "GET") == 0 ? "GET, HEAD" : method);
	enum MHD_Result result =
		MHD_queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result dispatch(struct tl_http_request *request, const char *method, const char *path)
{
	struct MHD_Connection *connection = request->connection;
	enum route route = ROUTE_INDEX;

	while (route < ROUTE_NONE && strcmp(routes[route].path, path) != 0)
		route++;
	if (route == ROUTE_NONE)
		return get_host_page(request, method, path);
	if (strcmp(method, routes[route].method) != 0 &&
	    !(strcmp(method, "HEAD") == 0 && strcmp(routes[route].method, "GET") == 0))
		return answer_method(connection, routes[route].method);
	switch (route) {
	case ROUTE_INDEX:
		return tl_http_answer_text(connection, MHD_HTTP_OK, index_page);
	case ROUTE_METRICS:
		return get_metrics(request, true);
	case ROUTE_PROTOCOL_METRICS:
		return get_metrics(request, false);
	case ROUTE_HEALTH:
		return get_health(request);
	case ROUTE_READY:
		return get_ready(request);
	case ROUTE_WATCH:
		return tl_http_watch(request);
	case ROUTE_STATUS:
		return do_call(request, TL_HTTP_STATUS, "", "application/json");
	case ROUTE_RELOAD:
		return do_call(request, TL_HTTP_RELOAD, "", "text/plain; charset=utf-8");
	default:
		return post_logger(request);
	}
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_len, void **request_state)
{
	struct tl_http_request *request = *request_state;
	(void)version;

	if (request == NULL) { // the headers have arrived, a body may follow
		request = calloc(1, sizeof(*request));
		if (request == NULL)
			return MHD_NO;
		request->http = arg;
		request->connection = connection;
		*request_state = request;
		return MHD_YES;
	}
	if (*upload_len != 0) {
		request->is_too_long |= request->body.len + *upload_len > POST_BYTES_MAX;
		if (!request->is_too_long)
			tl_text_add(&request->body, upload, *upload_len);
		*upload_len = 0;
		return MHD_YES;
	}
	if (request->is_too_long)
		return tl_http_answer_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, "too long\n");
	return dispatch(request, method, path);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request_state,
			 enum MHD_RequestTerminationCode code)
{
	struct tl_http *http = arg;
	struct tl_http_request *request = *request_state;
	(void)connection;
	(void)code;

	if (request == NULL)
		return;
	if (request->subscriber != NULL)
		tl_bus_unsubscribe(http->bus, request->subscriber);
	tl_text_free(&request->body);
	free(request);
	*request_state = NULL;
}

// ---- Start and stop ----------------------------------------------------------------------------

static int parse_address(const char *address, struct sockaddr_storage *ret, char *error,
			 uint32_t error_size)
{
	char host[256];
	const char *colon = strrchr(address, ':');
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;

	if (colon == NULL || colon[1] == '\0' || (size_t)(colon - address) >= sizeof(host))
		goto out_wrong;
	size_t len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	memcpy(host, address, len);
	host[len] = '\0';
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	if (getaddrinfo(len == 0 ? NULL : host, colon + 1, &hints, &found) != 0)
		goto out_wrong;
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
out_wrong:
	(void)snprintf(error, error_size,
		       "server.address: \"%s\" is not an address and port such as 127.0.0.1:9091",
		       address);
	return -EINVAL;
}

int tl_http_start(const struct tl_http_options *options, struct tl_bus *bus, tl_http_call_fn *call,
		  void *arg, struct tl_http **ret_http, char *error, uint32_t error_size)
{
	struct sockaddr_storage address = {0};
	pthread_condattr_t attributes;
	int rc = parse_address(options->address, &address, error, error_size);
	if (rc < 0)
		return rc;
	struct tl_http *http = calloc(1, sizeof(*http));
	if (http == NULL)
		return -ENOMEM;
	http->options = *options;
	http->bus = bus;
	http->call_fn = call;
	http->call_arg = arg;
	http->turned_ns = tl_clock_ns(CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&http->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&http->done, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
	if (address.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	errno = 0;
	http->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, http, MHD_OPTION_SOCK_ADDR, &address,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(options->timeout_ns / 1000000000), MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)options->connections_max, MHD_OPTION_END);
	if (http->daemon == NULL) {
		rc = errno == 0 ? -EIO : -errno;
		(void)snprintf(error, error_size, "can't listen on %s: %s", options->address,
			       errno == EADDRINUSE ? "the port is in use (another agent?); set"
						     " server.address"
						   : strerror(-rc));
		tl_http_stop(http);
		return rc;
	}
	*ret_http = http;
	return 0;
}

// Watchers get what waits for them and an orderly end; suspended connections must not outlive the
// daemon anyway.
static void end_watchers(struct tl_http *http)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	uint64_t end_ns = tl_clock_ns(CLOCK_MONOTONIC) + GOODBYE_NS;

	do {
		tl_bus_wake_all(http->bus);
		if (tl_bus_watchers(http->bus) == 0)
			return;
		(void)nanosleep(&pause, NULL);
	} while (tl_clock_ns(CLOCK_MONOTONIC) < end_ns);
}

void tl_http_stop(struct tl_http *http)
{
	if (http == NULL)
		return;
	(void)pthread_mutex_lock(&http->lock);
	http->is_stopping = true;
	(void)pthread_cond_signal(&http->done);
	(void)pthread_mutex_unlock(&http->lock);
	if (http->daemon != NULL) {
		end_watchers(http);
		MHD_stop_daemon(http->daemon);
	}
	if (http->snapshot != NULL)
		tl_snapshot_put(http->snapshot);
	tl_text_free(&http->call.body);
	(void)pthread_cond_destroy(&http->done);
	(void)pthread_mutex_destroy(&http->lock);
	free(http);
}

void tl_http_publish(struct tl_http *http, struct tl_snapshot *snapshot)
{
	(void)pthread_mutex_lock(&http->lock);
	struct tl_snapshot *old = http->snapshot;
	http->snapshot = snapshot;
	(void)pthread_mutex_unlock(&http->lock);
	if (old != NULL)
		tl_snapshot_put(old);
}

void tl_http_set_ready(struct tl_http *http, bool ready)
{
	(void)pthread_mutex_lock(&http->lock);
	http->is_ready = ready;
	(void)pthread_mutex_unlock(&http->lock);
}
