// SPDX-License-Identifier: Apache-2.0
// Drives one exporter of metrics by commands on standard input, so that a test can say what is to
// be exported and when, kill the process, and read the exporter's own books:
//
//   feed CONFIG PROBE       the first entry under `exporters` of the file is used
//   hit METHOD CODE NS [WORKER]   books a request of the fake protocol
//   set FAMILY VALUE        a gauge, or a counter when FAMILY ends in _total
//   tick                    merges and hands the picture over; answers "tick"
//   stats                   answers with one JSON object
//   flush MS                as at an orderly end; answers "flush"
//   quit                    closes; answers "quit"
#include "config/config.h"
#include "tests/unit/metrics_fake.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WORKERS 2u
#define LINE_BYTES 256u

static struct tl_worker_metrics *workers[WORKERS];
static struct tl_metrics *metrics;
static const struct tl_exporter *exporter;
static void *self;

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

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;
	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void log_line(enum tl_exporter_severity severity, const char *line)
{
	(void)fprintf(stderr, "%d %s\n", (int)severity, line);
}

static void hit(const char *arguments)
{
	struct fake_record r;
	char method[32];
	unsigned code, worker = 0;
	uint64_t ns;

	if (sscanf(arguments, "%31s %u %" SCNu64 " %u", method, &code, &ns, &worker) < 3)
		return;
	fake_http(&r, method, code, ns);
	r.head.status = code >= 500 ? TL_STATUS_SERVER_ERROR : TL_STATUS_OK;
	tl_worker_metrics_roundtrip(workers[worker % WORKERS], &r.head);
}

static void set(const char *arguments)
{
	char family[64];
	double value;

	if (sscanf(arguments, "%63s %lf", family, &value) != 2)
		return;
	const char *end = strrchr(family, '_');
	tl_metrics_set(metrics, family, "", end != NULL && strcmp(end, "_total") == 0 ?
		       "counter" : "gauge", "Set by a test.", value);
}

static void tick(void)
{
	tl_metrics_flip(metrics);
	for (uint32_t i = 0; i < WORKERS; i++)
		tl_worker_metrics_poll(workers[i], fake_engine(i));
	(void)tl_metrics_merge(metrics, clock_ns(CLOCK_REALTIME));
	struct tl_snapshot *snapshot = tl_metrics_snapshot(metrics);
	(void)exporter->metrics(self, snapshot);
	tl_snapshot_put(snapshot);
	(void)puts("tick");
}

static void stats(void)
{
	struct tl_exporter_stats s = {0};

	exporter->stats(self, &s);
	(void)printf("{\"accepted\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"dropped\": %" PRIu64
		     ", \"queued\": %" PRIu64 ", \"queued_bytes\": %" PRIu64 ", \"requests\": %" PRIu64
		     ", \"retries\": %" PRIu64 ", \"clock_steps\": %" PRIu64
		     ", \"unclean_starts\": %" PRIu64, s.accepted, s.delivered, s.dropped, s.queued,
		     s.queued_bytes, s.requests, s.retries, s.clock_steps, s.unclean_starts);
	for (uint32_t i = 0; i < TL_DROP_COUNT; i++)
		(void)printf(", \"%s\": %" PRIu64,
			     tl_exporter_drop_name((enum tl_exporter_drop)i), s.dropped_by[i]);
	(void)printf(", \"last_error\": \"");
	for (const char *at = s.last_error; *at != '\0'; at++)
		(void)putchar(*at == '"' || *at == '\\' ? '\'' : *at);
	(void)puts("\"}");
}

static void obey(const char *line)
{
	if (strncmp(line, "hit ", 4) == 0) {
		hit(line + 4);
	} else if (strncmp(line, "set ", 4) == 0) {
		set(line + 4);
	} else if (strcmp(line, "tick") == 0) {
		tick();
	} else if (strcmp(line, "stats") == 0) {
		stats();
	} else if (strncmp(line, "flush ", 6) == 0) {
		if (exporter->end != NULL)
			exporter->end(self);
		(void)exporter->flush(self, clock_ns(CLOCK_MONOTONIC) +
				      strtoull(line + 6, NULL, 10) * 1000000);
		(void)puts("flush");
	} else {
		(void)fprintf(stderr, "unknown command: %s\n", line);
		exit(2);
	}
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct tl_config_errors errors;
	struct tl_metrics_options options = fake_options();
	struct tl_config *config;
	char line[LINE_BYTES], error[300] = "";

	if (argc != 3 || tl_config_load(argv[1], &config, &errors) < 0) {
		for (uint32_t i = 0; i < errors.count; i++)
			(void)fprintf(stderr, "%s\n", errors.lines[i]);
		return 2;
	}
	for (uint32_t i = 0; i < WORKERS; i++)
		workers[i] = tl_worker_metrics_create(&options, (uint8_t)i);
	metrics = tl_metrics_create(&options, workers, WORKERS);
	const struct tl_exporter_env env = {
		.probe = argv[2], .version = "test", .log = log_line,
		.le_seconds = &config->metrics.le_seconds, .le_bytes = &config->metrics.le_bytes,
	};
	exporter = config->exporters[0].exporter;
	if (exporter->open(config->exporters[0].options, &env, &self, error, sizeof(error)) < 0) {
		(void)fprintf(stderr, "%s\n", error);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "quit") == 0)
			break;
		obey(line);
	}
	exporter->close(self);
	(void)puts("quit");
	tl_metrics_destroy(metrics);
	for (uint32_t i = 0; i < WORKERS; i++)
		tl_worker_metrics_destroy(workers[i]);
	tl_config_free(config);
	return 0;
}
