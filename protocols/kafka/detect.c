// SPDX-License-Identifier: Apache-2.0
// Is it Kafka, and where does a message begin? A head is a few small numbers; what makes sure is
// that the body behind it is one of its api, to the last byte.
#include "state.h"

#define CHAIN_MESSAGES_MAX 32u

uint32_t tl_kafka_hash(struct tl_bytes text)
{
	uint32_t hash = 2166136261u;

	for (uint32_t i = 0; i < text.len; i++)
		hash = (hash ^ text.ptr[i]) * 16777619u;
	return hash;
}

static bool is_printable(struct tl_bytes text)
{
	for (uint32_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return false;
	return true;
}

enum kafka_fit tl_kafka_head(struct tl_bytes view, bool strict, struct kafka_head *ret_head)
{
	*ret_head = (struct kafka_head) {.len = KAFKA_REQUEST_HEAD};
	if (view.len < KAFKA_REQUEST_HEAD)
		return KAFKA_FIT_SHORT;
	ret_head->size = tl_load_be32(view.ptr);
	ret_head->api = tl_load_be16(view.ptr + 4);
	ret_head->version = tl_load_be16(view.ptr + 6);
	ret_head->key = tl_load_be32(view.ptr + 8);
	uint32_t most = strict ? KAFKA_SIZE_LIKELY : KAFKA_SIZE_MAX;
	if (ret_head->size < KAFKA_REQUEST_HEAD - KAFKA_SIZE_BYTES || ret_head->size > most)
		return KAFKA_FIT_NO;
	const struct kafka_api *api = tl_kafka_api(ret_head->api);
	if (strict && (api == NULL || tl_kafka_variant(api->request, ret_head->version) == NULL))
		return KAFKA_FIT_NO;
	if (ret_head->api == KAFKA_CONTROLLED_SHUTDOWN && ret_head->version == 0)
		return KAFKA_FIT_YES;
	ret_head->len = KAFKA_REQUEST_HEAD + 2;
	if (ret_head->size < ret_head->len - KAFKA_SIZE_BYTES)
		return KAFKA_FIT_NO;
	if (view.len < ret_head->len)
		return KAFKA_FIT_SHORT;
	uint32_t len = tl_load_be16(view.ptr + KAFKA_REQUEST_HEAD);
	if (len == 0xffff)
		return KAFKA_FIT_YES;
	if (len > 0x7fff || ret_head->len + len > ret_head->size + KAFKA_SIZE_BYTES ||
	    (strict && len > KAFKA_CLIENT_ID_LIKELY))
		return KAFKA_FIT_NO;
	uint32_t shown = len < KAFKA_CLIENT_ID_MAX ? len : KAFKA_CLIENT_ID_MAX;
	ret_head->client = tl_bytes_first(tl_bytes_from(view, ret_head->len), shown);
	ret_head->has_client = true;
	ret_head->client_len = len;
	if (strict && !is_printable(ret_head->client))
		return KAFKA_FIT_NO;
	uint32_t wanted = ret_head->len + shown;
	ret_head->len += len;
	if (view.len >= wanted)
		return KAFKA_FIT_YES;
	ret_head->len = wanted;
	return KAFKA_FIT_SHORT;
}

// Walks what is in view behind `head_len` bytes, up to what `size` says.
static enum kafka_walked try(struct tl_bytes view, const struct kafka_variant *variant,
			     uint32_t version, bool has_tags, uint32_t head_len, uint32_t size)
{
	uint64_t end = (uint64_t)size + KAFKA_SIZE_BYTES;
	struct kafka_walk walk;
	struct kafka_result result;

	if (head_len > end)
		return KAFKA_WALK_BAD;
	struct tl_bytes body = tl_bytes_from(view, head_len);
	if (body.len > end - head_len)
		body = tl_bytes_first(body, (uint32_t)(end - head_len));
	tl_kafka_walk_begin(&walk, variant, version, has_tags, end - head_len);
	result = tl_kafka_walk(&walk, NULL, body);
	if (result.kind == KAFKA_WALK_SKIP && walk.left == 0)
		result = tl_kafka_walk(&walk, NULL, tl_bytes(NULL, 0));
	// In view up to its records, or not even so far.
	if (result.kind == KAFKA_WALK_SKIP && tl_kafka_ops[walk.row - 1].kind != KAFKA_BLOB)
		return KAFKA_WALK_MORE;
	return result.kind;
}

enum kafka_walked tl_kafka_try_request(struct tl_bytes view, const struct kafka_head *head)
{
	const struct kafka_api *api = tl_kafka_api(head->api);
	const struct kafka_variant *variant =
		api == NULL ? NULL : tl_kafka_variant(api->request, head->version);

	if (variant == NULL)
		return KAFKA_WALK_MORE;
	return try(view, variant, head->version, head->version >= variant->flexible, head->len,
		   head->size);
}

// A server that doesn't know the version of an ApiVersions request answers in the first one.
uint32_t tl_kafka_response_version(const struct kafka_memo *memo, struct tl_bytes view)
{
	if (memo->api == KAFKA_API_VERSIONS && view.len >= KAFKA_RESPONSE_HEAD + 2 &&
	    tl_load_be16(view.ptr + KAFKA_RESPONSE_HEAD) == KAFKA_UNSUPPORTED_VERSION)
		return 0;
	return memo->version;
}

enum kafka_walked tl_kafka_try_response(struct tl_bytes view, const struct kafka_memo *memo)
{
	const struct kafka_api *api = tl_kafka_api(memo->api);
	uint32_t version = tl_kafka_response_version(memo, view);
	const struct kafka_variant *variant =
		api == NULL ? NULL : tl_kafka_variant(api->response, version);

	if (variant == NULL)
		return KAFKA_WALK_MORE;
	bool has_tags = version >= variant->flexible && memo->api != KAFKA_API_VERSIONS;
	return try(view, variant, version, has_tags, KAFKA_RESPONSE_HEAD, tl_load_be32(view.ptr));
}

// ---- Heads ------------------------------------------------------------------------------------

// What is in view of the request is believed: all of it, or all up to records, or a good deal of
// one that is not too long. Servers' bytes, read as a request, may fit a little way.
static bool is_enough(struct tl_bytes view, const struct kafka_head *head, enum kafka_walked walked)
{
	if (walked == KAFKA_WALK_DONE || walked == KAFKA_WALK_BAD)
		return walked == KAFKA_WALK_DONE;
	if (head->api == KAFKA_PRODUCE)
		return walked == KAFKA_WALK_SKIP;
	return view.len >= KAFKA_ENOUGH_BYTES && head->size <= KAFKA_REQUEST_LIKELY;
}

static bool is_request(const struct kafka *kf, struct tl_bytes view)
{
	struct kafka_head head;
	enum kafka_fit fit = tl_kafka_head(view, true, &head);

	if (fit == KAFKA_FIT_NO)
		return false;
	if (fit == KAFKA_FIT_SHORT)
		return view.len < KAFKA_REQUEST_HEAD || view.ptr[0] == 0;
	if (kf->has_client && head.has_client && tl_kafka_hash(head.client) != kf->client_hash)
		return false;
	int32_t ahead = (int32_t)(head.key - kf->last_key);
	if (kf->has_key && (ahead <= 0 || ahead > KAFKA_AHEAD_MAX))
		return false;
	enum kafka_walked walked = tl_kafka_try_request(view, &head);
	// Where the body is not seen to its end, a name has to be there: zeros look like anything.
	return is_enough(view, &head, walked) && (walked == KAFKA_WALK_DONE || head.client_len != 0);
}

// A response to a request that may still be open.
static bool is_response(const struct kafka *kf, struct tl_bytes view)
{
	if (view.len < KAFKA_RESPONSE_HEAD)
		return true;
	uint32_t size = tl_load_be32(view.ptr);
	uint32_t key = tl_load_be32(view.ptr + 4);
	if (size < KAFKA_SIZE_BYTES || size > KAFKA_SIZE_LIKELY)
		return false;
	if (!kf->has_key)
		return (key & 0x80000000u) == 0;
	int32_t behind = (int32_t)(kf->last_key - key);
	return behind >= 0 && behind < KAFKA_AHEAD_MAX;
}

uint32_t tl_kafka_find(const struct kafka *kf, enum tl_lane lane, struct tl_bytes view,
		       uint32_t from)
{
	for (uint32_t i = from; i < view.len; i++) {
		struct tl_bytes here = tl_bytes_from(view, i);
		// No message is so long that its first byte is not small.
		if (here.ptr[0] > KAFKA_SIZE_LIKELY >> 24)
			continue;
		if (lane == TL_CLIENT ? is_request(kf, here) : is_response(kf, here))
			return i;
	}
	return view.len;
}

uint32_t tl_kafka_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	const struct kafka *kf = state;

	// The end of the message that the hole is in is known: step() goes there.
	if (!kf->lane[lane].is_unsure && kf->lane[lane].is_begun)
		return 0;
	return tl_kafka_find(kf, lane, view, 0);
}

// ---- Detection --------------------------------------------------------------------------------

static enum tl_match match_client(struct tl_bytes first)
{
	struct kafka_head head;

	for (uint32_t i = 0; i < CHAIN_MESSAGES_MAX; i++) {
		enum kafka_fit fit = tl_kafka_head(first, true, &head);
		if (fit == KAFKA_FIT_NO) // what comes behind a request may be of a later release
			return i != 0 && tl_kafka_head(first, false, &head) != KAFKA_FIT_NO
				       ? TL_MATCH_LIKELY
				       : TL_MATCH_NO;
		if (fit == KAFKA_FIT_SHORT)
			return i != 0 ? TL_MATCH_CERTAIN : TL_MATCH_UNSURE;
		enum kafka_walked walked = tl_kafka_try_request(first, &head);
		if (walked == KAFKA_WALK_BAD)
			return i != 0 ? TL_MATCH_LIKELY : TL_MATCH_NO;
		if (walked != KAFKA_WALK_DONE)
			return i != 0		   ? TL_MATCH_CERTAIN
			       : is_enough(first, &head, walked) ? TL_MATCH_LIKELY
								 : TL_MATCH_UNSURE;
		first = tl_bytes_from(first, head.size + KAFKA_SIZE_BYTES);
		if (first.len == 0)
			return TL_MATCH_CERTAIN;
	}
	return TL_MATCH_CERTAIN;
}

static enum tl_match match_server(struct tl_bytes first)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < CHAIN_MESSAGES_MAX && first.len - at >= KAFKA_RESPONSE_HEAD; i++) {
		uint32_t size = tl_load_be32(first.ptr + at);
		bool is_key = (first.ptr[at + 4] & 0x80) == 0;
		if (size < KAFKA_SIZE_BYTES || size > KAFKA_SIZE_LIKELY || !is_key)
			return TL_MATCH_NO;
		if (size > first.len - at - KAFKA_SIZE_BYTES)
			return TL_MATCH_UNSURE;
		at += size + KAFKA_SIZE_BYTES;
		if (at == first.len)
			return TL_MATCH_LIKELY;
	}
	return TL_MATCH_UNSURE;
}

enum tl_match tl_kafka_match(enum tl_lane lane, struct tl_bytes first)
{
	if (first.len != 0 && first.ptr[0] > KAFKA_SIZE_LIKELY >> 24)
		return TL_MATCH_NO;
	return lane == TL_CLIENT ? match_client(first) : match_server(first);
}
