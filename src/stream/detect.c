// SPDX-License-Identifier: Apache-2.0
// Which protocol is it? By content, on any port; ports and rules only weigh. The answer sticks to
// the flow. What was looked at is kept and shown to the decoder from its start.
#include "stream/driver.h"

#include "l7/recognise.h"

#define TLS_VERSION_1_0 0x0301u
#define QUIC_VERSION_2 0x6b3343cfu // RFC 9369

// Where the search stands, over both lanes and, where the client isn't sure, both roles.
struct guess {
	struct tl_rules_answer rules;
	uint64_t certain, agreed, likely, open; // candidates by how well they fit
	uint64_t flipped;   // of those, which fit with the roles exchanged
	uint16_t verdict;   // recognised, not decoded; 0: none
	bool verdict_later; // perhaps recognised with more bytes
	bool verdict_likely;
	uint8_t tells[3];   // enum tl_counter: what a hello said in the clear; 0: nothing
};

struct found {
	uint16_t protocol; // 0: none
	uint16_t verdict;  // 0: none
	bool flip;
	uint8_t tells[3];  // of the guess it comes from
};

_Static_assert(TL_RECOGNISE_NAME_MAX <= TL_NAME_TEXT_MAX, "a name recognised is one that is kept");
_Static_assert(TL_COUNTER_COUNT <= UINT8_MAX, "counter ids of a guess fit a byte");

static enum tl_match match_lane(const struct tl_decoder *decoder, enum tl_lane lane,
				struct tl_bytes bytes)
{
	return bytes.len == 0 ? TL_MATCH_UNSURE : decoder->match(lane, bytes);
}

static void weigh(struct guess *guess, uint16_t id, const struct tl_bytes view[TL_LANE_COUNT],
		  bool flip)
{
	const struct tl_decoder *decoder = tl_decoder_at(id);
	uint64_t bit = UINT64_C(1) << id;
	enum tl_match client = match_lane(decoder, TL_CLIENT, view[flip ? TL_SERVER : TL_CLIENT]);
	enum tl_match server = match_lane(decoder, TL_SERVER, view[flip ? TL_CLIENT : TL_SERVER]);

	if (client == TL_MATCH_NO || server == TL_MATCH_NO)
		return;
	bool was_certain = (guess->certain & bit) != 0;
	bool was_likely = (guess->likely & bit) != 0;
	bool is_certain = client == TL_MATCH_CERTAIN || server == TL_MATCH_CERTAIN;
	bool is_likely = client == TL_MATCH_LIKELY || server == TL_MATCH_LIKELY;
	guess->open |= bit;
	if (is_certain)
		guess->certain |= bit;
	if (is_likely)
		guess->likely |= bit;
	if (is_likely && client == server)
		guess->agreed |= bit;
	if (flip && ((is_certain && !was_certain) || (is_likely && !was_likely && !was_certain)))
		guess->flipped |= bit;
}

// What an encrypted connection says of itself in the clear, as counters to bump once the verdict
// stands, and the name that it asks for.
static void note_tells(struct guess *guess, const struct tl_recognised *known, char *ret_name)
{
	static const uint8_t versions[] = {TL_COUNT_TLS_1_0, TL_COUNT_TLS_1_1, TL_COUNT_TLS_1_2,
					   TL_COUNT_TLS_1_3};

	if (known->verdict == TL_VERDICT_QUIC) {
		guess->tells[0] = known->quic_version == 1		? TL_COUNT_QUIC_1
				  : known->quic_version == QUIC_VERSION_2 ? TL_COUNT_QUIC_2
									  : TL_COUNT_QUIC_OTHER;
		return;
	}
	if (known->verdict != TL_VERDICT_TLS)
		return;
	uint32_t minor = known->tls_version - TLS_VERSION_1_0; // wraps when it is lower
	guess->tells[0] = known->is_hello != 0 && minor < TL_COUNT_OF(versions) ? versions[minor]
									       : TL_COUNT_TLS_UNREAD;
	if (known->is_hello != 1)
		return;
	guess->tells[1] = known->sni[0] != '\0' ? TL_COUNT_TLS_SNI_PRESENT : TL_COUNT_TLS_SNI_ABSENT;
	memcpy(ret_name, known->sni, sizeof(known->sni));
	struct tl_bytes alpn = tl_bytes_of(known->alpn);
	struct tl_bytes first = tl_bytes_first(alpn, tl_bytes_find(alpn, ',', 0));
	guess->tells[2] = first.len == 0			  ? TL_COUNT_TLS_ALPN_NONE
			  : tl_bytes_is(first, "h2")		  ? TL_COUNT_TLS_ALPN_H2
			  : tl_bytes_is(first, "http/1.1") ? TL_COUNT_TLS_ALPN_HTTP_1_1
							   : TL_COUNT_TLS_ALPN_OTHER;
}

static struct guess look(const struct tl_ctx *ctx, const struct tl_bytes view[TL_LANE_COUNT])
{
	struct guess guess = {0};
	struct tl_flow_identity flow;
	const struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);

	tl_flow_identity(ctx->conn->flow, &flow);
	tl_rules_look_up(ctx->l7->rules, &flow, &guess.rules);
	if (extra != NULL)
		guess.rules.candidates &= ~extra->excluded;
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		struct tl_recognised known;
		if (view[i].len == 0)
			continue;
		enum tl_recognise result = ctx->conn->is_udp
						   ? tl_recognise_datagram(view[i], &known)
						   : tl_recognise_stream(view[i], &known);
		if (result == TL_RECOGNISE_CERTAIN)
			guess.verdict = known.verdict;
		guess.verdict_later |= result == TL_RECOGNISE_MORE;
		if (result != TL_RECOGNISE_NO && guess.tells[0] == 0) {
			note_tells(&guess, &known, ctx->l7->names->noted);
			ctx->l7->names->noted_lane = (uint8_t)i;
		}
		if (result == TL_RECOGNISE_LIKELY && guess.verdict == 0) {
			guess.verdict = known.verdict;
			guess.verdict_likely = true;
		} else if (result == TL_RECOGNISE_CERTAIN) {
			guess.verdict_likely = false;
			break;
		}
	}
	// While another unit stands behind this one, roles are settled.
	bool may_flip = !flow.client_is_sure && (extra == NULL || !extra->switching);
	for (uint64_t left = guess.rules.candidates; left != 0; left &= left - 1) {
		uint16_t id = (uint16_t)__builtin_ctzll(left);
		weigh(&guess, id, view, false);
		if (may_flip)
			weigh(&guess, id, view, true);
	}
	return guess;
}

static uint16_t first_of(uint64_t set, uint64_t preferred)
{
	if ((set & preferred) != 0)
		set &= preferred;
	return set == 0 ? 0 : (uint16_t)__builtin_ctzll(set);
}

// A protocol that the port names, where the join was in the middle of something: its decoder can
// look for the next message itself.
static uint16_t huntable(const struct guess *guess)
{
	uint64_t hinted = guess->rules.hinted & guess->rules.candidates;
	uint16_t id = guess->rules.forced != 0 ? guess->rules.forced : first_of(hinted, hinted);

	if (id == 0 || (guess->rules.candidates >> id & 1) == 0)
		return 0;
	const struct tl_decoder *decoder = tl_decoder_at(id);
	return decoder != NULL && decoder->resync != NULL ? id : 0;
}

// `last`: there won't be more to look at.
static struct found decide(const struct tl_ctx *ctx, const struct guess *guess, bool last)
{
	struct found found = {0};
	uint64_t hinted = guess->rules.hinted;
	uint64_t forced = guess->rules.forced == 0 ? 0 : UINT64_C(1) << guess->rules.forced;
	uint64_t likely = guess->likely;

	memcpy(found.tells, guess->tells, sizeof(found.tells));
	if (guess->verdict != 0 && !guess->verdict_likely) {
		found.verdict = guess->verdict;
		return found;
	}
	if (guess->certain != 0)
		found.protocol = first_of(guess->certain, forced | hinted);
	else if ((likely & (forced | hinted)) != 0)
		found.protocol = first_of(likely & (forced | hinted), guess->agreed | forced);
	else if (guess->agreed != 0 && guess->open == (guess->agreed & -guess->agreed))
		found.protocol = first_of(guess->agreed, 0);
	else if (last && likely != 0 && (likely & (likely - 1)) == 0)
		found.protocol = first_of(likely, 0);
	else if (last && (guess->open & forced) != 0)
		found.protocol = guess->rules.forced;
	found.flip = (guess->flipped >> found.protocol & 1) != 0;
	if (found.protocol != 0)
		return found;
	found.flip = false;
	bool hopeless = guess->open == 0 && !guess->verdict_later;
	if (guess->verdict != 0 && (hopeless || last)) {
		found.verdict = guess->verdict;
	} else if (hopeless && ctx->conn->is_late_join && !ctx->conn->is_udp && huntable(guess)) {
		found.protocol = huntable(guess);
	} else if (last || (hopeless && !ctx->conn->is_late_join && !ctx->conn->is_udp)) {
		found.verdict = TL_VERDICT_UNKNOWN;
	}
	return found;
}

static void flip_roles(struct tl_ctx *ctx)
{
	struct tl_lane_state lane = ctx->unit->lanes[TL_CLIENT];

	ctx->unit->lanes[TL_CLIENT] = ctx->unit->lanes[TL_SERVER];
	ctx->unit->lanes[TL_SERVER] = lane;
	ctx->lane = (uint8_t)tl_lane_other((enum tl_lane)ctx->lane);
	ctx->conn->client_side ^= 1;
	tl_flow_set_client_side(ctx->conn->flow, ctx->conn->client_side);
}

void tl_unit_deafen(struct tl_ctx *ctx, uint16_t verdict)
{
	ctx->unit->mode = TL_UNIT_DEAF;
	tl_lane_forget(ctx, TL_CLIENT);
	tl_lane_forget(ctx, TL_SERVER);
	uint16_t known = tl_flow_verdict(ctx->conn->flow);
	bool spoke = known < TL_VERDICT_BASE || known == TL_VERDICT_UPGRADED;
	if (!spoke || verdict != TL_VERDICT_UNKNOWN)
		tl_flow_set_verdict(ctx->conn->flow, verdict);
}

static void release_extra(struct tl_ctx *ctx)
{
	struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);

	if (extra == NULL || extra->proxied_port != 0 || extra->retries != 0 || extra->switching ||
	    extra->children != TL_NONE)
		return;
	tl_pool_put(&ctx->l7->extras, extra);
	ctx->conn->extra = TL_NONE;
}

// The name that the TLS client asks for, to those who keep such names.
static void tell_name(const struct tl_ctx *ctx)
{
	const struct tl_l7 *l7 = ctx->l7;
	struct tl_flow_identity flow;

	tl_names_add(l7->names, l7->names->noted, 1);
	// A hello of the lane taken for the server's says that the roles were guessed wrongly.
	if (l7->asked == NULL || l7->names->noted_lane != TL_CLIENT)
		return;
	tl_flow_identity(ctx->conn->flow, &flow);
	l7->asked(l7->asked_arg, &flow, l7->names->noted);
}

// Carries out the decision; true when a decoder runs or the unit went deaf.
static bool conclude(struct tl_ctx *ctx, const struct found *found)
{
	if (found->verdict != 0) {
		tl_unit_deafen(ctx, found->verdict);
		bool tells = found->verdict == TL_VERDICT_TLS || found->verdict == TL_VERDICT_QUIC;
		for (uint32_t i = 0; tells && i < TL_COUNT_OF(found->tells); i++)
			if (found->tells[i] != 0)
				tl_ctx_count(ctx, (enum tl_counter)found->tells[i], 1);
		if (tells && found->tells[1] == TL_COUNT_TLS_SNI_PRESENT)
			tell_name(ctx);
		return true;
	}
	if (found->protocol == 0)
		return false;
	if (found->flip)
		flip_roles(ctx);
	tl_flow_set_verdict(ctx->conn->flow, found->protocol);
	if (!tl_unit_start(ctx->l7, ctx->unit, found->protocol)) {
		tl_unit_deafen(ctx, found->protocol);
		return true;
	}
	// Joined in the middle, what looks like a start may be the end of something: the stricter
	// resync() has the word.
	bool hunts = !ctx->conn->is_udp && ctx->conn->is_late_join &&
		     tl_decoder_at(found->protocol)->resync != NULL;
	for (uint32_t i = 0; hunts && i < TL_LANE_COUNT; i++)
		ctx->unit->lanes[i].bits |= TL_LANE_HUNTING | TL_LANE_JOINED;
	release_extra(ctx);
	return true;
}

// What the other lane carries goes first where it came first.
static bool other_came_first(const struct tl_ctx *ctx)
{
	const struct tl_lane_state *lanes = ctx->unit->lanes;
	const struct tl_carry *mine = tl_l7_carry(ctx->l7, lanes[ctx->lane].carry);
	const struct tl_carry *other =
		tl_l7_carry(ctx->l7, lanes[tl_lane_other((enum tl_lane)ctx->lane)].carry);

	if (other == NULL)
		return false;
	uint64_t ns = mine == NULL ? ctx->piece_ns : mine->marks[0].ns;
	return other->marks[0].ns < ns || (other->marks[0].ns == ns && ctx->lane == TL_SERVER);
}

static void feed_other(struct tl_ctx *ctx)
{
	struct tl_ctx other = *ctx;
	struct tl_bytes none = tl_bytes(NULL, 0);

	tl_ctx_piece(&other, tl_lane_other((enum tl_lane)ctx->lane), none, ctx->piece_ns);
	tl_lane_feed(&other, &none);
}

// Whether packets of the two lanes came in turns while they were kept.
static bool came_in_turns(const struct tl_ctx *ctx)
{
	const struct tl_carry *client = tl_l7_carry(ctx->l7, ctx->unit->lanes[TL_CLIENT].carry);
	const struct tl_carry *server = tl_l7_carry(ctx->l7, ctx->unit->lanes[TL_SERVER].carry);

	return client != NULL && server != NULL &&
	       client->marks[client->mark_count - 1].ns > server->marks[0].ns &&
	       server->marks[server->mark_count - 1].ns > client->marks[0].ns;
}

// A lane's kept bytes, taken out of it to be shown packet by packet.
struct past {
	struct tl_carry *carry;
	struct tl_bytes bytes; // not shown yet
	uint64_t offset;       // of these
	uint32_t mark;         // and their time
};

static void take_past(struct tl_ctx *ctx, enum tl_lane lane, struct past *ret)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];

	*ret = (struct past) {
		.carry = tl_l7_carry(ctx->l7, state->carry),
		.bytes = tl_carry_bytes(ctx->l7, state),
		.offset = state->offset,
	};
	state->carry = TL_NONE;
	state->need = state->seen = 0;
	tl_ctx_count(ctx, TL_COUNT_STREAM_BUFFERED, (uint64_t)0 - ret->bytes.len);
}

static uint64_t past_ns(const struct past *past)
{
	return past->bytes.len == 0 ? UINT64_MAX : past->carry->marks[past->mark].ns;
}

// What came at one time. It is shown to the decoder, or kept again once that has given up.
static void show_past(const struct tl_ctx *ctx, enum tl_lane lane, struct past *past)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];
	struct tl_ctx own = *ctx;
	uint64_t ns = past_ns(past);
	uint32_t len = past->bytes.len;

	if (++past->mark < past->carry->mark_count &&
	    past->carry->marks[past->mark].offset - past->offset < len)
		len = (uint32_t)(past->carry->marks[past->mark].offset - past->offset);
	struct tl_bytes piece = tl_bytes_first(past->bytes, len);
	past->bytes = tl_bytes_from(past->bytes, len);
	past->offset += len;
	tl_ctx_piece(&own, lane, piece, ns);
	if ((ctx->unit->bits & TL_UNIT_STOPPED) == 0)
		tl_lane_feed(&own, &piece);
	if (piece.len != 0 && !tl_carry_add(&own, lane, piece, ns)) {
		tl_lane_forget(&own, lane);
		state->offset += piece.len;
		tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, piece.len);
	}
	state->last_ns = ns;
}

// Shows what both lanes have kept in the order in which it came.
static void show_in_turns(struct tl_ctx *ctx)
{
	struct past past[TL_LANE_COUNT];

	for (uint32_t i = 0; i < TL_LANE_COUNT; i++)
		take_past(ctx, (enum tl_lane)i, &past[i]);
	while (past[TL_CLIENT].bytes.len + past[TL_SERVER].bytes.len != 0) {
		enum tl_lane first = past_ns(&past[TL_SERVER]) < past_ns(&past[TL_CLIENT])
					     ? TL_SERVER : TL_CLIENT;
		show_past(ctx, first, &past[first]);
	}
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		tl_slab_put(&ctx->l7->carried, past[i].carry->block);
		tl_pool_put(&ctx->l7->carries, past[i].carry);
	}
}

static bool start(struct tl_ctx *ctx, const struct found *found, struct tl_bytes *rest)
{
	if (!conclude(ctx, found))
		return false;
	if (ctx->unit->mode != TL_UNIT_DECODE)
		return true;
	// The piece in hand is the last of what its lane keeps then.
	if (came_in_turns(ctx)) {
		show_in_turns(ctx);
		*rest = TL_NO_BYTES;
		tl_ctx_piece(ctx, (enum tl_lane)ctx->lane, TL_NO_BYTES, ctx->piece_ns);
		return true;
	}
	bool other_first = other_came_first(ctx);
	if (other_first)
		feed_other(ctx);
	if ((ctx->unit->bits & TL_UNIT_STOPPED) == 0)
		tl_lane_feed(ctx, rest);
	bool goes_on = (ctx->unit->bits & TL_UNIT_STOPPED) == 0 &&
		       ctx->unit->mode == TL_UNIT_DECODE;
	if (!other_first && goes_on)
		feed_other(ctx);
	return true;
}

bool tl_detect(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = &ctx->unit->lanes[ctx->lane];
	struct tl_bytes view[TL_LANE_COUNT];

	for (uint32_t i = 0; i < TL_LANE_COUNT; i++)
		view[i] = tl_carry_bytes(ctx->l7, &ctx->unit->lanes[i]);
	if (view[ctx->lane].len != 0) {
		if (!tl_carry_add(ctx, (enum tl_lane)ctx->lane, *rest, ctx->piece_ns)) {
			tl_unit_deafen(ctx, TL_VERDICT_UNKNOWN);
			return true;
		}
		if (rest->len != 0) // the driver may go on in place
			*rest = tl_bytes(rest->ptr + rest->len, 0);
		view[ctx->lane] = tl_carry_bytes(ctx->l7, lane);
	} else {
		view[ctx->lane] = *rest;
	}
	struct guess guess = look(ctx, view);
	struct found found = decide(ctx, &guess, false);
	if (start(ctx, &found, rest))
		return true;
	// Undecided: from here on it costs memory.
	struct tl_extra *extra = tl_conn_extra_take(ctx->l7, ctx->conn);
	bool spent = extra == NULL || ++extra->detect_packets >= ctx->l7->detect_packets_max ||
		     view[ctx->lane].len >= ctx->l7->detect_bytes_max;
	if (spent) {
		found = decide(ctx, &guess, true);
		return start(ctx, &found, rest);
	}
	if (guess.open == 0 && !guess.verdict_later) {
		// Joined in the middle of something: the next piece may be a beginning.
		tl_lane_forget(ctx, TL_CLIENT);
		tl_lane_forget(ctx, TL_SERVER);
		tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, rest->len);
		lane->offset += rest->len;
	} else if (rest->len != 0 &&
		   !tl_carry_add(ctx, (enum tl_lane)ctx->lane, *rest, ctx->piece_ns)) {
		tl_unit_deafen(ctx, TL_VERDICT_UNKNOWN);
		return true;
	}
	*rest = tl_bytes(NULL, 0);
	return false;
}

bool tl_detect_last(struct tl_ctx *ctx)
{
	struct tl_bytes view[TL_LANE_COUNT];
	struct tl_bytes none = tl_bytes(NULL, 0);

	for (uint32_t i = 0; i < TL_LANE_COUNT; i++)
		view[i] = tl_carry_bytes(ctx->l7, &ctx->unit->lanes[i]);
	if (view[TL_CLIENT].len + view[TL_SERVER].len == 0)
		return false;
	struct guess guess = look(ctx, view);
	struct found found = decide(ctx, &guess, true);
	return start(ctx, &found, &none);
}

void tl_detect_again(struct tl_ctx *ctx)
{
	struct tl_unit *unit = ctx->unit;
	bool spoke = (unit->bits & TL_UNIT_SPOKE) != 0;
	bool full = (unit->bits & TL_UNIT_DROPPED) != 0;
	struct tl_extra *extra = tl_conn_extra_take(ctx->l7, ctx->conn);

	unit->bits &= (uint8_t)~TL_UNIT_STOPPED;
	tl_cancel_all(ctx, TL_STATUS_UNANSWERED, full ? TL_REASON_LIMIT : TL_REASON_DECODE_ERROR);
	tl_children_end(ctx, TL_END_SWITCHED);
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		struct tl_lane_state *lane = &unit->lanes[i];
		tl_message_free(ctx->l7, ctx->conn, lane->message);
		lane->message = TL_NONE;
		lane->skip = 0;
		lane->need = lane->seen = lane->hunted = 0;
		lane->bits &= TL_LANE_ENDED | TL_LANE_SWITCHED;
	}
	tl_unit_drop_state(ctx->l7, unit);
	if (extra != NULL)
		extra->spoke |= spoke;
	if (extra == NULL ? !spoke : !extra->spoke)
		tl_flow_set_verdict(ctx->conn->flow, TL_VERDICT_UNDECIDED);
	if (extra == NULL || full || extra->retries >= TL_DETECT_RETRIES_MAX) {
		tl_unit_deafen(ctx, TL_VERDICT_UNKNOWN);
		return;
	}
	if (!spoke)
		extra->excluded |= UINT64_C(1) << unit->protocol;
	extra->retries++;
	extra->detect_packets = 0;
	ctx->conn->is_late_join = true;
	unit->protocol = 0;
	unit->bits &= (uint8_t)~TL_UNIT_SPOKE;
	unit->mode = TL_UNIT_DETECT;
}

// ---- Datagrams ------------------------------------------------------------------------------

// The first datagram waits for a second opinion; then it is shown before the one that gave it.
static void replay(struct tl_ctx *ctx)
{
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		struct tl_lane_state *lane = &ctx->unit->lanes[i];
		struct tl_bytes bytes = tl_carry_bytes(ctx->l7, lane);
		if (bytes.len == 0)
			continue;
		uint64_t ns = tl_l7_carry(ctx->l7, lane->carry)->marks[0].ns;
		struct tl_ctx own = *ctx;
		uint32_t carry = lane->carry;
		lane->carry = TL_NONE;
		tl_ctx_count(ctx, TL_COUNT_STREAM_BUFFERED, (uint64_t)0 - bytes.len);
		tl_ctx_piece(&own, (enum tl_lane)i, bytes, ns);
		tl_lane_datagram(&own, bytes, bytes.len);
		lane->last_ns = ns;
		tl_slab_put(&ctx->l7->carried, tl_l7_carry(ctx->l7, carry)->block);
		tl_pool_put(&ctx->l7->carries, tl_l7_carry(ctx->l7, carry));
	}
}

// Fits that neither port nor content settle: both lanes must name the same single protocol.
static void agree(const struct tl_ctx *ctx, const struct guess *guess, struct found *found)
{
	struct tl_extra *extra = tl_conn_extra_take(ctx->l7, ctx->conn);

	if (extra == NULL)
		return;
	extra->likely[ctx->lane] |= guess->likely & ~guess->flipped;
	uint64_t both = extra->likely[TL_CLIENT] & extra->likely[TL_SERVER];
	if (both != 0 && (both & (both - 1)) == 0)
		found->protocol = first_of(both, 0);
	else if (++extra->detect_packets >= ctx->l7->detect_packets_max)
		found->verdict = guess->verdict != 0 ? guess->verdict : TL_VERDICT_UNKNOWN;
}

void tl_detect_datagram(struct tl_ctx *ctx, struct tl_bytes bytes, uint32_t wire_len)
{
	struct tl_bytes view[TL_LANE_COUNT] = {{0}, {0}};
	uint8_t lane = ctx->lane;

	view[lane] = bytes;
	struct guess guess = look(ctx, view);
	struct found found = decide(ctx, &guess, false);
	if (found.protocol == 0 && found.verdict == 0)
		agree(ctx, &guess, &found);
	if (conclude(ctx, &found)) {
		if (ctx->unit->mode == TL_UNIT_DECODE) {
			replay(ctx);
			tl_ctx_piece(ctx, (enum tl_lane)ctx->lane, bytes, ctx->piece_ns);
			tl_lane_datagram(ctx, bytes, wire_len);
			return;
		}
	} else if (guess.likely != 0 && wire_len == bytes.len &&
		   ctx->unit->lanes[TL_CLIENT].carry == TL_NONE &&
		   ctx->unit->lanes[TL_SERVER].carry == TL_NONE &&
		   tl_carry_add(ctx, (enum tl_lane)lane, bytes, ctx->piece_ns)) {
		return;
	}
	tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, bytes.len);
	ctx->unit->lanes[ctx->lane].offset += bytes.len;
}
