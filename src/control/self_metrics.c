// SPDX-License-Identifier: Apache-2.0
#include "control/self_metrics.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

// Appends `name="value"` with the escapes of the text format: ports are named by people and files.
static const char *add_label(struct tl_text *labels, const char *name, const char *value)
{
	tl_text_printf(labels, "%s%s=\"", labels->len == 0 ? "" : ",", name);
	for (; *value != '\0'; value++) {
		size_t plain = strcspn(value, "\\\"\n");
		tl_text_utf8(labels, tl_bytes((const uint8_t *)value, (uint32_t)plain), false);
		value += plain;
		if (*value == '\0')
			break;
		tl_text_puts(labels, *value == '\n' ? "\\n" : *value == '"' ? "\\\"" : "\\\\");
	}
	tl_text_puts(labels, "\"");
	return labels->data;
}

static const char *only_label(struct tl_text *labels, const char *name, const char *value)
{
	tl_text_clear(labels);
	return add_label(labels, name, value);
}

static bool is_asymmetric(const struct tl_port_status *port)
{
	return port->spread != NULL && strcmp(port->spread, "asymmetric") == 0;
}

// Ports of one name, as the readers of an interface have it and several cards may, are one port to the
// metrics. Gives how many there are.
static uint32_t join_readers(struct tl_port_status *ports, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t k = 0;
		while (k < kept && strcmp(ports[k].name, ports[i].name) != 0)
			k++;
		if (k == kept) {
			ports[kept++] = ports[i];
			continue;
		}
		ports[k].is_up &= ports[i].is_up;
		ports[k].received += ports[i].received;
		ports[k].bytes += ports[i].bytes;
		ports[k].kernel_dropped += ports[i].kernel_dropped;
		ports[k].ring_dropped += ports[i].ring_dropped;
		ports[k].pool_dropped += ports[i].pool_dropped;
		ports[k].steered += ports[i].steered;
		if (is_asymmetric(&ports[i]))
			ports[k].spread = ports[i].spread;
	}
	return kept;
}

static void set_port_metrics(struct tl_metrics *metrics, struct tl_pipeline *pipeline)
{
	struct tl_port_status ports[TL_TOTALS_PORTS_MAX];
	uint32_t count = join_readers(ports, tl_pipeline_ports(pipeline, ports, TL_TOTALS_PORTS_MAX));
	struct tl_text text = {0};

	for (uint32_t i = 0; i < count; i++) {
		const struct {
			const char *cause;
			uint64_t count;
		} drops[] = {{"kernel", ports[i].kernel_dropped}, {"ring", ports[i].ring_dropped},
			     {"buffer", ports[i].pool_dropped}};
		const char *labels = only_label(&text, "port", ports[i].name);
		tl_metrics_set(metrics, "tapline_port_received_packets_total", labels, "counter",
			       "Packets a capture port gave us.", (double)ports[i].received);
		tl_metrics_set(metrics, "tapline_port_received_bytes_total", labels, "counter",
			       "Bytes a capture port gave us.", (double)ports[i].bytes);
		tl_metrics_set(metrics, "tapline_port_up", labels, "gauge",
			       "1 while a capture port has a link and gives packets; 0 when it is down,"
			       " gone or has failed.", ports[i].is_up);
		if (ports[i].spread != NULL) {
			tl_metrics_set(metrics, "tapline_port_rss_asymmetric", labels, "gauge",
				       "1 when the two directions of conversations come on different"
				       " queues of a port; workers then hand packets to each other.",
				       is_asymmetric(&ports[i]));
			tl_metrics_set(metrics, "tapline_port_steered_packets_total", labels,
				       "counter", "Packets that a worker read and handed to another.",
				       (double)ports[i].steered);
		}
		for (size_t d = 0; d < sizeof(drops) / sizeof(drops[0]); d++) {
			(void)only_label(&text, "port", ports[i].name);
			labels = add_label(&text, "at", drops[d].cause);
			tl_metrics_set(metrics, "tapline_port_dropped_packets_total", labels,
				       "counter",
				       "Packets lost at a capture port: in the kernel, at a full ring,"
				       " or without a buffer.",
				       (double)drops[d].count);
		}
	}
	tl_text_free(&text);
}

static void set_sink_drops(struct tl_metrics *metrics, const char *name,
			   const struct tl_exporter_stats *stats)
{
	struct tl_text text = {0};
	uint64_t rest = stats->dropped;

	for (uint32_t i = 1; i < TL_DROP_COUNT; i++)
		rest -= stats->dropped_by[i];
	for (uint32_t i = 0; i < TL_DROP_COUNT; i++) {
		(void)only_label(&text, "exporter", name);
		const char *labels = add_label(&text, "reason",
					       tl_exporter_drop_name((enum tl_exporter_drop)i));
		tl_metrics_set(metrics, "tapline_exporter_dropped_total", labels, "counter",
			       "Items an exporter lost, by reason.",
			       (double)(i == TL_DROP_OTHER ? rest : stats->dropped_by[i]));
	}
	tl_text_free(&text);
}

static void set_sink_metrics(struct tl_metrics *metrics, struct tl_sinks *sinks)
{
	struct tl_text text = {0};

	for (uint32_t i = 0; i < tl_sinks_count(sinks); i++) {
		struct tl_exporter_stats stats;
		const char *name = tl_sinks_stats(sinks, i, &stats);
		const char *labels = only_label(&text, "exporter", name);
		tl_metrics_set(metrics, "tapline_exporter_accepted_total", labels, "counter",
			       "Items an exporter took.", (double)stats.accepted);
		tl_metrics_set(metrics, "tapline_exporter_delivered_total", labels, "counter",
			       "Items known to have arrived.", (double)stats.delivered);
		set_sink_drops(metrics, name, &stats);
		tl_metrics_set(metrics, "tapline_exporter_queued", labels, "gauge",
			       "Items waiting in an exporter.", (double)stats.queued);
		tl_metrics_set(metrics, "tapline_exporter_queued_bytes", labels, "gauge",
			       "Bytes waiting in an exporter's queue.", (double)stats.queued_bytes);
		tl_metrics_set(metrics, "tapline_exporter_queued_age_seconds", labels, "gauge",
			       "Age of the oldest that waits in an exporter's queue.",
			       (double)stats.queued_age_ns / 1e9);
		tl_metrics_set(metrics, "tapline_exporter_requests_total", labels, "counter",
			       "Requests sent to a receiver, retries included.",
			       (double)stats.requests);
		tl_metrics_set(metrics, "tapline_exporter_retries_total", labels, "counter",
			       "Requests sent again.", (double)stats.retries);
		tl_metrics_set(metrics, "tapline_exporter_damaged_bytes_total", labels, "counter",
			       "Bytes of queue files that were left out because they don't check.",
			       (double)stats.damaged_bytes);
		tl_metrics_set(metrics, "tapline_exporter_unclean_starts_total", labels, "counter",
			       "Queues whose last run ended without an orderly stop.",
			       (double)stats.unclean_starts);
		tl_metrics_set(metrics, "tapline_exporter_clock_steps_total", labels, "counter",
			       "Times that a sample's time was held because the clock went back.",
			       (double)stats.clock_steps);
		tl_metrics_set(metrics, "tapline_exporter_last_success_timestamp_seconds", labels,
			       "gauge", "Wall time of the last delivery, 0: none yet.",
			       (double)stats.last_success_ns / 1e9);
	}
	tl_text_free(&text);
}

static void set_lcore_metrics(struct tl_metrics *metrics, struct tl_pipeline *pipeline)
{
	struct tl_lcore_status lcores[TL_LCORES_MAX];
	uint32_t count = tl_pipeline_lcores(pipeline, lcores, TL_LCORES_MAX);
	char labels[96];

	for (uint32_t i = 0; i < count; i++) {
		(void)snprintf(labels, sizeof(labels), "lcore=\"%u\",role=\"%s\"", lcores[i].lcore,
			       lcores[i].role);
		tl_metrics_set(metrics, "tapline_lcore_busy_ratio", labels, "gauge",
			       "Share of the time that an lcore was not idle.", lcores[i].busy);
	}
}

static void set_watch_metrics(struct tl_metrics *metrics, struct tl_bus *bus)
{
	tl_metrics_set(metrics, "tapline_watchers", "", "gauge", "Readers of GET /watch.",
		       (double)tl_bus_watchers(bus));
	tl_metrics_set(metrics, "tapline_watch_dropped_total", "", "counter",
		       "Records that a reader of GET /watch was too slow for.",
		       (double)tl_bus_dropped(bus));
}

static void set_kube_metrics(struct tl_metrics *metrics, struct tl_kube *kube)
{
	struct tl_kube_stats stats;
	char labels[48];

	tl_kube_stats(kube, &stats);
	for (size_t i = 0; i < TL_COUNT_OF(stats.of); i++) {
		(void)snprintf(labels, sizeof(labels), "resource=\"%s\"", stats.of[i].resource);
		tl_metrics_set(metrics, "tapline_kubernetes_objects", labels, "gauge",
			       "Objects of the Kubernetes API server that are known.",
			       (double)stats.of[i].objects);
		tl_metrics_set(metrics, "tapline_kubernetes_lists_total", labels, "counter",
			       "Complete lists taken of the API server: at the start and to catch up.",
			       (double)stats.of[i].lists);
		tl_metrics_set(metrics, "tapline_kubernetes_events_total", labels, "counter",
			       "Events of watches, bookmarks included.", (double)stats.of[i].events);
		tl_metrics_set(metrics, "tapline_kubernetes_errors_total", labels, "counter",
			       "Requests to the API server that failed; each is tried again.",
			       (double)stats.of[i].errors);
		tl_metrics_set(metrics, "tapline_kubernetes_last_success_timestamp_seconds", labels,
			       "gauge", "Wall time of the API server's last answer, 0: none yet.",
			       (double)stats.of[i].last_success_ns / 1e9);
	}
	tl_metrics_set(metrics, "tapline_kubernetes_objects_refused_total", "", "counter",
		       "Objects left out because of kubernetes.objects_max.", (double)stats.refused);
}

void tl_self_metrics_set(struct tl_metrics *metrics, const struct tl_self_sources *sources)
{
	if (sources->probe != NULL) {
		struct tl_pipeline *pipeline = tl_probe_pipeline(sources->probe);
		set_port_metrics(metrics, pipeline);
		set_lcore_metrics(metrics, pipeline);
		tl_metrics_set(metrics, "tapline_metrics_merges_total", "", "counter",
			       "Merges of what the workers counted; a page is as of the last.",
			       (double)tl_probe_merges(sources->probe));
	}
	set_sink_metrics(metrics, sources->sinks);
	if (sources->kube != NULL)
		set_kube_metrics(metrics, sources->kube);
	if (sources->bus != NULL)
		set_watch_metrics(metrics, sources->bus);
}
