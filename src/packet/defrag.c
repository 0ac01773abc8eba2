// SPDX-License-Identifier: Apache-2.0
// A datagram's bytes lie in blocks, found by their offset; a bit per 8 bytes says which are
// there. So a fragment costs the same wherever it falls and whatever came before: there is no
// list that a peer could make long.
#include "packet/defrag.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/pool.h"

#include <assert.h>

#define UNIT_BYTES 8u
#define BLOCK_BYTES 2048u
#define BLOCK_UNITS (BLOCK_BYTES / UNIT_BYTES)
#define DATAGRAM_BYTES_MAX 65535u
#define DATAGRAM_BLOCKS_MAX 32u
#define IPV4_HEADER_BYTES_MAX 60u
#define IPV6_HEADER_BYTES 40u
#define DATAGRAMS_LIMIT (1u << 20)
#define BLOCKS_LIMIT (1u << 21)
#define NONE TL_POOL_NONE

static_assert(DATAGRAM_BLOCKS_MAX * BLOCK_BYTES > DATAGRAM_BYTES_MAX, "every offset has a block");

struct block {
	uint64_t present[BLOCK_UNITS / 64];
	uint8_t data[BLOCK_BYTES];
};

// What fragments of one datagram agree in: addresses, id, and for IPv4 the protocol (RFC 791,
// RFC 8200 section 4.5). The surroundings belong to it: tunnels re-use inner addresses and ids, and
// tunnels in tunnels the inner ones' ids.
struct key {
	struct tl_outer outer;
	uint8_t source[16];
	uint8_t destination[16];
	uint32_t id;
	uint32_t tunnels; // of those around the innermost, 0 if there are none
	uint8_t protocol; // 0 for IPv6: only the first fragment's next header counts
	uint8_t ip_version;
	uint16_t zero;
};

static_assert(sizeof(struct key) == 60, "is hashed and compared whole: no padding");

struct datagram {
	struct key key;
	struct tl_path path;   // of the fragment that opened it, as the next one
	uint64_t first_ns;     // its time
	uint32_t next_in_bucket;
	uint32_t older, newer; // neighbours by age
	uint32_t bucket;
	uint32_t fragments;    // that brought something new
	uint32_t units;        // present
	uint32_t len;          // of all data, 0 until the last fragment came
	uint32_t highest;      // end of the furthest byte so far
	uint32_t cut_at;       // first byte that a snaplen cut off, DATAGRAM_BYTES_MAX if none was
	uint32_t header_len;   // of the first fragment's IP header, 0 until it came
	uint8_t port;
	uint8_t next_header;   // what IPv6 carries, by the first fragment
	uint8_t header[IPV4_HEADER_BYTES_MAX];
	uint32_t blocks[DATAGRAM_BLOCKS_MAX];
};

struct tl_defrag {
	struct tl_pool datagrams;
	struct tl_pool blocks;
	uint32_t *buckets;
	uint32_t bucket_mask;
	uint32_t oldest, newest;
	uint64_t timeout_ns;
	uint64_t seed;
	struct tl_defrag_stats stats;
	struct tl_packet packet; // what tl_defrag_add gives
	struct tl_path path;
	struct tl_chunk chunk;
	uint8_t whole[IPV4_HEADER_BYTES_MAX + DATAGRAM_BYTES_MAX + 1];
};

static uint32_t clamp(uint64_t value, uint32_t low, uint32_t high)
{
	if (value < low)
		return low;
	return value < high ? (uint32_t)value : high;
}

struct tl_defrag *tl_defrag_create(const struct tl_defrag_options *options)
{
	uint32_t datagrams = clamp(options->datagrams_max, 1, DATAGRAMS_LIMIT);
	// One datagram of the largest size must always fit.
	uint32_t blocks = clamp(options->bytes_max / BLOCK_BYTES, DATAGRAM_BLOCKS_MAX, BLOCKS_LIMIT);
	uint32_t buckets = 16;
	struct tl_defrag *d = tl_map(sizeof(*d));

	if (d == NULL)
		return NULL;
	while (buckets < datagrams)
		buckets *= 2;
	d->bucket_mask = buckets - 1;
	d->buckets = tl_map(buckets * sizeof(*d->buckets));
	if (d->buckets == NULL || tl_pool_init(&d->datagrams, sizeof(struct datagram), datagrams) ||
	    tl_pool_init(&d->blocks, sizeof(struct block), blocks)) {
		tl_defrag_destroy(d);
		return NULL;
	}
	memset(d->buckets, 0xff, buckets * sizeof(*d->buckets));
	d->oldest = NONE;
	d->newest = NONE;
	d->timeout_ns = options->timeout_ns;
	// The kernel places mappings at random: enough to keep peers from aiming at a bucket.
	d->seed = tl_hash_mix((uint64_t)(uintptr_t)d, UINT64_C(0x9e3779b97f4a7c15));
	return d;
}

void tl_defrag_destroy(struct tl_defrag *defrag)
{
	if (defrag == NULL)
		return;
	tl_pool_fini(&defrag->blocks);
	tl_pool_fini(&defrag->datagrams);
	tl_unmap(defrag->buckets, (defrag->bucket_mask + 1) * sizeof(*defrag->buckets));
	tl_unmap(defrag, sizeof(*defrag));
}

static struct datagram *datagram_at(const struct tl_defrag *d, uint32_t index)
{
	return tl_pool_at(&d->datagrams, index);
}

static void unlink_datagram(struct tl_defrag *d, struct datagram *g, uint32_t index)
{
	uint32_t *link = &d->buckets[g->bucket];

	while (*link != index)
		link = &datagram_at(d, *link)->next_in_bucket;
	*link = g->next_in_bucket;
	*(g->older != NONE ? &datagram_at(d, g->older)->newer : &d->oldest) = g->newer;
	*(g->newer != NONE ? &datagram_at(d, g->newer)->older : &d->newest) = g->older;
}

// Forgets a datagram, complete or not, and tells how many fragments it held.
static uint64_t drop(struct tl_defrag *d, struct datagram *g)
{
	uint64_t fragments = g->fragments;

	unlink_datagram(d, g, tl_pool_index(&d->datagrams, g));
	for (uint32_t i = 0; i < DATAGRAM_BLOCKS_MAX; i++)
		if (g->blocks[i] != NONE)
			tl_pool_put(&d->blocks, tl_pool_at(&d->blocks, g->blocks[i]));
	tl_pool_put(&d->datagrams, g);
	d->stats.held -= fragments;
	return fragments;
}

static bool is_expired(const struct tl_defrag *d, const struct datagram *g, uint64_t now_ns)
{
	return now_ns > g->first_ns && now_ns - g->first_ns >= d->timeout_ns;
}

static struct datagram *find(const struct tl_defrag *d, const struct key *key, uint32_t bucket)
{
	for (uint32_t i = d->buckets[bucket]; i != NONE;) {
		struct datagram *g = datagram_at(d, i);
		if (memcmp(&g->key, key, sizeof(*key)) == 0)
			return g;
		i = g->next_in_bucket;
	}
	return NULL;
}

static struct datagram *insert(struct tl_defrag *d, const struct key *key, uint32_t bucket,
			       const struct tl_packet *packet, const struct tl_headers *headers)
{
	if (d->datagrams.used == d->datagrams.count)
		d->stats.evicted += drop(d, datagram_at(d, d->oldest));
	struct datagram *g = tl_pool_take(&d->datagrams);
	TL_ASSERT(g != NULL);
	uint32_t index = tl_pool_index(&d->datagrams, g);

	g->key = *key;
	tl_packet_path(packet, headers, &g->path);
	g->first_ns = packet->time_ns;
	g->cut_at = DATAGRAM_BYTES_MAX;
	g->port = packet->port;
	memset(g->blocks, 0xff, sizeof(g->blocks));
	g->bucket = bucket;
	g->next_in_bucket = d->buckets[bucket];
	d->buckets[bucket] = index;
	g->older = d->newest;
	g->newer = NONE;
	*(d->newest != NONE ? &datagram_at(d, d->newest)->newer : &d->oldest) = index;
	d->newest = index;
	return g;
}

// The block for an offset, taken when it is first needed. Room is made by giving up the oldest
// datagrams, but never `g` itself: NULL when nothing else is left.
static struct block *block_for(struct tl_defrag *d, struct datagram *g, uint32_t offset)
{
	uint32_t *slot = &g->blocks[offset / BLOCK_BYTES];

	if (*slot != NONE)
		return tl_pool_at(&d->blocks, *slot);
	while (d->blocks.used == d->blocks.count) {
		struct datagram *oldest = datagram_at(d, d->oldest);
		if (oldest == g)
			oldest = g->newer != NONE ? datagram_at(d, g->newer) : NULL;
		if (oldest == NULL)
			return NULL;
		d->stats.evicted += drop(d, oldest);
	}
	struct block *block = tl_pool_take_raw(&d->blocks);
	TL_ASSERT(block != NULL);
	memset(block->present, 0, sizeof(block->present));
	*slot = tl_pool_index(&d->blocks, block);
	return block;
}

// One fragment's bytes on their way into a datagram.
struct piece {
	const struct tl_packet *packet;
	uint32_t from;     // offset in the packet
	uint32_t offset;   // in the datagram
	uint32_t wire_len;
	uint32_t len;      // captured
	uint32_t new_units;
	bool differs;      // from bytes that were there first
	bool no_room;
};

// Stores or compares the unit that begins `at` bytes into the piece.
static void put_unit(struct datagram *g, struct block *block, struct piece *piece, uint32_t at,
		     const uint8_t bytes[UNIT_BYTES])
{
	uint32_t offset = piece->offset + at;
	uint32_t unit = offset % BLOCK_BYTES / UNIT_BYTES;
	uint64_t bit = UINT64_C(1) << unit % 64;
	uint32_t left = at < piece->len ? piece->len - at : 0;
	uint32_t len = left < UNIT_BYTES ? left : UNIT_BYTES;

	if ((block->present[unit / 64] & bit) == 0) {
		block->present[unit / 64] |= bit;
		memcpy(block->data + offset % BLOCK_BYTES, bytes, UNIT_BYTES);
		piece->new_units++;
		g->units++;
		if (left < UNIT_BYTES && at + len < piece->wire_len && offset + len < g->cut_at)
			g->cut_at = offset + len;
	} else if (offset + len <= g->cut_at &&
		   memcmp(block->data + offset % BLOCK_BYTES, bytes, len) != 0) {
		piece->differs = true;
	}
}

static void put_piece(struct tl_defrag *d, struct datagram *g, struct piece *piece)
{
	uint8_t bytes[BLOCK_BYTES];

	for (uint32_t at = 0; at < piece->wire_len;) {
		uint32_t offset = piece->offset + at;
		struct block *block = block_for(d, g, offset);
		if (block == NULL) {
			piece->no_room = true;
			return;
		}
		uint32_t end = at + (BLOCK_BYTES - offset % BLOCK_BYTES);
		if (end > piece->wire_len)
			end = piece->wire_len;
		uint32_t want = at < piece->len ? piece->len - at : 0;
		if (want > end - at)
			want = end - at;
		uint32_t got = tl_packet_copy(piece->packet, piece->from + at, want, bytes);
		memset(bytes + got, 0, ((end - at + UNIT_BYTES - 1) & ~(UNIT_BYTES - 1)) - got);
		for (uint32_t i = at; i < end; i += UNIT_BYTES)
			put_unit(g, block, piece, i, bytes + (i - at));
		at = end;
	}
}

// Offsets that contradict the datagram or IP itself.
static bool is_contradiction(const struct datagram *g, const struct tl_headers *h)
{
	uint32_t len = h->payload_wire_len;
	uint32_t end = h->fragment_offset + len;

	if (len == 0 || (h->fragment_more && len % UNIT_BYTES != 0))
		return true;
	if (end > DATAGRAM_BYTES_MAX - (h->tuple.ip_version == 4 ? 20 : 0))
		return true;
	if (g == NULL)
		return false;
	if (!h->fragment_more)
		return end < g->highest || (g->len != 0 && g->len != end);
	return g->len != 0 && end > g->len;
}

static void keep_header(struct datagram *g, const struct tl_packet *packet,
			const struct tl_headers *h)
{
	uint32_t len = IPV6_HEADER_BYTES;

	// An IPv6 header is rebuilt without the extensions before the fragment header: they tell
	// routers something, and the tuple was read past them.
	if (h->tuple.ip_version == 4)
		len = h->payload_offset - h->l3_offset;
	TL_ASSERT(len <= IPV4_HEADER_BYTES_MAX);
	if (tl_packet_copy(packet, h->l3_offset, len, g->header) != len)
		return; // not what tl_packet_decode said: stays without header, never completes
	g->header_len = len;
	g->next_header = h->tuple.protocol;
}

static void store_be16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void write_header(const struct datagram *g, uint8_t *ret)
{
	memcpy(ret, g->header, g->header_len);
	if (g->key.ip_version == 6) {
		store_be16(ret + 4, g->len);
		ret[6] = g->next_header;
		return;
	}
	uint32_t sum = 0;
	store_be16(ret + 2, g->header_len + g->len);
	store_be16(ret + 6, 0);
	store_be16(ret + 10, 0);
	for (uint32_t i = 0; i < g->header_len; i += 2)
		sum += tl_load_be16(ret + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	store_be16(ret + 10, ~sum & 0xffff);
}

static const struct tl_packet *complete(struct tl_defrag *d, struct datagram *g, uint64_t time_ns)
{
	uint32_t len = g->len < g->cut_at ? g->len : g->cut_at;

	write_header(g, d->whole);
	for (uint32_t at = 0; at < len; at += BLOCK_BYTES) {
		const struct block *block = tl_pool_at(&d->blocks, g->blocks[at / BLOCK_BYTES]);
		uint32_t part = len - at < BLOCK_BYTES ? len - at : BLOCK_BYTES;
		memcpy(d->whole + g->header_len + at, block->data, part);
	}
	d->path = g->path;
	d->chunk = (struct tl_chunk) {.data = d->whole, .len = g->header_len + len};
	d->packet = (struct tl_packet) {
		.chunks = &d->chunk,
		.chunk_count = 1,
		.link_type = TL_LINK_RAW,
		.port = g->port,
		.is_reassembled = true,
		.len = d->chunk.len,
		.original_len = g->header_len + g->len,
		.time_ns = time_ns,
		.outer = g->key.outer,
		.path = &d->path,
	};
	d->stats.reassembled++;
	d->stats.used += drop(d, g);
	return &d->packet;
}

static bool is_complete(const struct datagram *g)
{
	return g->len != 0 && g->header_len != 0 &&
	       g->units == (g->len + UNIT_BYTES - 1) / UNIT_BYTES;
}

// A hash of what all encapsulations are. Not of labels: they may be chosen by what a fragment
// carries, to spread the load.
static uint32_t hash_tunnels(const struct tl_packet *packet, const struct tl_headers *h)
{
	struct tl_path path;
	uint64_t hash = 0;

	if (h->outer.tunnel_depth < 2)
		return 0;
	tl_packet_path(packet, h, &path);
	for (uint32_t i = 0; i < path.count && i < TL_LAYERS_KEPT_MAX; i++)
		if (path.kinds[i] != TL_TUNNEL_NONE && path.kinds[i] != TL_TUNNEL_MPLS)
			hash = tl_hash_mix(hash ^ path.ids[i] ^ (uint64_t)path.kinds[i] << 32,
					   UINT64_C(0x9e3779b97f4a7c15));
	return (uint32_t)hash;
}

static struct key key_of(const struct tl_packet *packet, const struct tl_headers *h)
{
	struct key key = {
		.outer = h->outer,
		.id = h->fragment_id,
		.tunnels = hash_tunnels(packet, h),
		.protocol = h->tuple.ip_version == 4 ? h->tuple.protocol : 0,
		.ip_version = h->tuple.ip_version,
	};

	memcpy(key.source, h->tuple.source, sizeof(key.source));
	memcpy(key.destination, h->tuple.destination, sizeof(key.destination));
	return key;
}

// Books the fragment that was put into `g` and tells whether it brought something.
static bool account(struct tl_defrag *d, struct datagram *g, const struct piece *piece)
{
	d->stats.overlaps += piece->differs;
	if (piece->no_room) {
		// The datagram alone is more than all memory: it can't complete any more.
		d->stats.evicted += drop(d, g) + 1;
		return false;
	}
	if (piece->new_units == 0) {
		d->stats.duplicates++;
		return false;
	}
	g->fragments++;
	d->stats.held++;
	return true;
}

const struct tl_packet *tl_defrag_add(struct tl_defrag *defrag, const struct tl_packet *packet,
				      const struct tl_headers *headers)
{
	struct tl_defrag *d = defrag;
	struct key key = key_of(packet, headers);
	uint32_t bucket = (uint32_t)tl_hash64(&key, sizeof(key), d->seed) & d->bucket_mask;
	struct datagram *g = find(d, &key, bucket);

	d->stats.fragments++;
	if (g != NULL && is_expired(d, g, packet->time_ns)) {
		d->stats.timeouts += drop(d, g);
		g = NULL;
	}
	if (is_contradiction(g, headers)) {
		d->stats.malformed++;
		return NULL;
	}
	if (g == NULL)
		g = insert(d, &key, bucket, packet, headers);
	struct piece piece = {
		.packet = packet,
		.from = headers->payload_offset,
		.offset = headers->fragment_offset,
		.wire_len = headers->payload_wire_len,
		.len = headers->payload_len,
	};
	put_piece(d, g, &piece);
	if (!account(d, g, &piece))
		return NULL;
	uint32_t end = headers->fragment_offset + headers->payload_wire_len;
	if (end > g->highest)
		g->highest = end;
	if (!headers->fragment_more)
		g->len = end;
	if (headers->fragment_offset == 0 && g->header_len == 0)
		keep_header(g, packet, headers);
	if (!is_complete(g))
		return NULL;
	if (g->header_len + g->len > DATAGRAM_BYTES_MAX && g->key.ip_version == 4) {
		d->stats.malformed += drop(d, g);
		return NULL;
	}
	return complete(d, g, packet->time_ns);
}

void tl_defrag_advance(struct tl_defrag *defrag, uint64_t now_ns)
{
	while (defrag->oldest != NONE) {
		struct datagram *g = datagram_at(defrag, defrag->oldest);
		if (!is_expired(defrag, g, now_ns))
			return;
		defrag->stats.timeouts += drop(defrag, g);
	}
}

void tl_defrag_stats(const struct tl_defrag *defrag, struct tl_defrag_stats *ret_stats)
{
	*ret_stats = defrag->stats;
}
