// SPDX-License-Identifier: Apache-2.0
#include "stream/tcp.h"

#include "base/check.h"

// A RST may run ahead of what the tap saw by data it missed.
#define RESET_AHEAD_BYTES_MAX (1 << 20)
// A hole filled sooner was reordering in the network or the capture, not a retransmission.
#define REORDER_NS_MAX 3000000u
// What one side may hold for the other that was never seen, which the tap may miss for good (it sees
// one direction only) or get late (on a queue whose worker was away). Nothing while half of the pool
// is in use.
#define UNSEEN_SEGMENTS_MAX 256u
// Rounds of one expire call: every round ends a hole or a request.
#define EXPIRE_ROUNDS_MAX 65536u

// A segment on its way through the rules below.
struct arrival {
	const struct tl_headers *headers;
	const struct tl_packet *packet;
	uint32_t seq;     // of its first payload byte
	uint32_t len;     // payload on the wire
	uint64_t time_ns;
	bool has_ack;
	bool has_fin;
};

int tl_tcp_init(struct tl_tcp *tcp, const struct tl_flow_options *options, struct tl_l7 *l7,
		struct tl_counters *counters)
{
	*tcp = (struct tl_tcp) {.feed = {.l7 = l7, .counters = counters}, .options = options};
	return tl_reorder_init(&tcp->reorder, options);
}

void tl_tcp_fini(struct tl_tcp *tcp)
{
	tl_reorder_fini(&tcp->reorder);
}

static void count(struct tl_tcp *tcp, enum tl_counter id)
{
	tl_counter_add(tcp->feed.counters, id, 1);
}

static bool is_known(const struct tl_flow *flow, uint8_t s)
{
	return tl_flow_is(flow, (uint32_t)TL_FLOW_KNOWN << s);
}

static bool is_seen(const struct tl_flow *flow, uint8_t s)
{
	return tl_flow_is(flow, (uint32_t)TL_FLOW_SEEN << s);
}

static bool is_near(uint32_t a, uint32_t b)
{
	int32_t diff = tl_seq_diff(a, b);
	return diff <= TL_TCP_NEAR_BYTES_MAX && diff >= -TL_TCP_NEAR_BYTES_MAX;
}

void tl_tcp_expect(struct tl_flow *flow, uint8_t side, uint32_t seq)
{
	flow->side[side].next_seq = seq;
	flow->side[side ^ 1].acked = seq;
	tl_flow_mark(flow, (uint32_t)TL_FLOW_KNOWN << side);
}

// ---- handing on ---------------------------------------------------------------------------

// Nobody waits any more for a side of which only the other's ACKs tell. Nothing is lost by that: the
// tap may see one direction only. When it shows up after all, tl_tcp_meet() looks at what it missed.
static void forget(struct tl_flow *flow, uint8_t s)
{
	tl_flow_unmark(flow, (uint32_t)TL_FLOW_KNOWN << s);
}

static void lose(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, uint32_t lost, uint64_t time_ns)
{
	flow->side[s].next_seq += lost;
	tl_feed_gap(&tcp->feed, flow, s, lost, time_ns);
}

static void end_side(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, uint64_t time_ns)
{
	if (tl_flow_is(flow, (uint32_t)TL_FLOW_FIN << s))
		return;
	tl_flow_mark(flow, (uint32_t)TL_FLOW_FIN << s);
	flow->side[s].next_seq++;
	if (flow->conn != NULL)
		tl_conn_end_side(tcp->feed.l7, flow->conn, s, time_ns);
}

// The peer's bytes that `ack` covers come first; a side of which nothing is known is not waited for.
static bool is_causal(const struct tl_flow *flow, uint8_t s, bool has_ack, uint32_t ack)
{
	uint8_t peer = s ^ 1;
	if (!has_ack || !is_known(flow, peer))
		return true;
	return tl_seq_diff(ack, flow->side[peer].next_seq) <= 0;
}

// Bytes of `s` are about to be handed on: of a peer that is not known they say what was before them.
static void note_order(struct tl_flow *flow, uint8_t s, bool has_ack, uint32_t ack)
{
	struct tl_flow_side *side = &flow->side[s];

	if (TL_LIKELY(is_known(flow, s ^ 1)) || !has_ack)
		return;
	if (flow->verdict == TL_VERDICT_NO_PAYLOAD || tl_seq_diff(ack, side->acked) > 0)
		side->acked = ack;
}

void tl_tcp_meet(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, uint32_t seq, uint64_t time_ns)
{
	uint32_t acked = flow->side[s ^ 1].acked;
	int32_t late = tl_seq_diff(acked, seq);

	tl_tcp_expect(flow, s, seq);
	if (flow->verdict == TL_VERDICT_NO_PAYLOAD || late <= 0 || late > TL_TCP_NEAR_BYTES_MAX)
		return;
	flow->side[s ^ 1].acked = acked;
	tl_flow_mark(flow, TL_FLOW_LATE); // as if this side had been joined now
	count(tcp, TL_COUNT_TCP_LATE);
	lose(tcp, flow, s, (uint32_t)late, time_ns);
}

// The packet's payload from `trim` on is in order: hands it on without copying.
static void feed_arrival(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s,
			 const struct arrival *a, uint32_t trim, uint64_t stall_ns)
{
	uint32_t captured = a->headers->payload_len > trim ? a->headers->payload_len - trim : 0;
	uint32_t at = a->headers->payload_offset + trim;
	uint32_t left = captured;

	note_order(flow, s, a->has_ack, a->headers->tcp_ack);
	for (uint32_t i = 0; i < a->packet->chunk_count && left != 0; i++) {
		const struct tl_chunk *chunk = &a->packet->chunks[i];
		if (at >= chunk->len) {
			at -= chunk->len;
			continue;
		}
		uint32_t len = chunk->len - at < left ? chunk->len - at : left;
		flow->side[s].next_seq += len;
		tl_feed_data(&tcp->feed, flow, s, tl_bytes(chunk->data + at, len), a->time_ns,
			     stall_ns);
		stall_ns = 0;
		left -= len;
		at = 0;
	}
	// What the snaplen cut was on the wire, but nobody will ever see it.
	uint32_t cut = a->len - trim - (captured - left);
	if (cut != 0)
		lose(tcp, flow, s, cut, a->time_ns);
	if (a->has_fin)
		end_side(tcp, flow, s, a->time_ns);
}

// The head segment is in order: hands on what of it is new, and drops it.
static void feed_head(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s,
		      struct tl_reorder_side *r, uint64_t floor_ns)
{
	struct tl_segment *segment = tl_reorder_head(&tcp->reorder, r);
	struct tl_flow_side *side = &flow->side[s];
	uint32_t trim = side->next_seq - segment->seq;
	uint64_t time_ns = segment->time_ns > floor_ns ? segment->time_ns : floor_ns;

	note_order(flow, s, (segment->flags & TL_SEGMENT_ACK) != 0, segment->ack);
	if (trim <= segment->len) {
		uint32_t len = segment->len - trim;
		uint32_t kept = segment->kept > trim ? segment->kept - trim : 0;
		if ((segment->flags & TL_SEGMENT_UNWANTED) != 0) {
			side->next_seq += len;
			tl_feed_unwanted(&tcp->feed, flow, s, len, time_ns);
		} else {
			if (kept != 0) {
				const uint8_t *bytes = tl_segment_bytes(&tcp->reorder, segment);
				side->next_seq += kept;
				tl_feed_data(&tcp->feed, flow, s, tl_bytes(bytes + trim, kept),
					     time_ns, 0);
			}
			if (len != kept)
				lose(tcp, flow, s, len - kept, time_ns);
		}
		if ((segment->flags & TL_SEGMENT_FIN) != 0)
			end_side(tcp, flow, s, time_ns);
	}
	tl_reorder_pop(&tcp->reorder, r);
}

// Hands on all that waits no longer, the two sides in turn, until neither can go on. Bytes of a
// side were not usable before its hole was filled: `floor_ns` is that time, per side.
static void drain(struct tl_tcp *tcp, struct tl_flow *flow, struct tl_reorder_flow *state,
		  const uint64_t floor_ns[2])
{
	bool has_fed = true;

	while (has_fed) {
		has_fed = false;
		for (uint8_t s = 0; s < 2; s++) {
			struct tl_reorder_side *r = &state->side[s];
			struct tl_segment *head = tl_reorder_head(&tcp->reorder, r);
			while (head != NULL &&
			       tl_seq_diff(head->seq, flow->side[s].next_seq) <= 0 &&
			       is_causal(flow, s, (head->flags & TL_SEGMENT_ACK) != 0, head->ack)) {
				feed_head(tcp, flow, s, r, floor_ns[s]);
				has_fed = true;
				head = tl_reorder_head(&tcp->reorder, r);
			}
		}
	}
}

// ---- holes --------------------------------------------------------------------------------

// The peer acknowledged bytes that were not seen.
static bool is_acked_past(const struct tl_flow *flow, uint8_t s)
{
	return is_known(flow, s) && is_seen(flow, s ^ 1) &&
	       tl_seq_diff(flow->side[s ^ 1].acked, flow->side[s].next_seq) > 0;
}

// True if data of the side beyond next_seq was seen.
static bool is_beyond(const struct tl_tcp *tcp, const struct tl_flow *flow, uint8_t s,
		      const struct tl_reorder_side *r)
{
	const struct tl_segment *head = tl_reorder_head(&tcp->reorder, r);
	uint32_t next = flow->side[s].next_seq;

	if (head != NULL && tl_seq_diff(head->seq, next) > 0)
		return true;
	return head == NULL && r->has_beyond && tl_seq_diff(r->beyond, next) > 0;
}

// Brings the record of each side's hole up to date after something happened at `now_ns`; gives
// the state back when nothing waits.
static void notice(struct tl_tcp *tcp, struct tl_flow *flow, uint64_t now_ns)
{
	bool is_idle = true;

	if (flow->reorder == TL_POOL_NONE) {
		if (TL_LIKELY(!is_acked_past(flow, 0) && !is_acked_past(flow, 1)))
			return;
		if (tl_reorder_open(&tcp->reorder, flow) == NULL)
			return;
	}
	struct tl_reorder_flow *state = tl_reorder_at(&tcp->reorder, flow);
	for (uint8_t s = 0; s < 2; s++) {
		struct tl_reorder_side *r = &state->side[s];
		uint32_t next = flow->side[s].next_seq;
		bool is_past = is_beyond(tcp, flow, s, r);
		r->is_acked = is_acked_past(flow, s);
		if (!is_past && !r->is_acked) {
			r->has_hole = false;
			r->is_proven = false;
			r->has_beyond = false;
			r->has_timestamp = false;
			is_idle &= r->head == TL_POOL_NONE;
			continue;
		}
		is_idle = false;
		if (!r->has_hole || r->hole_seq != next) {
			r->has_hole = true;
			r->hole_seq = next;
			r->hole_ns = now_ns;
			r->is_proven = false;
		}
		if (!r->is_proven && is_past && r->is_acked) {
			r->is_proven = true;
			r->proven_ns = now_ns;
		}
	}
	if (is_idle)
		tl_reorder_close(&tcp->reorder, flow);
}

static uint64_t hole_deadline(const struct tl_tcp *tcp, const struct tl_flow *flow, uint8_t s,
			      const struct tl_reorder_side *r)
{
	if (!r->has_hole)
		return UINT64_MAX;
	if (r->is_proven)
		return r->proven_ns + tcp->options->gap_seen_ns;
	if (r->is_acked)
		return r->hole_ns + tcp->options->gap_silent_ns;
	if (!is_seen(flow, s ^ 1))
		return r->hole_ns + tcp->options->gap_one_sided_ns;
	return UINT64_MAX; // the sender may still send it again
}

// How many bytes from next_seq on are missing: up to what is held, and no more than was
// acknowledged where the peer can be heard.
static uint32_t hole_len(const struct tl_tcp *tcp, const struct tl_flow *flow, uint8_t s,
			 const struct tl_reorder_side *r)
{
	const struct tl_segment *head = tl_reorder_head(&tcp->reorder, r);
	uint32_t next = flow->side[s].next_seq;
	uint32_t acked = r->is_acked ? flow->side[s ^ 1].acked - next : UINT32_MAX;
	uint32_t held = UINT32_MAX;

	if (head != NULL && tl_seq_diff(head->seq, next) > 0)
		held = head->seq - next;
	else if (head == NULL && r->has_beyond && !r->is_acked)
		held = r->beyond - next;
	return acked < held ? acked : held;
}

// One number acknowledged and nothing behind it: a FIN that the tap missed rather than a byte.
static void lose_acked(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, uint32_t lost,
		       uint64_t time_ns)
{
	const struct tl_reorder_flow *state = tl_reorder_at(&tcp->reorder, flow);

	if (lost == 1 && !is_beyond(tcp, flow, s, &state->side[s]))
		end_side(tcp, flow, s, time_ns);
	else
		lose(tcp, flow, s, lost, time_ns);
}

// What is held on the side waits for bytes of the peer.
static bool waits_for_peer(const struct tl_tcp *tcp, const struct tl_flow *flow, uint8_t s,
			   const struct tl_reorder_flow *state)
{
	const struct tl_segment *head = tl_reorder_head(&tcp->reorder, &state->side[s]);

	return head != NULL && !is_causal(flow, s, (head->flags & TL_SEGMENT_ACK) != 0, head->ack);
}

// What the peer sent before the end of this hole comes before the hole's rest: bytes of `s` up to
// the first number that the peer's waiting segment acknowledged, at most `lost`.
static uint32_t lost_before_peer(const struct tl_tcp *tcp, const struct tl_flow *flow, uint8_t s,
				 const struct tl_reorder_side *peer, uint32_t lost)
{
	const struct tl_segment *head = tl_reorder_head(&tcp->reorder, peer);

	if (head == NULL || (head->flags & TL_SEGMENT_ACK) == 0)
		return lost;
	int32_t acked = tl_seq_diff(head->ack, flow->side[s].next_seq);
	return acked > 0 && (uint32_t)acked < lost ? (uint32_t)acked : lost;
}

// Whether the peer's waiting segment could be handed on; a hole before it that was acknowledged
// is as lost as the one it waited for.
static bool free_peer(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t peer,
		      struct tl_reorder_flow *state, uint64_t time_ns)
{
	const struct tl_segment *head = tl_reorder_head(&tcp->reorder, &state->side[peer]);
	int32_t missing = tl_seq_diff(head->seq, flow->side[peer].next_seq);

	if (missing > 0) {
		if (!is_acked_past(flow, peer) ||
		    tl_seq_diff(flow->side[peer ^ 1].acked, head->seq) < 0)
			return false;
		lose(tcp, flow, peer, (uint32_t)missing, time_ns);
	}
	drain(tcp, flow, state, (const uint64_t[2]) {0, 0});
	return tl_reorder_head(&tcp->reorder, &state->side[peer]) != head;
}

// More than may be held for a side that was never seen.
static bool is_much(const struct tl_tcp *tcp, const struct tl_reorder_side *r)
{
	return r->count > UNSEEN_SEGMENTS_MAX ||
	       tcp->reorder.blocks.used > tcp->reorder.blocks.count / 2;
}

static void give_up(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, uint64_t time_ns)
{
	struct tl_reorder_flow *state = tl_reorder_at(&tcp->reorder, flow);

	if (!is_seen(flow, s)) {
		forget(flow, s);
		drain(tcp, flow, state, (const uint64_t[2]) {0, 0});
		notice(tcp, flow, time_ns);
		return;
	}
	uint32_t lost = hole_len(tcp, flow, s, &state->side[s]);
	TL_CHECK(lost != UINT32_MAX);
	// A hole may span several answers, with requests between them that are known: the peer's
	// segments go in between, else an answer behind the hole meets the wrong one.
	for (bool is_free = true; is_free;) {
		uint32_t before = lost_before_peer(tcp, flow, s, &state->side[s ^ 1], lost);
		if (before == lost)
			break;
		lose(tcp, flow, s, before, time_ns);
		lost -= before;
		is_free = free_peer(tcp, flow, s ^ 1, state, time_ns);
		// The rest comes behind a further hole of the peer's.
		if (is_free && waits_for_peer(tcp, flow, s, state) &&
		    !waits_for_peer(tcp, flow, s ^ 1, state)) {
			notice(tcp, flow, time_ns);
			return;
		}
	}
	lose_acked(tcp, flow, s, lost, time_ns);
	drain(tcp, flow, state, (const uint64_t[2]) {0, 0});
	notice(tcp, flow, time_ns);
}

// With a hole on either side, one that lies behind the other is not given up before it: its end
// was sent after the peer's bytes arrived.
static uint64_t earliest_hole(const struct tl_tcp *tcp, const struct tl_flow *flow, uint8_t *ret_side)
{
	const struct tl_reorder_flow *state = tl_reorder_at(&tcp->reorder, flow);

	if (state == NULL)
		return UINT64_MAX;
	uint64_t first = hole_deadline(tcp, flow, 0, &state->side[0]);
	uint64_t second = hole_deadline(tcp, flow, 1, &state->side[1]);
	if (first != UINT64_MAX && second != UINT64_MAX) {
		bool is_first_behind = waits_for_peer(tcp, flow, 0, state);
		if (is_first_behind != waits_for_peer(tcp, flow, 1, state)) {
			*ret_side = is_first_behind;
			return is_first_behind ? second : first;
		}
	}
	*ret_side = second < first;
	return second < first ? second : first;
}

void tl_tcp_expire(struct tl_tcp *tcp, struct tl_flow *flow, uint64_t now_ns)
{
	for (uint32_t i = 0; i < EXPIRE_ROUNDS_MAX; i++) {
		uint8_t s = 0;
		uint64_t hole = earliest_hole(tcp, flow, &s);
		uint64_t request = flow->conn != NULL ? tl_conn_deadline(flow->conn) : UINT64_MAX;
		if (hole > now_ns && request > now_ns)
			return;
		if (hole <= request)
			give_up(tcp, flow, s, hole);
		else
			tl_conn_expire(tcp->feed.l7, flow->conn, request);
	}
}

// Hands on everything held, whatever is missing. A side that waits for the other's bytes does so
// no longer when those are held back by it in turn.
static void force(struct tl_tcp *tcp, struct tl_flow *flow, uint64_t time_ns)
{
	struct tl_reorder_flow *state = tl_reorder_at(&tcp->reorder, flow);
	const uint64_t no_floor[2] = {0, 0};

	if (state == NULL)
		return;
	for (;;) {
		drain(tcp, flow, state, no_floor);
		struct tl_segment *head[2];
		for (uint32_t i = 0; i < 2; i++)
			head[i] = tl_reorder_head(&tcp->reorder, &state->side[i]);
		if (head[0] == NULL && head[1] == NULL)
			break;
		uint8_t s = head[0] == NULL || (head[1] != NULL && head[1]->time_ns < head[0]->time_ns);
		uint8_t peer = s ^ 1;
		int32_t missing = tl_seq_diff(head[s]->seq, flow->side[s].next_seq);
		if (missing > 0) {
			lose(tcp, flow, s, (uint32_t)missing, time_ns);
			continue;
		}
		// It waits for bytes of the peer.
		if (!is_seen(flow, peer)) {
			forget(flow, peer);
			continue;
		}
		uint32_t lost = head[s]->ack - flow->side[peer].next_seq;
		if (head[peer] != NULL) {
			int32_t before = tl_seq_diff(head[peer]->seq, flow->side[peer].next_seq);
			if (before <= 0) {
				feed_head(tcp, flow, s, &state->side[s], 0);
				continue;
			}
			lost = lost < (uint32_t)before ? lost : (uint32_t)before;
		}
		lose(tcp, flow, peer, lost, time_ns);
	}
}

void tl_tcp_end(struct tl_tcp *tcp, struct tl_flow *flow, enum tl_end end, uint64_t time_ns)
{
	force(tcp, flow, time_ns);
	if (flow->reorder != TL_POOL_NONE) {
		for (uint8_t s = 0; s < 2; s++)
			if (is_seen(flow, s) && is_acked_past(flow, s))
				lose_acked(tcp, flow, s,
					   flow->side[s ^ 1].acked - flow->side[s].next_seq,
					   time_ns);
		tl_reorder_close(&tcp->reorder, flow);
	}
	tl_feed_close(&tcp->feed, flow, end, time_ns);
}

// ---- segments -----------------------------------------------------------------------------

static void note_window(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, const struct tl_headers *h)
{
	uint32_t zero = (uint32_t)TL_FLOW_ZERO << s;

	if (h->tcp_window != 0) {
		tl_flow_unmark(flow, zero);
	} else if (!tl_flow_is(flow, zero)) {
		tl_flow_mark(flow, zero);
		count(tcp, TL_COUNT_TCP_ZERO_WINDOWS);
	}
}

static void note_ack(struct tl_flow *flow, uint8_t s, uint32_t ack)
{
	struct tl_flow_side *side = &flow->side[s];

	if (!is_known(flow, s ^ 1) || !is_near(ack, flow->side[s ^ 1].next_seq))
		return;
	if (tl_seq_diff(ack, side->acked) > 0)
		side->acked = ack;
}

// RFC 5961 section 3.2 as far as a tap can tell: from what the peer acknowledged to a little
// ahead of what was seen. Without a look at the side, its ACK number must fit.
static bool is_reset_valid(const struct tl_flow *flow, uint8_t s, const struct tl_headers *h)
{
	uint32_t next = flow->side[s].next_seq;
	uint32_t acked = flow->side[s ^ 1].acked;

	if (!is_known(flow, s)) {
		return (h->tcp_flags & TL_TCP_ACK) == 0 || !is_known(flow, s ^ 1) ||
		       is_near(h->tcp_ack, flow->side[s ^ 1].next_seq);
	}
	uint32_t from = tl_seq_diff(acked, next) < 0 ? acked : next;
	uint32_t to = tl_seq_diff(acked, next) > 0 ? acked : next;
	return tl_seq_diff(h->tcp_seq, from) >= 0 &&
	       tl_seq_diff(h->tcp_seq, to) <= RESET_AHEAD_BYTES_MAX;
}

// Whether bytes that come after later ones were sent again, or only overtaken on their way.
static bool is_sent_again(const struct tl_reorder_side *r, const struct arrival *a)
{
	if (r->has_timestamp && a->headers->tcp_has_timestamps) {
		int32_t diff = tl_seq_diff(a->headers->tcp_timestamp, r->timestamp);
		if (diff != 0)
			return diff > 0;
	}
	return a->time_ns >= r->hole_ns + REORDER_NS_MAX;
}

// No room to wait: everything this flow holds is handed on now, then the segment itself.
static void feed_at_once(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, const struct arrival *a)
{
	count(tcp, TL_COUNT_REORDER_FULL);
	force(tcp, flow, a->time_ns);
	int32_t ahead = tl_seq_diff(a->seq, flow->side[s].next_seq);
	if (ahead > 0)
		lose(tcp, flow, s, (uint32_t)ahead, a->time_ns);
	uint32_t trim = ahead < 0 ? (uint32_t)-ahead : 0;
	if (trim <= a->len)
		feed_arrival(tcp, flow, s, a, trim, 0);
	notice(tcp, flow, a->time_ns);
}

// The segment has to wait: for bytes before it, or for the peer's bytes.
static void hold(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, const struct arrival *a,
		 uint32_t trim, const uint64_t floor_ns[2])
{
	const struct tl_headers *h = a->headers;
	struct tl_reorder_flow *state = tl_reorder_open(&tcp->reorder, flow);
	struct tl_segment_spec spec = {
		.seq = a->seq + trim,
		.len = a->len - trim,
		.captured = h->payload_len > trim ? h->payload_len - trim : 0,
		.ack = h->tcp_ack,
		.flags = (a->has_ack ? TL_SEGMENT_ACK : 0u) | (a->has_fin ? TL_SEGMENT_FIN : 0u),
		.offset = h->payload_offset + trim,
		.time_ns = a->time_ns,
		.packet = a->packet,
	};
	bool repeats = false;
	bool differs = false;

	if (state == NULL) {
		feed_at_once(tcp, flow, s, a);
		return;
	}
	struct tl_reorder_side *r = &state->side[s];
	uint64_t ahead = spec.seq - flow->side[s].next_seq;
	bool is_unread = tl_flow_is(flow, TL_FLOW_DEAF | TL_FLOW_REFUSED) && flow->conn == NULL;
	if (is_unread || (flow->conn != NULL && ahead + spec.len <= tl_conn_skip(flow->conn, s))) {
		spec.packet = NULL;
		spec.flags |= TL_SEGMENT_UNWANTED;
	}
	const struct tl_segment *tail =
		r->tail == TL_POOL_NONE ? NULL : tl_pool_at(&tcp->reorder.segments, r->tail);
	// What begins at next_seq has been counted already.
	bool is_late = tail != NULL && ahead != 0 && tl_seq_diff(spec.seq, tail->seq) < 0;
	if (!r->has_timestamp && ahead != 0 && h->tcp_has_timestamps) {
		r->has_timestamp = true;
		r->timestamp = h->tcp_timestamp;
	}
	enum tl_kept kept = tl_reorder_insert(&tcp->reorder, r, &spec, &repeats, &differs);
	if (differs)
		count(tcp, TL_COUNT_OVERLAP_DIFFERENT);
	if (kept == TL_KEPT_FULL) {
		feed_at_once(tcp, flow, s, a);
		return;
	}
	if (kept == TL_KEPT_NOTHING)
		count(tcp, TL_COUNT_TCP_SKIPPED);
	if ((repeats && ahead != 0) || (is_late && is_sent_again(r, a)))
		count(tcp, TL_COUNT_TCP_RETRANSMITTED);
	else if (is_late)
		count(tcp, TL_COUNT_TCP_OUT_OF_ORDER);
	if (!is_seen(flow, s ^ 1) && waits_for_peer(tcp, flow, s, state) && is_much(tcp, r))
		forget(flow, s ^ 1);
	drain(tcp, flow, state, floor_ns);
	notice(tcp, flow, a->time_ns);
}

// In-order new bytes from `trim` on that need not wait.
static void advance(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, const struct arrival *a,
		    uint32_t trim)
{
	struct tl_reorder_flow *state = tl_reorder_at(&tcp->reorder, flow);
	uint64_t floor_ns[2] = {0, 0};
	uint64_t stall_ns = 0;
	bool is_again = trim != 0;

	if (TL_UNLIKELY(state != NULL) && state->side[s].has_hole && a->len != 0) {
		const struct tl_reorder_side *r = &state->side[s];
		if (is_beyond(tcp, flow, s, r)) {
			if (is_sent_again(r, a)) {
				is_again = true;
				stall_ns = a->time_ns > r->hole_ns ? a->time_ns - r->hole_ns : 0;
			} else if (!is_again) {
				count(tcp, TL_COUNT_TCP_OUT_OF_ORDER);
			}
			floor_ns[s] = a->time_ns;
		}
	}
	if (is_again)
		count(tcp, TL_COUNT_TCP_RETRANSMITTED);
	// Bytes held already win over the rest of this segment.
	if (state != NULL && state->side[s].head != TL_POOL_NONE && a->len != 0) {
		const struct tl_segment *head = tl_reorder_head(&tcp->reorder, &state->side[s]);
		if (tl_seq_diff(head->seq, a->seq + a->len) < 0) {
			hold(tcp, flow, s, a, trim, floor_ns);
			return;
		}
	}
	feed_arrival(tcp, flow, s, a, trim, stall_ns);
	if (TL_UNLIKELY(state != NULL))
		drain(tcp, flow, state, floor_ns);
	notice(tcp, flow, a->time_ns);
}

// A segment without payload and FIN: its numbers may still tell of bytes that were missed.
static void take_bare(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, const struct arrival *a)
{
	if (is_known(flow, s)) {
		int32_t ahead = tl_seq_diff(a->seq, flow->side[s].next_seq);
		if (ahead == -1 && !tl_flow_is(flow, (uint32_t)TL_FLOW_FIN << s))
			count(tcp, TL_COUNT_TCP_KEEP_ALIVES);
		if (ahead > 0 && ahead <= TL_TCP_NEAR_BYTES_MAX) {
			struct tl_reorder_flow *state = tl_reorder_open(&tcp->reorder, flow);
			if (state != NULL &&
			    (!state->side[s].has_beyond ||
			     tl_seq_diff(a->seq, state->side[s].beyond) > 0)) {
				state->side[s].has_beyond = true;
				state->side[s].beyond = a->seq;
			}
		}
	}
	struct tl_reorder_flow *state = tl_reorder_at(&tcp->reorder, flow);
	if (TL_UNLIKELY(state != NULL))
		drain(tcp, flow, state, (const uint64_t[2]) {0, 0});
	notice(tcp, flow, a->time_ns);
}

// Payload or FIN far from where its side was: 1 if it is to be taken after all.
static int take_far(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s, const struct arrival *a)
{
	const struct tl_flow_side *peer = &flow->side[s ^ 1];

	if (is_seen(flow, s ^ 1) && is_near(a->seq, peer->acked)) {
		// The capture lost more than can be compared; the peer's ACKs kept step.
		force(tcp, flow, a->time_ns);
		lose(tcp, flow, s, a->seq - flow->side[s].next_seq, a->time_ns);
		return 1;
	}
	bool is_other = !is_known(flow, s ^ 1) || !a->has_ack ||
			!is_near(a->headers->tcp_ack, peer->next_seq);
	if (is_other)
		return -1;
	count(tcp, TL_COUNT_TCP_SKIPPED);
	return 0;
}

// A keep-alive probe, whose byte is none of the stream, if it lies right before what is expected.
static bool is_probe(const struct arrival *a, uint32_t expected)
{
	return a->len == 1 && (a->headers->tcp_flags & (TL_TCP_PSH | TL_TCP_FIN)) == 0 &&
	       a->seq + 1 == expected;
}

static enum tl_tcp_result take_payload(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s,
				       const struct arrival *a)
{
	if (!is_known(flow, s))
		tl_tcp_meet(tcp, flow, s, a->seq + is_probe(a, flow->side[s ^ 1].acked), a->time_ns);
	if (!is_near(a->seq, flow->side[s].next_seq)) {
		int far = take_far(tcp, flow, s, a);
		if (far <= 0)
			return far < 0 ? TL_TCP_OTHER : TL_TCP_GOES_ON;
	}
	int32_t ahead = tl_seq_diff(a->seq, flow->side[s].next_seq);
	int32_t beyond = ahead + (int32_t)a->len + a->has_fin;
	if (is_probe(a, flow->side[s].next_seq)) {
		count(tcp, TL_COUNT_TCP_KEEP_ALIVES);
		count(tcp, TL_COUNT_TCP_SKIPPED);
		notice(tcp, flow, a->time_ns);
	} else if (beyond <= 0 || tl_flow_is(flow, (uint32_t)TL_FLOW_FIN << s)) {
		// Nothing new; also whatever comes behind a FIN.
		count(tcp, TL_COUNT_TCP_SKIPPED);
		count(tcp, TL_COUNT_TCP_RETRANSMITTED);
		take_bare(tcp, flow, s,
			  &(struct arrival) {.seq = flow->side[s].next_seq, .time_ns = a->time_ns});
	} else {
		uint32_t trim = ahead < 0 ? (uint32_t)-ahead : 0;
		if (TL_LIKELY(ahead <= 0 && is_causal(flow, s, a->has_ack, a->headers->tcp_ack)))
			advance(tcp, flow, s, a, trim);
		else
			hold(tcp, flow, s, a, trim, (const uint64_t[2]) {0, 0});
	}
	tl_feed_settle(&tcp->feed, flow, a->time_ns);
	return tl_tcp_is_over(flow) ? TL_TCP_ENDED : TL_TCP_GOES_ON;
}

enum tl_tcp_result tl_tcp_packet(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s,
				 const struct tl_headers *h, const struct tl_packet *packet)
{
	const struct arrival a = {
		.headers = h,
		.packet = packet,
		.seq = h->tcp_seq + ((h->tcp_flags & TL_TCP_SYN) != 0),
		.len = h->payload_wire_len,
		.time_ns = packet->time_ns,
		.has_ack = (h->tcp_flags & TL_TCP_ACK) != 0,
		.has_fin = (h->tcp_flags & TL_TCP_FIN) != 0,
	};

	if (TL_UNLIKELY((h->tcp_flags & TL_TCP_RST) != 0)) {
		if (is_reset_valid(flow, s, h))
			return TL_TCP_RESET;
		count(tcp, TL_COUNT_TCP_SKIPPED);
		return TL_TCP_GOES_ON;
	}
	tl_flow_mark(flow, (uint32_t)TL_FLOW_SEEN << s);
	note_window(tcp, flow, s, h);
	if (a.has_ack)
		note_ack(flow, s, h->tcp_ack);
	if (a.len == 0 && !a.has_fin) {
		take_bare(tcp, flow, s, &a);
		// A bare ACK may have let a held FIN pass.
		return tl_tcp_is_over(flow) ? TL_TCP_ENDED : TL_TCP_GOES_ON;
	}
	return take_payload(tcp, flow, s, &a);
}
