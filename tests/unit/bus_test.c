// SPDX-License-Identifier: Apache-2.0
// Readers of GET /watch come and go on one thread while another one wakes them.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "control/bus.h"

struct reader {
	struct tl_bus *bus;
	struct tl_subscriber *subscriber;
	atomic_bool is_woken;
	atomic_bool is_leaving;
	atomic_bool has_left;
	bool had_left; // when it was woken for the second half
};

static void nap(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	(void)nanosleep(&pause, NULL);
}

// What the HTTP server does here takes its lock: the reader's thread may be faster.
static void wake_slowly(void *arg)
{
	struct reader *reader = arg;

	atomic_store(&reader->is_woken, true);
	while (!atomic_load(&reader->is_leaving))
		nap();
	for (uint32_t i = 0; i < 20; i++)
		nap();
	reader->had_left = atomic_load(&reader->has_left);
}

static void *leave(void *arg)
{
	struct reader *reader = arg;

	while (!atomic_load(&reader->is_woken))
		nap();
	atomic_store(&reader->is_leaving, true);
	tl_bus_unsubscribe(reader->bus, reader->subscriber);
	atomic_store(&reader->has_left, true);
	return NULL;
}

static void who_leaves_is_not_woken_afterwards(void **state)
{
	const struct tl_bus_filter filter = {.status = -1};
	struct reader reader = {.bus = tl_bus_create(1)};
	pthread_t thread;
	char buffer[16];
	(void)state;

	reader.subscriber = tl_bus_subscribe(reader.bus, &filter, wake_slowly, &reader);
	assert_non_null(reader.subscriber);
	assert_int_equal(tl_bus_read(reader.bus, reader.subscriber, buffer, sizeof(buffer)), 0);
	assert_int_equal(pthread_create(&thread, NULL, leave, &reader), 0);
	tl_bus_wake_all(reader.bus);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(reader.has_left);
	assert_false(reader.had_left);
	assert_int_equal(tl_bus_watchers(reader.bus), 0);
	tl_bus_wake_all(reader.bus); // nobody is left to be woken
	tl_bus_destroy(reader.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_leaves_is_not_woken_afterwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
