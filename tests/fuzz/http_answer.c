// SPDX-License-Identifier: Apache-2.0
// What a receiver answers, as curl hands it over: header lines, then pieces of a body. First byte:
// size of the pieces. Whatever it is: limits hold, items are counted once, a wait is never longer
// than the limit.
#include "tests/fuzz/fuzz.h"

#include "exporters/http_sink/lane.h"

#include <string.h>

#define ITEMS 8u
#define NOW UINT64_C(1700000000000000000)

static bool split(void *arg, uint32_t lane, struct tl_bytes payload, uint32_t items,
		  struct tl_http_pieces *pieces)
{
	(void)arg;
	(void)lane;
	if (items < 2)
		return false;
	tl_http_pieces_add(pieces, payload, items / 2);
	tl_http_pieces_add(pieces, payload, items - items / 2);
	return true;
}

static void accepted(void *arg, struct tl_bytes payload, uint32_t items,
		     const struct tl_http_reply *reply, struct tl_http_result *result,
		     struct tl_http_pieces *again)
{
	(void)arg;
	FUZZ_CHECK(reply->status >= 200 && reply->status < 300);
	FUZZ_CHECK(reply->body.len <= TL_HTTP_REPLY_BYTES_MAX);
	if (reply->body.len % 2 == 1 && items > 1) {
		result->rejected = 1;
		tl_http_pieces_add(again, payload, items - 1);
		return;
	}
	result->delivered = items;
}

static const struct tl_http_sink_ops ops = {
	.content_type = "text/plain",
	.rules = (const struct tl_http_rule[]) {
		{400, 400, TL_HTTP_SPLIT_ONCE}, {413, 413, TL_HTTP_SPLIT}, {401, 404, TL_HTTP_HOLD},
		{429, 429, TL_HTTP_RETRY}, {0},
	},
	.split = split,
	.accepted = accepted,
};

static void answer(struct tl_http_lane_state *lane, const uint8_t *data, size_t size, size_t step)
{
	size_t at = 0;

	while (at < size && !lane->answer.is_head_complete) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = end == NULL ? size - at : (size_t)(end - data) - at + 1;
		if (tl_http_on_header((char *)(uintptr_t)(data + at), 1, len, lane) != len)
			return;
		at += len;
	}
	for (; at < size; at += step) {
		size_t len = size - at < step ? size - at : step;
		if (tl_http_on_body((char *)(uintptr_t)(data + at), 1, len, lane) != len)
			return;
	}
}

static uint64_t items_of(const struct tl_http_lane_state *lane)
{
	const struct tl_http_books *books[] = {&lane->frame, &lane->total};
	uint64_t sum = 0;

	if (lane->seq == 0)
		books[0] = books[1]; // the frame's were added to the total
	for (size_t b = 0; b < 2; b++) {
		sum += books[b]->delivered;
		for (uint32_t i = 0; i < TL_DROP_COUNT; i++)
			sum += books[b]->dropped[i];
	}
	if (lane->seq == 0)
		return sum / 2;
	for (const struct tl_http_piece *piece = lane->pieces; piece != NULL; piece = piece->next)
		sum += piece->items;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct tl_http_options options = {
		.url = "http://127.0.0.1:1/", .name = "fuzz", .timeout_ns = 1000000000,
		.basic_auth = {.username = "", .password = "", .password_file = ""},
		.bearer_token = "", .bearer_token_file = "",
		.tls = {.ca_file = "", .cert_file = "", .key_file = ""},
		.backoff = {.min_ns = 1000000, .max_ns = 8000000},
		.queue = {.storage = TL_QUEUE_MEMORY, .memory_bytes_max = 1 << 20},
	};
	const struct tl_exporter_env env = {.version = "fuzz"};
	const struct tl_http_lane lanes[] = {{.name = "1", .url = options.url}};
	const struct tl_http_sink_spec spec = {.exporter = "fuzz", .options = &options, .env = &env,
					       .ops = &ops, .lanes = lanes, .lane_count = 1};
	struct tl_http_lane_state lane;
	struct tl_queue_recovery recovery;
	struct tl_queue_frame frame;
	char error[200];

	FUZZ_CHECK(tl_http_retry_after(tl_bytes(data, (uint32_t)size), NOW) <=
		   TL_HTTP_RETRY_AFTER_NS_MAX);
	if (size < 1)
		return 0;
	FUZZ_CHECK(tl_http_lane_init(&lane, &spec, 0, &recovery, error, sizeof(error)) == 0);
	FUZZ_CHECK(tl_queue_push(lane.queue, tl_bytes("x", 1), ITEMS, 1) == 0);
	FUZZ_CHECK(tl_queue_peek(lane.queue, &frame));
	lane.seq = frame.seq;
	lane.pieces = calloc(1, sizeof(*lane.pieces) + 1);
	FUZZ_CHECK(lane.pieces != NULL);
	lane.pieces->items = ITEMS;
	lane.pieces->len = 1;
	// The same answer over and over: it must come to an end or wait.
	for (uint32_t i = 0; i < 40 && lane.seq != 0; i++) {
		lane.answer.status = 0;
		lane.answer.is_head_complete = lane.answer.is_cut = false;
		lane.answer.head_bytes = lane.answer.body_bytes = lane.answer.retry_after_ns = 0;
		tl_text_clear(&lane.answer.body);
		answer(&lane, data + 1, size - 1, (size_t)data[0] + 1);
		tl_http_lane_done(&lane, lane.answer.is_head_complete ? CURLE_OK : CURLE_GOT_NOTHING, NOW);
		FUZZ_CHECK(lane.next_ns <= NOW + TL_HTTP_RETRY_AFTER_NS_MAX);
		FUZZ_CHECK(items_of(&lane) == ITEMS);
	}
	(void)tl_http_lane_fini(&lane);
	return 0;
}
