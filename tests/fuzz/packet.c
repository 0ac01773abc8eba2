// SPDX-License-Identifier: Apache-2.0
// Input: link type (index), bytes cut off by a snaplen, then the packet.
#include "fuzz.h"

#include "packet/walk.h"

static const uint16_t link_types[] = {TL_LINK_ETHERNET, TL_LINK_NULL, TL_LINK_RAW, TL_LINK_LOOP,
				      TL_LINK_SLL, TL_LINK_IPV4, TL_LINK_IPV6, TL_LINK_SLL2};

static void check_headers(const struct tl_packet *packet, const struct tl_headers *h)
{
	FUZZ_CHECK(h->payload_len <= h->payload_wire_len);
	FUZZ_CHECK(h->payload_offset <= packet->len);
	FUZZ_CHECK(h->payload_len <= packet->len - h->payload_offset);
	FUZZ_CHECK(h->outer.tunnel_depth <= TL_TUNNEL_DEPTH_MAX);
	FUZZ_CHECK(h->outer.vlan_count <= TL_VLANS_KEPT_MAX);
	FUZZ_CHECK(h->tuple.ip_version == 4 || h->tuple.ip_version == 6);

	struct tl_tuple back = h->tuple;
	memcpy(back.source, h->tuple.destination, 16);
	memcpy(back.destination, h->tuple.source, 16);
	back.source_port = h->tuple.destination_port;
	back.destination_port = h->tuple.source_port;
	FUZZ_CHECK(tl_tuple_hash(&back, 1) == tl_tuple_hash(&h->tuple, 1));
}

// The straight way, where it is taken, reads what the walk reads.
static void check_walk(const struct tl_packet *packet, enum tl_decoded decoded,
		       const struct tl_headers *h)
{
	struct tl_headers walked;

	FUZZ_CHECK(tl_packet_walk(packet, 0, &walked) == decoded);
	FUZZ_CHECK(memcmp(&walked, h, sizeof(walked)) == 0);
}

// The path has every layer that was counted, of MPLS some more, and ends where the headers say.
static void check_path(const struct tl_packet *packet, const struct tl_headers *h)
{
	const struct tl_outer *outer = &h->outer;
	struct tl_path path;

	tl_packet_path(packet, h, &path);
	uint32_t counted = (uint32_t)outer->tunnel_depth + outer->vlan_count;
	FUZZ_CHECK(path.count >= counted);
	FUZZ_CHECK(path.count == counted || tl_outer_has_path(outer));
	if (path.count > TL_LAYERS_KEPT_MAX || outer->tunnel_depth == 0)
		return;
	uint32_t i = path.count;
	while (i != 0 && path.kinds[i - 1] == TL_TUNNEL_NONE)
		i--;
	FUZZ_CHECK(i != 0 && path.kinds[i - 1] == outer->tunnel && path.ids[i - 1] == outer->tunnel_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > UINT16_MAX)
		return 0;
	uint32_t len = (uint32_t)size - 2;
	uint8_t *copy = malloc(len != 0 ? len : 1);
	FUZZ_CHECK(copy != NULL);
	memcpy(copy, data + 2, len);
	struct tl_chunk chunks[2] = {{.data = copy, .len = len}};
	struct tl_packet packet = {
		.chunks = chunks,
		.chunk_count = 1,
		.link_type = link_types[data[0] % (sizeof(link_types) / sizeof(link_types[0]))],
		.len = len,
		.original_len = len + data[1],
	};
	struct tl_headers whole, split;

	enum tl_decoded decoded = tl_packet_decode(&packet, &whole);
	FUZZ_CHECK(decoded < TL_DECODED_COUNT);
	if (decoded == TL_DECODED_OK || decoded == TL_DECODED_FRAGMENT) {
		check_headers(&packet, &whole);
		check_walk(&packet, decoded, &whole);
		check_path(&packet, &whole);
	}
	if (len > TL_HEADERS_BYTES_MAX) {
		// In two pieces: the same, unless the headers don't fit the first.
		chunks[0].len = TL_HEADERS_BYTES_MAX;
		chunks[1].data = copy + TL_HEADERS_BYTES_MAX;
		chunks[1].len = len - TL_HEADERS_BYTES_MAX;
		packet.chunk_count = 2;
		enum tl_decoded again = tl_packet_decode(&packet, &split);
		FUZZ_CHECK(again == TL_DECODED_TOO_DEEP || again == decoded);
		if (again == TL_DECODED_OK)
			FUZZ_CHECK(memcmp(&whole.tuple, &split.tuple, sizeof(whole.tuple)) == 0 &&
				   whole.payload_len == split.payload_len);
	}
	free(copy);
	return 0;
}
