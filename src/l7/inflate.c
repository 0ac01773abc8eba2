// SPDX-License-Identifier: Apache-2.0
#include "l7/inflate.h"

#include "base/check.h"
#include "base/pool.h"
#include "l7/unsnap.h"

#include <string.h>
#include <zlib.h>

#if TL_HAVE_ZSTD
#define ZSTD_STATIC_LINKING_ONLY // ZSTD_initStaticDStream(): nothing is allocated behind our back
#include <zstd.h>
#include <zstd_errors.h>
#endif

#define CONTEXTS \
	(TL_INFLATE_ZLIB_CONTEXTS + TL_INFLATE_ZSTD_CONTEXTS + TL_INFLATE_SNAPPY_CONTEXTS)
#define ARENA_ALIGN 16u

struct context {
	z_stream zlib;
	void *zstd;
	struct tl_unsnap snappy;
	uint8_t *arena;      // zlib's state and window, or all of zstd
	size_t arena_left;   // not taken by zlib yet
	uint64_t packed_left; // of the frame: snappy only, others know their end
	uint64_t left;       // plain bytes that it may still give
	uint16_t next;       // free list, as index + 1
	uint8_t codec;
	bool is_ready;       // made: from then on it is only reset
	bool is_over;        // the frame's last byte was read
};

struct tl_inflaters {
	struct tl_counters *counters;
	struct context contexts[CONTEXTS];
	uint16_t free[TL_CODEC_SNAPPY + 1]; // first free context by codec, as index + 1
	uint32_t used;
	uint8_t *zlib_arenas;
	uint8_t *zstd_arenas;
	size_t zstd_size;    // of each
	uint8_t *snappy_buffers;
	uint8_t *out;        // a chunk, of all but snappy
};

_Static_assert(TL_INFLATE_CHUNK_BYTES <= TL_UNSNAP_WINDOW, "a chunk has no room");

// ---- The pool ---------------------------------------------------------------------------------

static size_t zstd_size(void)
{
#if TL_HAVE_ZSTD
	size_t align = 64;
	size_t size = ZSTD_estimateDStreamSize((size_t)1 << TL_INFLATE_ZSTD_WINDOW_LOG);
	return (size + align - 1) / align * align;
#else
	return 1;
#endif
}

static void make_contexts(struct tl_inflaters *all)
{
	const uint32_t zstd_from = TL_INFLATE_ZLIB_CONTEXTS;
	const uint32_t snappy_from = zstd_from + TL_INFLATE_ZSTD_CONTEXTS;

	// Backwards, so that the first are used first and the rest is not touched.
	for (uint32_t i = CONTEXTS; i-- > 0;) {
		struct context *context = &all->contexts[i];
		if (i >= snappy_from) {
			context->codec = TL_CODEC_SNAPPY;
			context->snappy.buffer = all->snappy_buffers +
						 (i - snappy_from) * (size_t)TL_UNSNAP_BUFFER_BYTES;
		} else if (i >= zstd_from) {
			context->codec = TL_CODEC_ZSTD;
			context->arena = all->zstd_arenas + (i - zstd_from) * all->zstd_size;
			context->arena_left = all->zstd_size;
		} else {
			context->codec = TL_CODEC_ZLIB;
			context->arena = all->zlib_arenas + (size_t)i * TL_INFLATE_ZLIB_ARENA_BYTES;
			context->arena_left = TL_INFLATE_ZLIB_ARENA_BYTES;
		}
		context->next = all->free[context->codec];
		all->free[context->codec] = (uint16_t)(i + 1);
	}
}

struct tl_inflaters *tl_inflaters_create(struct tl_counters *counters)
{
	struct tl_inflaters *all = tl_map(sizeof(*all));

	if (all == NULL)
		return NULL;
	all->counters = counters;
	all->zstd_size = zstd_size();
	all->zlib_arenas = tl_map((size_t)TL_INFLATE_ZLIB_CONTEXTS * TL_INFLATE_ZLIB_ARENA_BYTES);
	all->zstd_arenas = tl_map(TL_INFLATE_ZSTD_CONTEXTS * all->zstd_size);
	all->snappy_buffers = tl_map((size_t)TL_INFLATE_SNAPPY_CONTEXTS * TL_UNSNAP_BUFFER_BYTES);
	all->out = tl_map(TL_INFLATE_CHUNK_BYTES);
	if (all->zlib_arenas == NULL || all->zstd_arenas == NULL || all->snappy_buffers == NULL ||
	    all->out == NULL) {
		tl_inflaters_destroy(all);
		return NULL;
	}
	make_contexts(all);
	return all;
}

void tl_inflaters_destroy(struct tl_inflaters *all)
{
	if (all == NULL)
		return;
	tl_unmap(all->zlib_arenas, (size_t)TL_INFLATE_ZLIB_CONTEXTS * TL_INFLATE_ZLIB_ARENA_BYTES);
	tl_unmap(all->zstd_arenas, TL_INFLATE_ZSTD_CONTEXTS * all->zstd_size);
	tl_unmap(all->snappy_buffers, (size_t)TL_INFLATE_SNAPPY_CONTEXTS * TL_UNSNAP_BUFFER_BYTES);
	tl_unmap(all->out, TL_INFLATE_CHUNK_BYTES);
	tl_unmap(all, sizeof(*all));
}

uint32_t tl_inflaters_used(const struct tl_inflaters *all)
{
	return all->used;
}

static enum tl_inflated fail(struct tl_inflaters *all, enum tl_counter why)
{
	tl_counter_add(all->counters, why, 1);
	return TL_INFLATED_FAILED;
}

static enum tl_inflated gave(struct tl_inflaters *all, struct context *context, uint32_t len)
{
	context->left -= len;
	tl_counter_add(all->counters, TL_COUNT_INFLATED, len);
	return TL_INFLATED_CHUNK;
}

// What has come out, and whether that was the last of it.
static enum tl_inflated give(struct tl_inflaters *all, struct context *context, uint64_t len,
			     struct tl_bytes *ret_plain)
{
	if (len > context->left)
		return fail(all, TL_COUNT_INFLATE_BROKEN);
	*ret_plain = tl_bytes(all->out, (uint32_t)len);
	return gave(all, context, ret_plain->len);
}

// One byte more than the frame may still give, so that one that gives more is found out.
static uint32_t room_of(const struct context *context)
{
	return context->left < TL_INFLATE_CHUNK_BYTES ? (uint32_t)context->left + 1
						      : TL_INFLATE_CHUNK_BYTES;
}

// ---- zlib -------------------------------------------------------------------------------------

// zlib takes its state and its window once: nothing is ever given back.
static voidpf arena_take(voidpf opaque, uInt items, uInt size)
{
	struct context *context = opaque;
	uint64_t bytes = ((uint64_t)items * size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;

	if (bytes > context->arena_left)
		return NULL;
	uint8_t *at = context->arena + TL_INFLATE_ZLIB_ARENA_BYTES - context->arena_left;
	context->arena_left -= bytes;
	return at;
}

static void arena_keep(voidpf opaque, voidpf address)
{
	(void)opaque;
	(void)address;
}

static bool begin_zlib(struct context *context)
{
	if (context->is_ready)
		return inflateReset(&context->zlib) == Z_OK;
	context->zlib.zalloc = arena_take;
	context->zlib.zfree = arena_keep;
	context->zlib.opaque = context;
	context->is_ready = inflateInit(&context->zlib) == Z_OK;
	return context->is_ready;
}

static enum tl_inflated run_zlib(struct tl_inflaters *all, struct context *context,
				 struct tl_bytes *packed, struct tl_bytes *ret_plain)
{
	z_stream *zlib = &context->zlib;
	uint32_t room = room_of(context);
	uint8_t nothing = 0;

	zlib->next_in = packed->len == 0 ? &nothing : (z_const Bytef *)packed->ptr;
	zlib->avail_in = packed->len;
	zlib->next_out = all->out;
	zlib->avail_out = room;
	int result = inflate(zlib, Z_NO_FLUSH);
	*packed = tl_bytes_from(*packed, packed->len - zlib->avail_in);
	uint32_t len = room - zlib->avail_out;
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		return fail(all, TL_COUNT_INFLATE_BROKEN);
	context->is_over = result == Z_STREAM_END;
	if (len != 0 || context->is_over)
		return give(all, context, len, ret_plain);
	return packed->len == 0 ? TL_INFLATED_HUNGRY : fail(all, TL_COUNT_INFLATE_BROKEN);
}

// ---- zstd -------------------------------------------------------------------------------------

#if TL_HAVE_ZSTD
static bool begin_zstd(struct tl_inflaters *all, struct context *context)
{
	if (!context->is_ready) {
		context->zstd = ZSTD_initStaticDStream(context->arena, all->zstd_size);
		context->is_ready = context->zstd != NULL;
		return context->is_ready;
	}
	return !ZSTD_isError(ZSTD_DCtx_reset(context->zstd, ZSTD_reset_session_only));
}

static enum tl_inflated run_zstd(struct tl_inflaters *all, struct context *context,
				 struct tl_bytes *packed, struct tl_bytes *ret_plain)
{
	ZSTD_inBuffer in = {.src = packed->ptr, .size = packed->len};
	ZSTD_outBuffer out = {.dst = all->out, .size = room_of(context)};
	size_t result = ZSTD_decompressStream(context->zstd, &out, &in);

	if (ZSTD_isError(result)) {
		ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
		bool is_window = code == ZSTD_error_frameParameter_windowTooLarge ||
				 code == ZSTD_error_memory_allocation;
		return fail(all, is_window ? TL_COUNT_INFLATE_WINDOW : TL_COUNT_INFLATE_BROKEN);
	}
	*packed = tl_bytes_from(*packed, (uint32_t)in.pos);
	context->is_over = result == 0;
	if (out.pos != 0 || context->is_over)
		return give(all, context, out.pos, ret_plain);
	return packed->len == 0 ? TL_INFLATED_HUNGRY : fail(all, TL_COUNT_INFLATE_BROKEN);
}
#endif

// ---- snappy -----------------------------------------------------------------------------------

static enum tl_inflated run_snappy(struct tl_inflaters *all, struct context *context,
				   struct tl_bytes *packed, struct tl_bytes *ret_plain)
{
	struct tl_unsnap *snappy = &context->snappy;
	struct tl_bytes mine = *packed, plain;

	if (mine.len > context->packed_left)
		mine = tl_bytes_first(mine, (uint32_t)context->packed_left);
	uint32_t before = mine.len;
	enum tl_unsnapped result = tl_unsnap(snappy, &mine, TL_INFLATE_CHUNK_BYTES, &plain);
	context->packed_left -= before - mine.len;
	*packed = tl_bytes_from(*packed, before - mine.len);
	if (result != TL_UNSNAPPED_SOME)
		return fail(all, result == TL_UNSNAPPED_FAR ? TL_COUNT_INFLATE_WINDOW
							    : TL_COUNT_INFLATE_BROKEN);
	context->is_over = snappy->has_length && snappy->left == 0;
	// Bytes behind the end, or an end before it.
	if (context->is_over ? context->packed_left != 0
			     : plain.len == 0 && context->packed_left == 0)
		return fail(all, TL_COUNT_INFLATE_BROKEN);
	if (plain.len == 0 && !context->is_over)
		return TL_INFLATED_HUNGRY;
	*ret_plain = plain;
	return gave(all, context, plain.len);
}

// ---- All of them ------------------------------------------------------------------------------

static bool is_built_in(enum tl_codec codec)
{
	return codec != TL_CODEC_ZSTD || TL_HAVE_ZSTD;
}

static bool begin(struct tl_inflaters *all, struct context *context)
{
#if TL_HAVE_ZSTD
	if (context->codec == TL_CODEC_ZSTD)
		return begin_zstd(all, context);
#endif
	(void)all;
	if (context->codec == TL_CODEC_ZLIB)
		return begin_zlib(context);
	tl_unsnap_begin(&context->snappy, context->left);
	return true;
}

static uint16_t refuse(struct tl_inflaters *all, enum tl_counter why)
{
	tl_counter_add(all->counters, why, 1);
	return 0;
}

uint16_t tl_inflater_rent(struct tl_inflaters *all, enum tl_codec codec, uint64_t packed_len,
			  uint64_t plain_len)
{
	if (!is_built_in(codec))
		return refuse(all, TL_COUNT_INFLATE_NOT_BUILT);
	if (plain_len > TL_INFLATE_FREE_BYTES && plain_len / TL_INFLATE_RATIO_MAX > packed_len)
		return refuse(all, TL_COUNT_INFLATE_RATIO);
	uint16_t inflater = all->free[codec];
	if (inflater == 0)
		return refuse(all, TL_COUNT_INFLATE_NO_CONTEXT);
	struct context *context = &all->contexts[inflater - 1];
	context->packed_left = packed_len;
	context->left = plain_len;
	context->is_over = false;
	if (!begin(all, context))
		return refuse(all, TL_COUNT_INFLATE_NO_CONTEXT);
	all->free[codec] = context->next;
	all->used++;
	return inflater;
}

void tl_inflater_return(struct tl_inflaters *all, uint16_t inflater)
{
	if (inflater == 0)
		return;
	TL_CHECK(inflater <= CONTEXTS && all->used != 0);
	struct context *context = &all->contexts[inflater - 1];
	context->next = all->free[context->codec];
	all->free[context->codec] = inflater;
	all->used--;
}

enum tl_inflated tl_inflater_run(struct tl_inflaters *all, uint16_t inflater,
				 struct tl_bytes *packed, struct tl_bytes *ret_plain)
{
	struct context *context = &all->contexts[inflater - 1];

	*ret_plain = tl_bytes(NULL, 0);
	if (context->is_over)
		return context->left == 0 ? TL_INFLATED_END : fail(all, TL_COUNT_INFLATE_BROKEN);
#if TL_HAVE_ZSTD
	if (context->codec == TL_CODEC_ZSTD)
		return run_zstd(all, context, packed, ret_plain);
#endif
	if (context->codec == TL_CODEC_SNAPPY)
		return run_snappy(all, context, packed, ret_plain);
	return run_zlib(all, context, packed, ret_plain);
}
