// SPDX-License-Identifier: Apache-2.0
// The control lcore under more records than it can take: its turns end, so that metrics are merged
// (and with them scrapes answered, sinks flushed) however slow what takes the records is.
#include "control/probe.h"

#include "base/check.h"
#include "base/clock.h"
#include "l7/rules.h"
#include "support/options.h"
#include "support/packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define QUERIES 4000u
#define RING_BYTES (64u << 10) // a hundred records: nearly all of them wait
#define SLOW_NS 20000u   // that a record takes, longer than a worker needs for one
// At the most: what lies in the ring when the flip is asked for, what a worker makes of the mbufs that
// it takes at once (they hold many packets each) before it answers, the turns under way then.
#define RECORDS_PER_MERGE_MAX (RING_BYTES / sizeof(struct tl_roundtrip) + 16u * 22u + 3u * 256u)
#define PCAP_MAGIC 0xa1b2c3d4u

static char path[] = "/tmp/tapline-probe-test-XXXXXX";

// DNS queries, each from a port of its own, that nobody answers.
static int write_queries(void **state)
{
	static const uint8_t query[] = "\0\1\1\0\0\1\0\0\0\0\0\0\3www\4test\0\0\1\0"; // and a 1
	const uint32_t head[6] = {PCAP_MAGIC, 2 | 4 << 16, 0, 0, 262144, TL_LINK_ETHERNET};
	uint8_t frame[PACKETS_HEADERS_MAX + sizeof(query)], bytes[sizeof(query)];
	int fd = mkstemp(path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	(void)state;
	memcpy(bytes, query, sizeof(query));
	bytes[sizeof(query) - 1] = 1;
	TL_ASSERT(file != NULL && fwrite(head, sizeof(head), 1, file) == 1);
	for (uint32_t i = 0; i < QUERIES; i++) {
		const struct packet_spec spec = {
			.source = "10.3.0.1", .destination = "10.4.0.1", .is_udp = true,
			.source_port = (uint16_t)(20000 + i), .destination_port = 53,
			.payload = tl_bytes(bytes, sizeof(bytes)),
		};
		uint32_t size = packet_write(&spec, frame);
		const uint32_t packet[4] = {1700000000, i * 10, size, size};
		TL_ASSERT(fwrite(packet, sizeof(packet), 1, file) == 1);
		TL_ASSERT(fwrite(frame, size, 1, file) == 1);
	}
	return fclose(file);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

struct taker {
	struct tl_probe *probe;
	uint64_t records, merges;
	uint64_t since;     // records since the last merge
	uint64_t since_max;
};

static int take_slowly(void *arg, const struct tl_roundtrip_signal *signal)
{
	struct taker *taker = arg;
	uint64_t end_ns = tl_clock_ns(CLOCK_MONOTONIC) + SLOW_NS;

	assert_string_equal(tl_decoder_at(signal->record->protocol)->name, "dns");
	if (tl_probe_merges(taker->probe) != taker->merges)
		taker->since = 0;
	taker->merges = tl_probe_merges(taker->probe);
	taker->records++;
	taker->since++;
	if (taker->since > taker->since_max)
		taker->since_max = taker->since;
	while (tl_clock_ns(CLOCK_MONOTONIC) < end_ns)
		;
	return 0;
}

static void records_leave_time_for_merges(void **state)
{
	(void)state;
	const struct tl_port_spec port = {.name = "", .file = path};
	const struct tl_metrics_options metrics = {
		.series_max = 1024, .series_per_family_max = 1024, .label_values_max = 64,
		.label_bytes_max = 128, .idle_ns = UINT64_C(600000000000),
	};
	const struct tl_probe_options options = {
		.pipeline = {
			.ports = &port, .port_count = 1, .workers = 1, .want_records = true,
			.record_ring_bytes = RING_BYTES, .engine = test_engine_options(2 * QUERIES),
		},
		.metrics = &metrics, .name = "", .merge_ns = 0,
	};
	const struct tl_rules_spec spec = {.detect = true};
	struct taker taker = {0};
	struct tl_rules *rules;
	char error[256] = "";
	bool is_finished = false;

	assert_int_equal(tl_rules_create(&spec, &rules, error, sizeof(error)), 0);
	if (tl_probe_start(&options, rules, &taker.probe, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	while (!is_finished)
		(void)tl_probe_turn(taker.probe, take_slowly, &taker, &is_finished);
	assert_string_equal(tl_probe_error(taker.probe), "");
	print_message("%lu records, %lu merges, at most %lu records between two\n",
		      (unsigned long)taker.records, (unsigned long)taker.merges,
		      (unsigned long)taker.since_max);
	assert_int_equal(taker.records, QUERIES);
	assert_in_range(taker.since_max, 1, RECORDS_PER_MERGE_MAX);
	tl_probe_destroy(taker.probe);
	tl_rules_destroy(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_leave_time_for_merges),
	};

	return cmocka_run_group_tests(tests, write_queries, remove_file);
}
