// SPDX-License-Identifier: Apache-2.0
// What the control lcore does for a record before a sink has its line: names and id (`enrich`), and
// the line of JSON. Values are those that real peers gave (tests/golden/expect). `--only ID` under
// `valgrind --tool=callgrind --toggle-collect=work` counts instructions.
#include "base/check.h"
#include "control/enrich.h"
#include "exporters/record/record.h"
#include "figure.h"
#include "l7/decoder.h"

#include <stdlib.h>
#include <string.h>

#define BATCHES 21u
#define LINES 20000u
#define LINES_QUICK 1000u
#define TAIL_BYTES 2048u

struct record {
	struct tl_roundtrip head;
	uint8_t tail[TAIL_BYTES];
};

// A field with a text, or a number where there is none. NULL ends them.
struct value {
	const char *field, *text;
	uint64_t number;
};

struct sample {
	const char *id, *protocol;
	bool is_enriched; // names and id are made for each record
	struct value request[16], response[16];
};

static const struct sample samples[] = {
	{.id = "line_http", .protocol = "http",
	 .request = {{"method", "GET", 0}, {"version", "1.1", 0},
		     {"target", "/api/v1/items/4711/reviews?page=2", 0},
		     {"path", "/api/v1/items/4711/reviews", 0}, {"query", "page=2", 0},
		     {"host", "shop.example", 0},
		     {"user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)", 0}},
	 .response = {{"status_code", NULL, 200}, {"version", "1.1", 0}, {"reason", "OK", 0},
		      {"server", "nginx/1.22.1", 0}, {"content_type", "application/json", 0}}},
	{.id = "line_redis", .protocol = "redis",
	 .request = {{"command", "GET", 0}, {"key", "session:000000004711", 0}, {"db", NULL, 0},
		     {"key_count", NULL, 1}, {"argument_bytes", NULL, 20}},
	 .response = {{"reply_type", "bulk_string", 0}}},
	{.id = "line_mysql", .protocol = "mysql",
	 .request = {{"command", "QUERY", 0}, {"schema", "shop", 0}, {"user", "app", 0},
		     {"query_summary", "SELECT items", 0},
		     {"query_text", "SELECT id, name, price FROM items WHERE id = ? AND note <> \"\"",
		      0}, {"query_digest", "07702a27e227b1a7", 0}},
	 .response = {{"returned_rows", NULL, 1}, {"columns", NULL, 3}}},
	{.id = "line_dns", .protocol = "dns",
	 .request = {{"qtype", "A", 0}, {"question", "www.shop.example", 0}, {"qclass", "IN", 0},
		     {"id", NULL, 4711}, {"opcode", "QUERY", 0}, {"flags", "rd", 0}},
	 .response = {{"id", NULL, 4711}, {"opcode", "QUERY", 0}, {"flags", "rd", 0},
		      {"flags", "ra", 0}, {"answers", "", 0}, {"answers.name", "www.shop.example", 0},
		      {"answers.type", "A", 0}, {"answers.ttl", NULL, 3600},
		      {"answers.class", "IN", 0}, {"answers.data", "192.0.2.10", 0},
		      {"rcode", "NOERROR", 0}, {"answer_count", NULL, 1}}},
	{.id = "record_http", .protocol = "http", .is_enriched = true,
	 .request = {{"method", "GET", 0}, {"version", "1.1", 0}, {"target", "/api/v1/items", 0},
		     {"path", "/api/v1/items", 0}, {"host", "shop.example", 0},
		     {"user_agent", "curl/7.88.1", 0}},
	 .response = {{"status_code", NULL, 200}, {"version", "1.1", 0}, {"reason", "OK", 0},
		      {"server", "nginx/1.22.1", 0}, {"content_type", "application/json", 0}}},
	{.id = "record_redis", .protocol = "redis", .is_enriched = true,
	 .request = {{"command", "GET", 0}, {"key", "session:000000004711", 0}, {"db", NULL, 0},
		     {"key_count", NULL, 1}, {"argument_bytes", NULL, 20}},
	 .response = {{"reply_type", "bulk_string", 0}}},
};

// "name", or "parent.name" for a member of objects.
static uint8_t field_of(const struct tl_decoder *decoder, const char *name)
{
	for (uint8_t i = 0; i < decoder->field_count; i++) {
		const struct tl_field *field = &decoder->fields[i];
		const char *rest = name;
		if (field->parent != TL_FIELD_TOP) {
			const char *parent = decoder->fields[field->parent].name;
			if (strncmp(name, parent, strlen(parent)) != 0 || name[strlen(parent)] != '.')
				continue;
			rest = name + strlen(parent) + 1;
		}
		if (strcmp(field->name, rest) == 0)
			return i;
	}
	(void)fprintf(stderr, "%s has no field %s\n", decoder->name, name);
	abort(); // the benchmark and the protocol's table disagree
}

static uint8_t *put_values(const struct tl_decoder *decoder, const struct value *values, uint8_t *at)
{
	for (; values->field != NULL; values++) {
		uint8_t id = field_of(decoder, values->field);
		struct tl_bytes number = tl_bytes(&values->number, sizeof(values->number));
		at = tl_value_put(at, id, values->text == NULL ? number : tl_bytes_of(values->text));
	}
	return at;
}

static void make_record(const struct sample *sample, struct record *r)
{
	const struct tl_decoder *decoder = tl_decoder_by_name(sample->protocol);
	uint16_t id = 0;

	while (tl_decoder_at(id) != decoder)
		id++;
	memset(r, 0, sizeof(*r));
	r->head = (struct tl_roundtrip) {
		.protocol = id, .status = TL_STATUS_OK, .ip_version = 4, .l4 = 6,
		.client_address = {[10] = 0xff, 0xff, 10, 1, 2, 3}, .client_port = 36654,
		.server_address = {[10] = 0xff, 0xff, 10, 1, 2, 4}, .server_port = 8080,
		.connection_id = UINT64_C(0x2c34ae5142ced779), .rtt_us = 40,
		.duration_ns = 1543210, .request_ns = 1210, .server_ns = 1500000,
		.response_ns = 42000,
		.request = {.seen = 1, .bytes = 420},
		.response = {.seen = 1, .bytes = 2300, .body_bytes = 2048},
	};
	uint8_t *response = put_values(decoder, sample->request, r->tail);
	r->head.request.tail_len = (uint32_t)(response - r->tail);
	r->head.response.tail_len =
		(uint32_t)(put_values(decoder, sample->response, response) - response);
	r->head.size = (uint32_t)sizeof(r->head) +
		       ((r->head.request.tail_len + r->head.response.tail_len + 7u) & ~7u);
}

struct bench {
	const struct sample *sample;
	struct tl_enricher *enricher;
	struct record record;
	struct tl_text line;
	uint64_t now_ns;
};

// Records come 10 us after each other.
__attribute__((noipa)) static void work(struct bench *b, uint32_t count)
{
	struct tl_enrichment names = {
		.probe = "probe-a", .port_name = "eth1", .server_name = "shop",
		.name_source = "host", .id = "01KAQZ6V3M4T8N2P0000000001"};
	struct tl_roundtrip *r = &b->record.head;

	for (uint32_t i = 0; i < count; i++) {
		struct tl_roundtrip_signal signal = {.record = r, .names = &names};
		b->now_ns += 10000;
		r->request.first_ns = b->now_ns;
		r->response.first_ns = b->now_ns + 1501210;
		r->serial++;
		if (b->sample->is_enriched) {
			signal.record = tl_enrich_values(b->enricher, r);
			signal.names = tl_enrich(b->enricher, r);
		}
		tl_text_clear(&b->line);
		TL_ASSERT(tl_record_json_line(&b->line, &signal, false));
	}
}

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static void measure(const struct sample *sample, bool is_quick)
{
	static struct bench b;
	double batches[BATCHES];
	char text[64], of[128];

	b = (struct bench) {.sample = sample, .now_ns = UINT64_C(1700000000000000000),
			    .enricher = tl_enricher_create("probe-a")};
	TL_ASSERT(b.enricher != NULL);
	make_record(sample, &b.record);
	if (is_quick) {
		work(&b, LINES_QUICK);
		(void)snprintf(text, sizeof(text), "%s_roundtrips", sample->id);
		figure(text, LINES_QUICK, "1", "records inside of work(), for tools");
	}
	for (uint32_t i = 0; !is_quick && i < BATCHES; i++) {
		uint64_t before = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
		work(&b, LINES);
		batches[i] = (double)(figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - before) / LINES;
	}
	if (!is_quick) {
		qsort(batches, BATCHES, sizeof(batches[0]), by_value);
		(void)snprintf(of, sizeof(of), "%s a record of %s: a line of %zu bytes",
			       sample->is_enriched ? "names, id and line of" : "line of",
			       sample->protocol, b.line.len);
		figure(sample->id, batches[BATCHES / 2], "ns", of);
	}
	tl_text_free(&b.line);
	tl_enricher_destroy(b.enricher);
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	bool is_quick = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			is_quick = true;
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			only = argv[++i];
	}
	for (size_t i = 0; i < TL_COUNT_OF(samples); i++)
		if (only == NULL || strcmp(only, samples[i].id) == 0)
			measure(&samples[i], is_quick);
	return 0;
}
