// SPDX-License-Identifier: Apache-2.0
// An mbuf as the packet that the engine reads: where it lies, nothing copied but the headers of a
// chain whose first segment is too short for them.
#pragma once

#include "pmd/port.h"

// Lists the segments of a chain from `skip` bytes on; gives the bytes listed.
static inline uint32_t tl_view_chunks(const struct rte_mbuf *m, uint32_t skip,
				      struct tl_packet *packet, struct tl_chunk *chunks)
{
	uint32_t len = 0;

	for (; m != NULL && packet->chunk_count < TL_CHUNKS_MAX; m = m->next) {
		if (skip >= m->data_len) {
			skip -= m->data_len;
			continue;
		}
		chunks[packet->chunk_count++] = (struct tl_chunk) {
			.data = rte_pktmbuf_mtod_offset(m, const uint8_t *, skip),
			.len = m->data_len - skip,
		};
		len += m->data_len - skip;
		skip = 0;
	}
	return len;
}

static inline void tl_view_chain(const struct rte_mbuf *m, uint8_t *headers,
				 struct tl_packet *packet, struct tl_chunk *chunks)
{
	uint32_t linear = m->pkt_len < TL_HEADERS_BYTES_MAX ? m->pkt_len : TL_HEADERS_BYTES_MAX;

	packet->chunk_count = 0;
	packet->len = 0;
	if (m->data_len < linear) {
		const uint8_t *data = rte_pktmbuf_read(m, 0, linear, headers);
		chunks[packet->chunk_count++] = (struct tl_chunk) {.data = data, .len = linear};
		packet->len = linear;
	}
	packet->len += tl_view_chunks(m, packet->len, packet, chunks);
}

// `chunks` has room for TL_CHUNKS_MAX, `headers` for TL_HEADERS_BYTES_MAX bytes. Not of an mbuf of
// frames.
static inline void tl_view(struct rte_mbuf *m, uint8_t port, struct tl_chunk *chunks,
			   uint8_t *headers, struct tl_packet *packet)
{
	const struct tl_mbuf_meta *meta = tl_mbuf_meta(m);

	packet->chunks = chunks;
	packet->link_type = tl_mbuf_link_type(m);
	packet->port = port;
	packet->is_reassembled = tl_mbuf_is_reassembled(m);
	packet->time_ns = meta->time_ns;
	if (__builtin_expect(m->nb_segs == 1, 1)) {
		packet->chunk_count = 1;
		packet->len = m->data_len;
		chunks->data = rte_pktmbuf_mtod(m, const uint8_t *);
		chunks->len = m->data_len;
	} else {
		tl_view_chain(m, headers, packet, chunks);
	}
	packet->original_len = meta->original_len > packet->len ? meta->original_len : packet->len;
	if (__builtin_expect(packet->is_reassembled, 0)) {
		packet->outer = meta->outer;
		packet->path = tl_mbuf_path(m);
	}
}

// One frame of an mbuf of frames; `chunk` is its only one.
static inline void tl_view_frame(const struct tl_frame *frame, uint8_t port, struct tl_chunk *chunk,
				 struct tl_packet *packet)
{
	packet->chunks = chunk;
	packet->chunk_count = 1;
	packet->link_type = frame->link_type;
	packet->port = port;
	packet->is_reassembled = false;
	packet->len = frame->len;
	packet->original_len = frame->original_len;
	packet->time_ns = frame->time_ns;
	chunk->data = (const uint8_t *)(frame + 1);
	chunk->len = frame->len;
}
