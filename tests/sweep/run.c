// SPDX-License-Identifier: Apache-2.0
#include "run.h"

#include "base/check.h"
#include "l7/rule_options.h"
#include "l7/rules.h"
#include "tests/support/options.h"

#include <stdarg.h>
#include <stdlib.h>

#define CLIENT_ISN 0xffffffc0u // wraps early in most conversations
#define SERVER_ISN 0x7fffff00u
#define CLIENT_PORT 40001u
#define START_NS 1700000000000000000ull

// ---- Packets ---------------------------------------------------------------------------------

struct maker {
	const struct conversation *c;
	const struct plan_spec *spec;
	struct plan *plan;
	uint64_t now_ns;
	uint64_t sent[TL_LANE_COUNT]; // bytes of each lane so far
	uint16_t ip_id[TL_LANE_COUNT];
	bool has_begun; // the capture runs
};

static struct packet_spec *add_packet(struct maker *m, uint8_t lane, uint8_t flags, int32_t turn)
{
	bool client = lane == TL_CLIENT;
	struct plan *plan = m->plan;

	TL_ASSERT(plan->count < PACKETS_MAX);
	plan->turn[plan->count] = turn;
	struct packet_spec *p = &plan->packets[plan->count++];
	*p = (struct packet_spec) {
		.time_ns = m->now_ns,
		.source = client ? "10.1.0.1" : "10.1.0.2",
		.destination = client ? "10.1.0.2" : "10.1.0.1",
		.source_port = client ? CLIENT_PORT : m->c->port,
		.destination_port = client ? m->c->port : CLIENT_PORT,
		.seq = (client ? CLIENT_ISN : SERVER_ISN) + 1 + (uint32_t)m->sent[lane],
		.ack = (client ? SERVER_ISN : CLIENT_ISN) + 1 + (uint32_t)m->sent[!lane],
		.flags = flags,
		.ip_id = ++m->ip_id[lane],
	};
	return p;
}

static bool is_wanted(const struct maker *m, uint8_t lane)
{
	return m->has_begun && (m->spec->only_lane < 0 || m->spec->only_lane == lane);
}

static void add_control(struct maker *m, uint8_t lane, uint8_t flags)
{
	if (is_wanted(m, lane))
		(void)add_packet(m, lane, flags, -1);
	m->now_ns += m->spec->step_ns / 100;
}

static void handshake(struct maker *m)
{
	if (is_wanted(m, TL_CLIENT))
		add_packet(m, TL_CLIENT, TL_TCP_SYN, -1)->seq--;
	m->now_ns += m->spec->step_ns / 100;
	if (is_wanted(m, TL_SERVER))
		add_packet(m, TL_SERVER, TL_TCP_SYN | TL_TCP_ACK, -1)->seq--;
	m->now_ns += m->spec->step_ns / 100;
	add_control(m, TL_CLIENT, TL_TCP_ACK);
}

// Where the piece that begins at `at` ends: at the next cut, hole edge or join, else at `end`.
static uint32_t piece_end(const struct plan_spec *spec, uint32_t at, uint32_t end)
{
	const uint32_t edges[] = {spec->hole_begin, spec->hole_end, spec->from};

	if (spec->every_byte)
		return at + 1;
	for (uint32_t i = 0; i < spec->cut_count; i++)
		if (spec->cuts[i] > at && spec->cuts[i] < end)
			end = spec->cuts[i];
	for (uint32_t i = 0; i < TL_COUNT_OF(edges); i++)
		if (edges[i] > at && edges[i] < end)
			end = edges[i];
	// One IP packet holds no more.
	return end - at > 60000 ? at + 60000 : end;
}

static void add_turn(struct maker *m, uint32_t index)
{
	const struct turn *turn = &m->c->turns[index];
	const struct plan_spec *spec = m->spec;
	uint32_t end = turn->offset + turn->len;

	m->sent[turn->lane] = turn->lane_offset;
	for (uint32_t at = turn->offset; at < end;) {
		uint32_t next = piece_end(spec, at, end);
		if (at >= spec->from)
			m->has_begun = true;
		bool is_lost = at >= spec->hole_begin && at < spec->hole_end;
		if (is_wanted(m, turn->lane) && !is_lost) {
			struct packet_spec *p =
				add_packet(m, turn->lane, TL_TCP_ACK | TL_TCP_PSH, (int32_t)index);
			p->payload = tl_bytes(m->c->bytes + at, next - at);
		}
		m->sent[turn->lane] += next - at;
		m->now_ns += spec->step_ns / 100;
		at = next;
	}
	add_control(m, turn->lane == TL_CLIENT ? TL_SERVER : TL_CLIENT, TL_TCP_ACK);
	m->now_ns += spec->step_ns;
}

static void close_lane(struct maker *m, uint8_t lane)
{
	add_control(m, lane, TL_TCP_FIN | TL_TCP_ACK);
	m->sent[lane]++;
}

static void closing(struct maker *m)
{
	switch ((enum closing)m->c->closing) {
	case CLOSE_FIN:
		close_lane(m, TL_CLIENT);
		close_lane(m, TL_SERVER);
		add_control(m, TL_CLIENT, TL_TCP_ACK);
		break;
	case CLOSE_SERVER:
		close_lane(m, TL_SERVER);
		close_lane(m, TL_CLIENT);
		add_control(m, TL_SERVER, TL_TCP_ACK);
		break;
	case CLOSE_RESET:
		add_control(m, TL_SERVER, TL_TCP_RST | TL_TCP_ACK);
		break;
	case CLOSE_OPEN:
		break;
	}
}

void plan_make(const struct conversation *c, const struct plan_spec *spec, struct plan *ret)
{
	struct maker m = {.c = c, .spec = spec, .plan = ret, .now_ns = START_NS};

	ret->count = 0;
	m.has_begun = spec->from == 0;
	handshake(&m);
	for (uint32_t i = 0; i < c->turn_count; i++)
		add_turn(&m, spec->order == NULL ? i : spec->order[i]);
	m.has_begun = true;
	closing(&m);
}

// ---- Records as text -------------------------------------------------------------------------

struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(t->at, t->left, format, args);
	va_end(args);
	TL_ASSERT(len >= 0 && (size_t)len < t->left);
	t->at += len;
	t->left -= (size_t)len;
}

static void say_text(struct text *t, struct tl_bytes value)
{
	bool quote = value.len == 0;
	for (uint32_t i = 0; i < value.len; i++)
		quote = quote || value.ptr[i] == ' ';
	if (value.len > 512)
		value = tl_bytes_first(value, 512);
	say(t, "%s", quote ? "\"" : "");
	for (uint32_t i = 0; i < value.len; i++) {
		uint8_t c = value.ptr[i];
		if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
			say(t, "\\x%02x", c);
		else
			say(t, "%c", c);
	}
	say(t, "%s", quote ? "\"" : "");
}

static void say_value(struct text *t, const char *half, const struct tl_decoder *decoder,
		      const struct tl_value *value)
{
	const struct tl_field *field = &decoder->fields[value->field];
	const struct tl_field *parent =
		field->parent == TL_FIELD_TOP ? NULL : &decoder->fields[field->parent];

	say(t, " %s.%s%s%s", half, parent == NULL ? "" : parent->name, parent == NULL ? "" : ".",
	    field->name);
	switch ((enum tl_field_type)field->type) {
	case TL_FIELD_UINT:
	case TL_FIELD_INT:
	case TL_FIELD_BOOL:
		say(t, "=%lld", (long long)tl_value_uint(value));
		break;
	case TL_FIELD_REAL:
		say(t, "=%g", tl_value_real(value));
		break;
	case TL_FIELD_MAP: {
		uint32_t nul = tl_bytes_find(value->bytes, 0, 0);
		say(t, ".%.*s=", (int)nul, (const char *)value->bytes.ptr);
		say_text(t, tl_bytes_from(value->bytes, nul + 1));
		break;
	}
	case TL_FIELD_OBJECTS:
		break;
	case TL_FIELD_TEXT:
	case TL_FIELD_BYTES:
		say(t, "=");
		say_text(t, value->bytes);
		if (value->full_len != value->bytes.len)
			say(t, " %s.%s_length=%u", half, field->name, value->full_len);
		break;
	}
}

static char *half_text(const char *name, const struct tl_decoder *decoder,
		       const struct tl_half *half, struct tl_bytes tail)
{
	char buffer[RECORD_TEXT_MAX];
	struct text t = {.at = buffer, .left = sizeof(buffer)};
	struct tl_value value;
	uint32_t at = 0;

	if (half->seen == 0) {
		say(&t, "%s=none", name);
		return strdup(buffer);
	}
	say(&t, "%s.bytes=%llu %s.body_bytes=%llu", name, (unsigned long long)half->bytes, name,
	    (unsigned long long)half->body_bytes);
	while (tl_value_next(tail, &at, &value)) {
		TL_ASSERT(value.field < decoder->field_count);
		// Times of packets, which a cut may move.
		if (strstr(decoder->fields[value.field].name, "_message_ns") != NULL)
			continue;
		say_value(&t, name, decoder, &value);
	}
	return strdup(buffer);
}

void record_text(const struct record *r, uint32_t ignore, char *ret, size_t size)
{
#define FLAG_WORD(id, bit, word) {TL_FLAG_##id, word},
	static const struct {
		uint32_t flag;
		const char *word;
	} words[] = {TL_ROUNDTRIP_FLAGS(FLAG_WORD)};
	struct text t = {.at = ret, .left = size};
	const char *separator = "";

	say(&t, "%s", tl_status_name((enum tl_status)r->status));
	if (r->reason != TL_REASON_NONE)
		say(&t, " reason=%s", tl_reason_name((enum tl_reason)r->reason));
	if ((r->flags & ~ignore) != 0)
		say(&t, " flags=");
	for (uint32_t i = 0; i < TL_COUNT_OF(words); i++) {
		if ((r->flags & ~ignore & words[i].flag) == 0)
			continue;
		say(&t, "%s%s", separator, words[i].word);
		separator = ",";
	}
	uint32_t trace_flags;
	memcpy(&trace_flags, r->trace + 24, sizeof(trace_flags));
	if ((trace_flags & TL_TRACE_PRESENT) != 0) {
		say(&t, " trace=");
		for (uint32_t i = 0; i < 24; i++)
			say(&t, i == 16 ? "-%02x" : "%02x", r->trace[i]);
		if ((trace_flags & TL_TRACE_HAS_SAMPLED) != 0)
			say(&t, "-%d", (trace_flags & TL_TRACE_SAMPLED) != 0);
	}
	say(&t, " %s %s", r->request, r->response);
}

// ---- Running ---------------------------------------------------------------------------------

struct sink {
	struct result *result;
	const char *problem;
	uint64_t opened; // records of requests that were open once
};

static void check_times(struct sink *sink, const struct tl_roundtrip *record)
{
	if (record->duration_ns != record->request_ns + record->server_ns + record->response_ns)
		sink->problem = "the parts of a duration don't add up to it";
	if (record->size % 8 != 0 || record->size < sizeof(*record) + record->request.tail_len +
								record->response.tail_len)
		sink->problem = "a record's size is wrong";
	if (record->request.seen == 0 && record->response.seen == 0)
		sink->problem = "a record of nothing";
}

static void take_record(void *arg, const struct tl_roundtrip *record)
{
	struct sink *sink = (struct sink *)arg;
	struct result *result = sink->result;
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);

	TL_ASSERT(decoder != NULL && result->count < RECORDS_MAX);
	check_times(sink, record);
	if (record->request.seen != 0 && record->status != TL_STATUS_ONE_WAY)
		sink->opened++;
	struct record *r = &result->records[result->count++];
	*r = (struct record) {
		.request = half_text("req", decoder, &record->request,
				     tl_roundtrip_request_tail(record)),
		.response = half_text("res", decoder, &record->response,
				      tl_roundtrip_response_tail(record)),
		.flags = record->flags,
		.status = record->status,
		.reason = record->reason,
	};
	_Static_assert(sizeof(r->trace) == sizeof(record->trace), "copied whole");
	memcpy(r->trace, &record->trace, sizeof(r->trace));
}

static void check_ledger(const struct tl_counters *c, const struct sink *sink, struct result *ret)
{
	struct text t = {.at = ret->ledger, .left = sizeof(ret->ledger)};
	const uint64_t *at = c->at;

	uint64_t used = at[TL_COUNT_STREAM_DECODED] + at[TL_COUNT_STREAM_SKIPPED] +
			at[TL_COUNT_STREAM_IGNORED] + at[TL_COUNT_STREAM_BUFFERED];
	if (at[TL_COUNT_STREAM_BYTES] != used)
		say(&t, "%llu bytes in order, %llu accounted for; ",
		    (unsigned long long)at[TL_COUNT_STREAM_BYTES], (unsigned long long)used);
	if (at[TL_COUNT_STREAM_BUFFERED] != 0)
		say(&t, "bytes still buffered; ");
	if (at[TL_COUNT_REQUESTS_OPEN] != 0)
		say(&t, "requests still open; ");
	if (at[TL_COUNT_REQUESTS_OPENED] != sink->opened)
		say(&t, "%llu requests opened, %llu recorded; ",
		    (unsigned long long)at[TL_COUNT_REQUESTS_OPENED],
		    (unsigned long long)sink->opened);
	if (at[TL_COUNT_RECORDS] != ret->count)
		say(&t, "%llu records counted, %u came; ",
		    (unsigned long long)at[TL_COUNT_RECORDS], ret->count);
	if (at[TL_COUNT_DECODE_CONTRACT] != 0)
		say(&t, "the decoder broke its contract; ");
	if (sink->problem != NULL)
		say(&t, "%s; ", sink->problem);
}

struct tl_engine *run_engine_create(const struct tl_rules *rules, tl_roundtrip_fn *take, void *arg)
{
	const uint64_t second = 1000000000ull;
	struct tl_engine_options options = test_engine_options(64);

	options.flow.tcp_closed_ns = second;
	options.flow.syn_idle_ns = 10 * second;
	options.l7.exchanges_max = 4096;
	struct tl_engine *engine = tl_engine_create(&options, rules, take, arg);
	TL_ASSERT(engine != NULL);
	return engine;
}

void run_plan(const struct conversation *c, const struct tl_rules *rules, const struct plan *plan,
	      struct result *ret)
{
	static uint8_t bytes[65536 + PACKETS_HEADERS_MAX];
	struct sink sink = {.result = ret};

	memset(ret, 0, sizeof(*ret));
	struct tl_engine *engine = run_engine_create(rules, take_record, &sink);
	for (uint32_t i = 0; i < plan->count; i++) {
		uint32_t len = packet_write(&plan->packets[i], bytes);
		const struct tl_chunk chunk = {.data = bytes, .len = len};
		const struct tl_packet packet = {
			.chunks = &chunk,
			.chunk_count = 1,
			.link_type = TL_LINK_ETHERNET,
			.len = len,
			.original_len = len,
			.time_ns = plan->packets[i].time_ns,
		};
		tl_engine_burst(engine, &packet, 1);
		if (plan->turn[i] >= 0)
			for (uint32_t t = (uint32_t)plan->turn[i]; t < c->turn_count; t++)
				ret->after_turn[t] = ret->count;
	}
	tl_engine_finish(engine, TL_END_INPUT);
	check_ledger(tl_engine_counters(engine), &sink, ret);
	tl_engine_destroy(engine);
}

void result_free(struct result *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		free(r->records[i].request);
		free(r->records[i].response);
	}
	r->count = 0;
}

// ---- Options ---------------------------------------------------------------------------------

struct run_options {
	struct tl_rules *rules;
	void *structs[TL_PROTOCOLS_MAX]; // [registry id], NULL: the defaults
	struct tl_rule_options *defaults[TL_PROTOCOLS_MAX]; // lists in structs[] point into these
	char *texts[OPTIONS_MAX];
	const char **lists[OPTIONS_MAX];
};

_Noreturn static void bad_option(const char *option, const char *why)
{
	fprintf(stderr, "option %s: %s\n", option, why);
	exit(2);
}

// A copy of the protocol's defaults, to be changed.
static void *own_struct(struct run_options *o, const char *option, const char *name)
{
	const struct tl_decoder *decoder = tl_decoder_by_name(name);
	uint32_t id = 0;

	if (decoder == NULL || decoder->options == NULL)
		bad_option(option, "no such protocol, or it has no options");
	while (tl_decoder_at((uint16_t)id) != decoder)
		id++;
	if (o->structs[id] != NULL)
		return o->structs[id];
	if (tl_rule_options_create(decoder, &o->defaults[id]) != 0)
		bad_option(option, "its defaults can't be read");
	o->structs[id] = malloc(decoder->options_size);
	TL_ASSERT(o->structs[id] != NULL);
	memcpy(o->structs[id], tl_rule_options_get(o->defaults[id]), decoder->options_size);
	return o->structs[id];
}

static void set_list(struct run_options *o, uint32_t at, char *value, struct tl_text_list *list)
{
	static const uint32_t items_max = 32;
	o->lists[at] = (const char **)calloc(items_max, sizeof(char *));
	TL_ASSERT(o->lists[at] != NULL);
	*list = (struct tl_text_list) {.items = o->lists[at]};
	char *rest;
	for (char *item = strtok_r(value, ",", &rest); item != NULL && list->count < items_max;
	     item = strtok_r(NULL, ",", &rest))
		list->items[list->count++] = item;
}

static void set_option(struct run_options *o, uint32_t at, const char *option)
{
	char *name = strdup(option);
	TL_ASSERT(name != NULL);
	o->texts[at] = name;
	char *key = strchr(name, '.');
	char *value = key == NULL ? NULL : strchr(key, '=');
	if (value == NULL)
		bad_option(option, "PROTOCOL.key=value is wanted");
	*key++ = '\0';
	*value++ = '\0';
	uint8_t *base = (uint8_t *)own_struct(o, option, name);
	const struct tl_option *row = tl_decoder_by_name(name)->options;
	while (row->key != NULL && strcmp(row->key, key) != 0)
		row++;
	if (row->key == NULL)
		bad_option(option, "no such key");
	void *member = base + row->offset;
	if (row->type == TL_OPTION_BOOL)
		*(bool *)member = strcmp(value, "true") == 0;
	else if (row->type == TL_OPTION_UINT || row->type == TL_OPTION_SIZE)
		*(uint64_t *)member = strtoull(value, NULL, 10);
	else if (row->type == TL_OPTION_TEXT_LIST)
		set_list(o, at, value, (struct tl_text_list *)member);
	else
		bad_option(option, "this harness can't set its type");
}

struct run_options *run_options_create(const struct conversation *c)
{
	struct run_options *o = (struct run_options *)calloc(1, sizeof(*o));
	TL_ASSERT(o != NULL);
	struct tl_rules_spec spec = {
		.redact = true,
		.options = (const void *const *)o->structs,
	};
	char error[256];

	for (uint32_t i = 0; i < c->option_count; i++)
		set_option(o, i, c->options[i]);
	if (tl_rules_create(&spec, &o->rules, error, sizeof(error)) != 0)
		bad_option("rules", error);
	return o;
}

const struct tl_rules *run_options_rules(const struct run_options *o)
{
	return o->rules;
}

void run_options_free(struct run_options *o)
{
	tl_rules_destroy(o->rules);
	for (uint32_t i = 0; i < TL_PROTOCOLS_MAX; i++) {
		free(o->structs[i]);
		tl_rule_options_destroy(o->defaults[i]);
	}
	for (uint32_t i = 0; i < OPTIONS_MAX; i++) {
		free(o->texts[i]);
		free((void *)o->lists[i]);
	}
	free(o);
}
