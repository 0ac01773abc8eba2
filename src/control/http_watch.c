// SPDX-License-Identifier: Apache-2.0
// Readers of records and events as they come. One that has nothing to read is suspended, and woken by
// the control thread.
#include "control/http_internal.h"

#include "config/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define WATCH_MESSAGES_DEFAULT 100u       // as packetd
#define WATCH_TIMEOUT_DEFAULT_NS UINT64_C(5000000000)
#define WATCH_BLOCK_BYTES 32768u

static void wake_watcher(void *arg)
{
	struct tl_http_request *request = arg;

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
	struct tl_http_request *request = arg;
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
	const char *text = tl_http_query(connection, "protocol");
	if (text[0] != '\0' && tl_decoder_by_name(text) == NULL)
		return "protocol: not built in; see `tapline protocols`\n";
	(void)snprintf(filter->protocol, sizeof(filter->protocol), "%s", text);
	text = tl_http_query(connection, "status");
	if (text[0] != '\0' && !tl_bus_filter_set_status(filter, text))
		return "status: must be error or one of ok client_error server_error timeout reset"
		       " cancelled unanswered orphan one_way\n";
	text = tl_http_query(connection, "slow");
	if (text[0] != '\0' && !parse_time(text, &filter->slow_ns))
		return "slow: must be a duration such as 100ms\n";
	text = tl_http_query(connection, "timeout");
	if (text[0] != '\0' && !parse_time(text, &filter->timeout_ns))
		return "timeout: must be a duration such as 5s, 0 for none\n";
	text = tl_http_query(connection, "max_message");
	if (text[0] != '\0') {
		char *end;
		filter->message_max = strtoull(text, &end, 10);
		if (text[0] < '0' || text[0] > '9' || *end != '\0')
			return "max_message: must be a whole number, 0 for no limit\n";
	}
	return NULL;
}

static enum MHD_Result stream(struct tl_http_request *request, const struct tl_bus_filter *filter)
{
	request->subscriber =
		tl_bus_subscribe(request->http->bus, filter, wake_watcher, request);
	if (request->subscriber == NULL)
		return tl_http_answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
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

enum MHD_Result tl_http_watch(struct tl_http_request *request)
{
	struct tl_bus_filter filter = {
		.status = -1,
		.message_max = WATCH_MESSAGES_DEFAULT,
		.timeout_ns = WATCH_TIMEOUT_DEFAULT_NS,
	};
	const char *wrong = parse_watch(request->connection, &filter);

	if (wrong != NULL)
		return tl_http_answer_text(request->connection, MHD_HTTP_BAD_REQUEST, wrong);
	return stream(request, &filter);
}

// Goes on until the reader leaves, unless told otherwise.
enum MHD_Result tl_http_follow_events(struct tl_http_request *request)
{
	struct tl_bus_filter filter = {.status = -1, .wants_events = true};
	const char *wrong = parse_watch(request->connection, &filter);

	if (wrong != NULL)
		return tl_http_answer_text(request->connection, MHD_HTTP_BAD_REQUEST, wrong);
	(void)snprintf(filter.tracer, sizeof(filter.tracer), "%s",
		       tl_http_query(request->connection, "tracer"));
	return stream(request, &filter);
}
