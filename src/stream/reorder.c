// SPDX-License-Identifier: Apache-2.0
#include "stream/reorder.h"

#include "base/check.h"

#include <errno.h>

#define SEGMENTS_MIN 64u

int tl_reorder_init(struct tl_reorder *reorder, const struct tl_flow_options *options)
{
	uint64_t blocks = options->reorder_bytes_max / TL_SEGMENT_BLOCK_BYTES;

	if (blocks < SEGMENTS_MIN)
		blocks = SEGMENTS_MIN;
	if (blocks > INT32_MAX / TL_SEGMENTS_PER_BLOCK)
		return -EINVAL;
	uint32_t segments = (uint32_t)blocks * TL_SEGMENTS_PER_BLOCK;
	*reorder = (struct tl_reorder) {.flow_bytes_max = options->reorder_flow_bytes_max};
	int error = tl_pool_init(&reorder->flows, sizeof(struct tl_reorder_flow), segments);
	if (error == 0)
		error = tl_pool_init(&reorder->segments, sizeof(struct tl_segment), segments);
	if (error == 0)
		error = tl_pool_init(&reorder->blocks, TL_SEGMENT_BLOCK_BYTES, (uint32_t)blocks);
	if (error != 0)
		tl_reorder_fini(reorder);
	return error;
}

void tl_reorder_fini(struct tl_reorder *reorder)
{
	tl_pool_fini(&reorder->blocks);
	tl_pool_fini(&reorder->segments);
	tl_pool_fini(&reorder->flows);
}

struct tl_reorder_flow *tl_reorder_open(struct tl_reorder *reorder, struct tl_flow *flow)
{
	struct tl_reorder_flow *state = tl_reorder_at(reorder, flow);
	if (state != NULL)
		return state;
	state = tl_pool_take(&reorder->flows);
	if (state == NULL)
		return NULL;
	for (uint32_t s = 0; s < 2; s++) {
		state->side[s].head = TL_POOL_NONE;
		state->side[s].tail = TL_POOL_NONE;
	}
	flow->reorder = tl_pool_index(&reorder->flows, state);
	return state;
}

void tl_reorder_close(struct tl_reorder *reorder, struct tl_flow *flow)
{
	struct tl_reorder_flow *state = tl_reorder_at(reorder, flow);
	if (state == NULL)
		return;
	TL_CHECK(state->side[0].head == TL_POOL_NONE && state->side[1].head == TL_POOL_NONE);
	tl_pool_put(&reorder->flows, state);
	flow->reorder = TL_POOL_NONE;
}

static struct tl_segment *segment_at(const struct tl_reorder *reorder, uint32_t index)
{
	return index == TL_POOL_NONE ? NULL : tl_pool_at(&reorder->segments, index);
}

static uint32_t segment_end(const struct tl_segment *segment)
{
	return segment->seq + segment->len;
}

void tl_reorder_pop(struct tl_reorder *reorder, struct tl_reorder_side *side)
{
	struct tl_segment *segment = segment_at(reorder, side->head);
	TL_CHECK(segment != NULL);
	side->head = segment->next;
	if (side->head == TL_POOL_NONE)
		side->tail = TL_POOL_NONE;
	side->count--;
	if (segment->block != TL_POOL_NONE) {
		side->bytes -= segment->kept;
		tl_pool_put(&reorder->blocks, tl_pool_at(&reorder->blocks, segment->block));
	}
	tl_pool_put(&reorder->segments, segment);
}

// Compares the part of `spec` that `held` has already.
static bool is_different(const struct tl_reorder *reorder, const struct tl_segment *held,
			 const struct tl_segment_spec *spec)
{
	uint8_t bytes[TL_SEGMENT_BLOCK_BYTES];
	uint32_t from = tl_seq_diff(spec->seq, held->seq) > 0 ? spec->seq : held->seq;
	uint32_t skip = from - spec->seq;
	uint32_t at = from - held->seq;

	if (spec->packet == NULL || held->block == TL_POOL_NONE || at >= held->kept ||
	    skip >= spec->captured)
		return false;
	uint32_t len = held->kept - at;
	if (len > spec->captured - skip)
		len = spec->captured - skip;
	len = tl_packet_copy(spec->packet, spec->offset + skip, len, bytes);
	return memcmp(bytes, tl_segment_bytes(reorder, held) + at, len) != 0;
}

// Links one piece, at most a block long, behind `before` (NULL: as the head).
static bool link_piece(struct tl_reorder *reorder, struct tl_reorder_side *side,
		       struct tl_segment *before, const struct tl_segment_spec *spec)
{
	uint32_t block = TL_POOL_NONE;
	uint32_t kept = 0;

	if (side->count >= TL_SEGMENTS_FLOW_MAX)
		return false;
	if (spec->packet != NULL && spec->captured != 0) {
		if (side->bytes + spec->captured > reorder->flow_bytes_max)
			return false;
		uint8_t *bytes = tl_pool_take_raw(&reorder->blocks);
		if (bytes == NULL)
			return false;
		kept = tl_packet_copy(spec->packet, spec->offset, spec->captured, bytes);
		block = tl_pool_index(&reorder->blocks, bytes);
	}
	struct tl_segment *segment = tl_pool_take_raw(&reorder->segments);
	if (segment == NULL) {
		if (block != TL_POOL_NONE)
			tl_pool_put(&reorder->blocks, tl_pool_at(&reorder->blocks, block));
		return false;
	}
	uint32_t index = tl_pool_index(&reorder->segments, segment);
	*segment = (struct tl_segment) {
		.next = before != NULL ? before->next : side->head,
		.seq = spec->seq,
		.len = spec->len,
		.kept = kept,
		.ack = spec->ack,
		.block = block,
		.time_ns = spec->time_ns,
		.flags = spec->flags,
	};
	if (before != NULL)
		before->next = index;
	else
		side->head = index;
	if (segment->next == TL_POOL_NONE)
		side->tail = index;
	side->count++;
	side->bytes += kept;
	return true;
}

// `*before` becomes the last segment linked.
static bool link_pieces(struct tl_reorder *reorder, struct tl_reorder_side *side,
			struct tl_segment **before, const struct tl_segment_spec *spec)
{
	struct tl_segment_spec piece = *spec;
	bool is_last;

	do {
		uint32_t left = spec->len - (piece.seq - spec->seq);
		piece.len = left;
		if (spec->packet != NULL && left > TL_SEGMENT_BLOCK_BYTES)
			piece.len = TL_SEGMENT_BLOCK_BYTES;
		is_last = piece.len == left;
		uint32_t done = piece.seq - spec->seq;
		uint32_t captured = spec->captured > done ? spec->captured - done : 0;
		piece.captured = captured < piece.len ? captured : piece.len;
		piece.flags = is_last ? spec->flags : spec->flags & ~(uint32_t)TL_SEGMENT_FIN;
		if (!link_piece(reorder, side, *before, &piece))
			return false;
		*before = segment_at(reorder, *before != NULL ? (*before)->next : side->head);
		piece.seq += piece.len;
		piece.offset += piece.len;
	} while (!is_last);
	return true;
}

// The part of `spec` from `seq` on.
static void trim_front(struct tl_segment_spec *spec, uint32_t seq)
{
	uint32_t cut = seq - spec->seq;
	spec->seq = seq;
	spec->len -= cut;
	spec->offset += cut;
	spec->captured = spec->captured > cut ? spec->captured - cut : 0;
}

enum tl_kept tl_reorder_insert(struct tl_reorder *reorder, struct tl_reorder_side *side,
			       const struct tl_segment_spec *whole, bool *ret_repeats,
			       bool *ret_differs)
{
	struct tl_segment_spec spec = *whole;
	struct tl_segment *before = segment_at(reorder, side->tail);
	bool has_new = false;

	// Most segments belong behind the last one; otherwise walk from the head.
	if (before != NULL && tl_seq_diff(spec.seq, segment_end(before)) < 0) {
		before = NULL;
		struct tl_segment *s = segment_at(reorder, side->head);
		while (s != NULL && tl_seq_diff(segment_end(s), spec.seq) <= 0) {
			before = s;
			s = segment_at(reorder, s->next);
		}
	}
	for (;;) {
		struct tl_segment *next =
			segment_at(reorder, before != NULL ? before->next : side->head);
		uint32_t end = spec.seq + spec.len;
		if (next == NULL || tl_seq_diff(next->seq, end) >= 0) {
			if (spec.len == 0 && (spec.flags & TL_SEGMENT_FIN) == 0)
				break;
			// A FIN of its own that is held already.
			if (spec.len == 0 && before != NULL && segment_end(before) == spec.seq &&
			    (before->flags & TL_SEGMENT_FIN) != 0)
				break;
			if (!link_pieces(reorder, side, &before, &spec))
				return TL_KEPT_FULL;
			has_new = true;
			break;
		}
		*ret_repeats = true;
		*ret_differs |= is_different(reorder, next, &spec);
		if (tl_seq_diff(next->seq, spec.seq) > 0) {
			struct tl_segment_spec front = spec;
			front.len = next->seq - spec.seq;
			front.captured = front.captured < front.len ? front.captured : front.len;
			front.flags &= ~(uint32_t)TL_SEGMENT_FIN;
			if (!link_pieces(reorder, side, &before, &front))
				return TL_KEPT_FULL;
			has_new = true;
		}
		before = next;
		if (tl_seq_diff(end, segment_end(next)) <= 0) {
			if (end == segment_end(next))
				next->flags |= spec.flags & TL_SEGMENT_FIN;
			break;
		}
		trim_front(&spec, segment_end(next));
	}
	return has_new ? TL_KEPT : TL_KEPT_NOTHING;
}
