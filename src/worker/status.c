// SPDX-License-Identifier: Apache-2.0
// What the pipeline says of itself.
#include "worker/status.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

static double busy_share(struct tl_pipeline *p, uint32_t slot, const struct tl_busy *busy,
			 uint64_t elapsed)
{
	uint64_t cycles = atomic_load_explicit(&busy->cycles, memory_order_relaxed);
	uint64_t spent = cycles - p->status_busy[slot];

	p->status_busy[slot] = cycles;
	if (elapsed == 0)
		return 0;
	return spent < elapsed ? (double)spent / (double)elapsed : 1;
}

static void name_ports(struct tl_pipeline *p)
{
	size_t at = 0;

	for (uint32_t i = 0; i < p->port_count && at < sizeof(p->port_names); i++)
		at += (size_t)snprintf(p->port_names + at, sizeof(p->port_names) - at, "%s%s",
				       i > 0 ? "," : "", p->ports[i]->name);
}

uint32_t tl_pipeline_lcores(struct tl_pipeline *p, struct tl_lcore_status *ret, uint32_t max)
{
	uint64_t now = rte_rdtsc();
	uint64_t elapsed = now - p->status_tsc;
	uint32_t count = 0;

	p->status_tsc = now;
	name_ports(p);
	if (count < max)
		ret[count++] = (struct tl_lcore_status) {.role = "control",
							 .cpu = p->eal.control.cpu,
							 .lcore = p->eal.control.id,
							 .port = ""};
	if (p->has_rx && count < max) {
		struct tl_port_stats stats;
		uint64_t packets = 0;
		for (uint32_t i = 0; i < p->port_count; i++) {
			p->ports[i]->ops->stats(p->ports[i], &stats);
			packets += p->ports[i]->has_distributor ? stats.received : 0;
		}
		ret[count++] = (struct tl_lcore_status) {
			.role = "rx",
			.cpu = p->eal.rx.cpu,
			.lcore = p->eal.rx.id,
			.port = p->port_names,
			.packets = packets,
			.busy = busy_share(p, TL_WORKERS_MAX, &p->rx_busy, elapsed),
		};
	}
	for (uint32_t i = 0; i < p->worker_count && count < max; i++) {
		struct tl_worker *worker = &p->workers[i];
		ret[count++] = (struct tl_lcore_status) {
			.role = "worker",
			.cpu = p->eal.worker[i].cpu,
			.lcore = p->eal.worker[i].id,
			.port = p->port_names,
			.queue = p->ports[0]->queue[i],
			.packets = atomic_load_explicit(&worker->packets, memory_order_relaxed),
			.busy = busy_share(p, i, &worker->busy, elapsed),
		};
	}
	return count;
}

uint32_t tl_pipeline_ports(struct tl_pipeline *p, struct tl_port_status *ret, uint32_t max)
{
	uint32_t count = p->port_count < max ? p->port_count : max;

	for (uint32_t i = 0; i < count; i++) {
		struct tl_port *port = p->ports[i];
		struct tl_port_stats stats;
		port->ops->stats(port, &stats);
		ret[i] = (struct tl_port_status) {
			.name = port->name,
			.kind = port->ops->kind,
			.received = stats.received,
			.bytes = stats.bytes,
			.kernel_dropped = stats.kernel_dropped,
			.filtered = stats.filtered,
			.file_read = stats.file_read,
			.file_size = stats.file_size,
			.overlooked_tags = stats.overlooked_tags,
			.ring_dropped = stats.ring_dropped,
			.pool_dropped = stats.pool_dropped,
			.cut = stats.cut,
			.queued = stats.queued,
			.fragments = stats.fragments,
			.link = port->link != NULL ? port->link : "",
			.error = port->error,
		};
	}
	return count;
}
