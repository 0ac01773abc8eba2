// SPDX-License-Identifier: Apache-2.0
#include "packet/packet.h"

#include "base/check.h"

#include <assert.h>

static_assert(sizeof(struct tl_outer) == 16, "travels in the mbuf's dynamic field");
static_assert(sizeof(struct tl_path) == 64, "a cache line");
static_assert(sizeof(struct tl_tuple) == 40, "is hashed and compared whole: no padding");

static const char *const tunnel_names[] = {
	[TL_TUNNEL_NONE] = "none",
	[TL_TUNNEL_GRE] = "gre",
	[TL_TUNNEL_VXLAN] = "vxlan",
	[TL_TUNNEL_IPIP] = "ipip",
	[TL_TUNNEL_MPLS] = "mpls",
	[TL_TUNNEL_PPPOE] = "pppoe",
	[TL_TUNNEL_ERSPAN] = "erspan",
	[TL_TUNNEL_GENEVE] = "geneve",
	[TL_TUNNEL_VXLAN_GPE] = "vxlan_gpe",
	[TL_TUNNEL_GTPU] = "gtpu",
	[TL_TUNNEL_TEREDO] = "teredo",
	[TL_TUNNEL_NSH] = "nsh",
	[TL_TUNNEL_PBB] = "pbb",
	[TL_TUNNEL_VNTAG] = "vntag",
	[TL_TUNNEL_ETAG] = "etag",
	[TL_TUNNEL_L2TP] = "l2tp",
};
static_assert(TL_COUNT_OF(tunnel_names) == TL_TUNNEL_COUNT, "one name each");
static_assert(TL_TUNNEL_COUNT <= 32, "a bit each");

const char *tl_tunnel_name(enum tl_tunnel tunnel)
{
	TL_ASSERT(tunnel < TL_TUNNEL_COUNT);
	return tunnel_names[tunnel];
}

enum tl_tunnel tl_tunnel_by_name(const char *name)
{
	for (uint32_t i = TL_TUNNEL_NONE + 1; i < TL_TUNNEL_COUNT; i++)
		if (strcmp(tunnel_names[i], name) == 0)
			return (enum tl_tunnel)i;
	return TL_TUNNEL_NONE;
}

const char *tl_decoded_name(enum tl_decoded decoded)
{
	static const char *const names[] = {
		[TL_DECODED_OK] = "ok",
		[TL_DECODED_FRAGMENT] = "fragment",
		[TL_DECODED_NOT_IP] = "not_ip",
		[TL_DECODED_OTHER_L4] = "other_l4",
		[TL_DECODED_LINK_TYPE] = "link_type",
		[TL_DECODED_MALFORMED] = "malformed",
		[TL_DECODED_TRUNCATED] = "truncated",
		[TL_DECODED_TOO_DEEP] = "too_deep",
	};
	static_assert(TL_COUNT_OF(names) == TL_DECODED_COUNT, "one name each");

	TL_ASSERT(decoded < TL_DECODED_COUNT);
	return names[decoded];
}

uint32_t tl_packet_copy(const struct tl_packet *packet, uint32_t offset, uint32_t len, void *ret)
{
	uint8_t *out = ret;
	uint32_t copied = 0;

	for (uint32_t i = 0; i < packet->chunk_count && copied < len; i++) {
		const struct tl_chunk *chunk = &packet->chunks[i];
		if (offset >= chunk->len) {
			offset -= chunk->len;
			continue;
		}
		uint32_t part = chunk->len - offset;
		if (part > len - copied)
			part = len - copied;
		memcpy(out + copied, chunk->data + offset, part);
		copied += part;
		offset = 0;
	}
	return copied;
}
