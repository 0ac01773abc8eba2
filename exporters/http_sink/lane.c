// SPDX-License-Identifier: Apache-2.0
#include "exporters/http_sink/lane.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "exporters/http_sink/gzip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS_MAX 10000l
#define SECRET_FILE_BYTES 16384u
#define ERROR_BODY_BYTES 512u // kept of an answer that only explains a failure

// ---- Pieces ------------------------------------------------------------------------------------

static struct tl_http_piece *new_piece(struct tl_bytes payload, uint32_t items, uint32_t splits)
{
	struct tl_http_piece *piece = malloc(sizeof(*piece) + payload.len);

	if (piece == NULL)
		return NULL;
	*piece = (struct tl_http_piece) {.items = items, .len = payload.len, .splits = splits};
	memcpy(piece->data, payload.ptr, payload.len);
	return piece;
}

void tl_http_pieces_add(struct tl_http_pieces *pieces, struct tl_bytes payload, uint32_t items)
{
	struct tl_text packed = {0};

	if (pieces->is_gzip) {
		tl_gzip(payload, &packed);
		payload = tl_bytes((const uint8_t *)packed.data, (uint32_t)packed.len);
	}
	struct tl_http_piece *piece = new_piece(payload, items, 0);
	tl_text_free(&packed);
	if (piece == NULL)
		return; // the caller sees by the sum of items that it is missing
	*pieces->last = piece;
	pieces->last = &piece->next;
	pieces->items += items;
}

static void drop_first(struct tl_http_lane_state *lane)
{
	struct tl_http_piece *piece = lane->pieces;
	lane->pieces = piece->next;
	free(piece);
}

static void free_pieces(struct tl_http_piece *piece)
{
	while (piece != NULL) {
		struct tl_http_piece *next = piece->next;
		free(piece);
		piece = next;
	}
}

// ---- Reading the answer ------------------------------------------------------------------------

size_t tl_http_on_header(char *data, size_t size, size_t count, void *arg)
{
	struct tl_http_lane_state *lane = arg;
	struct tl_http_answer *answer = &lane->answer;
	size_t len = size * count;

	answer->head_bytes += len;
	if (answer->head_bytes > TL_HTTP_HEADER_BYTES_MAX || len > TL_HTTP_HEADER_BYTES_MAX)
		return 0; // ends the transfer
	struct tl_bytes line = tl_bytes(data, (uint32_t)len);
	while (line.len != 0 && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == '\n'))
		line.len--;
	if (len > 5 && memcmp(data, "HTTP/", 5) == 0) {
		// Each status line begins anew: 100 Continue may come before the real one.
		uint32_t space = tl_bytes_find(line, ' ', 0);
		struct tl_bytes digits = space == TL_BYTES_NONE ? tl_bytes(NULL, 0) :
					 tl_bytes_from(line, space + 1);
		answer->status = 0;
		for (uint32_t i = 0; i < 3 && i < digits.len; i++)
			if (digits.ptr[i] >= '0' && digits.ptr[i] <= '9')
				answer->status = answer->status * 10 + (uint32_t)(digits.ptr[i] - '0');
		answer->is_head_complete = false;
		answer->retry_after_ns = 0;
	} else if (line.len == 0) {
		answer->is_head_complete = answer->status >= 200;
	} else {
		uint32_t colon = tl_bytes_find(line, ':', 0);
		if (colon != TL_BYTES_NONE &&
		    tl_bytes_is_nocase(tl_bytes_first(line, colon), "retry-after"))
			answer->retry_after_ns =
				tl_http_retry_after(tl_bytes_from(line, colon + 1),
						    tl_clock_ns(CLOCK_REALTIME));
	}
	return len;
}

size_t tl_http_on_body(char *data, size_t size, size_t count, void *arg)
{
	struct tl_http_lane_state *lane = arg;
	struct tl_http_answer *answer = &lane->answer;
	size_t len = size * count;
	bool is_read = lane->ops->accepted != NULL && answer->status / 100 == 2;
	size_t most = is_read ? TL_HTTP_REPLY_BYTES_MAX : ERROR_BODY_BYTES;
	size_t room = answer->body.len < most ? most - answer->body.len : 0;

	tl_text_add(&answer->body, data, len < room ? len : room);
	if (len > room)
		answer->is_cut = true;
	answer->body_bytes += len;
	return answer->body_bytes > TL_HTTP_REPLY_BYTES_MAX ? 0 : len;
}

// ---- Sending -----------------------------------------------------------------------------------

// First line of a file, without its end. 0 or -errno, -ENODATA when that line is empty.
static int read_secret(const char *path, char *ret, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not keep the others
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
	int rc = n < 0 ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\r\n")] = '\0';
	return rc == 0 && *ret == '\0' ? -ENODATA : rc;
}

static void set_error(struct tl_http_lane_state *lane, const char *what, const char *about)
{
	(void)snprintf(lane->error, sizeof(lane->error), "%.40s%.140s", what, about);
}

static void add_header(struct tl_http_lane_state *lane, const char *name, const char *value)
{
	struct tl_text line = {0};

	// curl drops "Name:" without a value; a semicolon makes it send an empty one.
	tl_text_printf(&line, *value == '\0' ? "%s;" : "%s: %s", name, value);
	struct curl_slist *more = curl_slist_append(lane->headers, line.data);
	if (more != NULL)
		lane->headers = more;
	tl_text_free(&line);
}

// The configured secret, or what its file holds now. False with an error when that can't be read.
static bool get_secret(struct tl_http_lane_state *lane, const char *given, const char *file,
		       const char *what)
{
	char secret[SECRET_FILE_BYTES];

	tl_text_clear(&lane->secret);
	tl_text_puts(&lane->secret, given);
	if (*file == '\0')
		return true;
	int rc = read_secret(file, secret, sizeof(secret));
	if (rc < 0) {
		set_error(lane, what, rc == -ENODATA ? "it is empty" : strerror(-rc));
		return false;
	}
	tl_text_clear(&lane->secret);
	tl_text_puts(&lane->secret, secret);
	return true;
}

static bool set_credentials(struct tl_http_lane_state *lane)
{
	const struct tl_http_options *o = lane->options;
	const struct tl_http_basic_auth *basic = &o->basic_auth;
	struct tl_text value = {0};

	tl_text_clear(&lane->token);
	if (*o->bearer_token != '\0' || *o->bearer_token_file != '\0') {
		if (!get_secret(lane, o->bearer_token, o->bearer_token_file,
				"bearer_token_file can't be read: "))
			return false;
		tl_text_puts(&lane->token, lane->secret.data);
		tl_text_printf(&value, "Bearer %s", lane->secret.data);
	} else if (*basic->username != '\0') {
		struct tl_text pair = {0};
		if (!get_secret(lane, basic->password, basic->password_file,
				"password_file can't be read: "))
			return false;
		tl_text_printf(&pair, "%s:%s", basic->username, lane->secret.data);
		tl_text_base64(&lane->token, tl_bytes(pair.data, (uint32_t)pair.len));
		tl_text_printf(&value, "Basic %s", lane->token.data);
		tl_text_free(&pair);
	} else {
		return true;
	}
	add_header(lane, "Authorization", value.data);
	tl_text_free(&value);
	return true;
}

static bool set_headers(struct tl_http_lane_state *lane)
{
	const struct tl_http_sink_ops *ops = lane->ops;

	curl_slist_free_all(lane->headers);
	lane->headers = NULL;
	add_header(lane, "Content-Type", ops->content_type);
	// Not by the configuration: what waits in the queue may be older than that.
	if (ops->content_encoding != NULL)
		add_header(lane, "Content-Encoding", ops->content_encoding);
	else if (tl_is_gzip(tl_bytes(lane->pieces->data, lane->pieces->len)))
		add_header(lane, "Content-Encoding", "gzip");
	for (uint32_t i = 0; ops->header_lines != NULL && ops->header_lines[i] != NULL; i++) {
		struct curl_slist *more = curl_slist_append(lane->headers, ops->header_lines[i]);
		if (more != NULL)
			lane->headers = more;
	}
	for (uint32_t i = 0; i < lane->options->headers.count; i++)
		add_header(lane, lane->options->headers.items[i].key,
			   lane->options->headers.items[i].value);
	struct curl_slist *more = curl_slist_append(lane->headers, "Expect:"); // no 100-continue
	if (more != NULL)
		lane->headers = more;
	bool ok = set_credentials(lane);
	(void)curl_easy_setopt(lane->easy, CURLOPT_HTTPHEADER, lane->headers);
	return ok;
}

// What stays the same for all requests.
static void set_up(struct tl_http_lane_state *lane)
{
	const struct tl_http_options *o = lane->options;
	CURL *easy = lane->easy;
	long timeout_ms = (long)(o->timeout_ns / 1000000);

	(void)curl_easy_setopt(easy, CURLOPT_URL, lane->url);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0l);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1l);
	(void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1l); // the end must not wait for a resolver
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1l);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			       timeout_ms < CONNECT_MS_MAX ? timeout_ms : CONNECT_MS_MAX);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, lane->curl_error);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, tl_http_on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, lane);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, tl_http_on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, lane);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, lane);
	(void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	if (o->tls.insecure_skip_verify) {
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0l);
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0l);
	}
	if (*o->tls.ca_file != '\0') {
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, o->tls.ca_file);
		// Debian's libcurl has a folder besides: the system's certificates would do, too.
		(void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (*o->tls.cert_file != '\0') {
		(void)curl_easy_setopt(easy, CURLOPT_SSLCERT, o->tls.cert_file);
		(void)curl_easy_setopt(easy, CURLOPT_SSLKEY, o->tls.key_file);
		// An encrypted key fails at once; without this OpenSSL asks on the terminal.
		(void)curl_easy_setopt(easy, CURLOPT_KEYPASSWD, "");
	}
}

static bool fetch(struct tl_http_lane_state *lane)
{
	struct tl_queue_frame frame;

	if (lane->pieces != NULL)
		return true;
	if (!tl_queue_peek(lane->queue, &frame))
		return false;
	lane->pieces = new_piece(frame.payload, frame.items, 0);
	lane->seq = frame.seq;
	lane->frame = (struct tl_http_books) {0};
	return lane->pieces != NULL;
}

// After a failure: the receiver's wish, else a random part of a limit that doubles each time.
static void back_off(struct tl_http_lane_state *lane, uint64_t now_ns)
{
	const struct tl_http_backoff *backoff = &lane->options->backoff;
	uint32_t doublings = lane->failures < 40 ? lane->failures : 40;
	uint64_t limit = backoff->max_ns;

	if (doublings < 63 && backoff->min_ns <= backoff->max_ns >> doublings)
		limit = backoff->min_ns << doublings;
	lane->failures++;
	lane->random = tl_hash_mix(lane->random + UINT64_C(0x9e3779b97f4a7c15),
				   UINT64_C(0xe7037ed1a0b428db));
	lane->is_told_to_wait = lane->answer.retry_after_ns != 0;
	// Never at once: a receiver that refuses quickly would be asked without end.
	lane->next_ns = now_ns + (lane->is_told_to_wait ? lane->answer.retry_after_ns :
				  backoff->min_ns / 8 + lane->random % limit);
}

void tl_http_lane_start(struct tl_http_lane_state *lane, CURLM *multi, uint64_t now_ns)
{
	if (lane->is_busy || now_ns < lane->next_ns || !fetch(lane))
		return;
	struct tl_text body = lane->answer.body;
	tl_text_clear(&body);
	lane->answer = (struct tl_http_answer) {.body = body};
	lane->curl_error[0] = '\0';
	if (!set_headers(lane)) {
		back_off(lane, now_ns);
		return;
	}
	(void)curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDSIZE, (long)lane->pieces->len);
	(void)curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDS,
			       (const char *)&lane->pieces->data[0]);
	lane->attempts++;
	lane->retries += lane->failures != 0;
	lane->is_busy = curl_multi_add_handle(multi, lane->easy) == CURLM_OK;
	if (!lane->is_busy)
		back_off(lane, now_ns);
}

// ---- Judging -----------------------------------------------------------------------------------

static void mask(struct tl_text *text, const char *secret)
{
	size_t len = secret != NULL ? strlen(secret) : 0;

	for (char *at = text->data; len >= 4 && (at = strstr(at, secret)) != NULL; at += len)
		memset(at, '*', len);
}

// What a receiver says, printable, in one line, without anything that we sent as a credential.
static void add_said(struct tl_http_lane_state *lane, struct tl_text *text, const char *said,
		     size_t len)
{
	const struct tl_http_options *o = lane->options;

	for (size_t i = 0; i < len; i++)
		tl_text_add(text, said[i] >= 0x20 && said[i] < 0x7f ? &said[i] : " ", 1);
	// The whole text, before it is cut: half a secret would not be found.
	mask(text, lane->token.data);
	mask(text, lane->secret.data);
	for (uint32_t i = 0; i < o->headers.count; i++)
		mask(text, o->headers.items[i].value);
	const char *query = strchr(lane->url, '?');
	if (query != NULL) // may hold a key
		mask(text, query + 1);
	while (text->len != 0 && text->data[text->len - 1] == ' ')
		text->data[--text->len] = '\0';
}

// "status 503: try later".
static void describe(struct tl_http_lane_state *lane, CURLcode code)
{
	const struct tl_http_answer *answer = &lane->answer;
	struct tl_text text = {0};

	if (code != CURLE_OK && !answer->is_head_complete) {
		const char *why = answer->head_bytes > TL_HTTP_HEADER_BYTES_MAX ?
			"the answer's header is too long" : lane->curl_error[0] != '\0' ?
			lane->curl_error : curl_easy_strerror(code);
		add_said(lane, &text, why, strlen(why));
	} else {
		size_t len = answer->body.len < ERROR_BODY_BYTES ? answer->body.len : ERROR_BODY_BYTES;
		tl_text_printf(&text, "status %u%s", answer->status, len != 0 ? ": " : "");
		add_said(lane, &text, answer->body.data, len);
	}
	set_error(lane, "", text.data);
	tl_text_free(&text);
}

static void put_before(struct tl_http_lane_state *lane, struct tl_http_pieces *pieces,
		       uint32_t splits)
{
	for (struct tl_http_piece *piece = pieces->first; piece != NULL; piece = piece->next)
		piece->splits = splits;
	*pieces->last = lane->pieces;
	lane->pieces = pieces->first;
}

static bool split(struct tl_http_lane_state *lane, uint32_t splits_max)
{
	struct tl_http_piece *piece = lane->pieces;
	struct tl_http_pieces pieces = {.last = &pieces.first, .is_gzip = lane->is_gzip};

	if (lane->ops->split == NULL || piece->splits >= splits_max)
		return false;
	if (!lane->ops->split(lane->arg, lane->index, tl_bytes(piece->data, piece->len), piece->items,
			      &pieces) ||
	    pieces.items != piece->items) {
		free_pieces(pieces.first);
		return false;
	}
	uint32_t splits = piece->splits + 1;
	drop_first(lane);
	put_before(lane, &pieces, splits);
	return true;
}

static void accept_answer(struct tl_http_lane_state *lane, uint64_t now_ns)
{
	struct tl_http_piece *piece = lane->pieces;
	struct tl_http_pieces again = {.last = &again.first, .is_gzip = lane->is_gzip};
	struct tl_http_result result = {.delivered = piece->items};
	const struct tl_http_reply reply = {
		.status = lane->answer.status,
		.body = tl_bytes(lane->answer.body.data, (uint32_t)lane->answer.body.len),
		.is_cut = lane->answer.is_cut,
		.retry_after_ns = lane->answer.retry_after_ns,
	};

	if (lane->ops->accepted != NULL) {
		result.delivered = 0;
		lane->ops->accepted(lane->arg, tl_bytes(piece->data, piece->len), piece->items,
				    &reply, &result, &again);
	}
	lane->frame.delivered += result.delivered;
	lane->frame.dropped[TL_DROP_REJECTED] += result.rejected;
	uint64_t rest = (uint64_t)result.delivered + result.rejected + again.items;
	if (rest < piece->items)
		lane->frame.dropped[TL_DROP_OTHER] += piece->items - rest;
	if (result.message[0] != '\0') {
		struct tl_text text = {0};
		add_said(lane, &text, result.message, strlen(result.message));
		set_error(lane, "", text.data);
		tl_text_free(&text);
	}
	uint32_t splits = piece->splits;
	drop_first(lane);
	lane->has_delivered = result.delivered != 0;
	if (again.first == NULL) {
		lane->failures = 0;
		return;
	}
	put_before(lane, &again, splits);
	back_off(lane, now_ns);
}

static void drop_piece(struct tl_http_lane_state *lane, enum tl_exporter_drop reason)
{
	lane->frame.dropped[reason] += lane->pieces->items;
	drop_first(lane);
	lane->failures = 0; // it answers
}

// Books a frame of which nothing is left to send. One that the queue dropped meanwhile was booked
// there.
static void finish_frame(struct tl_http_lane_state *lane)
{
	if (lane->pieces != NULL || lane->seq == 0)
		return;
	if (tl_queue_pop(lane->queue, lane->seq)) {
		lane->total.delivered += lane->frame.delivered;
		for (uint32_t i = 0; i < TL_DROP_COUNT; i++)
			lane->total.dropped[i] += lane->frame.dropped[i];
	}
	lane->seq = 0;
}

void tl_http_lane_done(struct tl_http_lane_state *lane, CURLcode code, uint64_t now_ns)
{
	// A complete head is an answer, whatever happens to the body.
	bool is_answered = lane->answer.is_head_complete;
	enum tl_http_verdict verdict = TL_HTTP_RETRY;

	lane->is_busy = lane->is_told_to_wait = lane->has_delivered = false;
	if (code != CURLE_OK && is_answered)
		lane->answer.is_cut = true;
	if (is_answered && lane->answer.status / 100 == 2)
		verdict = TL_HTTP_DELIVERED;
	else if (is_answered)
		verdict = tl_http_judge(lane->ops->rules, lane->answer.status);
	if (verdict != TL_HTTP_DELIVERED)
		describe(lane, code);
	switch (verdict) {
	case TL_HTTP_DELIVERED:
		accept_answer(lane, now_ns);
		break;
	case TL_HTTP_SPLIT:
		if (!split(lane, TL_HTTP_SPLITS_MAX))
			drop_piece(lane, TL_DROP_TOO_LARGE);
		break;
	case TL_HTTP_SPLIT_ONCE:
		if (!split(lane, 1))
			drop_piece(lane, TL_DROP_REJECTED);
		break;
	case TL_HTTP_DROP:
		drop_piece(lane, TL_DROP_REJECTED);
		break;
	default:
		back_off(lane, now_ns);
	}
	finish_frame(lane);
}

// ---- Life --------------------------------------------------------------------------------------

int tl_http_lane_init(struct tl_http_lane_state *lane, const struct tl_http_sink_spec *spec,
		      uint32_t index, struct tl_queue_recovery *ret_recovery, char *error,
		      uint32_t error_size)
{
	struct tl_queue_options queue = spec->options->queue;
	char folder[160], agent[64];
	uint32_t sharers = 0; // of the room: lanes that take something

	*lane = (struct tl_http_lane_state) {
		.options = spec->lanes[index].options != NULL ? spec->lanes[index].options :
			   spec->options,
		.ops = spec->ops, .arg = spec->arg, .exporter = spec->exporter, .index = index,
		.is_gzip = spec->lanes[index].is_gzip,
		.random = tl_clock_ns(CLOCK_REALTIME) ^ (uint64_t)(uintptr_t)lane,
	};
	(void)snprintf(lane->name, sizeof(lane->name), "%s", spec->lanes[index].name);
	(void)snprintf(lane->url, sizeof(lane->url), "%s", spec->lanes[index].url);
	(void)snprintf(folder, sizeof(folder), "%s-%s/%s", spec->exporter, spec->options->name,
		       lane->name);
	for (uint32_t i = 0; i < spec->lane_count; i++)
		sharers += !spec->lanes[i].goes_first;
	queue.bytes_max /= sharers != 0 ? sharers : 1;
	queue.memory_bytes_max /= sharers != 0 ? sharers : 1;
	lane->goes_first = spec->lanes[index].goes_first;
	int rc = tl_queue_open(&queue, folder, &lane->queue, ret_recovery, error, error_size);
	if (rc < 0)
		return rc;
	lane->last_time_ns = ret_recovery->last_time_ns;
	lane->easy = curl_easy_init();
	if (lane->easy == NULL) {
		(void)tl_queue_close(lane->queue);
		lane->queue = NULL;
		return -ENOMEM;
	}
	set_up(lane);
	(void)snprintf(agent, sizeof(agent), "tapline/%s",
		       spec->env->version != NULL ? spec->env->version : "");
	(void)curl_easy_setopt(lane->easy, CURLOPT_USERAGENT, agent);
	return 0;
}

uint64_t tl_http_lane_fini(struct tl_http_lane_state *lane)
{
	char folder[160];
	bool is_over = lane->goes_first && lane->queue != NULL && tl_http_lane_is_empty(lane);
	uint64_t lost = tl_queue_close(lane->queue);

	if (is_over) {
		(void)snprintf(folder, sizeof(folder), "%s-%s/%s", lane->exporter,
			       lane->options->name, lane->name);
		tl_queue_remove(&lane->options->queue, folder);
	}
	if (lane->easy != NULL)
		curl_easy_cleanup(lane->easy);
	curl_slist_free_all(lane->headers);
	free_pieces(lane->pieces);
	tl_text_free(&lane->answer.body);
	tl_text_free(&lane->token);
	tl_text_free(&lane->secret);
	return lost;
}

bool tl_http_lane_is_empty(struct tl_http_lane_state *lane)
{
	struct tl_queue_frame frame;
	return !lane->is_busy && lane->pieces == NULL && !tl_queue_peek(lane->queue, &frame);
}
