// SPDX-License-Identifier: Apache-2.0
#include "double.h"

#include "base/check.h"
#include "base/hash.h"
#include "metrics/metrics.h"
#include "packet/defrag.h"

#include <stdlib.h>

#define PAYLOAD_MAX 65536u

struct tl_engine {
	struct tl_engine_options options;
	const struct tl_rules *rules;
	tl_roundtrip_fn *complete;
	void *arg;
	struct tl_defrag *defrag;
	uint64_t clock_ns;
	bool is_finished;
	struct tl_counters counters;
};

struct tl_engine *tl_engine_create(const struct tl_engine_options *options,
				   const struct tl_rules *rules, tl_roundtrip_fn *complete,
				   void *arg)
{
	struct tl_engine *e = calloc(1, sizeof(*e));

	TL_ASSERT(e != NULL);
	e->options = *options;
	e->rules = rules;
	e->complete = complete;
	e->arg = arg;
	e->defrag = tl_defrag_create(&options->defrag);
	TL_ASSERT(e->defrag != NULL);
	return e;
}

void tl_engine_destroy(struct tl_engine *e)
{
	tl_defrag_destroy(e->defrag);
	free(e);
}

uint64_t double_digest(const struct tl_packet *packet, const struct tl_headers *headers,
		       uint64_t time_ns)
{
	static _Thread_local uint8_t payload[PAYLOAD_MAX];
	uint32_t len = tl_packet_copy(packet, headers->payload_offset, headers->payload_len, payload);

	TL_ASSERT(len == headers->payload_len);
	uint64_t h = tl_hash64(payload, len, time_ns);
	h = tl_hash64(&headers->tuple, sizeof(headers->tuple), h);
	return tl_hash64(&headers->outer, sizeof(headers->outer), h);
}

static void one(struct tl_engine *e, const struct tl_packet *packet)
{
	struct tl_headers headers;
	struct tl_counters *c = &e->counters;

	TL_ASSERT(packet->original_len >= packet->len);
	tl_counter_add(c, TL_COUNT_PACKETS_OFFERED, 1);
	tl_counter_add(c, TL_COUNT_BYTES_OFFERED, packet->original_len);
	e->clock_ns = packet->time_ns;
	enum tl_decoded decoded = tl_packet_decode(packet, &headers);
	if (decoded == TL_DECODED_FRAGMENT && e->options.defragments) {
		struct tl_defrag_stats before;
		struct tl_defrag_stats after;
		tl_defrag_stats(e->defrag, &before);
		packet = tl_defrag_add(e->defrag, packet, &headers);
		if (packet == NULL)
			return;
		tl_defrag_stats(e->defrag, &after);
		tl_counter_add(c, TL_COUNT_PACKETS_PROCESSED, after.used - before.used - 1);
		decoded = tl_packet_decode(packet, &headers);
	}
	if (decoded != TL_DECODED_OK) {
		tl_counter_add(c, TL_COUNT_DROP_NOT_IP, 1);
		return;
	}
	tl_counter_add(c, TL_COUNT_PACKETS_PROCESSED, 1);
	const struct tl_roundtrip record = {
		.size = sizeof(record),
		.worker = e->options.worker,
		.port = packet->port,
		.connection_id = double_digest(packet, &headers, packet->time_ns),
		.serial = double_digest(packet, &headers, 0),
	};
	e->complete(e->arg, &record);
}

void tl_engine_burst(struct tl_engine *e, const struct tl_packet *packets, uint32_t count)
{
	TL_ASSERT(!e->is_finished && count <= TL_BURST_MAX);
	for (uint32_t i = 0; i < count; i++)
		one(e, &packets[i]);
}

bool tl_engine_advance(struct tl_engine *e, uint64_t now_ns)
{
	TL_ASSERT(!e->is_finished);
	if (now_ns > e->clock_ns)
		e->clock_ns = now_ns;
	return false;
}

void tl_engine_finish(struct tl_engine *e, enum tl_end end)
{
	TL_ASSERT(!e->is_finished && end == TL_END_INPUT);
	e->is_finished = true;
}

void tl_engine_set_rules(struct tl_engine *e, const struct tl_rules *rules)
{
	e->rules = rules;
}

struct tl_counters *tl_engine_counters(struct tl_engine *e)
{
	return &e->counters;
}

uint64_t tl_engine_clock(const struct tl_engine *e)
{
	return e->clock_ns;
}

void tl_engine_on_rtt(struct tl_engine *e, tl_rtt_fn *fn, void *arg)
{
	(void)e;
	(void)fn;
	(void)arg;
}

void tl_engine_on_asked(struct tl_engine *e, tl_asked_fn *fn, void *arg)
{
	(void)e;
	(void)fn;
	(void)arg;
}

// The pipeline under test runs without metrics: it must not ask for any.
struct tl_worker_metrics *tl_worker_metrics_create(const struct tl_metrics_options *options,
						   uint8_t worker)
{
	(void)options;
	(void)worker;
	return NULL;
}

void tl_worker_metrics_destroy(struct tl_worker_metrics *metrics)
{
	TL_ASSERT(metrics == NULL);
}

void tl_worker_metrics_roundtrip(struct tl_worker_metrics *metrics,
				 const struct tl_roundtrip *record)
{
	(void)record;
	TL_ASSERT(metrics != NULL);
}

void tl_worker_metrics_rtt(struct tl_worker_metrics *metrics, const struct tl_flow_identity *flow,
			   uint64_t client_ns, uint64_t server_ns)
{
	(void)flow;
	(void)client_ns;
	(void)server_ns;
	TL_ASSERT(metrics != NULL);
}

void tl_worker_metrics_poll(struct tl_worker_metrics *metrics, struct tl_engine *engine)
{
	(void)engine;
	TL_ASSERT(metrics != NULL);
}

void tl_worker_metrics_succeed(struct tl_worker_metrics *metrics,
			       const struct tl_worker_metrics *before)
{
	(void)before;
	TL_ASSERT(metrics != NULL);
}
