// SPDX-License-Identifier: Apache-2.0
// What 100,000 series cost the control side: taking the picture, writing a page, handing the
// picture to remote write (all that the control lcore does for it), encoding it on the helper
// thread. Figures are CPU time, so that neighbours on the machine count little.
#include "config/config.h"
#include "exporters/prometheus/prometheus.h"
#include "figure.h"
#include "unit/metrics_fake.h"

#include <stdlib.h>
#include <unistd.h>

#define GROUPS 9000u
#define ROUNDS 5u

static struct tl_worker_metrics *worker;
static struct tl_metrics *metrics;

const struct tl_decoder *tl_decoder_by_name(const char *name)
{
	return strcmp(name, fake_decoder.name) == 0 ? &fake_decoder : NULL;
}

// Only records have them, and none is exported here.
const char *tl_reason_name(enum tl_reason reason)
{
	(void)reason;
	return "";
}

static void fill(uint64_t round)
{
	for (uint32_t i = 0; i < GROUPS; i++) {
		struct fake_record r;
		char method[16];
		(void)snprintf(method, sizeof(method), "GROUP%u", i);
		fake_http(&r, method, 200, 1000000 + round * 10000000 * (i % 3));
		tl_worker_metrics_roundtrip(worker, &r.head);
	}
	tl_metrics_flip(metrics);
	tl_worker_metrics_poll(worker, fake_engine(0));
	(void)tl_metrics_merge(metrics, figure_clock_ns(CLOCK_REALTIME));
}

struct page_size {
	size_t bytes, lines;
};

static int count(void *arg, const char *data, size_t len)
{
	struct page_size *page = arg;

	page->bytes += len;
	for (size_t i = 0; i < len; i++)
		page->lines += data[i] == '\n';
	return 0;
}

static void bench_page(struct tl_snapshot *snapshot, uint32_t style, const char *id, const char *of)
{
	const struct tl_prometheus_options options = {.histogram = (uint8_t)style};
	struct page_size page = {0};

	uint64_t start = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	(void)tl_prometheus_render(snapshot, &options, count, &page);
	uint64_t ns = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
	figure(id, (double)ns / 1e6, "ms", of);
	(void)printf("%s: %zu bytes, %zu lines\n", id, page.bytes, page.lines);
}

static void wait_accepted(const struct tl_exporter *exporter, void *self, uint64_t above,
			  struct tl_exporter_stats *ret_stats)
{
	do {
		(void)usleep(20000);
		exporter->stats(self, ret_stats);
	} while (ret_stats->accepted <= above);
}

static void bench_remote_write(struct tl_config *config)
{
	const struct tl_exporter *exporter = config->exporters[0].exporter;
	const struct tl_exporter_env env = {.probe = "bench", .version = "0"};
	struct tl_exporter_stats stats = {0};
	char error[300];
	void *self;
	uint64_t hand_ns = 0, encode_ns = 0, samples = 0;

	if (exporter->open(config->exporters[0].options, &env, &self, error, sizeof(error)) < 0) {
		(void)fprintf(stderr, "%s\n", error);
		exit(1);
	}
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t before = stats.accepted;
		fill(i + 2);
		struct tl_snapshot *snapshot = tl_metrics_snapshot(metrics);
		uint64_t start = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
		uint64_t cpu = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		(void)exporter->metrics(self, snapshot);
		hand_ns += figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		wait_accepted(exporter, self, before, &stats);
		(void)usleep(300000); // the rest of the round's payloads
		exporter->stats(self, &stats);
		encode_ns += figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		samples += stats.accepted - before;
		tl_snapshot_put(snapshot);
		(void)usleep(800000);
	}
	figure("remote_write_hand_over", (double)hand_ns / ROUNDS / 1e3, "us",
	       "control lcore, handing 100,000 series to remote write");
	figure("remote_write_samples", (double)samples / ((double)encode_ns / 1e9) / 1e6, "M/s",
	       "samples compared, encoded, packed and queued per CPU second of the helper thread");
	exporter->close(self);
}

int main(void)
{
	static const char yaml[] =
		"exporters: {remote_write: [{url: \"http://127.0.0.1:1/\", histogram: vmrange, "
		"interval: 1s, metadata: false, backoff: {min: 1h, max: 1h}, "
		"queue: {storage: memory, memory: 1GiB}}]}\n";
	static struct tl_config_errors errors;
	struct tl_metrics_options options = fake_options();
	struct tl_config *config;

	options.series_max = options.series_per_family_max = options.label_values_max = 200000;
	worker = tl_worker_metrics_create(&options, 0);
	metrics = tl_metrics_create(&options, &worker, 1);
	if (tl_config_parse("bench", yaml, sizeof(yaml) - 1, &config, &errors) < 0) {
		(void)fprintf(stderr, "%s\n", errors.lines[0]);
		return 1;
	}
	fill(1);
	uint64_t start = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct tl_snapshot *snapshot = tl_metrics_snapshot(metrics);
	figure("snapshot", (double)(figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / 1e6, "ms",
	       "control lcore, picture of 100,000 series");
	bench_page(snapshot, TL_HISTOGRAM_VMRANGE, "page_vmrange", "page of 100,000 series, vmrange");
	bench_page(snapshot, TL_HISTOGRAM_LE, "page_le", "the same series as le");
	tl_snapshot_put(snapshot);
	bench_remote_write(config);
	tl_metrics_destroy(metrics);
	tl_worker_metrics_destroy(worker);
	tl_config_free(config);
	return 0;
}
