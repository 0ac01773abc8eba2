// SPDX-License-Identifier: Apache-2.0
// What a record costs on its way out: to the control lcore, which hands it to a sink, and to the
// sink's own thread, which makes a span or a document of it, compresses and queues it. Lines of
// records are written by the control lcore itself. Figures are CPU time, so that neighbours on the
// machine count little; receivers are none, queues are in memory.
#include "config/config.h"
#include "figure.h"
#include "l7/decoder.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS 100000u
#define RECORDS_QUICK 20000u
#define TAIL_BYTES 1024u

struct record {
	struct tl_roundtrip head;
	uint8_t tail[TAIL_BYTES];
};

static uint32_t records = RECORDS;

static uint8_t *put_text(const struct tl_decoder *decoder, uint8_t *at, const char *name,
			 const char *value)
{
	for (uint8_t i = 0; i < decoder->field_count; i++)
		if (strcmp(decoder->fields[i].name, name) == 0)
			return tl_value_put(at, i, tl_bytes_of(value));
	abort(); // the benchmark and the protocol's table disagree
}

static uint8_t *put_number(const struct tl_decoder *decoder, uint8_t *at, const char *name,
			   uint64_t value)
{
	for (uint8_t i = 0; i < decoder->field_count; i++)
		if (strcmp(decoder->fields[i].name, name) == 0)
			return tl_value_put(at, i, tl_bytes((const uint8_t *)&value, sizeof(value)));
	abort();
}

// A GET with what browsers send, by the decoder's own table.
static void make_record(struct record *r)
{
	const struct tl_decoder *decoder = tl_decoder_by_name("http");
	uint16_t id = 0;

	while (tl_decoder_at(id) != decoder)
		id++;
	memset(r, 0, sizeof(*r));
	r->head = (struct tl_roundtrip) {
		.protocol = id, .status = TL_STATUS_OK, .ip_version = 4, .l4 = 6,
		.client_address = {[10] = 0xff, 0xff, 10, 1, 2, 3}, .client_port = 36654,
		.server_address = {[10] = 0xff, 0xff, 10, 1, 2, 4}, .server_port = 8080,
		.duration_ns = 1500000,
		.request = {.seen = 1, .bytes = 420, .first_ns = UINT64_C(1700000000000000000)},
		.response = {.seen = 1, .bytes = 2300, .first_ns = UINT64_C(1700000000001000000)},
	};
	uint8_t *at = put_text(decoder, r->tail, "method", "GET");
	at = put_text(decoder, at, "path", "/api/v1/items/4711/reviews");
	at = put_text(decoder, at, "host", "shop.example");
	at = put_text(decoder, at, "user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)");
	r->head.request.tail_len = (uint32_t)(at - r->tail);
	uint8_t *response = at;
	at = put_number(decoder, at, "status_code", 200);
	at = put_text(decoder, at, "content_type", "application/json");
	r->head.response.tail_len = (uint32_t)(at - response);
	r->head.size = (uint32_t)((sizeof(r->head) + (size_t)(at - r->tail) + 7) / 8 * 8);
}

static void send_one(const struct tl_exporter *exporter, void *self, const struct record *r,
		     uint32_t number)
{
	struct tl_enrichment names = {
		.probe = "probe-a", .port_name = "eth1", .server_name = "shop", .name_source = "host"};

	(void)snprintf(names.id, sizeof(names.id), "%026u", number);
	memcpy(names.span_id, &number, sizeof(number));
	const struct tl_roundtrip_signal signal = {.record = &r->head, .names = &names};
	struct tl_span span = {.record = &r->head, .names = &names, .kind = TL_SPAN_SERVER,
			       .is_sampled = true, .name = "GET", .start_ns = 1, .end_ns = 1500001};
	memcpy(span.trace_id, &number, sizeof(number));
	memcpy(span.span_id, &number, sizeof(number));
	if (exporter->span != NULL)
		(void)exporter->span(self, &span);
	else
		(void)exporter->roundtrip(self, &signal);
}

struct figures {
	const char *exporter, *hand_id, *hand_of, *made_id, *made_of;
};

static void bench(const struct tl_exporter_config *config, const struct figures *figures)
{
	const struct tl_exporter *exporter = config->exporter;
	// A file's reader: a full inbox is waited for, so that none of the work is left out.
	const struct tl_exporter_env env = {.probe = "bench", .version = "0", .is_lossless = true};
	struct tl_exporter_stats stats = {0};
	struct record record;
	char error[300];
	void *self;

	if (exporter->open(config->options, &env, &self, error, sizeof(error)) < 0) {
		(void)fprintf(stderr, "%s\n", error);
		exit(1);
	}
	make_record(&record);
	uint64_t process = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t own = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	for (uint32_t i = 0; i < records; i++)
		send_one(exporter, self, &record, i + 1);
	own = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - own;
	if (exporter->end != NULL)
		exporter->end(self);
	else
		(void)exporter->flush(self, 0);
	while (exporter->stats(self, &stats), stats.accepted < records)
		(void)usleep(1000);
	process = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - process;
	figure(figures->hand_id, (double)records / (double)own * 1e6, "k/s", figures->hand_of);
	if (figures->made_id != NULL)
		figure(figures->made_id, (double)records / (double)(process - own) * 1e6, "k/s",
		       figures->made_of);
	exporter->close(self);
}

static bool has_exporter(const char *name)
{
	for (uint32_t i = 0; tl_exporters[i] != NULL; i++)
		if (strcmp(tl_exporters[i]->name, name) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static const char kafka[] = "  kafka: [{brokers: \"127.0.0.1:1\", backoff: {min: 1h, max: 1h}, "
				    "queue: {storage: memory, memory: 1GiB}}]\n";
	static const char always[] =
		"exporters:\n"
		"  otlp: [{url: \"http://127.0.0.1:1/\", metrics: false, backoff: {min: 1h, max: 1h}, "
		"queue: {storage: memory, memory: 1GiB}}]\n"
		"  elasticsearch: [{url: \"http://127.0.0.1:1/\", backoff: {min: 1h, max: 1h}, "
		"queue: {storage: memory, memory: 1GiB}}]\n"
		"  roundtrips: [{filename: /dev/null, max_size: 0}]\n";
	static const struct figures all[] = {
		{"otlp", "otlp_hand_over", "spans per CPU second of the control lcore",
		 "otlp_spans", "spans encoded, packed and queued per CPU second of the sink's thread"},
		{"elasticsearch", "bulk_hand_over", "documents per CPU second of the control lcore",
		 "bulk_documents",
		 "documents made, packed and queued per CPU second of the sink's thread"},
		{"kafka", "kafka_hand_over", "records per CPU second of the control lcore",
		 "kafka_messages",
		 "JSON messages made and queued per CPU second of the sink's threads"},
		{"roundtrips", "record_lines",
		 "records written as JSON lines per CPU second of the control lcore", NULL, NULL},
	};
	static struct tl_config_errors errors;
	struct tl_config *config;
	char yaml[sizeof(always) + sizeof(kafka)];

	int len = snprintf(yaml, sizeof(yaml), "%s%s", always, has_exporter("kafka") ? kafka : "");
	if (argc > 1 && strcmp(argv[1], "--quick") == 0)
		records = RECORDS_QUICK;
	if (tl_config_parse("bench", yaml, (size_t)len, &config, &errors) < 0) {
		(void)fprintf(stderr, "%s\n", errors.lines[0]);
		return 1;
	}
	for (uint32_t i = 0; i < config->exporter_count; i++)
		for (uint32_t f = 0; f < sizeof(all) / sizeof(all[0]); f++)
			if (strcmp(config->exporters[i].exporter->name, all[f].exporter) == 0)
				bench(&config->exporters[i], &all[f]);
	tl_config_free(config);
	return 0;
}
