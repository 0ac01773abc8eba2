// SPDX-License-Identifier: Apache-2.0
// What the pipeline says of itself.
#include "worker/status.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

#define BUSY_SPAN_MS 500u   // least span that a share of busy time is told of
#define SAMPLES_ENOUGH 100u // conversations that came on one queue each, until that is believed

// Of `elapsed` cycles; 0: too few to tell anything.
static double busy_share(struct tl_pipeline *p, uint32_t slot, const struct tl_busy *busy,
			 uint64_t elapsed)
{
	uint64_t cycles = atomic_load_explicit(&busy->cycles, memory_order_relaxed);
	uint64_t spent = cycles - p->status_busy[slot].cycles;

	if (elapsed != 0) {
		p->status_busy[slot].cycles = cycles;
		p->status_busy[slot].share = spent < elapsed ? (double)spent / (double)elapsed : 1;
	}
	return p->status_busy[slot].share;
}

static void name_ports(struct tl_pipeline *p)
{
	size_t at = 0;

	for (uint32_t i = 0; i < p->port_count && at < sizeof(p->port_names); i++)
		at += (size_t)snprintf(p->port_names + at, sizeof(p->port_names) - at, "%s%s",
				       i > 0 ? "," : "", p->ports[i]->name);
}

static uint64_t packets_read(const struct tl_pipeline *p, uint32_t rx)
{
	struct tl_port_stats stats;
	uint64_t packets = 0;

	for (uint32_t i = rx; i < p->port_count; i += p->rx_count) {
		p->ports[i]->ops->stats(p->ports[i], &stats);
		packets += p->ports[i]->has_distributor ? stats.received : 0;
	}
	return packets;
}

uint32_t tl_pipeline_lcores(struct tl_pipeline *p, struct tl_lcore_status *ret, uint32_t max)
{
	uint64_t now = rte_rdtsc();
	uint64_t elapsed = now - p->status_tsc;
	uint32_t count = 0;

	// Metrics and status both look: who does so right behind the other gets what that one got.
	if (elapsed < rte_get_tsc_hz() / 1000 * BUSY_SPAN_MS)
		elapsed = 0;
	else
		p->status_tsc = now;
	name_ports(p);
	if (count < max)
		ret[count++] = (struct tl_lcore_status) {.role = "control",
							 .cpu = p->eal.control.cpu,
							 .lcore = p->eal.control.id,
							 .port = ""};
	for (uint32_t i = 0; p->has_rx && i < p->rx_count && count < max; i++)
		ret[count++] = (struct tl_lcore_status) {
			.role = "rx",
			.cpu = p->eal.rx[i].cpu,
			.lcore = p->eal.rx[i].id,
			.port = p->port_names,
			.packets = packets_read(p, i),
			.busy = busy_share(p, TL_WORKERS_MAX + i, &p->rx[i].busy, elapsed),
		};
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

_Static_assert(TL_LCORES_MAX >= 1 + TL_RX_MAX + TL_WORKERS_MAX, "room for the status of all");

static const char *stamps_of(const struct tl_port *port)
{
	if (port->is_lossless)
		return "of the file";
	if (!port->is_stamped)
		return "of the burst";
	return strcmp(port->ops->kind, "dpdk") == 0 ? "of the device" : "of the kernel";
}

// What was found out about the queues of a port that workers poll, and what was done about it.
static void tell_spread(const struct tl_pipeline *p, const struct tl_port *port,
			struct tl_port_status *ret)
{
	static const char *const words[] = {
		[TL_SPREAD_NONE] = "one_queue",
		[TL_SPREAD_SYMMETRIC] = "symmetric",
		[TL_SPREAD_ASYMMETRIC] = "asymmetric",
		[TL_SPREAD_UNKNOWN] = "unknown",
	};
	struct tl_steered steered = {0};
	char sampled[96] = "";

	ret->spread = words[port->spread];
	if (p->steer != NULL)
		tl_steer_port_stats(p->steer, port->index, &steered);
	ret->ring_dropped += steered.lost;
	ret->pool_dropped += steered.unbuffered;
	ret->queued += steered.queued;
	ret->steered = steered.moved;
	if (port->spread == TL_SPREAD_NONE)
		return;
	bool is_refuted = steered.split * 8 > steered.together + steered.split &&
			  port->spread == TL_SPREAD_SYMMETRIC && !steered.leaves_whole;
	if (is_refuted || (port->spread == TL_SPREAD_UNKNOWN && steered.split > 0))
		ret->spread = words[TL_SPREAD_ASYMMETRIC];
	else if (port->spread == TL_SPREAD_UNKNOWN && steered.together >= SAMPLES_ENOUGH)
		ret->spread = words[TL_SPREAD_SYMMETRIC];
	if (steered.together + steered.split > 0)
		(void)snprintf(sampled, sizeof(sampled),
			       "; of %u conversations sampled %u came on two queues",
			       steered.together + steered.split, steered.split);
	(void)snprintf(ret->spread_text, sizeof(ret->spread_text), "%s%s; workers %s",
		       port->spread_text, sampled,
		       steered.leaves_whole
			       ? "keep what they read, but for tunnels and fragments"
			       : "hand packets to the one that they belong to");
}

uint32_t tl_pipeline_ports(struct tl_pipeline *p, struct tl_port_status *ret, uint32_t max)
{
	uint32_t count = p->port_count < max ? p->port_count : max;

	for (uint32_t i = 0; i < count; i++) {
		struct tl_port *port = p->ports[i];
		struct tl_port_stats stats;
		port->ops->stats(port, &stats);
		if (port->ops->describe != NULL)
			port->ops->describe(port);
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
			.is_up = *port->error == '\0' && !port->is_down,
			.stamps = stamps_of(port),
		};
		if (!port->has_distributor)
			tell_spread(p, port, &ret[i]);
		if (port->ops->losses != NULL)
			ret[i].loss_count =
				port->ops->losses(port, ret[i].losses, TL_PORT_LOSSES_MAX);
	}
	return count;
}
