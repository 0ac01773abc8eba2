// SPDX-License-Identifier: Apache-2.0
#include "stream/feed.h"

#include "base/check.h"

#define ZEROS_BYTES 4096u

// What stands in for bytes inside a skip: the decoders' side only counts them.
static const uint8_t zeros[ZEROS_BYTES];

// True when the flow has a connection to feed; opens one if it may have one.
static bool open_conn(struct tl_feed *feed, struct tl_flow *flow, uint64_t now_ns)
{
	if (TL_LIKELY(flow->conn != NULL))
		return true;
	if (tl_flow_is(flow, TL_FLOW_DEAF | TL_FLOW_REFUSED))
		return false;
	flow->conn = tl_conn_open(feed->l7, flow, now_ns);
	if (flow->conn != NULL)
		return true;
	tl_flow_mark(flow, TL_FLOW_REFUSED);
	if (flow->verdict == TL_VERDICT_NO_PAYLOAD)
		flow->verdict = TL_VERDICT_UNDECIDED;
	return false;
}

void tl_feed_data(struct tl_feed *feed, struct tl_flow *flow, uint8_t side, struct tl_bytes bytes,
		  uint64_t time_ns, uint64_t stall_ns)
{
	if (bytes.len == 0)
		return;
	tl_counter_add(feed->counters, TL_COUNT_STREAM_BYTES, bytes.len);
	if (open_conn(feed, flow, time_ns))
		tl_conn_data(feed->l7, flow->conn, side, bytes, time_ns, stall_ns);
	else
		tl_counter_add(feed->counters, TL_COUNT_STREAM_IGNORED, bytes.len);
}

void tl_feed_straight(struct tl_feed *feed, struct tl_flow *flow, uint8_t side,
		      struct tl_bytes bytes, uint64_t time_ns)
{
	tl_counter_add(feed->counters, TL_COUNT_STREAM_BYTES, bytes.len);
	if (!open_conn(feed, flow, time_ns)) {
		tl_counter_add(feed->counters, TL_COUNT_STREAM_IGNORED, bytes.len);
	} else if (!tl_conn_pass(flow->conn, side, bytes.len, time_ns)) {
		tl_conn_data(feed->l7, flow->conn, side, bytes, time_ns, 0);
		tl_feed_settle(feed, flow, time_ns);
	}
}

void tl_feed_unwanted(struct tl_feed *feed, struct tl_flow *flow, uint8_t side, uint32_t len,
		      uint64_t time_ns)
{
	if (!open_conn(feed, flow, time_ns)) {
		tl_counter_add(feed->counters, TL_COUNT_STREAM_BYTES, len);
		tl_counter_add(feed->counters, TL_COUNT_STREAM_IGNORED, len);
		return;
	}
	while (len != 0) {
		uint64_t skip = tl_conn_skip(flow->conn, side);
		uint32_t piece = len < ZEROS_BYTES ? len : ZEROS_BYTES;
		if (piece > skip)
			piece = (uint32_t)skip;
		if (piece == 0) {
			tl_feed_gap(feed, flow, side, len, time_ns);
			return;
		}
		tl_feed_data(feed, flow, side, tl_bytes(zeros, piece), time_ns, 0);
		len -= piece;
	}
}

void tl_feed_gap(struct tl_feed *feed, struct tl_flow *flow, uint8_t side, uint64_t lost,
		 uint64_t time_ns)
{
	if (lost == 0)
		return;
	tl_counter_add(feed->counters, TL_COUNT_STREAM_LOST, lost);
	tl_counter_add(feed->counters, TL_COUNT_STREAM_GAPS, 1);
	if (open_conn(feed, flow, time_ns))
		tl_conn_gap(feed->l7, flow->conn, side, lost, time_ns);
}

void tl_feed_datagram(struct tl_feed *feed, struct tl_flow *flow, uint8_t side,
		      struct tl_bytes bytes, uint32_t wire_len, uint64_t time_ns)
{
	tl_counter_add(feed->counters, TL_COUNT_STREAM_BYTES, bytes.len);
	if (wire_len > bytes.len)
		tl_counter_add(feed->counters, TL_COUNT_STREAM_LOST, wire_len - bytes.len);
	if (open_conn(feed, flow, time_ns))
		tl_conn_datagram(feed->l7, flow->conn, side, bytes, wire_len, time_ns);
	else
		tl_counter_add(feed->counters, TL_COUNT_STREAM_IGNORED, bytes.len);
}

void tl_feed_settle(struct tl_feed *feed, struct tl_flow *flow, uint64_t now_ns)
{
	if (flow->conn == NULL || !tl_conn_is_deaf(flow->conn) || !tl_conn_is_idle(flow->conn))
		return;
	tl_feed_close(feed, flow, TL_END_SWITCHED, now_ns);
	tl_flow_mark(flow, TL_FLOW_DEAF);
}

void tl_feed_close(struct tl_feed *feed, struct tl_flow *flow, enum tl_end end, uint64_t time_ns)
{
	if (flow->conn == NULL)
		return;
	tl_conn_close(feed->l7, flow->conn, end, time_ns);
	flow->conn = NULL;
}
