// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/pool.h"
#include "base/ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void cursor_remembers_running_off_the_end(void **state)
{
	(void)state;
	const uint8_t raw[] = {1, 2, 3, 4, 5};
	struct tl_cursor c = tl_cursor(tl_bytes(raw, sizeof(raw)));

	assert_int_equal(tl_cursor_be16(&c), 0x0102);
	assert_int_equal(tl_cursor_le16(&c), 0x0403);
	assert_false(c.failed);
	assert_int_equal(tl_cursor_be32(&c), 0);
	assert_true(c.failed);
	assert_int_equal(tl_cursor_u8(&c), 0);
	assert_int_equal(tl_cursor_left(&c), 0);
}

static void views_compare_and_search(void **state)
{
	(void)state;
	struct tl_bytes b = tl_bytes_of("  Host: x\t");

	assert_true(tl_bytes_is(tl_bytes_trim(b), "Host: x"));
	assert_int_equal(tl_bytes_find(b, ':', 0), 6);
	assert_int_equal(tl_bytes_find(b, ':', 7), TL_BYTES_NONE);
	assert_true(tl_bytes_is_nocase(tl_bytes_of("CHUNKED"), "chunked"));
	assert_false(tl_bytes_is_nocase(tl_bytes_of("CHUNKE"), "chunked"));
	assert_int_equal(tl_bytes_from(b, 99).len, 0);
}

static void texts_are_cut_between_characters(void **state)
{
	(void)state;
	// a, then characters of two, three and four bytes, b, then a byte that continues nothing.
	static const char text[] = "a\xc3\xb6\xe2\x82\xac\xf0\x9f\x98\x80" "b\x80";
	static const uint32_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 12};

	for (uint32_t max = 0; max < TL_COUNT_OF(whole); max++)
		assert_int_equal(tl_bytes_cut(tl_bytes(text, 12), max).len, whole[max]);
	assert_int_equal(tl_bytes_cut(tl_bytes(text, 12), 100).len, 12);
	// What is whole stays as it is, even if its end is not: nothing was cut there.
	assert_int_equal(tl_bytes_cut(tl_bytes(text, 2), 2).len, 2);
	assert_int_equal(tl_bytes_cut(tl_bytes(NULL, 0), 0).len, 0);
	assert_int_equal(tl_utf8_whole((const uint8_t *)"\x80\x80\x80\x80", 4), 4);
}

static void pool_gives_each_object_once(void **state)
{
	(void)state;
	struct tl_pool pool;
	void *objects[8];

	assert_int_equal(tl_pool_init(&pool, 24, 8), 0);
	assert_int_equal(pool.size, 32);
	for (int i = 0; i < 8; i++) {
		objects[i] = tl_pool_take(&pool);
		assert_non_null(objects[i]);
		for (int j = 0; j < i; j++)
			assert_ptr_not_equal(objects[i], objects[j]);
	}
	assert_null(tl_pool_take(&pool));
	assert_int_equal(pool.exhausted, 1);
	memset(objects[3], 0xff, 24);
	tl_pool_put(&pool, objects[3]);
	uint8_t *again = tl_pool_take(&pool);
	assert_ptr_equal(again, objects[3]);
	for (int i = 0; i < 24; i++)
		assert_int_equal(again[i], 0);
	assert_int_equal(pool.used_max, 8);
	tl_pool_fini(&pool);
}

#define RING_MESSAGES 200000u

static void *produce(void *arg)
{
	struct tl_ring *ring = arg;
	for (uint32_t i = 0; i < RING_MESSAGES;) {
		uint32_t len = 4 + i % 777;
		uint32_t *message = tl_ring_reserve(ring, 1024);
		if (message == NULL)
			continue;
		message[0] = i;
		memset(&message[1], (int)(i & 0xff), len - 4);
		tl_ring_commit(ring, len);
		i++;
	}
	return NULL;
}

static void ring_keeps_order_and_content_between_threads(void **state)
{
	(void)state;
	struct tl_ring *ring = tl_ring_create(4096);
	pthread_t producer;

	assert_non_null(ring);
	assert_null(tl_ring_reserve(ring, tl_ring_message_max(ring) + 1));
	assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);
	for (uint32_t i = 0; i < RING_MESSAGES;) {
		uint32_t len;
		const uint8_t *message = tl_ring_peek(ring, &len);
		if (message == NULL)
			continue;
		uint32_t number;
		memcpy(&number, message, 4);
		assert_int_equal(number, i);
		assert_int_equal(len, 4 + i % 777);
		if (len > 4)
			assert_int_equal(message[len - 1], i & 0xff);
		tl_ring_release(ring);
		i++;
	}
	pthread_join(producer, NULL);
	assert_int_equal(tl_ring_used(ring), 0);
	tl_ring_destroy(ring);
}

static void hash_spreads_and_depends_on_the_seed(void **state)
{
	(void)state;
	uint32_t buckets[256] = {0};
	uint8_t key[40] = {0};

	for (uint32_t i = 0; i < 65536; i++) {
		memcpy(key, &i, sizeof(i));
		buckets[tl_hash64(key, sizeof(key), 1) & 255]++;
	}
	for (int i = 0; i < 256; i++)
		assert_in_range(buckets[i], 150, 370);
	assert_true(tl_hash64(key, sizeof(key), 1) != tl_hash64(key, sizeof(key), 2));
	assert_true(tl_hash64(key, 39, 1) != tl_hash64(key, 40, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_remembers_running_off_the_end),
		cmocka_unit_test(views_compare_and_search),
		cmocka_unit_test(texts_are_cut_between_characters),
		cmocka_unit_test(pool_gives_each_object_once),
		cmocka_unit_test(ring_keeps_order_and_content_between_threads),
		cmocka_unit_test(hash_spreads_and_depends_on_the_seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
