// SPDX-License-Identifier: Apache-2.0
#include "control/status.h"

#include "base/check.h"
#include "base/jansson.h"

#include <stdlib.h>

#define HINTS_MAX 8u

// Whether conversations stay together on the port's queues, and what is done where they don't.
static void add_spread(json_t *object, const struct tl_port_status *p)
{
	(void)json_object_set_new(
		object, "rss", json_pack("{s:s, s:s, s:I}", "verdict", p->spread, "text",
					 p->spread_text, "steered", (json_int_t)p->steered));
}

static void add_losses(json_t *object, const struct tl_port_status *p)
{
	json_t *driver = json_object();

	for (uint32_t i = 0; i < p->loss_count; i++)
		(void)json_object_set_new(driver, p->losses[i].name,
					  json_integer((json_int_t)p->losses[i].count));
	(void)json_object_set_new(object, "driver", driver);
}

static json_t *ports_json(const struct tl_totals *totals)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < totals->port_count; i++) {
		const struct tl_port_status *p = &totals->ports[i];
		json_t *object = json_pack(
			"{s:o, s:s, s:s, s:I, s:I, s:{s:I, s:I, s:I}, s:I, s:I}", "name",
			tl_text_as_json(p->name), "kind", p->kind, "link",
			p->link == NULL ? "" : p->link, "packets", (json_int_t)p->received, "bytes",
			(json_int_t)p->bytes, "dropped", "kernel", (json_int_t)p->kernel_dropped,
			"ring", (json_int_t)p->ring_dropped, "buffer", (json_int_t)p->pool_dropped,
			"cut", (json_int_t)p->cut, "queued", (json_int_t)p->queued);
		(void)json_object_set_new(object, "up", json_boolean(p->is_up));
		(void)json_object_set_new(object, "stamps", json_string(p->stamps));
		if (p->spread != NULL)
			add_spread(object, p);
		if (p->loss_count > 0)
			add_losses(object, p);
		if (p->error != NULL && p->error[0] != '\0')
			(void)json_object_set_new(object, "error", tl_text_as_json(p->error));
		(void)json_array_append_new(list, object);
	}
	return list;
}

static json_t *lcores_json(struct tl_probe *probe)
{
	struct tl_lcore_status lcores[TL_LCORES_MAX];
	uint32_t count = probe == NULL ? 0 :
		tl_pipeline_lcores(tl_probe_pipeline(probe), lcores, TL_LCORES_MAX);
	json_t *list = json_array();

	for (uint32_t i = 0; i < count; i++) {
		const struct tl_lcore_status *l = &lcores[i];
		(void)json_array_append_new(
			list, json_pack("{s:s, s:i, s:o, s:s, s:i, s:I, s:f}", "role", l->role,
					"lcore", (int)l->lcore, "cpu",
					l->cpu < 0 ? json_string("floating") : json_integer(l->cpu),
					"port", l->port, "queue", (int)l->queue, "packets",
					(json_int_t)l->packets, "busy", l->busy));
	}
	return list;
}

static void add_drop(json_t *object, const char *reason, uint64_t count)
{
	json_t *reasons = json_object_get(object, "dropped_by");

	if (reasons == NULL) {
		reasons = json_object();
		(void)json_object_set_new(object, "dropped_by", reasons);
	}
	(void)json_object_set_new(reasons, reason, json_integer((json_int_t)count));
}

static json_t *sinks_json(struct tl_sinks *sinks)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < tl_sinks_count(sinks); i++) {
		struct tl_exporter_stats stats;
		const char *name = tl_sinks_stats(sinks, i, &stats);
		json_t *object = json_pack(
			"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "name", name, "accepted",
			(json_int_t)stats.accepted, "delivered", (json_int_t)stats.delivered,
			"dropped", (json_int_t)stats.dropped, "queued", (json_int_t)stats.queued,
			"retries", (json_int_t)stats.retries, "queued_bytes",
			(json_int_t)stats.queued_bytes, "queued_age_seconds",
			(double)stats.queued_age_ns / 1e9);
		for (uint32_t d = 0; d < TL_DROP_COUNT; d++)
			if (stats.dropped_by[d] != 0)
				add_drop(object, tl_exporter_drop_name((enum tl_exporter_drop)d),
					 stats.dropped_by[d]);
		if (stats.last_error[0] != '\0')
			(void)json_object_set_new(object, "last_error",
						  tl_text_as_json(stats.last_error));
		(void)json_array_append_new(list, object);
	}
	return list;
}

static json_t *losses_json(const struct tl_totals *totals)
{
	const uint64_t *c = totals->counters.at;
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "kernel",
			 (json_int_t)totals->kernel_dropped, "ring", (json_int_t)totals->ring_dropped,
			 "buffer", (json_int_t)totals->pool_dropped, "flow_table",
			 (json_int_t)c[TL_COUNT_DROP_FLOW_TABLE], "stream_bytes",
			 (json_int_t)c[TL_COUNT_STREAM_LOST], "records",
			 (json_int_t)c[TL_COUNT_RECORDS_DROPPED]);
}

static json_t *kube_json(struct tl_kube *kube)
{
	struct tl_kube_stats stats;
	json_t *list = json_array();

	tl_kube_stats(kube, &stats);
	for (size_t i = 0; i < TL_COUNT_OF(stats.of); i++) {
		json_t *object = json_pack(
			"{s:s, s:I, s:I, s:I, s:I}", "resource", stats.of[i].resource, "objects",
			(json_int_t)stats.of[i].objects, "lists", (json_int_t)stats.of[i].lists,
			"events", (json_int_t)stats.of[i].events, "errors",
			(json_int_t)stats.of[i].errors);
		if (stats.of[i].last_error[0] != '\0')
			(void)json_object_set_new(object, "last_error",
						  tl_text_as_json(stats.of[i].last_error));
		(void)json_array_append_new(list, object);
	}
	return list;
}

void tl_status_render(const struct tl_status_page *page, struct tl_probe *probe,
		      struct tl_sinks *sinks, struct tl_text *ret_json)
{
	struct tl_totals *totals = calloc(1, sizeof(*totals));
	char hints[HINTS_MAX][TL_HINT_BYTES];
	struct tl_text started = {0};

	if (totals == NULL)
		return;
	json_t *notes = json_array();
	uint32_t count = 0;
	if (probe != NULL) {
		tl_totals_read(tl_probe_pipeline(probe), totals);
		count = tl_totals_hints(totals, page->filter, hints, HINTS_MAX);
	}
	for (uint32_t i = 0; i < count; i++)
		(void)json_array_append_new(notes, tl_text_as_json(hints[i]));
	tl_text_time_utc(&started, page->started_ns);
	json_t *object = json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
				   page->version, "probe", tl_text_as_json(page->probe), "started",
				   started.data, "config", tl_text_as_json(page->config_file),
				   "last_reload", tl_text_as_json(page->last_reload), "ports",
				   ports_json(totals), "lcores", lcores_json(probe), "losses",
				   losses_json(totals), "sinks", sinks_json(sinks), "hints", notes);
	if (page->kube != NULL)
		(void)json_object_set_new(object, "kubernetes", kube_json(page->kube));
	char *text = json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	if (text != NULL) {
		tl_text_puts(ret_json, text);
		tl_text_puts(ret_json, "\n");
	}
	free(text);
	json_decref(object);
	tl_text_free(&started);
	free(totals);
}
