// SPDX-License-Identifier: Apache-2.0
// The door to the decoding side: pools, connections, and what reassembly hands over.
#include "stream/stream.h"

#include "l7/proxy.h"
#include "stream/driver.h"

#define TURNS_PER_PIECE_MAX 8u // a piece may be looked at by so many decoders in turn
#define DETECT_BYTES_MIN 64u
#define GUESTS_MIN 64u
#define GUESTS_SHARE 4u        // one unit for a child or a switch per so many connections

// Idle keep-alive connections cost this and the flow, those with one open request the sum: the
// flow, connection, exchange and message of a pool, and a decoder state in the smallest block.
_Static_assert(sizeof(struct tl_conn) <= 176, "a connection grew");
_Static_assert(128 + 176 + sizeof(struct tl_exchange) + sizeof(struct tl_message) +
				TL_SLAB_UNIT_BYTES <=
		       512,
	       "flow, connection, one open request and a small decoder state fit 512 bytes");

// ---- The worker's side ----------------------------------------------------------------------

static uint32_t bounded(uint64_t count, uint32_t least)
{
	if (count < least)
		return least;
	return count < UINT32_MAX / 4 ? (uint32_t)count : UINT32_MAX / 4;
}

static bool make_counters(struct tl_l7 *l7)
{
	uint32_t count = 0;

	l7->decoder_counter_at = tl_map((size_t)(tl_decoder_count + 1u) * sizeof(uint32_t));
	if (l7->decoder_counter_at == NULL)
		return false;
	for (uint16_t id = 0; id < tl_decoder_count; id++) {
		l7->decoder_counter_at[id] = count;
		count += tl_decoders[id] == NULL ? 0u : tl_decoders[id]->counter_count;
	}
	l7->decoder_counter_at[tl_decoder_count] = count;
	l7->decoder_counters = tl_map((size_t)(count + 1) * sizeof(uint64_t));
	return l7->decoder_counters != NULL;
}

static bool make_buckets(struct tl_l7 *l7, uint32_t exchanges)
{
	uint32_t count = 64;

	while (count < exchanges)
		count *= 2;
	l7->buckets = tl_map((size_t)count * sizeof(uint32_t));
	if (l7->buckets == NULL)
		return false;
	memset(l7->buckets, 0xff, (size_t)count * sizeof(uint32_t));
	l7->bucket_mask = count - 1;
	return true;
}

static bool make_pools(struct tl_l7 *l7, const struct tl_l7_options *options)
{
	uint32_t conns = bounded(options->connections_max, 1);
	uint32_t exchanges = bounded(options->exchanges_max, 1);
	uint32_t guests = bounded(conns / GUESTS_SHARE, GUESTS_MIN);
	// Every open request has a message and may have the beginning of its answer, every lane may be
	// reading one more.
	uint32_t messages = bounded(2ull * exchanges + 2ull * conns + 2ull * guests, 1);
	uint64_t states = (uint64_t)(conns + guests) * TL_STATE_BYTES_MAX / 4;
	uint32_t carries = bounded(options->carry_bytes_max / TL_SLAB_UNIT_BYTES, 1);

	return tl_pool_init(&l7->conns, sizeof(struct tl_conn), conns) == 0 &&
	       tl_pool_init(&l7->guests, sizeof(struct tl_guest), guests) == 0 &&
	       tl_pool_init(&l7->extras, sizeof(struct tl_extra), conns) == 0 &&
	       tl_pool_init(&l7->exchanges, sizeof(struct tl_exchange), exchanges) == 0 &&
	       tl_pool_init(&l7->messages, sizeof(struct tl_message), messages) == 0 &&
	       tl_pool_init(&l7->carries, sizeof(struct tl_carry), carries) == 0 &&
	       tl_slab_init(&l7->states, states + TL_SLAB_PAGE_BYTES) == 0 &&
	       tl_slab_init(&l7->values, options->message_bytes_max) == 0 &&
	       tl_slab_init(&l7->carried, options->carry_bytes_max) == 0 &&
	       make_buckets(l7, exchanges);
}

struct tl_l7 *tl_l7_create(const struct tl_l7_options *options, const struct tl_rules *rules,
			   uint8_t worker, struct tl_counters *counters, tl_roundtrip_fn *complete,
			   void *arg)
{
	struct tl_l7 *l7 = tl_map(sizeof(*l7));

	if (l7 == NULL)
		return NULL;
	*l7 = (struct tl_l7) {
		.rules = rules,
		.counters = counters,
		.complete = complete,
		.arg = arg,
		.worker = worker,
		.pending_max = options->exchanges_per_connection_max,
		.detect_bytes_max = options->detect_bytes_max,
		.detect_packets_max = options->detect_packets_max,
	};
	if (l7->pending_max == 0 || l7->pending_max > TL_PENDING_MAX)
		l7->pending_max = TL_PENDING_MAX;
	if (l7->detect_bytes_max < DETECT_BYTES_MIN)
		l7->detect_bytes_max = DETECT_BYTES_MIN;
	l7->scratch = tl_map(TL_RECORD_BYTES_MAX);
	l7->inflaters = tl_inflaters_create(counters);
	l7->names = tl_map(sizeof(*l7->names));
	if (l7->scratch == NULL || l7->names == NULL || l7->inflaters == NULL ||
	    !make_pools(l7, options) || !make_counters(l7)) {
		tl_l7_destroy(l7);
		return NULL;
	}
	return l7;
}

void tl_l7_destroy(struct tl_l7 *l7)
{
	if (l7 == NULL)
		return;
	if (l7->decoder_counters != NULL)
		tl_unmap(l7->decoder_counters,
			 (size_t)(l7->decoder_counter_at[tl_decoder_count] + 1) * sizeof(uint64_t));
	if (l7->decoder_counter_at != NULL)
		tl_unmap(l7->decoder_counter_at, (size_t)(tl_decoder_count + 1u) * sizeof(uint32_t));
	if (l7->buckets != NULL)
		tl_unmap(l7->buckets, (size_t)(l7->bucket_mask + 1) * sizeof(uint32_t));
	tl_slab_fini(&l7->carried);
	tl_slab_fini(&l7->values);
	tl_slab_fini(&l7->states);
	tl_pool_fini(&l7->carries);
	tl_pool_fini(&l7->messages);
	tl_pool_fini(&l7->exchanges);
	tl_pool_fini(&l7->extras);
	tl_pool_fini(&l7->guests);
	tl_pool_fini(&l7->conns);
	tl_inflaters_destroy(l7->inflaters);
	tl_unmap(l7->names, sizeof(*l7->names));
	tl_unmap(l7->scratch, TL_RECORD_BYTES_MAX);
	tl_unmap(l7, sizeof(*l7));
}

bool tl_l7_is_empty(const struct tl_l7 *l7)
{
	return l7->conns.used == 0 && l7->guests.used == 0 && l7->extras.used == 0 &&
	       l7->exchanges.used == 0 && l7->messages.used == 0 && l7->carries.used == 0 &&
	       l7->states.used_bytes == 0 && l7->values.used_bytes == 0 &&
	       l7->carried.used_bytes == 0 && tl_inflaters_used(l7->inflaters) == 0;
}

void tl_l7_set_flows(struct tl_l7 *l7, const struct tl_flow_table *flows)
{
	l7->flows = flows;
}

void tl_l7_set_rules(struct tl_l7 *l7, const struct tl_rules *rules)
{
	l7->rules = rules;
}

void tl_l7_on_asked(struct tl_l7 *l7, tl_asked_fn *fn, void *arg)
{
	l7->asked = fn;
	l7->asked_arg = arg;
}

const struct tl_names *tl_l7_names(const struct tl_l7 *l7)
{
	return l7->names;
}

const uint64_t *tl_l7_decoder_counters(const struct tl_l7 *l7, uint16_t protocol)
{
	const struct tl_decoder *decoder = tl_decoder_at(protocol);

	return decoder == NULL || decoder->counter_count == 0
		       ? NULL
		       : &l7->decoder_counters[l7->decoder_counter_at[protocol]];
}

// ---- What decoders ask about their surroundings ---------------------------------------------

uint16_t tl_protocol_id(const char *name)
{
	for (uint16_t id = 0; id < tl_decoder_count; id++)
		if (tl_decoders[id] != NULL && strcmp(tl_decoders[id]->name, name) == 0)
			return id;
	return TL_PROTOCOL_OPAQUE;
}

const void *tl_options(const struct tl_ctx *ctx)
{
	return tl_rules_options(ctx->l7->rules, ctx->unit->protocol);
}

bool tl_redact(const struct tl_ctx *ctx)
{
	return tl_rules_redact(ctx->l7->rules);
}

bool tl_is_late_join(const struct tl_ctx *ctx)
{
	return ctx->conn->is_late_join;
}

bool tl_is_udp(const struct tl_ctx *ctx)
{
	return ctx->conn->is_udp;
}

uint16_t tl_server_port(const struct tl_ctx *ctx)
{
	struct tl_flow_identity flow;

	tl_flow_identity(ctx->conn->flow, &flow);
	return flow.server_port;
}

bool tl_is_multicast(const struct tl_ctx *ctx)
{
	struct tl_flow_identity flow;

	tl_flow_identity(ctx->conn->flow, &flow);
	return flow.ip_version == 4 ? (flow.server_address[12] & 0xf0) == 0xe0
				    : flow.server_address[0] == 0xff;
}

void tl_count(struct tl_ctx *ctx, uint8_t counter)
{
	const struct tl_decoder *decoder = tl_decoder_at(ctx->unit->protocol);

	TL_CHECK(counter < decoder->counter_count);
	if (counter < decoder->counter_count)
		ctx->l7->decoder_counters[ctx->l7->decoder_counter_at[ctx->unit->protocol] +
					  counter]++;
}

// ---- Connections ----------------------------------------------------------------------------

struct tl_extra *tl_conn_extra_take(struct tl_l7 *l7, struct tl_conn *conn)
{
	struct tl_extra *extra = tl_conn_extra(l7, conn);

	if (extra != NULL)
		return extra;
	extra = tl_pool_take(&l7->extras);
	if (extra == NULL)
		return NULL;
	extra->successor = TL_NONE;
	extra->children = TL_NONE;
	conn->extra = tl_pool_index(&l7->extras, extra);
	return extra;
}

struct tl_conn *tl_conn_open(struct tl_l7 *l7, struct tl_flow *flow, uint64_t now_ns)
{
	struct tl_flow_identity identity;
	struct tl_rules_answer answer;
	uint16_t verdict = tl_flow_verdict(flow);
	bool is_known = verdict < TL_VERDICT_BASE && tl_decoder_at(verdict) != NULL;

	if (!is_known && verdict != TL_VERDICT_NO_PAYLOAD && verdict != TL_VERDICT_UNDECIDED)
		return NULL;
	tl_flow_identity(flow, &identity);
	if (!is_known) {
		tl_rules_look_up(l7->rules, &identity, &answer);
		if (answer.candidates == 0) {
			tl_flow_set_verdict(flow, TL_VERDICT_IGNORED);
			return NULL;
		}
	}
	struct tl_conn *conn = tl_pool_take_raw(&l7->conns);
	if (conn == NULL) {
		tl_l7_count(l7, TL_COUNT_CONN_FULL, 1);
		return NULL;
	}
	*conn = (struct tl_conn) {
		.l7 = l7,
		.flow = flow,
		.byte_ns = now_ns,
		.patience_ns = TL_FOREVER,
		.extra = TL_NONE,
		.client_side = tl_flow_client_side(flow),
		.is_udp = identity.l4 == 17,
		.is_late_join = identity.is_late_join,
		.proxy_checked = is_known || identity.l4 == 17 || identity.is_late_join,
	};
	tl_unit_init(&conn->unit);
	if (is_known) {
		(void)tl_unit_start(l7, &conn->unit, verdict);
		return conn;
	}
	conn->unit.mode = TL_UNIT_DETECT;
	tl_flow_set_verdict(flow, TL_VERDICT_UNDECIDED);
	return conn;
}

static enum tl_lane lane_of_side(const struct tl_conn *conn, uint8_t side)
{
	return side == conn->client_side ? TL_CLIENT : TL_SERVER;
}

// The unit that the lane's bytes go to now.
static struct tl_unit *unit_of(const struct tl_l7 *l7, struct tl_conn *conn, enum tl_lane lane)
{
	if (TL_LIKELY((conn->unit.lanes[lane].bits & TL_LANE_SWITCHED) == 0))
		return &conn->unit;
	return &tl_l7_guest(l7, tl_conn_extra(l7, conn)->successor)->unit;
}

// A PROXY head in front of everything else. True when the bytes in hand were all taken.
static bool read_proxy_head(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = &ctx->unit->lanes[TL_CLIENT];
	struct tl_proxy head;

	bool carried = lane->carry != TL_NONE;
	if (carried && !tl_carry_add(ctx, TL_CLIENT, *rest, ctx->piece_ns)) {
		tl_unit_deafen(ctx, TL_VERDICT_UNKNOWN);
		return false;
	}
	if (carried)
		*rest = tl_bytes(NULL, 0);
	struct tl_bytes view = carried ? tl_carry_bytes(ctx->l7, lane) : *rest;
	enum tl_proxy_result result = tl_proxy_read(view, &head);
	if (result == TL_PROXY_MORE) {
		if (!carried)
			(void)tl_carry_add(ctx, TL_CLIENT, *rest, ctx->piece_ns);
		ctx->conn->proxy_checked = lane->carry == TL_NONE;
		*rest = tl_bytes(NULL, 0);
		return true;
	}
	ctx->conn->proxy_checked = true;
	struct tl_extra *extra =
		result == TL_PROXY_YES ? tl_conn_extra_take(ctx->l7, ctx->conn) : NULL;
	if (result == TL_PROXY_YES) {
		uint32_t len = head.length < view.len ? head.length : view.len;
		tl_ctx_count(ctx, TL_COUNT_STREAM_DECODED, len);
		lane->skip = head.length - len;
		lane->offset += len;
		if (carried)
			tl_carry_consume(ctx, TL_CLIENT, len);
		else
			*rest = tl_bytes_from(*rest, len);
	}
	if (extra != NULL && head.has_addresses) {
		memcpy(extra->proxied_address, head.client_address, sizeof(head.client_address));
		extra->proxied_port = head.client_port;
	}
	return rest->len == 0 && lane->carry == TL_NONE;
}

// What must be done with bytes before the protocol is known. True when a unit can go on.
static bool before_decoding(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = &ctx->unit->lanes[ctx->lane];

	if (lane->skip != 0) { // of a PROXY head
		uint32_t len = lane->skip < rest->len ? (uint32_t)lane->skip : rest->len;
		lane->skip -= len;
		lane->offset += len;
		tl_ctx_count(ctx, TL_COUNT_STREAM_SKIPPED, len);
		*rest = tl_bytes_from(*rest, len);
	}
	if (!ctx->conn->proxy_checked && ctx->lane == TL_CLIENT && read_proxy_head(ctx, rest))
		return false;
	if (rest->len == 0 && lane->carry == TL_NONE)
		return false;
	tl_ctx_piece(ctx, (enum tl_lane)ctx->lane, *rest, ctx->piece_ns);
	return tl_detect(ctx, rest);
}

// The piece is in hand already, `rest` is what is left of it.
static void feed(struct tl_ctx *ctx, enum tl_lane lane, struct tl_bytes rest, uint64_t ns)
{
	bool again = true;

	for (uint32_t turns = 0; again && turns < TURNS_PER_PIECE_MAX; turns++) {
		if (turns != 0) {
			ctx->unit = unit_of(ctx->l7, ctx->conn, lane);
			tl_ctx_piece(ctx, lane, rest, ns);
		}
		bool ready = ctx->unit->mode != TL_UNIT_DETECT || before_decoding(ctx, &rest);
		lane = (enum tl_lane)ctx->lane; // detection may have exchanged the roles
		if (ready)
			tl_lane_feed(ctx, &rest);
		again = rest.len != 0;
		if (tl_switch_is_due(ctx)) {
			tl_switch_turn(ctx);
			again = true;
		} else if ((ctx->unit->bits & TL_UNIT_STOPPED) != 0) {
			tl_detect_again(ctx);
			again = true;
		}
		if (rest.len == 0 && tl_carry_bytes(ctx->l7, &ctx->unit->lanes[lane]).len == 0)
			again = false;
	}
	if (rest.len != 0) { // too many changes of mind for one piece
		tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, rest.len);
		ctx->unit->lanes[lane].offset += rest.len;
	}
	ctx->unit->lanes[lane].last_ns = ns;
	tl_switch_finish(ctx);
}

// How much later than without retransmission the piece came, told once for pieces that waited
// together.
static uint32_t stall_of(const struct tl_lane_state *lane, uint64_t time_ns, uint64_t stall_ns)
{
	if (lane->last_ns != 0 && time_ns - lane->last_ns < stall_ns)
		stall_ns = time_ns > lane->last_ns ? time_ns - lane->last_ns : 0;
	return stall_ns / 1000 < UINT32_MAX / 2 ? (uint32_t)(stall_ns / 1000) : UINT32_MAX / 2;
}

// Whether the piece in hand comes after a silence: tl_after_silence() asks for it.
static void note_silence(struct tl_ctx *ctx)
{
	struct tl_conn *conn = ctx->conn;

	if (TL_UNLIKELY(ctx->piece_ns >= conn->byte_ns + TL_SILENCE_NS) && !conn->has_hole) {
		conn->silent_offset = (uint16_t)ctx->piece_offset;
		conn->silent_lane = (uint8_t)(1 + ctx->lane);
	} else if (conn->silent_lane != 1 + ctx->lane) {
		conn->silent_lane = 0;
	}
	conn->has_hole = false;
}

bool tl_after_silence(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	return ctx->conn->silent_lane == 1 + lane && ctx->conn->silent_offset == (uint16_t)offset &&
	       ctx->unit == &ctx->conn->unit;
}

void tl_conn_data(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, struct tl_bytes bytes,
		  uint64_t time_ns, uint64_t stall_ns)
{
	enum tl_lane lane = lane_of_side(conn, side);
	struct tl_ctx ctx = {.l7 = l7, .conn = conn, .unit = unit_of(l7, conn, lane)};
	struct tl_lane_state *state = &ctx.unit->lanes[lane];

	if (bytes.len == 0)
		return;
	tl_ctx_piece(&ctx, lane, bytes, time_ns);
	note_silence(&ctx);
	if (time_ns > conn->byte_ns)
		conn->byte_ns = time_ns;
	if (stall_ns != 0) {
		ctx.stall_us = stall_of(state, time_ns, stall_ns);
		struct tl_message *message = tl_l7_message(l7, state->message);
		if (message != NULL && !message->ended)
			message->stall_us += ctx.stall_us;
	}
	if (TL_LIKELY(conn->extra == TL_NONE && state->carry == TL_NONE)) {
		bytes = tl_lane_feed_plain(&ctx, bytes);
		if (bytes.len == 0 && conn->extra == TL_NONE &&
		    (ctx.unit->bits & TL_UNIT_STOPPED) == 0) {
			state->last_ns = time_ns;
			return;
		}
	}
	feed(&ctx, lane, bytes, time_ns);
}

void tl_conn_datagram(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, struct tl_bytes bytes,
		      uint32_t wire_len, uint64_t time_ns)
{
	enum tl_lane lane = lane_of_side(conn, side);
	struct tl_ctx ctx = {.l7 = l7, .conn = conn, .unit = &conn->unit};

	if (bytes.len == 0)
		return;
	if (time_ns > conn->byte_ns)
		conn->byte_ns = time_ns;
	tl_ctx_piece(&ctx, lane, bytes, time_ns);
	if (conn->unit.mode == TL_UNIT_DETECT) {
		tl_detect_datagram(&ctx, bytes, wire_len);
	} else if (conn->unit.mode == TL_UNIT_DECODE) {
		tl_lane_datagram(&ctx, bytes, wire_len);
	} else {
		tl_ctx_count(&ctx, TL_COUNT_STREAM_IGNORED, bytes.len);
		conn->unit.lanes[lane].offset += bytes.len;
	}
	conn->unit.lanes[ctx.lane].last_ns = time_ns;
	if ((conn->unit.bits & TL_UNIT_STOPPED) != 0)
		tl_detect_again(&ctx);
}

void tl_conn_gap(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, uint64_t lost,
		 uint64_t time_ns)
{
	enum tl_lane lane = lane_of_side(conn, side);
	struct tl_ctx ctx = {.l7 = l7, .conn = conn, .unit = unit_of(l7, conn, lane)};

	if (lost == 0)
		return;
	conn->has_hole = true;
	tl_ctx_piece(&ctx, lane, TL_NO_BYTES, time_ns);
	if (ctx.unit->mode == TL_UNIT_DETECT) {
		// From here on it is as if the connection had been joined late.
		conn->is_late_join = true;
		conn->proxy_checked = true;
		if (tl_detect_last(&ctx) && ctx.unit->mode == TL_UNIT_DETECT)
			return;
		lane = lane_of_side(conn, side);
		tl_ctx_piece(&ctx, lane, TL_NO_BYTES, time_ns);
	}
	tl_lane_gap(&ctx, lost);
	if (tl_switch_is_due(&ctx)) {
		tl_switch_turn(&ctx);
		tl_switch_finish(&ctx);
	} else if ((ctx.unit->bits & TL_UNIT_STOPPED) != 0) {
		tl_detect_again(&ctx);
	}
}

uint64_t tl_conn_skip(const struct tl_conn *conn, uint8_t side)
{
	const struct tl_unit *unit = &conn->unit;
	const struct tl_lane_state *lane = &unit->lanes[lane_of_side(conn, side)];

	// A successor's skip is not known here; its bytes are fed.
	const struct tl_extra *extra = tl_conn_extra(conn->l7, conn);
	if (extra != NULL && extra->switching)
		return 0;
	if (unit->mode == TL_UNIT_DEAF)
		return UINT64_MAX;
	if ((lane->bits & TL_LANE_COPYING) != 0 && lane->keep != 0)
		return 0;
	return lane->skip;
}

// Bytes within a skip that goes on behind them: no decoder, no message and no switch of protocols
// can notice them.
bool tl_conn_pass(struct tl_conn *conn, uint8_t side, uint32_t len, uint64_t time_ns)
{
	struct tl_lane_state *lane = &conn->unit.lanes[lane_of_side(conn, side)];

	if (lane->skip <= len || (lane->bits & ~(uint32_t)TL_LANE_TO_END) != 0 ||
	    conn->unit.mode != TL_UNIT_DECODE || conn->extra != TL_NONE || lane->carry != TL_NONE)
		return false;
	const struct tl_message *message = tl_l7_message(conn->l7, lane->message);
	if (message != NULL && message->end_ahead && message->end_offset <= lane->offset + len)
		return false;
	if ((lane->bits & TL_LANE_TO_END) == 0)
		lane->skip -= len;
	lane->offset += len;
	lane->last_ns = time_ns;
	if (time_ns > conn->byte_ns)
		conn->byte_ns = time_ns;
	tl_l7_count(conn->l7, TL_COUNT_STREAM_SKIPPED, len);
	return true;
}

// ---- Ends -----------------------------------------------------------------------------------

static void end_lane(struct tl_ctx *ctx, enum tl_lane lane, enum tl_end end, uint64_t ns)
{
	ctx->unit = unit_of(ctx->l7, ctx->conn, lane);
	tl_ctx_piece(ctx, lane, TL_NO_BYTES, ns);
	if (tl_switch_is_due(ctx)) {
		tl_switch_turn(ctx);
		tl_ctx_piece(ctx, lane, TL_NO_BYTES, ns);
	}
	tl_lane_end(ctx, end);
	ctx->unit->bits &= (uint8_t)~TL_UNIT_STOPPED;
}

void tl_conn_end_side(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, uint64_t time_ns)
{
	enum tl_lane lane = lane_of_side(conn, side);
	struct tl_ctx ctx = {.l7 = l7, .conn = conn, .unit = unit_of(l7, conn, lane)};

	// A protocol that isn't known yet may still show in the other lane.
	if (ctx.unit->mode == TL_UNIT_DETECT)
		return;
	end_lane(&ctx, lane, TL_END_FIN, time_ns);
	tl_switch_finish(&ctx);
}

static void close_unit(struct tl_ctx *ctx, struct tl_unit *unit, enum tl_end end, uint64_t ns)
{
	ctx->unit = unit;
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		tl_ctx_piece(ctx, (enum tl_lane)lane, TL_NO_BYTES, ns);
		tl_lane_end(ctx, end);
	}
	tl_pair_end(ctx, TL_LANE_COUNT, tl_end_status(end), tl_end_reason(end), ns);
	tl_unit_fini(ctx->l7, ctx->conn, unit);
}

void tl_conn_close(struct tl_l7 *l7, struct tl_conn *conn, enum tl_end end, uint64_t time_ns)
{
	struct tl_ctx ctx = {.l7 = l7, .conn = conn, .unit = &conn->unit};
	struct tl_flow_identity identity;
	uint64_t ns = time_ns;

	if (tl_conn_deadline(conn) <= time_ns)
		tl_conn_expire(l7, conn, time_ns);
	// A record depends on its own connection: not on how far the worker's clock had come.
	if (end == TL_END_INPUT || end == TL_END_EVICTED) {
		tl_flow_identity(conn->flow, &identity);
		ns = identity.last_ns < time_ns ? identity.last_ns : time_ns;
	}
	tl_ctx_piece(&ctx, TL_CLIENT, TL_NO_BYTES, ns);
	if (conn->unit.mode == TL_UNIT_DETECT && !conn->is_udp)
		(void)tl_detect_last(&ctx);
	conn->unit.bits &= (uint8_t)~TL_UNIT_STOPPED;
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++)
		end_lane(&ctx, (enum tl_lane)lane, end, ns);
	ctx.unit = &conn->unit;
	tl_children_end(&ctx, end);
	struct tl_extra *extra = tl_conn_extra(l7, conn);
	if (extra != NULL && extra->switching) {
		struct tl_guest *guest = tl_l7_guest(l7, extra->successor);
		close_unit(&ctx, &guest->unit, end, ns);
		tl_pool_put(&l7->guests, guest);
	}
	close_unit(&ctx, &conn->unit, end, ns);
	tl_pool_put(&l7->extras, extra);
	tl_pool_put(&l7->conns, conn);
}

// ---- Time -----------------------------------------------------------------------------------

uint64_t tl_conn_deadline(const struct tl_conn *conn)
{
	if (conn->is_udp)
		return conn->patience_ns;
	return conn->patience_ns > TL_FOREVER - conn->byte_ns ? TL_FOREVER
							     : conn->byte_ns + conn->patience_ns;
}

// Calls `fn` for every unit of the connection.
static void for_each_unit(struct tl_ctx *ctx, void (*fn)(struct tl_ctx *, uint64_t), uint64_t ns)
{
	const struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);

	ctx->unit = &ctx->conn->unit;
	fn(ctx, ns);
	if (extra == NULL)
		return;
	if (extra->switching) {
		ctx->unit = &tl_l7_guest(ctx->l7, extra->successor)->unit;
		fn(ctx, ns);
	}
	for (uint32_t i = extra->children; i != TL_NONE;) {
		struct tl_guest *guest = tl_l7_guest(ctx->l7, i);
		ctx->unit = &guest->unit;
		fn(ctx, ns);
		i = guest->next;
	}
}

static void deadlines(struct tl_ctx *ctx, uint64_t ns)
{
	(void)ns;
	tl_pair_deadlines(ctx);
}

void tl_conn_expire(struct tl_l7 *l7, struct tl_conn *conn, uint64_t now_ns)
{
	struct tl_ctx ctx = {
		.l7 = l7, .conn = conn, .unit = &conn->unit, .piece_ns = now_ns, .before_end = true};

	for_each_unit(&ctx, tl_pair_expire, now_ns);
	conn->patience_ns = TL_FOREVER;
	for_each_unit(&ctx, deadlines, 0);
}

bool tl_conn_is_idle(const struct tl_conn *conn)
{
	const struct tl_extra *extra = tl_conn_extra(conn->l7, conn);
	bool is_plain = extra == NULL || (conn->unit.mode == TL_UNIT_DEAF && !extra->switching &&
					  extra->children == TL_NONE);

	return is_plain && tl_unit_is_idle(conn->l7, &conn->unit);
}

bool tl_conn_is_deaf(const struct tl_conn *conn)
{
	if (TL_LIKELY(conn->unit.mode != TL_UNIT_DEAF))
		return false;
	const struct tl_extra *extra = tl_conn_extra(conn->l7, conn);
	return (extra == NULL || !extra->switching) && tl_pair_is_idle(conn->l7, &conn->unit);
}
