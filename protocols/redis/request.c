// SPDX-License-Identifier: Apache-2.0
// Reads commands: arrays of strings, or lines typed by hand. Arguments are walked by their lengths;
// their bytes are looked at only where they say something about the command.
#include "state.h"

#include "base/check.h"

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

// Most numbers have one or two digits: those at once. False: look closer.
static inline bool read_short_number(struct tl_bytes bytes, uint32_t at, struct redis_number *ret)
{
	const uint8_t *text = bytes.ptr + at;

	if (bytes.len - at < 5 || !is_digit(text[1]))
		return false;
	if (text[2] == '\r' && text[3] == '\n') {
		*ret = (struct redis_number) {.value = text[1] - '0', .next = at + 4};
		return true;
	}
	if (!is_digit(text[2]) || text[3] != '\r' || text[4] != '\n')
		return false;
	*ret = (struct redis_number) {
		.value = (text[1] - '0') * 10 + (text[2] - '0'), .next = at + 5};
	return true;
}

enum redis_line_kind tl_redis_number(struct tl_bytes bytes, uint32_t at, struct redis_number *ret)
{
	if (read_short_number(bytes, at, ret))
		return REDIS_LINE_OK;
	uint32_t end = bytes.len - at > REDIS_HEAD_BYTES_MAX ? at + REDIS_HEAD_BYTES_MAX : bytes.len;
	enum redis_line_kind kind = REDIS_LINE_OK;
	uint32_t i = at + 1;
	int64_t value = 0;

	bool is_negative = i < end && bytes.ptr[i] == '-';
	i += is_negative ? 1 : 0;
	uint32_t first = i;
	for (; i < end && bytes.ptr[i] >= '0' && bytes.ptr[i] <= '9'; i++) {
		if (i - first == 18)
			return REDIS_LINE_BAD;
		value = value * 10 + (bytes.ptr[i] - '0');
	}
	if (i == first && !is_negative && i < end && bytes.ptr[i] == '?') {
		kind = REDIS_LINE_STREAMED;
		i++;
	}
	if ((i < end && bytes.ptr[i] != '\r') || (i + 1 < end && bytes.ptr[i + 1] != '\n'))
		return REDIS_LINE_BAD;
	if (i + 1 >= end)
		return end == bytes.len ? REDIS_LINE_MORE : REDIS_LINE_BAD;
	if (i == first)
		return REDIS_LINE_BAD;
	ret->value = is_negative ? -value : value;
	ret->next = i + 2;
	return kind;
}

static struct tl_step ate_or_need(const struct redis_call *call, uint32_t at)
{
	return at != 0 ? tl_ate(at) : tl_need(call->view->bytes.len + 1);
}

// ---- Arguments -----------------------------------------------------------------------------

static uint32_t key_index(const struct redis_request *request)
{
	const struct redis_command *row = request->command;

	if (row == NULL)
		return 0;
	if (row->role == REDIS_ROLE_STREAMS)
		return request->streams_at == 0 ? 0 : request->streams_at + 1;
	if (row->first != 0)
		return (uint32_t)row->first;
	return row->count_at != 0 ? (uint32_t)row->count_at + 1 : 0;
}

static bool is_wait_argument(const struct redis_request *request)
{
	switch ((enum redis_wait)request->command->wait) {
	case REDIS_WAIT_NONE:
		break;
	case REDIS_WAIT_FIRST:
		return request->at == 1;
	case REDIS_WAIT_LAST:
		return request->at + 1 == request->count;
	case REDIS_WAIT_MS_2:
		return request->at == 2;
	case REDIS_WAIT_MS_3:
		return request->at == 3;
	case REDIS_WAIT_BLOCK:
		return request->blocks_next != 0;
	}
	return false;
}

// How many of the next argument's `size` bytes there is interest in.
static uint32_t wanted(const struct redis_call *call, uint64_t size)
{
	const struct redis_request *request = &call->redis->request;
	const struct redis_command *row = request->command;
	uint32_t most = size < REDIS_KEY_BYTES_MAX ? (uint32_t)size : REDIS_KEY_BYTES_MAX;

	if (row == NULL || request->at == 0)
		return 0;
	if (request->at == key_index(request)) {
		const struct tl_redis_options *options =
			(const struct tl_redis_options *)tl_options(call->ctx);
		if (options->record_key)
			return most;
	}
	bool is_option = row->role == REDIS_ROLE_STREAMS && request->streams_at == 0;
	bool is_count = row->count_at != 0 && request->at == (uint32_t)row->count_at;
	return size <= 32 && (is_option || is_count || is_wait_argument(request)) ? most : 0;
}

// A text of which `value` may be the beginning.
static void record_part(struct redis_call *call, uint8_t field, uint32_t max, struct tl_bytes value,
			uint64_t size)
{
	struct tl_values values;

	tl_values_open(&values, call->ctx, TL_CLIENT);
	tl_values_part(&values, field, max, value, size < UINT32_MAX ? (uint32_t)size : UINT32_MAX);
	tl_values_close(&values);
}

static void record_key(struct redis_call *call, struct tl_bytes key, uint64_t size)
{
	const struct tl_redis_options *options =
		(const struct tl_redis_options *)tl_options(call->ctx);
	const struct tl_text_list *patterns = &options->key_patterns;

	for (uint32_t i = 0; i < patterns->count && i < REDIS_PATTERNS_MAX; i++) {
		if (!tl_redis_glob(patterns->items[i], key))
			continue;
		tl_message_text(call->ctx, TL_CLIENT, REDIS_FIELD_KEY,
				tl_bytes_of(patterns->items[i]));
		return;
	}
	record_part(call, REDIS_FIELD_KEY, REDIS_KEY_BYTES_MAX, key, size);
}

static void note_wait(struct redis_call *call, struct tl_bytes text)
{
	struct redis_request *request = &call->redis->request;
	uint8_t wait = request->command->wait;
	bool is_seconds = wait == REDIS_WAIT_FIRST || wait == REDIS_WAIT_LAST;

	request->blocks_next = 0;
	tl_wait(call->ctx, TL_CLIENT, request->key,
		tl_redis_duration(text, is_seconds ? UINT64_C(1000000000) : UINT64_C(1000000)));
}

// The next argument has `size` bytes, of which `seen` are looked at.
static void note_argument(struct redis_call *call, uint64_t size, struct tl_bytes seen)
{
	struct redis_request *request = &call->redis->request;
	const struct redis_command *row = request->command;
	int64_t count;

	if (request->at != 0)
		request->argument_bytes += size;
	if (seen.len == 0 || row == NULL)
		return;
	if (request->at == key_index(request)) {
		record_key(call, seen, size);
	} else if (is_wait_argument(request)) {
		note_wait(call, seen);
	} else if (row->count_at != 0 && request->at == (uint32_t)row->count_at) {
		if (tl_redis_integer(seen, &count) && count > 0 && count < request->count)
			request->keys = (uint32_t)count;
	} else if (tl_bytes_is_nocase(seen, "STREAMS")) {
		request->streams_at = request->at;
	} else if (tl_bytes_is_nocase(seen, "BLOCK")) {
		request->blocks_next = 1;
	}
}

static uint32_t key_count(const struct redis_request *request)
{
	const struct redis_command *row = request->command;
	int64_t count = (int64_t)request->count;

	if (row->role == REDIS_ROLE_STREAMS)
		return request->streams_at == 0 ? 0 : (request->count - request->streams_at - 1) / 2;
	if (row->first == 0)
		return request->keys;
	int64_t last = row->last < 0 ? count + row->last : row->last;
	if (last >= count)
		last = count - 1;
	if (last < row->first)
		return request->keys;
	return request->keys + (uint32_t)((last - row->first) / row->step) + 1;
}

static void finish_request(struct redis_call *call, uint64_t end)
{
	struct redis_request *request = &call->redis->request;

	if (tl_message_is_open(call->ctx, TL_CLIENT)) {
		if (request->command != NULL)
			tl_message_uint(call->ctx, TL_CLIENT, REDIS_FIELD_KEY_COUNT,
					key_count(request));
		tl_message_uint(call->ctx, TL_CLIENT, REDIS_FIELD_ARGUMENT_BYTES,
				request->argument_bytes);
		tl_message_end(call->ctx, TL_CLIENT, end);
	}
	memset(request, 0, sizeof(*request));
}

static struct tl_step hunt(struct redis_call *call, uint32_t at)
{
	struct redis_request *request = &call->redis->request;
	struct tl_bytes left = tl_bytes_from(call->view->bytes, at);
	uint32_t start = tl_redis_find_request(left);

	request->argument_bytes += start;
	if (start < left.len)
		memset(request, 0, sizeof(*request));
	else if (request->argument_bytes > REDIS_HUNT_BYTES_MAX)
		return tl_stop();
	return tl_ate(at + start);
}

// What stands at `at` is no command. Servers close the connection then.
static struct tl_step bad_request(struct redis_call *call, uint32_t at)
{
	struct redis_request *request = &call->redis->request;

	tl_count(call->ctx, REDIS_COUNT_BAD_REQUEST);
	tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_TRUNCATED);
	tl_message_end(call->ctx, TL_CLIENT, call->view->offset + at);
	tl_redis_lose_order(call);
	memset(request, 0, sizeof(*request));
	request->phase = REDIS_HUNT;
	if (at < call->view->bytes.len)
		return hunt(call, at + (call->view->bytes.ptr[at] == '*' ? 1 : 0));
	return tl_ate(at);
}

static struct tl_step read_arguments(struct redis_call *call, uint32_t at)
{
	struct redis_request *request = &call->redis->request;
	struct tl_bytes bytes = call->view->bytes;
	struct redis_number size;
	uint64_t body = 0;

	for (; request->at < request->count && at < bytes.len; request->at++) {
		if (bytes.ptr[at] != '$')
			return bad_request(call, at);
		enum redis_line_kind kind = tl_redis_number(bytes, at, &size);
		if (kind == REDIS_LINE_MORE)
			break;
		if (kind != REDIS_LINE_OK || size.value < 0 || size.value > REDIS_BULK_BYTES_MAX)
			return bad_request(call, at);
		uint64_t len = (uint64_t)size.value;
		uint32_t want = wanted(call, len);
		uint32_t left = bytes.len - size.next;
		if (left < want)
			break;
		body += len;
		note_argument(call, len, tl_bytes(bytes.ptr + size.next, want));
		if (left < len + 2) {
			request->at++;
			request->phase = REDIS_ARGUMENT_TAIL;
			tl_message_body(call->ctx, TL_CLIENT, body);
			return tl_skip(size.next + len);
		}
		at = size.next + (uint32_t)len + 2;
		if (bytes.ptr[at - 2] != '\r' || bytes.ptr[at - 1] != '\n')
			return bad_request(call, at - 2);
	}
	tl_message_body(call->ctx, TL_CLIENT, body);
	if (request->at == request->count)
		finish_request(call, call->view->offset + at);
	return ate_or_need(call, at);
}

static struct tl_step argument_tail(struct redis_call *call)
{
	struct redis_request *request = &call->redis->request;
	struct tl_bytes bytes = call->view->bytes;

	if (bytes.ptr[0] != '\r' || (bytes.len > 1 && bytes.ptr[1] != '\n'))
		return bad_request(call, 0);
	if (bytes.len < 2)
		return tl_need(2);
	request->phase = REDIS_ARGUMENTS;
	return read_arguments(call, 2);
}

// ---- The name -----------------------------------------------------------------------------

#define WORDS_MAX 3u

// The first words of a command, cut to REDIS_NAME_BYTES_MAX.
struct words {
	struct tl_bytes word[WORDS_MAX];
	uint64_t size[WORDS_MAX]; // that they have on the wire
	uint32_t count; // of those that were looked at
	const struct redis_command *row; // of the first, NULL: not listed
};

// A word in front of `*at`, which moves behind it.
static enum redis_line_kind peek_word(struct tl_bytes bytes, uint32_t *at, struct words *words)
{
	struct redis_number size;

	if (*at == bytes.len)
		return REDIS_LINE_MORE;
	if (bytes.ptr[*at] != '$')
		return REDIS_LINE_BAD;
	enum redis_line_kind kind = tl_redis_number(bytes, *at, &size);
	if (kind != REDIS_LINE_OK)
		return kind == REDIS_LINE_MORE ? kind : REDIS_LINE_BAD;
	if (size.value < 0 || size.value > REDIS_BULK_BYTES_MAX)
		return REDIS_LINE_BAD;
	uint32_t len = size.value < REDIS_NAME_BYTES_MAX ? (uint32_t)size.value : REDIS_NAME_BYTES_MAX;
	if (bytes.len - size.next < len)
		return REDIS_LINE_MORE;
	words->size[words->count] = (uint64_t)size.value;
	words->word[words->count++] = tl_bytes(bytes.ptr + size.next, len);
	if (size.value > len)
		words->count = WORDS_MAX; // what follows is out of reach: empty words
	else if (bytes.len - size.next < len + 2)
		*at = bytes.len;
	else
		*at = size.next + len + 2;
	return REDIS_LINE_OK;
}

// How many words there are to look at before it is known what kind of command it is.
static uint32_t words_needed(const struct redis_command *row, const struct words *words)
{
	if (row == NULL)
		return 1;
	if (row->role == REDIS_ROLE_SELECT || row->role == REDIS_ROLE_REPLCONF)
		return 2;
	if (row->role != REDIS_ROLE_CONTAINER)
		return 1;
	bool is_reply = words->count > 1 && strcmp(row->name, "CLIENT") == 0 &&
			tl_bytes_is_nocase(words->word[1], "REPLY");
	return is_reply ? 3 : 2;
}

static enum redis_line_kind peek_words(struct tl_bytes bytes, uint32_t at, uint32_t count,
				       struct words *ret)
{
	uint8_t upper[REDIS_NAME_BYTES_MAX];

	ret->count = 0;
	ret->row = NULL;
	do {
		enum redis_line_kind kind = peek_word(bytes, &at, ret);
		if (kind != REDIS_LINE_OK)
			return kind;
		if (ret->count == 1)
			ret->row = tl_redis_command(tl_redis_upper(ret->word[0], upper));
	} while (ret->count < count && ret->count < words_needed(ret->row, ret));
	return REDIS_LINE_OK;
}

// CLIENT REPLY ON, OFF and SKIP, and what they do to other commands. True: no reply will come.
static bool is_muted(struct redis *redis, const struct words *words, uint32_t needed)
{
	bool muted = (redis->flags & (REDIS_MUTED | REDIS_SKIPS_ONE)) != 0;
	struct tl_bytes mode = needed == 3 ? words->word[2] : tl_bytes(NULL, 0);

	redis->flags &= (uint16_t)~REDIS_SKIPS_ONE;
	if (tl_bytes_is_nocase(mode, "ON")) {
		redis->flags &= (uint16_t)~REDIS_MUTED;
		return false;
	}
	if (tl_bytes_is_nocase(mode, "OFF")) {
		redis->flags |= REDIS_MUTED;
		return true;
	}
	if (!tl_bytes_is_nocase(mode, "SKIP"))
		return muted;
	if ((redis->flags & REDIS_MUTED) == 0)
		redis->flags |= REDIS_SKIPS_ONE;
	return true;
}

static void leave_multi(struct redis *redis, bool drop)
{
	if ((redis->flags & REDIS_IN_MULTI) != 0 && drop)
		redis->db = redis->multi_db;
	redis->flags &= (uint16_t)~REDIS_IN_MULTI;
	redis->multi_db = 0;
}

static void select_db(struct redis *redis, struct tl_bytes word)
{
	int64_t db;

	if (!tl_redis_integer(word, &db) || db < 0 || db >= UINT32_MAX)
		return;
	redis->db = (uint32_t)db + 1;
	redis->flags |= REDIS_SELECTS;
}

// What the command changes for those behind it, and for its own answer.
static void apply_role(struct redis_call *call, const struct words *words, struct redis_memo *memo)
{
	struct redis *redis = call->redis;

	memo->db = redis->db;
	switch ((enum redis_role)memo->role) {
	case REDIS_ROLE_SUBSCRIBE:
	case REDIS_ROLE_PSUBSCRIBE:
	case REDIS_ROLE_SSUBSCRIBE:
		redis->flags |= REDIS_SUBSCRIBER;
		memo->replies = redis->request.count - 1;
		break;
	case REDIS_ROLE_UNSUBSCRIBE:
	case REDIS_ROLE_PUNSUBSCRIBE:
	case REDIS_ROLE_SUNSUBSCRIBE:
		memo->replies = redis->request.count - 1;
		break;
	case REDIS_ROLE_MULTI:
		redis->flags |= REDIS_IN_MULTI;
		redis->multi_db = redis->db;
		break;
	case REDIS_ROLE_EXEC:
		if ((redis->flags & REDIS_IN_MULTI) != 0)
			memo->db = redis->multi_db;
		leave_multi(redis, false);
		break;
	case REDIS_ROLE_DISCARD:
		leave_multi(redis, true);
		break;
	case REDIS_ROLE_SELECT:
		if (words->count > 1)
			select_db(redis, words->word[1]);
		break;
	case REDIS_ROLE_RESET:
		leave_multi(redis, true);
		redis->db = 0;
		redis->flags &= (uint16_t)~(REDIS_MUTED | REDIS_SKIPS_ONE);
		break;
	case REDIS_ROLE_MONITOR:
		redis->flags |= REDIS_MONITORS;
		break;
	default:
		break;
	}
}

static void record_name(struct redis_call *call, const struct words *words)
{
	const struct redis_command *row = call->redis->request.command;
	uint8_t name[2 * REDIS_NAME_BYTES_MAX + 1];
	struct tl_bytes upper = tl_redis_upper(words->word[0], name);
	uint64_t size = words->size[0];

	if (row != NULL && row->role == REDIS_ROLE_CONTAINER && words->count > 1 &&
	    words->word[1].len != 0) {
		name[upper.len] = ' ';
		struct tl_bytes sub = tl_redis_upper(words->word[1], name + upper.len + 1);
		upper.len += 1 + sub.len;
		size += 1 + words->size[1];
	}
	record_part(call, REDIS_FIELD_COMMAND, sizeof(name), upper, size);
}

static bool is_acknowledgement(const struct words *words)
{
	return words->count > 1 && tl_bytes_is_nocase(words->word[0], "REPLCONF") &&
	       tl_bytes_is_nocase(words->word[1], "ACK");
}

// A command with `count` words begins at `at`.
static void open_request(struct redis_call *call, uint32_t at, uint32_t count,
			 const struct words *words)
{
	struct redis *redis = call->redis;
	struct redis_request *request = &redis->request;
	uint64_t offset = call->view->offset + at;

	tl_redis_note_turn(call, offset);
	*request = (struct redis_request) {
		.key = offset,
		.count = count,
		.command = words->row,
	};
	struct redis_memo memo = {
		.role = request->command == NULL ? (uint8_t)REDIS_ROLE_PLAIN : request->command->role,
		.is_fresh = redis->order != REDIS_ALIGNED,
	};
	uint32_t db = redis->db;
	bool muted = is_muted(redis, words, words_needed(request->command, words));
	tl_message_begin(call->ctx, TL_CLIENT, offset);
	record_name(call, words);
	apply_role(call, words, &memo);
	if (db != 0)
		tl_message_uint(call->ctx, TL_CLIENT, REDIS_FIELD_DB, db - 1);
	if ((redis->flags & (REDIS_UNSURE | REDIS_DOUBT)) != 0)
		tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_GAP);
	if (muted || is_acknowledgement(words))
		tl_one_way(call->ctx, TL_CLIENT);
	else
		tl_open(call->ctx, TL_CLIENT, offset, &memo);
}

// ---- Inline commands -----------------------------------------------------------------------

// The next word of a line; one in quotes goes on to the closing one.
static bool next_word(struct tl_bytes line, uint32_t *at, struct tl_bytes *ret_word)
{
	uint32_t i = *at;

	while (i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t'))
		i++;
	if (i == line.len)
		return false;
	uint8_t quote = line.ptr[i] == '"' || line.ptr[i] == '\'' ? line.ptr[i] : 0;
	uint32_t start = i + (quote != 0 ? 1 : 0);
	for (i = start; i < line.len; i++) {
		if (quote == '"' && line.ptr[i] == '\\')
			i++;
		else if (quote != 0 ? line.ptr[i] == quote : line.ptr[i] == ' ' || line.ptr[i] == '\t')
			break;
	}
	if (i > line.len)
		i = line.len;
	*ret_word = tl_bytes(line.ptr + start, i - start);
	*at = i < line.len ? i + 1 : i;
	return true;
}

static bool is_text(struct tl_bytes line)
{
	for (uint32_t i = 0; i < line.len; i++)
		if ((line.ptr[i] < 0x20 && line.ptr[i] != '\t') || line.ptr[i] == 0x7f)
			return false;
	return line.len != 0;
}

static bool is_letter(uint8_t c)
{
	c = tl_ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

// The line at `at` without its end; `*ret_next` is behind it.
static enum redis_line_kind find_line(struct tl_bytes bytes, uint32_t at, struct tl_bytes *ret_line,
				      uint32_t *ret_next)
{
	struct tl_bytes shown =
		tl_bytes_first(tl_bytes_from(bytes, at), REDIS_LINE_BYTES_MAX);
	uint32_t end = tl_bytes_find(shown, '\n', 0);

	*ret_next = at + shown.len;
	*ret_line = shown;
	if (end == TL_BYTES_NONE)
		return shown.len == REDIS_LINE_BYTES_MAX ? REDIS_LINE_STREAMED : REDIS_LINE_MORE;
	*ret_next = at + end + 1;
	*ret_line = tl_bytes_first(shown, end != 0 && shown.ptr[end - 1] == '\r' ? end - 1 : end);
	return REDIS_LINE_OK;
}

static struct tl_step read_inline(struct redis_call *call, uint32_t at)
{
	struct redis_request *request = &call->redis->request;
	struct tl_bytes line;
	struct tl_bytes word;
	struct words words = {.count = 0};
	uint8_t upper[REDIS_NAME_BYTES_MAX];
	uint32_t next;
	uint32_t count = 0;
	uint64_t body = 0;

	enum redis_line_kind kind = find_line(call->view->bytes, at, &line, &next);
	bool is_torn = kind == REDIS_LINE_MORE && line.len != 0 && line.ptr[line.len - 1] == '\r';
	if (!is_letter(line.ptr[0]) || !is_text(is_torn ? tl_bytes_first(line, line.len - 1) : line))
		return bad_request(call, at);
	if (kind == REDIS_LINE_MORE)
		return ate_or_need(call, at);
	for (uint32_t i = 0; next_word(line, &i, &word); count++) {
		if (count < WORDS_MAX) {
			words.size[words.count] = word.len;
			words.word[words.count++] = tl_bytes_first(word, REDIS_NAME_BYTES_MAX);
		}
		body += word.len;
	}
	words.row = tl_redis_command(tl_redis_upper(words.word[0], upper));
	open_request(call, at, count, &words);
	for (uint32_t i = 0; next_word(line, &i, &word); request->at++)
		note_argument(call, word.len, tl_bytes_first(word, wanted(call, word.len)));
	tl_message_body(call->ctx, TL_CLIENT, body);
	if (kind == REDIS_LINE_OK) {
		finish_request(call, call->view->offset + next);
		return tl_ate(next);
	}
	tl_count(call->ctx, REDIS_COUNT_LONG_LINE);
	tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_TRUNCATED);
	request->phase = REDIS_INLINE_REST;
	return tl_ate(next);
}

static struct tl_step inline_rest(struct redis_call *call)
{
	uint32_t end = tl_bytes_find(call->view->bytes, '\n', 0);

	if (end == TL_BYTES_NONE)
		return tl_ate(call->view->bytes.len);
	finish_request(call, call->view->offset + end + 1);
	return tl_ate(end + 1);
}

// ---- Steps ---------------------------------------------------------------------------------

// A replica acknowledges what it was sent: where the beginning was missed, this tells that the
// connection carries a replication stream.
static struct tl_step join_replication(struct redis_call *call, uint32_t next)
{
	const uint64_t offset[TL_LANE_COUNT] = {call->view->offset + next, 0};

	tl_switch(call->ctx, TL_PROTOCOL_OPAQUE, offset);
	return tl_ate(next);
}

static struct tl_step read_start(struct redis_call *call)
{
	struct tl_bytes bytes = call->view->bytes;
	struct redis_number count;
	struct words words;
	uint32_t at = 0;

	while (at < bytes.len && (bytes.ptr[at] == '\r' || bytes.ptr[at] == '\n'))
		at++;
	if (at == bytes.len)
		return tl_ate(at);
	if (bytes.ptr[at] != '*')
		return read_inline(call, at);
	enum redis_line_kind kind = tl_redis_number(bytes, at, &count);
	if (kind == REDIS_LINE_MORE)
		return ate_or_need(call, at);
	if (kind != REDIS_LINE_OK || count.value > REDIS_ARGUMENTS_MAX)
		return bad_request(call, at);
	if (count.value <= 0)
		return tl_ate(count.next); // servers ignore it
	kind = peek_words(bytes, count.next, (uint32_t)count.value, &words);
	if (kind == REDIS_LINE_MORE)
		return ate_or_need(call, at);
	if (kind != REDIS_LINE_OK)
		return bad_request(call, at);
	bool is_whole = call->redis->order == REDIS_ALIGNED && !tl_is_late_join(call->ctx);
	if (!is_whole && is_acknowledgement(&words))
		return join_replication(call, count.next);
	open_request(call, at, (uint32_t)count.value, &words);
	call->redis->request.phase = REDIS_ARGUMENTS;
	return read_arguments(call, count.next);
}

struct tl_step tl_redis_request(struct redis_call *call)
{
	switch ((enum redis_request_phase)call->redis->request.phase) {
	case REDIS_REQUEST_START:
		return read_start(call);
	case REDIS_ARGUMENTS:
		return read_arguments(call, 0);
	case REDIS_ARGUMENT_TAIL:
		return argument_tail(call);
	case REDIS_INLINE_REST:
		return inline_rest(call);
	case REDIS_HUNT:
		break;
	}
	struct tl_step step = hunt(call, 0);
	return step.kind == TL_STEP_ATE && step.bytes == 0 ? read_start(call) : step;
}

// ---- Recognition ---------------------------------------------------------------------------

static enum tl_match match_inline(struct tl_bytes bytes)
{
	uint8_t upper[REDIS_NAME_BYTES_MAX];
	struct tl_bytes line;
	struct tl_bytes word = {0};
	uint32_t next;
	uint32_t at = 0;

	enum redis_line_kind kind = find_line(bytes, 0, &line, &next);
	if (!is_letter(line.ptr[0]) || kind == REDIS_LINE_STREAMED)
		return TL_MATCH_NO;
	(void)next_word(line, &at, &word);
	word = tl_redis_upper(word, upper);
	if (word.len == line.len && kind == REDIS_LINE_MORE)
		return word.len < sizeof(((struct redis_command *)0)->name) ? TL_MATCH_UNSURE
									     : TL_MATCH_NO;
	if (tl_redis_command(word) == NULL)
		return TL_MATCH_NO;
	// Mail protocols begin with these, and are answered with "+OK": the port has the word.
	if (tl_bytes_is(word, "AUTH") || tl_bytes_is(word, "QUIT"))
		return TL_MATCH_UNSURE;
	if (kind == REDIS_LINE_MORE)
		return TL_MATCH_UNSURE;
	return is_text(line) ? TL_MATCH_LIKELY : TL_MATCH_NO;
}

enum tl_match tl_redis_match_request(struct tl_bytes bytes)
{
	uint8_t upper[REDIS_NAME_BYTES_MAX];
	struct redis_number count;
	struct words words;

	if (bytes.ptr[0] != '*')
		return match_inline(bytes);
	enum redis_line_kind kind = tl_redis_number(bytes, 0, &count);
	if (kind == REDIS_LINE_MORE)
		return TL_MATCH_UNSURE;
	if (kind != REDIS_LINE_OK || count.value <= 0 || count.value > REDIS_ARGUMENTS_MAX)
		return TL_MATCH_NO;
	words.count = 0;
	uint32_t at = count.next;
	kind = peek_word(bytes, &at, &words);
	if (kind == REDIS_LINE_MORE)
		return TL_MATCH_UNSURE;
	if (kind != REDIS_LINE_OK || !is_text(words.word[0]))
		return TL_MATCH_NO;
	return tl_redis_command(tl_redis_upper(words.word[0], upper)) != NULL ? TL_MATCH_CERTAIN
									      : TL_MATCH_LIKELY;
}

// Does a command begin at `at`, and is everything behind it, as far as it is looked at, RESP too?
static bool is_command_at(struct tl_bytes bytes, uint32_t at)
{
	struct redis_number number;
	int64_t left = 0;
	bool has_name = false;

	for (uint32_t i = 0; i < REDIS_CHAIN_MAX && at < bytes.len; i++) {
		if (bytes.ptr[at] != (left == 0 ? '*' : '$'))
			return false;
		enum redis_line_kind kind = tl_redis_number(bytes, at, &number);
		if (kind == REDIS_LINE_MORE)
			break;
		if (kind != REDIS_LINE_OK || number.value < 0)
			return false;
		at = number.next;
		if (left == 0) {
			left = number.value;
			if (left == 0 || left > REDIS_ARGUMENTS_MAX)
				return false;
			continue;
		}
		left--;
		if (number.value > REDIS_BULK_BYTES_MAX)
			return false;
		if (!has_name && (at == bytes.len || !is_letter(bytes.ptr[at])))
			return false;
		has_name = true;
		if (bytes.len - at < (uint64_t)number.value + 2)
			break;
		at += (uint32_t)number.value + 2;
		if (bytes.ptr[at - 2] != '\r' || bytes.ptr[at - 1] != '\n')
			return false;
	}
	return has_name;
}

uint32_t tl_redis_find_request(struct tl_bytes bytes)
{
	for (uint32_t at = 0; at < bytes.len;) {
		if (bytes.ptr[at] == '*' && is_command_at(bytes, at))
			return at;
		uint32_t end = tl_bytes_find(bytes, '\n', at);
		if (end == TL_BYTES_NONE)
			break;
		at = end + 1;
	}
	return bytes.len;
}
