// SPDX-License-Identifier: Apache-2.0
// Pairing: the queue of open requests, the only one there is. Metrics, traces and records are all
// made from what completes here.
#include "l7/core.h"

#include "base/hash.h"

#include <stddef.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

void tl_queue_init(struct tl_queue *queue)
{
	*queue = (struct tl_queue) {.head = TL_NONE, .tail = TL_NONE};
}

static struct tl_message *current(const struct tl_ctx *ctx, enum tl_lane lane)
{
	return tl_l7_message(ctx->l7, ctx->unit->lanes[lane].message);
}

// ---- Finding --------------------------------------------------------------------------------

static uint32_t owner_of(const struct tl_l7 *l7, const struct tl_unit *unit)
{
	const uint8_t *at = (const uint8_t *)unit;

	if (at >= l7->guests.base && at < l7->guests.base + l7->guests.mapped)
		return tl_pool_index(&l7->guests, unit) | UINT32_C(0x80000000);
	return tl_pool_index(&l7->conns, unit);
}

static uint32_t *bucket_of(const struct tl_l7 *l7, uint32_t owner, uint64_t key)
{
	uint64_t hash = tl_hash_mix(key ^ UINT64_C(0x9e3779b97f4a7c15),
				    owner ^ UINT64_C(0xe7037ed1a0b428db));
	return &l7->buckets[hash & l7->bucket_mask];
}

static void hash_add(struct tl_l7 *l7, uint32_t owner, uint32_t index)
{
	struct tl_exchange *exchange = tl_l7_exchange(l7, index);
	uint32_t *bucket = bucket_of(l7, owner, exchange->key);

	exchange->owner = owner;
	exchange->bits |= TL_EXCHANGE_HASHED;
	exchange->hash_prev = TL_NONE;
	exchange->hash_next = *bucket;
	if (*bucket != TL_NONE)
		tl_l7_exchange(l7, *bucket)->hash_prev = index;
	*bucket = index;
}

static void hash_remove(struct tl_l7 *l7, struct tl_exchange *exchange)
{
	if ((exchange->bits & TL_EXCHANGE_HASHED) == 0)
		return;
	if (exchange->hash_prev == TL_NONE)
		*bucket_of(l7, exchange->owner, exchange->key) = exchange->hash_next;
	else
		tl_l7_exchange(l7, exchange->hash_prev)->hash_next = exchange->hash_next;
	if (exchange->hash_next != TL_NONE)
		tl_l7_exchange(l7, exchange->hash_next)->hash_prev = exchange->hash_prev;
	exchange->bits &= (uint8_t)~TL_EXCHANGE_HASHED;
}

static void hash_all(struct tl_l7 *l7, struct tl_unit *unit)
{
	uint32_t owner = owner_of(l7, unit);

	for (uint32_t i = unit->queue.head; i != TL_NONE; i = tl_l7_exchange(l7, i)->next)
		hash_add(l7, owner, i);
	unit->bits |= TL_UNIT_HASHED;
}

void tl_pair_unhash(struct tl_l7 *l7, struct tl_unit *unit)
{
	for (uint32_t i = unit->queue.head; i != TL_NONE; i = tl_l7_exchange(l7, i)->next)
		hash_remove(l7, tl_l7_exchange(l7, i));
	unit->bits &= (uint8_t)~TL_UNIT_HASHED;
}

static bool is_ordered(const struct tl_unit *unit)
{
	return (unit->bits & (TL_UNIT_ORDERED | TL_UNIT_KEYED)) == TL_UNIT_ORDERED;
}

static bool is_late(const struct tl_exchange *exchange)
{
	return (exchange->bits & TL_EXCHANGE_LATE) != 0;
}

// The lane that the answer comes on.
static enum tl_lane answerer_of(const struct tl_exchange *exchange)
{
	enum tl_lane opener = (enum tl_lane)exchange->opener;

	return (exchange->bits & TL_EXCHANGE_PROMISED) != 0 ? opener : tl_lane_other(opener);
}

struct tl_wanted {
	uint64_t key;
	enum tl_lane opener;
	bool late; // want a late one, else an open one
	bool any;  // want whichever is older
};

static bool fits(const struct tl_exchange *exchange, const struct tl_wanted *want)
{
	return exchange->key == want->key && exchange->opener == want->opener &&
	       (want->any || is_late(exchange) == want->late);
}

// The oldest that fits. Linear for short queues, by hash for long ones.
static uint32_t find(const struct tl_ctx *ctx, const struct tl_wanted *want)
{
	const struct tl_l7 *l7 = ctx->l7;
	const struct tl_unit *unit = ctx->unit;
	uint32_t found = TL_NONE;

	if (unit->queue.head == TL_NONE)
		return TL_NONE;
	if (fits(tl_l7_exchange(l7, unit->queue.head), want))
		return unit->queue.head;
	if ((unit->bits & TL_UNIT_HASHED) == 0) {
		for (uint32_t i = unit->queue.head; i != TL_NONE; i = tl_l7_exchange(l7, i)->next)
			if (fits(tl_l7_exchange(l7, i), want))
				return i;
		return TL_NONE;
	}
	uint32_t owner = owner_of(l7, unit);
	for (uint32_t i = *bucket_of(l7, owner, want->key); i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(l7, i);
		if (exchange->owner == owner && fits(exchange, want) &&
		    (found == TL_NONE ||
		     (int32_t)(exchange->order - tl_l7_exchange(l7, found)->order) < 0))
			found = i;
		i = exchange->hash_next;
	}
	return found;
}

struct tl_exchange *tl_pair_find(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	struct tl_wanted want = {.key = key, .opener = opener};

	return tl_l7_exchange(ctx->l7, find(ctx, &want));
}

uint32_t tl_pair_find_answered(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	bool ordered = is_ordered(ctx->unit);
	struct tl_wanted want = {.key = key, .opener = opener, .any = ordered};
	uint32_t index = find(ctx, &want);

	if (index == TL_NONE && !ordered && ctx->unit->queue.late != 0) {
		want.late = true;
		index = find(ctx, &want);
	}
	return index;
}

// What an answer on `lane` belongs to: promised ones are answered by the lane that opened them.
static uint32_t find_answered_by(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	uint32_t index = tl_pair_find_answered(ctx, tl_lane_other(lane), key);

	if (index != TL_NONE || ctx->unit->queue.count[lane] == 0)
		return index;
	index = tl_pair_find_answered(ctx, lane, key);
	return index != TL_NONE &&
			       (tl_l7_exchange(ctx->l7, index)->bits & TL_EXCHANGE_PROMISED) != 0
		       ? index
		       : TL_NONE;
}

// ---- The queue ------------------------------------------------------------------------------

static void queue_add(struct tl_ctx *ctx, uint32_t index)
{
	struct tl_queue *queue = &ctx->unit->queue;
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	exchange->next = TL_NONE;
	exchange->prev = queue->tail;
	exchange->order = ctx->unit->order++;
	if (queue->tail == TL_NONE)
		queue->head = index;
	else
		tl_l7_exchange(ctx->l7, queue->tail)->next = index;
	queue->tail = index;
	queue->count[exchange->opener]++;
	if ((ctx->unit->bits & TL_UNIT_HASHED) != 0)
		hash_add(ctx->l7, owner_of(ctx->l7, ctx->unit), index);
	else if (tl_queue_count(queue) > TL_HASH_FROM)
		hash_all(ctx->l7, ctx->unit);
}

static void queue_remove(struct tl_ctx *ctx, uint32_t index)
{
	struct tl_queue *queue = &ctx->unit->queue;
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	if (exchange->prev == TL_NONE)
		queue->head = exchange->next;
	else
		tl_l7_exchange(ctx->l7, exchange->prev)->next = exchange->next;
	if (exchange->next == TL_NONE)
		queue->tail = exchange->prev;
	else
		tl_l7_exchange(ctx->l7, exchange->next)->prev = exchange->prev;
	queue->count[exchange->opener]--;
	queue->late = (uint16_t)(queue->late - (is_late(exchange) ? 1 : 0));
	hash_remove(ctx->l7, exchange);
	if (queue->head == TL_NONE)
		ctx->unit->bits &= (uint8_t)~TL_UNIT_HASHED;
}

static void put_back(struct tl_ctx *ctx, struct tl_exchange *exchange)
{
	if (TL_UNLIKELY(exchange->inner != TL_SLAB_NONE))
		tl_slab_put(&ctx->l7->states, exchange->inner);
	tl_pool_put(&ctx->l7->exchanges, exchange);
}

static void drop_late(struct tl_ctx *ctx, uint32_t index)
{
	queue_remove(ctx, index);
	put_back(ctx, tl_l7_exchange(ctx->l7, index));
}

static uint32_t oldest(const struct tl_ctx *ctx, bool late)
{
	uint32_t i = ctx->unit->queue.head;

	while (i != TL_NONE && is_late(tl_l7_exchange(ctx->l7, i)) != late)
		i = tl_l7_exchange(ctx->l7, i)->next;
	return i;
}

// ---- Completion -----------------------------------------------------------------------------

// Releases a message that may still be its lane's current one.
static inline void release(struct tl_ctx *ctx, uint32_t index)
{
	const struct tl_message *message = tl_l7_message(ctx->l7, index);

	if (message == NULL)
		return;
	uint32_t *now = &ctx->unit->lanes[tl_message_lane(message)].message;
	if (*now == index)
		*now = TL_NONE;
	tl_message_free(ctx->l7, ctx->conn, index);
}

// Whatever is still being sent when its exchange is over ends with what was seen of it.
static void emit(struct tl_ctx *ctx, const struct tl_exchange *exchange,
		 struct tl_message *response, uint64_t end_ns)
{
	struct tl_message *request = tl_l7_message(ctx->l7, exchange->request);
	bool one_way = (exchange->bits & TL_EXCHANGE_ONE_WAY) != 0;
	bool unseen = tl_exchange_is_unseen(exchange);

	if (unseen && response == NULL)
		return; // nothing was
	if (TL_UNLIKELY(exchange->inner != TL_SLAB_NONE))
		tl_inner_end(ctx, exchange, response);
	if (request != NULL && !request->ended && response != NULL)
		request->flags |= TL_FLAG_EARLY_RESPONSE;
	if (request != NULL)
		tl_message_cut(ctx, request);
	if (response != NULL)
		tl_message_cut(ctx, response);
	struct tl_completion done = {
		.request = request,
		.response = response,
		.end_ns = end_ns,
		.wait_ns = (exchange->bits & TL_EXCHANGE_ALLOWED) != 0 ? 0
			   : exchange->wait_ms == UINT32_MAX	       ? TL_FOREVER
								       : exchange->wait_ms * NS_PER_MS,
		.retries = exchange->retries,
		.protocol = tl_pair_protocol(ctx, exchange),
		.status = one_way  ? (uint8_t)TL_STATUS_ONE_WAY
			  : unseen ? (uint8_t)TL_STATUS_ORPHAN
				   : exchange->status,
		.reason = one_way || unseen ? (uint8_t)TL_REASON_NONE : exchange->reason,
		.opener = exchange->opener,
		.bare_response = response != NULL && exchange->response == TL_NONE,
	};
	if (!unseen && !one_way)
		tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_OPEN, UINT64_MAX);
	tl_roundtrip_emit(ctx, &done);
}

// The exchange is over and not in the queue (any more).
static void finish(struct tl_ctx *ctx, uint32_t index, uint64_t end_ns)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	emit(ctx, exchange, tl_l7_message(ctx->l7, exchange->response), end_ns);
	release(ctx, exchange->request);
	release(ctx, exchange->response);
	put_back(ctx, exchange);
	if (tl_pair_is_idle(ctx->l7, ctx->unit) && ctx->conn->extra == TL_NONE)
		ctx->conn->patience_ns = TL_FOREVER;
}

static void finish_queued(struct tl_ctx *ctx, uint32_t index, enum tl_status status,
			  enum tl_reason reason, uint64_t end_ns)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	queue_remove(ctx, index);
	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	finish(ctx, index, end_ns);
}

// Records an open request but leaves its place in the queue, so that its late answer is known.
static void make_late(struct tl_ctx *ctx, uint32_t index, enum tl_status status,
		      enum tl_reason reason, uint64_t end_ns)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	emit(ctx, exchange, tl_l7_message(ctx->l7, exchange->response), end_ns);
	release(ctx, exchange->request);
	release(ctx, exchange->response);
	exchange->request = exchange->response = TL_NONE;
	exchange->bits |= TL_EXCHANGE_LATE;
	ctx->unit->queue.late++;
	if (ctx->unit->queue.late > TL_LATE_MAX && !is_ordered(ctx->unit)) {
		ctx->unit->bits |= TL_UNIT_DROPPED;
		drop_late(ctx, oldest(ctx, true));
	}
}

static uint64_t waits_ns(const struct tl_ctx *ctx, const struct tl_exchange *exchange)
{
	if (exchange->wait_ms == UINT32_MAX)
		return TL_FOREVER;
	uint64_t own = tl_rules_timeout_ns(ctx->l7->rules, tl_pair_protocol(ctx, exchange));
	uint64_t ns = own + exchange->wait_ms * NS_PER_MS;
	return ns < own ? TL_FOREVER : ns;
}

// Packet time at which an exchange times out: over UDP each by itself, over TCP any byte of the
// connection starts the clock anew.
static uint64_t due_ns(const struct tl_ctx *ctx, const struct tl_exchange *exchange)
{
	const struct tl_message *request = tl_l7_message(ctx->l7, exchange->request);
	uint64_t waits = waits_ns(ctx, exchange);

	if (request == NULL || !request->ended)
		return TL_FOREVER;
	uint64_t from = ctx->conn->is_udp ? exchange->active_ns : ctx->conn->byte_ns;
	return waits > TL_FOREVER - from ? TL_FOREVER : from + waits;
}

static void remember_deadline(const struct tl_ctx *ctx, const struct tl_exchange *exchange)
{
	const struct tl_message *request = tl_l7_message(ctx->l7, exchange->request);
	// Over TCP what is remembered is how long it waits, whatever the clock says.
	uint64_t patience = ctx->conn->is_udp ? due_ns(ctx, exchange) : waits_ns(ctx, exchange);

	if (request != NULL && request->ended && patience < ctx->conn->patience_ns)
		ctx->conn->patience_ns = patience;
}

static void emit_single(struct tl_ctx *ctx, uint32_t index)
{
	const struct tl_message *message = tl_l7_message(ctx->l7, index);
	bool one_way = message->role == TL_ROLE_ONE_WAY;
	struct tl_completion done = {
		.request = one_way ? message : NULL,
		.response = one_way ? NULL : message,
		.end_ns = message->end_ns,
		.protocol = message->protocol,
		.status = one_way ? TL_STATUS_ONE_WAY : TL_STATUS_ORPHAN,
		.reason = one_way ? 0 : (uint8_t)message->exchange,
		.opener = (uint8_t)(one_way ? tl_message_lane(message)
				       : tl_lane_other(tl_message_lane(message))),
	};
	tl_roundtrip_emit(ctx, &done);
	release(ctx, index);
}

void tl_pair_message_ended(struct tl_ctx *ctx, uint32_t index)
{
	struct tl_message *message = tl_l7_message(ctx->l7, index);

	if (message->role == TL_ROLE_REQUEST) {
		struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, message->exchange);
		exchange->active_ns = message->end_ns;
		if ((exchange->bits & TL_EXCHANGE_ONE_WAY) != 0)
			finish_queued(ctx, message->exchange, TL_STATUS_ONE_WAY, TL_REASON_NONE,
				      message->end_ns);
		else
			remember_deadline(ctx, exchange);
	} else if (message->role == TL_ROLE_RESPONSE) {
		finish(ctx, message->exchange, message->end_ns);
	} else {
		emit_single(ctx, index);
	}
}

// ---- What decoders call ---------------------------------------------------------------------

static bool claim(struct tl_ctx *ctx, struct tl_message *message, enum tl_role role)
{
	if (message == NULL || message->role != TL_ROLE_NONE ||
	    (ctx->unit->bits & TL_UNIT_STOPPED) != 0)
		return false;
	message->role = (uint8_t)role;
	ctx->unit->bits |= TL_UNIT_SPOKE;
	return true;
}

static void make_room(struct tl_ctx *ctx)
{
	const struct tl_queue *queue = &ctx->unit->queue;

	if (tl_queue_count(queue) - queue->late >= ctx->l7->pending_max)
		make_late(ctx, oldest(ctx, false), TL_STATUS_UNANSWERED, TL_REASON_LIMIT,
			  ctx->piece_ns);
	if (tl_queue_count(queue) >= 2 * ctx->l7->pending_max) {
		ctx->unit->bits |= TL_UNIT_DROPPED;
		drop_late(ctx, oldest(ctx, true));
	}
}

// Room for one more request with `key`.
static void prepare(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	make_room(ctx);
	if (ctx->unit->queue.late != 0 && !is_ordered(ctx->unit)) {
		struct tl_wanted want = {.key = key, .opener = lane, .late = true};
		uint32_t late = find(ctx, &want);
		if (late != TL_NONE)
			drop_late(ctx, late);
	}
}

static void enqueue(struct tl_ctx *ctx, struct tl_exchange *exchange, const void *memo)
{
	if (memo != NULL)
		memcpy(exchange->memo, memo, TL_MEMO_BYTES);
	exchange->response = TL_NONE;
	exchange->active_ns = ctx->piece_ns;
	queue_add(ctx, tl_pool_index(&ctx->l7->exchanges, exchange));
}

static void open_request(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo,
			 uint8_t bits)
{
	uint32_t index = ctx->unit->lanes[lane].message;
	struct tl_message *message = tl_l7_message(ctx->l7, index);

	if ((message != NULL && message->role != TL_ROLE_NONE) ||
	    (ctx->unit->bits & TL_UNIT_STOPPED) != 0)
		return;
	prepare(ctx, lane, key);
	struct tl_exchange *exchange =
		message == NULL ? NULL : tl_pool_take(&ctx->l7->exchanges);
	if (exchange == NULL) {
		tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_REFUSED, message == NULL ? 0 : 1);
		ctx->unit->bits |= TL_UNIT_DROPPED;
		release(ctx, index);
		return;
	}
	(void)claim(ctx, message, TL_ROLE_REQUEST);
	exchange->key = key;
	exchange->request = index;
	exchange->opener = (uint8_t)lane;
	exchange->bits = bits;
	message->exchange = tl_pool_index(&ctx->l7->exchanges, exchange);
	enqueue(ctx, exchange, memo);
	if ((bits & TL_EXCHANGE_ONE_WAY) != 0)
		return;
	tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_OPENED, 1);
	tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_OPEN, 1);
}

void tl_open(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo)
{
	open_request(ctx, lane, key, memo, 0);
}

void tl_one_way_aside(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	open_request(ctx, lane, key, NULL, TL_EXCHANGE_ONE_WAY);
}

void tl_promise(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo)
{
	open_request(ctx, lane, key, memo, TL_EXCHANGE_PROMISED);
}

void tl_open_unseen(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, const void *memo)
{
	if ((ctx->unit->bits & TL_UNIT_STOPPED) != 0)
		return;
	prepare(ctx, opener, key);
	struct tl_exchange *exchange = tl_pool_take(&ctx->l7->exchanges);
	if (exchange == NULL) {
		tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_REFUSED, 1);
		return;
	}
	exchange->key = key;
	exchange->request = TL_NONE;
	exchange->opener = (uint8_t)opener;
	exchange->bits = TL_EXCHANGE_UNSEEN;
	enqueue(ctx, exchange, memo);
}

void tl_pair_hand_over(struct tl_ctx *ctx, uint64_t key, struct tl_unit *unit, uint64_t new_key)
{
	struct tl_wanted want = {.key = key, .opener = TL_CLIENT};
	uint32_t index = find(ctx, &want);
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);
	struct tl_message *request =
		exchange == NULL ? NULL : tl_l7_message(ctx->l7, exchange->request);

	if (request == NULL || !request->ended || exchange->response != TL_NONE)
		return;
	queue_remove(ctx, index);
	struct tl_ctx there = *ctx;
	there.unit = unit;
	exchange->key = new_key;
	memset(exchange->memo, 0, TL_MEMO_BYTES);
	request->protocol = unit->protocol;
	enqueue(&there, exchange, NULL);
}

void *tl_pending(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	ctx->unit->bits |= TL_UNIT_KEYED;
	struct tl_wanted want = {.key = key, .opener = opener};
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, find(ctx, &want));

	return exchange == NULL ? NULL : exchange->memo;
}

void *tl_pending_oldest(struct tl_ctx *ctx, enum tl_lane opener, uint64_t *ret_key)
{
	// A request that is not in the queue would hand its answer to the next one.
	ctx->unit->bits |= TL_UNIT_ORDERED;
	bool ordered = is_ordered(ctx->unit);
	if (ordered && (ctx->unit->bits & TL_UNIT_DROPPED) != 0) {
		ctx->unit->bits |= TL_UNIT_STOPPED;
		return NULL;
	}
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		if (exchange->opener == opener && (ordered || !is_late(exchange))) {
			if (ret_key != NULL)
				*ret_key = exchange->key;
			return exchange->memo;
		}
		i = exchange->next;
	}
	return NULL;
}

uint32_t tl_pending_count(const struct tl_ctx *ctx, enum tl_lane opener)
{
	return ctx->unit->queue.count[opener];
}

void tl_part(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	(void)key;
	const struct tl_message *message = current(ctx, lane);

	tl_l7_count(ctx->l7, TL_COUNT_INTERIM_RESPONSES, 1);
	if (message != NULL && message->role == TL_ROLE_NONE)
		release(ctx, ctx->unit->lanes[lane].message);
}

// One message answers several requests: all but one get its times without its content.
static void emit_with_copy(struct tl_ctx *ctx, uint32_t index, const struct tl_message *message)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);
	struct tl_message copy = *message;

	copy.end_ns = message->ended ? message->end_ns : ctx->piece_ns;
	copy.ended = true;
	emit(ctx, exchange, &copy, copy.end_ns);
	release(ctx, exchange->request);
	put_back(ctx, exchange);
}

void tl_close(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, enum tl_status status,
	      enum tl_reason reason)
{
	uint32_t index = ctx->unit->lanes[lane].message;
	struct tl_message *message = tl_l7_message(ctx->l7, index);
	uint32_t found = find_answered_by(ctx, lane, key);
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, found);

	if (exchange == NULL) {
		tl_orphan(ctx, lane, reason);
		return;
	}
	if (is_late(exchange)) {
		tl_l7_count(ctx->l7, TL_COUNT_LATE_RESPONSES, 1);
		drop_late(ctx, found);
		if (message != NULL && message->role == TL_ROLE_NONE)
			release(ctx, index);
		return;
	}
	if (message == NULL) { // its message was refused for want of memory
		finish_queued(ctx, found, TL_STATUS_UNANSWERED, TL_REASON_LIMIT, ctx->piece_ns);
		return;
	}
	queue_remove(ctx, found);
	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	if (message->role == TL_ROLE_ANSWER && message->exchange == found) {
		message->role = TL_ROLE_NONE;
	} else if (exchange->response != TL_NONE) { // another one had been begun
		release(ctx, exchange->response);
		exchange->response = TL_NONE;
	}
	if (claim(ctx, message, TL_ROLE_RESPONSE)) {
		exchange->bits |= TL_EXCHANGE_ANSWERED;
		exchange->response = index;
		message->exchange = found;
		message->protocol = tl_pair_protocol(ctx, exchange);
		return;
	}
	emit_with_copy(ctx, found, message);
}

bool tl_answer(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	uint32_t index = ctx->unit->lanes[lane].message;
	struct tl_message *message = tl_l7_message(ctx->l7, index);
	uint32_t found = message == NULL ? TL_NONE : find_answered_by(ctx, lane, key);
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, found);

	if (exchange == NULL || is_late(exchange) || exchange->response != TL_NONE ||
	    !claim(ctx, message, TL_ROLE_ANSWER))
		return false;
	exchange->response = index;
	message->exchange = found;
	message->protocol = tl_pair_protocol(ctx, exchange);
	return true;
}

bool tl_message_is_of(const struct tl_ctx *ctx, enum tl_lane lane, const void *memo)
{
	const struct tl_exchange *exchange =
		(const void *)((const uint8_t *)memo - offsetof(struct tl_exchange, memo));
	uint32_t index = ctx->unit->lanes[lane].message;

	return index != TL_NONE &&
	       index == (lane == answerer_of(exchange) ? exchange->response : exchange->request) &&
	       !tl_l7_message(ctx->l7, index)->ended;
}

bool tl_message_resume(struct tl_ctx *ctx, enum tl_lane lane, enum tl_lane opener, uint64_t key)
{
	struct tl_wanted want = {.key = key, .opener = opener};
	const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, find(ctx, &want));
	uint32_t index = exchange == NULL ? TL_NONE
			 : lane == answerer_of(exchange) ? exchange->response
							 : exchange->request;
	struct tl_lane_state *state = &ctx->unit->lanes[lane];
	struct tl_message *message = tl_l7_message(ctx->l7, index);

	if (message != NULL && state->message == index && !message->ended)
		return true;
	tl_message_set_aside(ctx, lane);
	if (message == NULL || (!message->aside && (lane != opener || !message->ended)))
		return false;
	if (message->aside)
		message->begin_offset += state->offset - message->end_offset;
	message->aside = false;
	state->message = index;
	return true;
}

void tl_pair_close_along(struct tl_ctx *ctx, enum tl_lane lane, uint32_t index,
			 enum tl_status status, enum tl_reason reason)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	if (is_late(exchange)) {
		tl_l7_count(ctx->l7, TL_COUNT_LATE_RESPONSES, 1);
		drop_late(ctx, index);
		return;
	}
	queue_remove(ctx, index);
	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	if (exchange->response != ctx->unit->lanes[lane].message)
		release(ctx, exchange->response);
	exchange->response = TL_NONE;
	emit_with_copy(ctx, index, current(ctx, lane));
}

void tl_pair_drop(struct tl_ctx *ctx, uint32_t index, enum tl_status status, enum tl_reason reason,
		  uint64_t end_ns)
{
	if (is_late(tl_l7_exchange(ctx->l7, index)))
		drop_late(ctx, index);
	else
		finish_queued(ctx, index, status, reason, end_ns);
}

// The response of `key` may be under way: then it ends with what was seen of it.
static bool cancel_answered(struct tl_ctx *ctx, enum tl_lane lane, const struct tl_wanted *want,
			    enum tl_status status, enum tl_reason reason)
{
	const struct tl_message *message = current(ctx, lane);

	if (message == NULL || message->role != TL_ROLE_RESPONSE)
		return false;
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, message->exchange);
	if (want != NULL && (exchange->key != want->key || exchange->opener != want->opener))
		return false;
	if (!message->ended) {
		exchange->status = (uint8_t)status;
		exchange->reason = (uint8_t)reason;
	}
	(void)tl_message_break(ctx, lane, ctx->unit->lanes[lane].offset);
	tl_message_settle(ctx, lane);
	return true;
}

void tl_cancel(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, enum tl_status status,
	       enum tl_reason reason)
{
	struct tl_wanted want = {.key = key, .opener = opener};

	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++)
		if (cancel_answered(ctx, (enum tl_lane)lane, &want, status, reason))
			return;
	uint32_t index = tl_pair_find_answered(ctx, opener, key);
	if (index == TL_NONE)
		return;
	tl_pair_drop(ctx, index, status, reason, ctx->piece_ns);
}

void tl_cancel_all(struct tl_ctx *ctx, enum tl_status status, enum tl_reason reason)
{
	(void)cancel_answered(ctx, TL_CLIENT, NULL, status, reason);
	(void)cancel_answered(ctx, TL_SERVER, NULL, status, reason);
	tl_pair_end(ctx, TL_LANE_COUNT, status, reason, ctx->piece_ns);
}

void tl_flag_open(struct tl_ctx *ctx, enum tl_roundtrip_flag flag)
{
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		bool unseen = tl_exchange_is_unseen(exchange);
		struct tl_message *message =
			tl_l7_message(ctx->l7, unseen ? exchange->response : exchange->request);
		if (message != NULL)
			message->flags |= (uint16_t)flag;
		i = exchange->next;
	}
}

void tl_one_way(struct tl_ctx *ctx, enum tl_lane lane)
{
	(void)claim(ctx, current(ctx, lane), TL_ROLE_ONE_WAY);
}

void tl_orphan(struct tl_ctx *ctx, enum tl_lane lane, enum tl_reason reason)
{
	struct tl_message *message = current(ctx, lane);

	if (claim(ctx, message, TL_ROLE_ORPHAN))
		message->exchange = (uint32_t)reason;
}

void tl_retry(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	struct tl_wanted want = {.key = key, .opener = lane};
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, find(ctx, &want));
	const struct tl_message *message = current(ctx, lane);

	if (exchange != NULL) {
		exchange->retries = (uint16_t)(exchange->retries + (exchange->retries < UINT16_MAX));
		exchange->active_ns = ctx->piece_ns;
	}
	if (message != NULL && message->role == TL_ROLE_NONE)
		release(ctx, ctx->unit->lanes[lane].message);
}

static uint32_t wait_ms(uint64_t ns)
{
	uint64_t ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);

	return ns == 0 || ms >= UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

void tl_wait(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint64_t ns)
{
	struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);

	if (exchange != NULL)
		exchange->wait_ms = wait_ms(ns);
}

void tl_allow(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint64_t ns)
{
	struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);

	if (exchange == NULL)
		return;
	exchange->wait_ms = wait_ms(ns);
	exchange->bits |= TL_EXCHANGE_ALLOWED;
}

// ---- Ends and time-outs ---------------------------------------------------------------------

void tl_pair_end(struct tl_ctx *ctx, uint32_t answerer, enum tl_status status, enum tl_reason reason,
		 uint64_t end_ns)
{
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		uint32_t next = exchange->next;
		if (answerer == TL_LANE_COUNT || (uint32_t)answerer_of(exchange) == answerer)
			tl_pair_drop(ctx, i, status, reason, end_ns);
		i = next;
	}
}

void tl_pair_expire(struct tl_ctx *ctx, uint64_t now_ns)
{
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		const struct tl_message *message = current(ctx, (enum tl_lane)lane);
		if (message != NULL && message->role == TL_ROLE_RESPONSE &&
		    due_ns(ctx, tl_l7_exchange(ctx->l7, message->exchange)) <= now_ns)
			(void)cancel_answered(ctx, (enum tl_lane)lane, NULL, TL_STATUS_TIMEOUT,
					      TL_REASON_TIMEOUT);
	}
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		uint32_t next = exchange->next;
		uint64_t due = is_late(exchange) ? TL_FOREVER : due_ns(ctx, exchange);
		if (due <= now_ns)
			make_late(ctx, i, TL_STATUS_TIMEOUT, TL_REASON_TIMEOUT, due);
		i = next;
	}
}

void tl_pair_deadlines(const struct tl_ctx *ctx)
{
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		const struct tl_message *message = current(ctx, (enum tl_lane)lane);
		if (message != NULL && message->role == TL_ROLE_RESPONSE)
			remember_deadline(ctx, tl_l7_exchange(ctx->l7, message->exchange));
	}
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		if (!is_late(exchange))
			remember_deadline(ctx, exchange);
		i = exchange->next;
	}
}

bool tl_pair_is_idle(const struct tl_l7 *l7, const struct tl_unit *unit)
{
	if (unit->queue.head != TL_NONE)
		return false;
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		const struct tl_message *message = tl_l7_message(l7, unit->lanes[lane].message);
		if (message != NULL && message->role != TL_ROLE_NONE)
			return false;
	}
	return true;
}
