// SPDX-License-Identifier: Apache-2.0
#include "control/http.h"

#include "base/clock.h"
#include "config/value.h"
#include "control/log.h"
#include "control/scrape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ALIVE_NS UINT64_C(10000000000)    // the control lcore must have turned within this time
#define CALL_SECONDS_MAX 30               // a call waits this long for the control lcore
#define WATCH_MESSAGES_DEFAULT 100u       // as packetd
#define WATCH_TIMEOUT_DEFAULT_NS UINT64_C(5000000000)
#define WATCH_BLOCK_BYTES 32768u
#define SCRAPE_BLOCK_BYTES 32768u
#define POST_BYTES_MAX 4096u
#define GOODBYE_NS UINT64_C(1000000000)   // for watchers to take the rest at the end

struct call {
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
	struct call call;     // one at a time: the server has one thread
	uint64_t turned_ns;
	bool is_ready, is_stopping;
};

// What MHD keeps per request for us.
struct request {
	struct tl_http *http;
	struct tl_text body; // of a POST
	struct MHD_Connection *connection;
	struct tl_subscriber *subscriber;
	bool is_too_long;     // its body
	bool is_suspended;
	bool was_woken; // between looking at the queue and suspending
};

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

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
				   const char *text)
{
	return answer(connection, status, "text/plain; charset=utf-8", text, strlen(text));
}

static const char *query(struct MHD_Connection *connection, const char *key)
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

static enum MHD_Result get_metrics(struct request *request, bool is_self)
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
	const char *style = query(connection, "histogram");

	if (style[0] != '\0' && !tl_scrape_style(style, &wanted.style))
		return answer_text(connection, MHD_HTTP_BAD_REQUEST,
				   "histogram: must be vmrange, le or native\n");
	(void)pthread_mutex_lock(&http->lock);
	struct tl_snapshot *snapshot =
		http->snapshot == NULL ? NULL : tl_snapshot_get(http->snapshot);
	(void)pthread_mutex_unlock(&http->lock);
	if (snapshot == NULL)
		return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				   "no metrics have been merged yet\n");
	struct tl_scrape *scrape = tl_scrape_open(&wanted, snapshot);
	struct MHD_Response *response = scrape == NULL ? NULL :
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SCRAPE_BLOCK_BYTES, read_scrape,
						  scrape, close_scrape);
	if (response == NULL) {
		tl_scrape_close(scrape);
		return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	}
	(void)MHD_add_response_header(response, "Content-Type", tl_scrape_content_type(scrape));
	(void)MHD_add_response_header(response, "Vary", "Accept, Accept-Encoding");
	if (tl_scrape_is_gzip(scrape))
		(void)MHD_add_response_header(response, "Content-Encoding", "gzip");
	enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

// ---- Watching ----------------------------------------------------------------------------------

static void wake_watcher(void *arg)
{
	struct request *request = arg;

	(void)pthread_mutex_lock(&request->http->lock);
	bool resume = request->is_suspended;
	request->is_suspended = false;
	request->was_woken = !resume;
	(void)pthread_mutex_unlock(&request->http->lock);
	if (resume)
		MHD_resume_connection(request->connection);
}

// A reader who went away while there was nothing to send shows by this alone.
static bool has_left(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	char byte;

	return info != NULL &&
	       recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static ssize_t read_watcher(void *arg, uint64_t position, char *buffer, size_t max)
{
	struct request *request = arg;
	(void)position;

	long len = tl_bus_read(request->http->bus, request->subscriber, buffer, max);
	if (len < 0 || (len == 0 && has_left(request->connection)))
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (len == 0) {
		(void)pthread_mutex_lock(&request->http->lock);
		bool stopping = request->http->is_stopping;
		if (!stopping && !request->was_woken) {
			request->is_suspended = true;
			MHD_suspend_connection(request->connection);
		}
		request->was_woken = false;
		(void)pthread_mutex_unlock(&request->http->lock);
		if (stopping)
			return MHD_CONTENT_READER_END_OF_STREAM;
	}
	return (ssize_t)len;
}

// "100ms", "1m30s", or seconds as a plain number. False when it is none of these.
static bool parse_time(const char *text, uint64_t *ret_ns)
{
	double seconds;

	if (tl_parse_duration(text, ret_ns))
		return true;
	if (!tl_parse_real(text, &seconds) || seconds < 0 || seconds > 1e9)
		return false;
	*ret_ns = (uint64_t)(seconds * 1e9);
	return true;
}

static const char *parse_watch(struct MHD_Connection *connection, struct tl_bus_filter *filter)
{
	const char *text = query(connection, "protocol");
	if (text[0] != '\0' && tl_decoder_by_name(text) == NULL)
		return "protocol: not built in; see `tapline protocols`\n";
	(void)snprintf(filter->protocol, sizeof(filter->protocol), "%s", text);
	text = query(connection, "status");
	if (text[0] != '\0' && !tl_bus_filter_set_status(filter, text))
		return "status: must be error or one of ok client_error server_error timeout reset"
		       " cancelled unanswered orphan one_way\n";
	text = query(connection, "slow");
	if (text[0] != '\0' && !parse_time(text, &filter->slow_ns))
		return "slow: must be a duration such as 100ms\n";
	text = query(connection, "timeout");
	if (text[0] != '\0' && !parse_time(text, &filter->timeout_ns))
		return "timeout: must be a duration such as 5s, 0 for none\n";
	text = query(connection, "max_message");
	if (text[0] != '\0') {
		char *end;
		filter->message_max = strtoull(text, &end, 10);
		if (text[0] < '0' || text[0] > '9' || *end != '\0')
			return "max_message: must be a whole number, 0 for no limit\n";
	}
	return NULL;
}

static enum MHD_Result stream(struct request *request, const struct tl_bus_filter *filter)
{
	request->subscriber =
		tl_bus_subscribe(request->http->bus, filter, wake_watcher, request);
	if (request->subscriber == NULL)
		return answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				   "too many watchers (server.watchers_max)\n");
	struct MHD_Response *response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, WATCH_BLOCK_BYTES, read_watcher, request, NULL);
	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", "application/x-ndjson");
	enum MHD_Result result = MHD_queue_response(request->connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result get_watch(struct request *request)
{
	struct tl_bus_filter filter = {
		.status = -1,
		.message_max = WATCH_MESSAGES_DEFAULT,
		.timeout_ns = WATCH_TIMEOUT_DEFAULT_NS,
	};
	const char *wrong = parse_watch(request->connection, &filter);

	if (wrong != NULL)
		return answer_text(request->connection, MHD_HTTP_BAD_REQUEST, wrong);
	return stream(request, &filter);
}

// ---- The host ------------------------------------------------------------------------------------

// Goes on until the reader leaves, unless told otherwise.
static enum MHD_Result follow_events(struct request *request)
{
	struct tl_bus_filter filter = {.status = -1, .wants_events = true};
	const char *wrong = parse_watch(request->connection, &filter);

	if (wrong != NULL)
		return answer_text(request->connection, MHD_HTTP_BAD_REQUEST, wrong);
	(void)snprintf(filter.tracer, sizeof(filter.tracer), "%s",
		       query(request->connection, "tracer"));
	return stream(request, &filter);
}

static const char *query_argument(void *arg, const char *name)
{
	return query(arg, name);
}

static enum MHD_Result get_host_page(struct request *request, const char *method, const char *path)
{
	struct MHD_Connection *connection = request->connection;
	struct tl_text page = {0};

	if (strcmp(path, "/api/v1/events") == 0 && strcmp(query(connection, "follow"), "true") == 0)
		return follow_events(request);
	unsigned status = tl_collection_page(request->http->options.collection, method, path,
					     query_argument, connection, &page);
	bool is_lines = status == MHD_HTTP_OK && strcmp(path, "/api/v1/events") == 0;
	enum MHD_Result result = status == 0 ?
		answer_text(connection, MHD_HTTP_NOT_FOUND, "no such page; GET / lists them\n") :
		answer(connection, status, is_lines ? "application/x-ndjson" : "application/json",
		       page.data == NULL ? "" : page.data, page.len);
	tl_text_free(&page);
	return result;
}

// ---- Calls that the control lcore does -----------------------------------------------------------

static enum MHD_Result do_call(struct request *request, enum tl_http_call kind, const char *argument,
			       const char *content_type)
{
	struct tl_http *http = request->http;
	struct timespec deadline;

	(void)clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += CALL_SECONDS_MAX;
	(void)pthread_mutex_lock(&http->lock);
	struct call *call = &http->call;
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
			      : answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
					    "the control lcore did not answer in time\n");
	(void)pthread_mutex_unlock(&http->lock);
	return result;
}

void tl_http_turn(struct tl_http *http)
{
	(void)pthread_mutex_lock(&http->lock);
	http->turned_ns = tl_clock_ns(CLOCK_MONOTONIC);
	struct call *call = &http->call;
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
static enum MHD_Result post_logger(struct request *request)
{
	const char *level = query(request->connection, "level");
	char form[32] = "";

	if (request->body.data != NULL) {
		const char *found = strstr(request->body.data, "level=");
		if (found != NULL)
			(void)sscanf(found + strlen("level="), "%31[a-zA-Z]", form);
	}
	return do_call(request, TL_HTTP_LOGGER, form[0] != '\0' ? form : level, "application/json");
}

static enum MHD_Result get_health(struct request *request)
{
	struct tl_http *http = request->http;

	(void)pthread_mutex_lock(&http->lock);
	bool is_alive = tl_clock_ns(CLOCK_MONOTONIC) - http->turned_ns < ALIVE_NS;
	(void)pthread_mutex_unlock(&http->lock);
	return is_alive ? answer_text(request->connection, MHD_HTTP_OK, "ok\n")
			: answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				      "the control lcore has not turned for 10 s\n");
}

static enum MHD_Result get_ready(struct request *request)
{
	struct tl_http *http = request->http;

	(void)pthread_mutex_lock(&http->lock);
	bool is_ready = http->is_ready;
	(void)pthread_mutex_unlock(&http->lock);
	return is_ready ? answer_text(request->connection, MHD_HTTP_OK, "ok\n")
			: answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
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

static enum MHD_Result dispatch(struct request *request, const char *method, const char *path)
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
		return answer_text(connection, MHD_HTTP_OK, index_page);
	case ROUTE_METRICS:
		return get_metrics(request, true);
	case ROUTE_PROTOCOL_METRICS:
		return get_metrics(request, false);
	case ROUTE_HEALTH:
		return get_health(request);
	case ROUTE_READY:
		return get_ready(request);
	case ROUTE_WATCH:
		return get_watch(request);
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
	struct request *request = *request_state;
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
		return answer_text(connection, MHD_HTTP_CONTENT_TOO_LARGE, "too long\n");
	return dispatch(request, method, path);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request_state,
			 enum MHD_RequestTerminationCode code)
{
	struct tl_http *http = arg;
	struct request *request = *request_state;
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
