// SPDX-License-Identifier: Apache-2.0
// What metrics cost a worker: ns per vmrange bucket, per roundtrip, and per merged group. Prints
// what it measured; no test, since it depends on the machine.
#include "base/check.h"
#include "figure.h"
#include "metrics/vmrange.h"
#include "unit/metrics_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCHES 20u
#define BATCH 250000u
#define ROUNDS (BATCHES * BATCH)

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void bench_index(void)
{
	static uint64_t values[4096];
	uint64_t x = 88172645463325252ull, sum = 0;

	// Times between 1 us and 10 s, spread evenly over the decades.
	for (uint32_t i = 0; i < TL_COUNT_OF(values); i++) {
		uint64_t n = next(&x);
		values[i] = 1000 + (n >> 30) % 1000 * (1ull << (n & 23));
	}
	double start = now();
	for (uint32_t i = 0; i < ROUNDS * 4; i++)
		sum += tl_vmrange_of_ns(values[i & 4095]);
	double ns = (now() - start) / (ROUNDS * 4);
	figure("vmrange", ns, "ns", sum != 0 ? "vmrange bucket of a time" : "nothing");
}

// `paths`: the labels, NULL for the protocol's defaults (method, status_code).
static void bench_roundtrip(const char *id, const char *of, const struct tl_text_list *paths,
			    uint32_t series, bool with_l7_tail)
{
	struct tl_metrics_options options = fake_options();
	struct tl_protocol_labels row = {.protocol = "http"};
	struct fake_record *records = calloc(series, sizeof(*records));
	uint64_t x = 88172645463325252ull;

	if (records == NULL)
		return;
	if (paths != NULL) {
		row.labels = *paths;
		options.labels = (struct tl_option_table) {&row, 1};
	}
	options.series_max = 400000;
	options.series_per_family_max = 100000;
	options.label_values_max = 100000;
	struct tl_worker_metrics *worker = tl_worker_metrics_create(&options, 0);
	struct tl_metrics *metrics = tl_metrics_create(&options, &worker, 1);
	static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
	for (uint32_t i = 0; i < series; i++) {
		fake_http(&records[i], methods[i & 3], 200 + i / 4 % 4, 0);
		records[i].head.client_port = (uint16_t)i;
		if (with_l7_tail) {
			fake_add_text(&records[i], 1, FAKE_REASON, "Not Found At All");
			for (uint32_t k = 0; k < 8; k++)
				fake_add_text(&records[i], 1, 100, "application/json");
		}
	}
	// Drawn before the clock runs: a division by a variable costs as much as a table look-up.
	static uint32_t order[65536];
	for (uint32_t i = 0; i < TL_COUNT_OF(order); i++)
		order[i] = (uint32_t)(next(&x) % series);
	double start = now(), before = start, best = 1e18;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		if (i % BATCH == 0 && i != 0) {
			double t = now();
			best = t - before < best ? t - before : best;
			before = t;
		}
		struct fake_record *r = &records[order[i & 65535]];
		r->head.duration_ns = 50000 + (i << 12 & 0xffffff);
		tl_worker_metrics_roundtrip(worker, &r->head);
	}
	figure(id, best / BATCH, "ns", of);
	tl_metrics_flip(metrics);
	start = now();
	tl_worker_metrics_poll(worker, fake_engine(0));
	double flipped = now();
	(void)tl_metrics_merge(metrics, 1);
	double merged = now();
	tl_snapshot_put(tl_metrics_snapshot(metrics));
	printf("%s: flip %.1f us, merge of %u groups %.1f us, snapshot %.1f us\n", id,
	       (flipped - start) / 1e3, series, (merged - flipped) / 1e3, (now() - merged) / 1e3);
	tl_metrics_destroy(metrics);
	tl_worker_metrics_destroy(worker);
	free(records);
}

int main(void)
{
	const char *ports[] = {"request.method", "response.status_code", "server.address",
			       "client.port"};
	const struct tl_text_list by_port = {ports, TL_COUNT_OF(ports)};

	bench_index();
	bench_roundtrip("metrics_roundtrip", "metrics per roundtrip, default labels", NULL, 16, false);
	bench_roundtrip("metrics_roundtrip_fields", "the same, 9 more field values", NULL, 16, true);
	bench_roundtrip("metrics_roundtrip_labels", "4 labels, 16 series", &by_port, 16, false);
	bench_roundtrip("metrics_roundtrip_10k", "4 labels, 10000 series", &by_port, 10000, false);
	return 0;
}
