// SPDX-License-Identifier: Apache-2.0
// Reads replies of RESP2 and RESP3: the first line decides what a reply answers, the rest is walked
// by lengths and counts. Aggregates need no stack: how many values are still to come is one number,
// but for streamed ones, which end by a mark.
#include "state.h"

#include "base/check.h"

static struct tl_step ate_or_need(const struct redis_call *call, uint32_t at)
{
	return at != 0 ? tl_ate(at) : tl_need(call->view->bytes.len + 1);
}

static struct redis_memo *oldest(const struct redis_call *call, uint64_t *ret_key)
{
	return (struct redis_memo *)tl_pending_oldest(call->ctx, TL_CLIENT, ret_key);
}

// ---- Pub/sub -------------------------------------------------------------------------------

static const struct {
	const char *word;
	uint8_t role;         // of the command that it confirms; PLAIN: a message
	uint8_t subscription; // index in redis.subscriptions
} pushes[] = {
	{"message", REDIS_ROLE_PLAIN, 0},
	{"pmessage", REDIS_ROLE_PLAIN, 1},
	{"smessage", REDIS_ROLE_PLAIN, 2},
	{"subscribe", REDIS_ROLE_SUBSCRIBE, 0},
	{"psubscribe", REDIS_ROLE_PSUBSCRIBE, 1},
	{"ssubscribe", REDIS_ROLE_SSUBSCRIBE, 2},
	{"unsubscribe", REDIS_ROLE_UNSUBSCRIBE, 0},
	{"punsubscribe", REDIS_ROLE_PUNSUBSCRIBE, 1},
	{"sunsubscribe", REDIS_ROLE_SUNSUBSCRIBE, 2},
};

#define PUSH_WORD_MAX 32u // longest kind of push looked at
#define PUSH_UNKNOWN TL_COUNT_OF(pushes)

struct push {
	struct tl_bytes word; // "message"
	uint32_t kind;        // index in pushes[], PUSH_UNKNOWN
};

// The first element of the array or push at `at`.
static enum redis_line_kind peek_push(struct tl_bytes bytes, uint32_t at, struct push *ret)
{
	struct redis_number number;

	*ret = (struct push) {.kind = PUSH_UNKNOWN};
	enum redis_line_kind kind = tl_redis_number(bytes, at, &number);
	if (kind != REDIS_LINE_OK)
		return kind;
	bool is_push = bytes.ptr[at] == '>';
	if (number.value < 1 || (!is_push && number.value != 3 && number.value != 4))
		return REDIS_LINE_OK;
	at = number.next;
	if (at == bytes.len)
		return REDIS_LINE_MORE;
	if (bytes.ptr[at] != '$')
		return REDIS_LINE_OK;
	kind = tl_redis_number(bytes, at, &number);
	if (kind != REDIS_LINE_OK)
		return kind == REDIS_LINE_MORE ? kind : REDIS_LINE_OK;
	if (number.value < 1 || number.value > PUSH_WORD_MAX)
		return REDIS_LINE_OK;
	if (bytes.len - number.next < (uint64_t)number.value)
		return REDIS_LINE_MORE;
	ret->word = tl_bytes(bytes.ptr + number.next, (uint32_t)number.value);
	for (uint32_t i = 0; i < PUSH_UNKNOWN; i++)
		if (tl_bytes_is(ret->word, pushes[i].word))
			ret->kind = i;
	return REDIS_LINE_OK;
}

static uint32_t push_of_role(uint32_t role)
{
	uint32_t i = 0;

	while (i < PUSH_UNKNOWN && (role == REDIS_ROLE_PLAIN || pushes[i].role != role))
		i++;
	return i;
}

// In RESP2 messages are arrays: only who subscribed, or asked for nothing, is sent any.
static bool may_be_message(const struct redis_call *call, const struct redis_memo *memo)
{
	return (call->redis->flags & REDIS_SUBSCRIBER) != 0 || memo == NULL ||
	       push_of_role(memo->role) != PUSH_UNKNOWN;
}

// A confirmation is over: `number` is what the server says that is subscribed to.
static void confirm(struct redis_call *call)
{
	struct redis *redis = call->redis;
	uint32_t push = push_of_role(redis->reply.role);
	uint32_t kind = pushes[push].subscription;
	uint32_t other = kind == 2 ? 0 : redis->subscriptions[1 - kind];
	uint32_t before = redis->subscriptions[kind];
	uint32_t total = redis->reply.number < UINT32_MAX ? (uint32_t)redis->reply.number : UINT32_MAX;
	uint64_t key;

	redis->subscriptions[kind] = total > other ? total - other : 0;
	bool is_none = redis->subscriptions[0] + redis->subscriptions[1] == 0 &&
		       redis->subscriptions[2] == 0;
	if (is_none && redis->reply.role >= REDIS_ROLE_UNSUBSCRIBE)
		redis->flags &= (uint16_t)~REDIS_SUBSCRIBER;
	if ((redis->reply.flags & REDIS_DROPPED) != 0)
		return;
	struct redis_memo *memo = oldest(call, &key);
	if (memo == NULL)
		return;
	// Without arguments it is for all, each with its own confirmation, and at least one.
	bool is_counted = !tl_is_late_join(call->ctx) && (redis->flags & REDIS_UNSURE) == 0;
	if (memo->replies == 0)
		memo->replies = before == 0 || !is_counted ? 1 : before;
	if (--memo->replies == 0)
		tl_close(call->ctx, TL_SERVER, key, TL_STATUS_OK, TL_REASON_NONE);
	else
		tl_part(call->ctx, TL_SERVER, key);
}

// ---- The end of a reply ----------------------------------------------------------------------

// Behind the last byte of a value at top level.
static void finish_reply(struct redis_call *call, uint64_t end)
{
	struct redis_reply *reply = &call->redis->reply;
	uint64_t key;

	if ((reply->flags & REDIS_ATTRIBUTE) != 0) {
		reply->flags = (uint8_t)((reply->flags & ~REDIS_ATTRIBUTE) | REDIS_BEGUN);
		reply->phase = REDIS_REPLY_START;
		return;
	}
	if ((reply->flags & REDIS_CONFIRMS) != 0)
		confirm(call);
	if (reply->errors != 0 && (reply->flags & REDIS_AGGREGATE) != 0)
		tl_message_uint(call->ctx, TL_SERVER, REDIS_FIELD_ERRORS, reply->errors);
	if ((reply->flags & REDIS_EXEC) != 0 && oldest(call, &key) != NULL)
		tl_close(call->ctx, TL_SERVER, key,
			 reply->errors != 0 ? TL_STATUS_CLIENT_ERROR : TL_STATUS_OK, TL_REASON_NONE);
	tl_message_end(call->ctx, TL_SERVER, end);
	memset(reply, 0, sizeof(*reply));
}

// One value is over. True: so is the reply.
static bool value_done(struct redis_reply *reply)
{
	// Bounded by the depth, which shrinks with each turn.
	while (reply->left != REDIS_STREAM) {
		reply->left--;
		if (reply->left != 0)
			return false;
		if (reply->depth == 0)
			return true;
		reply->left = reply->outer[--reply->depth];
		if (reply->left == REDIS_STREAM)
			return false;
	}
	return false;
}

static bool push_level(struct redis_reply *reply, uint64_t left)
{
	if (reply->depth == REDIS_DEPTH_MAX)
		return false;
	reply->outer[reply->depth++] = reply->left;
	reply->left = left;
	return true;
}

// ---- Discarding ------------------------------------------------------------------------------

// Requests that can't be paired any more have been answered, or will never be.
static void give_up_pending(struct redis_call *call)
{
	if (tl_pending_count(call->ctx, TL_CLIENT) != 0)
		tl_redis_give_up(call, TL_REASON_GAP);
}

// Drops what comes until the order is known again. Messages to a subscriber need no order.
static struct tl_step discard(struct redis_call *call, uint32_t at)
{
	struct redis_reply *reply = &call->redis->reply;
	struct tl_bytes bytes = call->view->bytes;
	struct push push;

	if (reply->phase != REDIS_DISCARD) {
		memset(reply, 0, sizeof(*reply));
		reply->phase = REDIS_DISCARD;
	}
	while ((call->redis->flags & REDIS_SUBSCRIBER) != 0 && at < bytes.len) {
		bool may_start = bytes.ptr[at] == '>' || bytes.ptr[at] == '*';
		enum redis_line_kind kind =
			may_start ? peek_push(bytes, at, &push) : REDIS_LINE_BAD;
		if (kind == REDIS_LINE_MORE)
			return ate_or_need(call, at);
		if (kind == REDIS_LINE_OK && push.kind < 3) {
			reply->phase = REDIS_REPLY_START;
			return tl_ate(at);
		}
		uint32_t end = tl_bytes_find(bytes, '\n', at);
		if (end == TL_BYTES_NONE)
			break;
		at = end + 1;
	}
	return tl_ate(bytes.len);
}

static struct tl_step bad_reply(struct redis_call *call, uint32_t at)
{
	tl_count(call->ctx, REDIS_COUNT_BAD_REPLY);
	tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_TRUNCATED);
	tl_message_end(call->ctx, TL_SERVER, call->view->offset + at);
	tl_redis_give_up(call, TL_REASON_DECODE_ERROR);
	tl_redis_lose_order(call);
	memset(&call->redis->reply, 0, sizeof(call->redis->reply));
	call->redis->reply.phase = REDIS_DISCARD;
	return tl_ate(call->view->bytes.len);
}

// ---- Values ----------------------------------------------------------------------------------

enum taken {
	TAKEN,      // the value, or the head of an aggregate: `at` is behind it
	TAKEN_PART, // `step` says how to go on
	TAKEN_MORE, // more is needed to tell
	TAKEN_BAD,
};

struct taking {
	uint32_t at;
	uint64_t body; // bytes of strings and lines so far
	bool is_over;  // the reply is
	struct tl_step step;
};

static enum taken take_string(struct redis_call *call, struct taking *t)
{
	struct redis_reply *reply = &call->redis->reply;
	struct tl_bytes bytes = call->view->bytes;
	struct redis_number size;

	enum redis_line_kind kind = tl_redis_number(bytes, t->at, &size);
	if (kind == REDIS_LINE_MORE)
		return TAKEN_MORE;
	if (kind == REDIS_LINE_STREAMED && bytes.ptr[t->at] == '$') {
		reply->phase = REDIS_CHUNKS;
		t->step = tl_ate(size.next);
		return TAKEN_PART;
	}
	if (kind != REDIS_LINE_OK || size.value < -1 || size.value > REDIS_BULK_BYTES_MAX)
		return TAKEN_BAD;
	if (bytes.ptr[t->at] == '!')
		reply->errors++;
	if (size.value == -1) {
		t->at = size.next;
		t->is_over = value_done(reply);
		return TAKEN;
	}
	uint64_t len = (uint64_t)size.value;
	t->body += len;
	if (bytes.len - size.next < len + 2) {
		reply->phase = REDIS_VALUE_TAIL;
		t->step = tl_skip(size.next + len);
		return TAKEN_PART;
	}
	t->at = size.next + (uint32_t)len + 2;
	if (bytes.ptr[t->at - 2] != '\r' || bytes.ptr[t->at - 1] != '\n')
		return TAKEN_BAD;
	t->is_over = value_done(reply);
	return TAKEN;
}

static enum taken take_line(struct redis_call *call, struct taking *t)
{
	struct redis_reply *reply = &call->redis->reply;
	struct tl_bytes shown =
		tl_bytes_first(tl_bytes_from(call->view->bytes, t->at), REDIS_LINE_BYTES_MAX);
	uint32_t end = tl_bytes_find(shown, '\n', 0);
	int64_t number;

	if (end == TL_BYTES_NONE && shown.len < REDIS_LINE_BYTES_MAX)
		return TAKEN_MORE;
	if (shown.ptr[0] == '-')
		reply->errors++;
	if (end == TL_BYTES_NONE) {
		tl_count(call->ctx, REDIS_COUNT_LONG_LINE);
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_TRUNCATED);
		t->body += shown.len - 1;
		reply->phase = REDIS_VALUE_LINE;
		t->step = tl_ate(t->at + shown.len);
		return TAKEN_PART;
	}
	if (end < 1 || shown.ptr[end - 1] != '\r')
		return TAKEN_BAD;
	if (shown.ptr[0] == ':') {
		if (!tl_redis_integer(tl_bytes(shown.ptr + 1, end - 2), &number))
			number = 0;
		reply->number = number < 0 ? 0 : (uint64_t)number;
	}
	t->body += end - 2;
	t->at += end + 1;
	t->is_over = value_done(reply);
	return TAKEN;
}

// The head of an aggregate of `each` values per element.
static enum taken take_aggregate(struct redis_call *call, struct taking *t, uint64_t each)
{
	struct redis_reply *reply = &call->redis->reply;
	struct tl_bytes bytes = call->view->bytes;
	bool is_attribute = bytes.ptr[t->at] == '|';
	struct redis_number count;

	enum redis_line_kind kind = tl_redis_number(bytes, t->at, &count);
	if (kind == REDIS_LINE_MORE)
		return TAKEN_MORE;
	t->at = count.next;
	if (kind == REDIS_LINE_STREAMED && !is_attribute)
		return push_level(reply, REDIS_STREAM) ? TAKEN : TAKEN_BAD;
	if (kind != REDIS_LINE_OK || count.value < -1)
		return TAKEN_BAD;
	if (count.value <= 0) {
		t->is_over = !is_attribute && value_done(reply);
		return TAKEN;
	}
	uint64_t more = (uint64_t)count.value > REDIS_ELEMENTS_MAX
				? REDIS_ELEMENTS_MAX : (uint64_t)count.value * each;
	if (reply->left == REDIS_STREAM)
		return push_level(reply, more) ? TAKEN : TAKEN_BAD;
	if (more >= REDIS_ELEMENTS_MAX || reply->left >= REDIS_ELEMENTS_MAX)
		return TAKEN_BAD;
	// The aggregate itself is one of the values awaited, an attribute is not.
	reply->left += more - (is_attribute ? 0 : 1);
	return TAKEN;
}

static enum taken take_end(struct redis_call *call, struct taking *t)
{
	struct redis_reply *reply = &call->redis->reply;
	struct tl_bytes bytes = call->view->bytes;

	if (reply->left != REDIS_STREAM || reply->depth == 0)
		return TAKEN_BAD;
	if (bytes.len - t->at < 3)
		return TAKEN_MORE;
	if (bytes.ptr[t->at + 1] != '\r' || bytes.ptr[t->at + 2] != '\n')
		return TAKEN_BAD;
	t->at += 3;
	reply->left = reply->outer[--reply->depth];
	t->is_over = reply->left != REDIS_STREAM && value_done(reply);
	return TAKEN;
}

static enum taken take_value(struct redis_call *call, struct taking *t)
{
	switch (call->view->bytes.ptr[t->at]) {
	case '$':
	case '=':
	case '!':
		return take_string(call, t);
	case '+':
	case '-':
	case ':':
	case '_':
	case '#':
	case ',':
	case '(':
		return take_line(call, t);
	case '*':
	case '~':
	case '>':
		return take_aggregate(call, t, 1);
	case '%':
	case '|':
		return take_aggregate(call, t, 2);
	case '.':
		return take_end(call, t);
	default:
		return TAKEN_BAD;
	}
}

static struct tl_step read_values(struct redis_call *call, uint32_t at)
{
	struct tl_bytes bytes = call->view->bytes;
	struct taking t = {.at = at};
	enum taken taken = TAKEN;

	call->redis->reply.phase = REDIS_VALUES;
	while (taken == TAKEN && !t.is_over && t.at < bytes.len)
		taken = take_value(call, &t);
	if (taken == TAKEN_BAD)
		return bad_reply(call, t.at < bytes.len ? t.at : bytes.len);
	if ((call->redis->reply.flags & REDIS_ATTRIBUTE) == 0)
		tl_message_body(call->ctx, TL_SERVER, t.body);
	if (taken == TAKEN_PART)
		return t.step;
	if (t.is_over)
		finish_reply(call, call->view->offset + t.at);
	return ate_or_need(call, t.at);
}

// Behind a value whose last byte is the one before `at`.
static struct tl_step after_value(struct redis_call *call, uint32_t at)
{
	if (!value_done(&call->redis->reply))
		return read_values(call, at);
	finish_reply(call, call->view->offset + at);
	return tl_ate(at);
}

static struct tl_step value_tail(struct redis_call *call)
{
	struct tl_bytes bytes = call->view->bytes;

	if (bytes.ptr[0] != '\r' || (bytes.len > 1 && bytes.ptr[1] != '\n'))
		return bad_reply(call, 0);
	return bytes.len < 2 ? tl_need(2) : after_value(call, 2);
}

static struct tl_step value_line(struct redis_call *call)
{
	uint32_t end = tl_bytes_find(call->view->bytes, '\n', 0);

	return end == TL_BYTES_NONE ? tl_ate(call->view->bytes.len) : after_value(call, end + 1);
}

static struct tl_step read_chunk(struct redis_call *call)
{
	struct redis_reply *reply = &call->redis->reply;
	struct tl_bytes bytes = call->view->bytes;
	struct redis_number size;

	if (bytes.ptr[0] != ';')
		return bad_reply(call, 0);
	enum redis_line_kind kind = tl_redis_number(bytes, 0, &size);
	if (kind == REDIS_LINE_MORE)
		return tl_need(bytes.len + 1);
	if (kind != REDIS_LINE_OK || size.value < 0 || size.value > REDIS_BULK_BYTES_MAX)
		return bad_reply(call, 0);
	if (size.value == 0)
		return after_value(call, size.next);
	reply->phase = REDIS_CHUNK_TAIL;
	if ((reply->flags & REDIS_ATTRIBUTE) == 0)
		tl_message_body(call->ctx, TL_SERVER, (uint64_t)size.value);
	return tl_skip(size.next + (uint64_t)size.value);
}

static struct tl_step chunk_tail(struct redis_call *call)
{
	struct tl_bytes bytes = call->view->bytes;

	if (bytes.ptr[0] != '\r' || (bytes.len > 1 && bytes.ptr[1] != '\n'))
		return bad_reply(call, 0);
	if (bytes.len < 2)
		return tl_need(2);
	call->redis->reply.phase = REDIS_CHUNKS;
	return tl_ate(2);
}

// ---- What a reply does -------------------------------------------------------------------------

// What the answer to `memo` changes for the connection.
static void apply_reply(struct redis_call *call, const struct redis_memo *memo,
			const struct redis_head *head)
{
	struct redis *redis = call->redis;
	bool is_error = head->type == '-' || head->type == '!';

	if (memo->role == REDIS_ROLE_SELECT) {
		if (is_error)
			redis->db = memo->db;
		else if ((redis->flags & REDIS_SELECTS) != 0 && tl_bytes_is(head->text, "OK"))
			redis->flags &= (uint16_t)~REDIS_UNSURE;
		redis->flags &= (uint16_t)~REDIS_SELECTS;
	} else if (memo->role == REDIS_ROLE_EXEC && (is_error || head->is_null)) {
		redis->db = memo->db;
	} else if (memo->role == REDIS_ROLE_MONITOR && is_error) {
		redis->flags &= (uint16_t)~REDIS_MONITORS;
	} else if (memo->role == REDIS_ROLE_RESET && !is_error) {
		redis->flags &= (uint16_t)~(REDIS_SUBSCRIBER | REDIS_MONITORS | REDIS_UNSURE);
		memset(redis->subscriptions, 0, sizeof(redis->subscriptions));
	}
}

static bool is_aggregate(const struct redis_head *head)
{
	return !head->is_null && strchr("*~%", head->type) != NULL;
}

// The reply with this head answers the oldest request.
static void pair(struct redis_call *call, const struct redis_head *head)
{
	struct redis_reply *reply = &call->redis->reply;
	enum tl_reason reason;
	uint64_t key = 0;

	enum tl_status status = tl_redis_record_head(call, head, &reason);
	const struct redis_memo *memo = oldest(call, &key);
	if (is_aggregate(head))
		reply->flags |= REDIS_AGGREGATE;
	if (memo == NULL) {
		tl_orphan(call->ctx, TL_SERVER, TL_REASON_NONE);
		return;
	}
	apply_reply(call, memo, head);
	if (memo->role == REDIS_ROLE_EXEC && is_aggregate(head)) {
		reply->flags |= REDIS_EXEC;
		return;
	}
	if (memo->role == REDIS_ROLE_EXEC && head->is_null)
		reason = TL_REASON_ABORTED;
	tl_close(call->ctx, TL_SERVER, key, status, reason);
}

// After these replies the connection carries a replication stream: nobody answers anybody.
static bool begins_replication(const struct redis_memo *memo, struct tl_bytes bytes, uint32_t at)
{
	struct tl_bytes left = tl_bytes_from(bytes, at);

	if (memo == NULL) // where the client is not seen
		return tl_bytes_starts(left, "+FULLRESYNC ") ||
		       tl_bytes_starts(left, "+RDBCHANNELSYNC ");
	if (memo->is_fresh)
		return false;
	if (memo->role == REDIS_ROLE_SYNC)
		return bytes.ptr[at] == '$';
	return memo->role == REDIS_ROLE_PSYNC &&
	       (tl_bytes_starts(left, "+FULLRESYNC") || tl_bytes_starts(left, "+CONTINUE") ||
		tl_bytes_starts(left, "+RDBCHANNELSYNC"));
}

static struct tl_step begin_replication(struct redis_call *call, uint32_t at)
{
	struct tl_bytes left = tl_bytes_first(tl_bytes_from(call->view->bytes, at),
					      REDIS_LINE_BYTES_MAX);
	uint32_t end = tl_bytes_find(left, '\n', 0);
	uint64_t key;

	if (end == TL_BYTES_NONE)
		return left.len < REDIS_LINE_BYTES_MAX ? ate_or_need(call, at) : bad_reply(call, at);
	const struct redis_memo *memo = oldest(call, &key);
	at += end + 1;
	const uint64_t offset[TL_LANE_COUNT] = {memo == NULL ? 0 : memo->end, call->view->offset + at};
	const struct redis_head head = {.type = left.ptr[0]};
	tl_message_begin(call->ctx, TL_SERVER, offset[TL_SERVER] - end - 1);
	pair(call, &head);
	tl_message_end(call->ctx, TL_SERVER, offset[TL_SERVER]);
	memset(&call->redis->reply, 0, sizeof(call->redis->reply));
	tl_switch(call->ctx, TL_PROTOCOL_OPAQUE, offset);
	return tl_ate(at);
}

// ---- The start of a reply ------------------------------------------------------------------------

// A reply whose place in the order is not known: it is read, but no record comes of it.
static void drop_reply(struct redis_call *call)
{
	uint64_t key;

	call->redis->reply.flags |= REDIS_DROPPED;
	tl_count(call->ctx, REDIS_COUNT_UNPAIRED_REPLIES);
	tl_redis_forget_select(call->redis);
	if (oldest(call, &key) != NULL)
		tl_cancel(call->ctx, TL_CLIENT, key, TL_STATUS_UNANSWERED, TL_REASON_GAP);
}

static void begin_push(struct redis_call *call, uint32_t at, const struct push *push)
{
	struct redis *redis = call->redis;
	struct redis_reply *reply = &redis->reply;
	const struct redis_memo *memo = oldest(call, NULL);
	bool is_message = push->kind == PUSH_UNKNOWN || pushes[push->kind].role == REDIS_ROLE_PLAIN;

	reply->left = 1;
	if (call->view->bytes.ptr[at] == '*')
		redis->flags |= REDIS_SUBSCRIBER;
	if (!is_message) {
		reply->role = pushes[push->kind].role;
		reply->flags |= REDIS_CONFIRMS;
		if (memo == NULL || memo->is_fresh || memo->role != reply->role) {
			tl_count(call->ctx, REDIS_COUNT_STRAY_CONFIRMATIONS);
			reply->flags |= REDIS_DROPPED;
			return;
		}
	}
	if ((reply->flags & REDIS_BEGUN) == 0)
		tl_message_begin(call->ctx, TL_SERVER, call->view->offset + at);
	const struct redis_head head = {.type = call->view->bytes.ptr[at]};
	tl_message_text(call->ctx, TL_SERVER, REDIS_FIELD_REPLY_TYPE,
			tl_bytes_of(tl_redis_type_name(&head)));
	if (push->word.len != 0)
		tl_message_text(call->ctx, TL_SERVER, REDIS_FIELD_PUSH, push->word);
	if (is_message)
		tl_one_way(call->ctx, TL_SERVER);
}

// The value at `at` is a reply of its own, or an attribute in front of one.
static struct tl_step begin_reply(struct redis_call *call, uint32_t at, bool drops)
{
	struct redis_reply *reply = &call->redis->reply;
	struct redis_head head;

	enum redis_line_kind kind = tl_redis_read_head(call->view->bytes, at, &head);
	if (kind == REDIS_LINE_MORE)
		return ate_or_need(call, at);
	if (kind != REDIS_LINE_OK)
		return bad_reply(call, at);
	if (drops && (reply->flags & REDIS_DROPPED) == 0)
		drop_reply(call);
	drops = (reply->flags & REDIS_DROPPED) != 0;
	if ((reply->flags & REDIS_BEGUN) == 0 && !drops)
		tl_message_begin(call->ctx, TL_SERVER, call->view->offset + at);
	if (head.type == '|' && head.is_empty) {
		struct redis_number number;
		(void)tl_redis_number(call->view->bytes, at, &number);
		reply->flags |= REDIS_BEGUN;
		return tl_ate(number.next);
	}
	if (head.type == '|') {
		// Only the attribute's own values are awaited, the reply begins behind them.
		if (head.is_null)
			return bad_reply(call, at);
		reply->flags |= REDIS_ATTRIBUTE;
		reply->left = 0;
	} else {
		reply->left = 1;
		if (!drops)
			pair(call, &head);
	}
	return read_values(call, at);
}

static struct tl_step monitor_line(struct redis_call *call, uint32_t at)
{
	struct redis_reply *reply = &call->redis->reply;

	tl_count(call->ctx, REDIS_COUNT_MONITOR_LINES);
	reply->flags |= REDIS_DROPPED;
	reply->left = 1;
	reply->phase = REDIS_VALUE_LINE;
	return tl_ate(at + 1);
}

// Pushes, which have no place in the order. False: it is none.
static bool read_push(struct redis_call *call, uint32_t at, struct tl_step *ret)
{
	const struct redis_memo *memo = oldest(call, NULL);
	uint8_t type = call->view->bytes.ptr[at];
	struct push push;

	if (type != '>' && (type != '*' || !may_be_message(call, memo)))
		return false;
	enum redis_line_kind kind = peek_push(call->view->bytes, at, &push);
	if (kind == REDIS_LINE_MORE) {
		*ret = ate_or_need(call, at);
		return true;
	}
	if (kind != REDIS_LINE_OK || (type == '*' && push.kind == PUSH_UNKNOWN))
		return false;
	begin_push(call, at, &push);
	*ret = read_values(call, at);
	return true;
}

// Subscriptions are confirmed, refused or queued; any other answer shows that one of ours was over.
static bool may_answer(const struct redis_memo *memo, struct tl_bytes bytes, uint32_t at)
{
	return push_of_role(memo->role) == PUSH_UNKNOWN || bytes.ptr[at] == '-' ||
	       bytes.ptr[at] == '!' || bytes.len - at < 2 || bytes.ptr[at + 1] == 'Q';
}

static struct tl_step reply_start(struct redis_call *call)
{
	struct redis *redis = call->redis;
	struct tl_bytes bytes = call->view->bytes;
	struct tl_step step;
	uint32_t at = 0;

	// Line ends keep a connection alive while a replica waits.
	while (at < bytes.len && (bytes.ptr[at] == '\r' || bytes.ptr[at] == '\n'))
		at++;
	if (at == bytes.len)
		return tl_ate(at);
	if ((redis->flags & REDIS_MONITORS) != 0 && bytes.ptr[at] == '+') {
		if (at + 1 == bytes.len)
			return ate_or_need(call, at);
		if (bytes.ptr[at + 1] >= '0' && bytes.ptr[at + 1] <= '9')
			return monitor_line(call, at);
	}
	if (read_push(call, at, &step))
		return step;
	const struct redis_memo *memo = oldest(call, NULL);
	uint32_t pending = tl_pending_count(call->ctx, TL_CLIENT);
	bool is_doubtful = (redis->flags & REDIS_DOUBT) != 0 && pending != 1;
	if (memo != NULL && !is_doubtful && !may_answer(memo, bytes, at))
		is_doubtful = true;
	bool is_known = memo != NULL && memo->is_fresh == 0 && !is_doubtful;
	if (is_doubtful || (redis->order == REDIS_PROBATION && memo == NULL))
		tl_redis_lose_order(call);
	if (!is_known && redis->order == REDIS_LOST) {
		give_up_pending(call);
		return discard(call, at + 1);
	}
	// Joined late: the end of something that was asked for before.
	if (memo == NULL && tl_is_late_join(call->ctx) && (redis->reply.flags & REDIS_BEGUN) == 0) {
		tl_count(call->ctx, REDIS_COUNT_UNPAIRED_REPLIES);
		return tl_ate(bytes.len);
	}
	if (begins_replication(memo, bytes, at))
		return begin_replication(call, at);
	return begin_reply(call, at, !is_known && redis->order == REDIS_PROBATION);
}

struct tl_step tl_redis_reply(struct redis_call *call)
{
	call->redis->flags &= (uint16_t)~REDIS_CLIENT_SPOKE;
	switch ((enum redis_reply_phase)call->redis->reply.phase) {
	case REDIS_REPLY_START:
		return reply_start(call);
	case REDIS_VALUES:
		return read_values(call, 0);
	case REDIS_VALUE_TAIL:
		return value_tail(call);
	case REDIS_VALUE_LINE:
		return value_line(call);
	case REDIS_CHUNKS:
		return read_chunk(call);
	case REDIS_CHUNK_TAIL:
		return chunk_tail(call);
	case REDIS_DISCARD:
		break;
	}
	struct tl_step step = discard(call, 0);
	return step.kind == TL_STEP_ATE && step.bytes == 0 ? reply_start(call) : step;
}
