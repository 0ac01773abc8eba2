// SPDX-License-Identifier: Apache-2.0
#include "worker/rx.h"

#include "base/check.h"
#include "pmd/wait.h"

#include <poll.h>

#define RX_POLL_MS 10 // longest sleep of an rx lcore that waits for a descriptor

static void sleep_on(struct tl_rx *rx, const bool *is_over)
{
	const struct tl_pipeline *p = rx->pipeline;
	struct pollfd waiters[TL_PORTS_MAX];
	nfds_t count = 0;

	if (!tl_idle_is_deep(&rx->idle)) {
		tl_idle_turn(&rx->idle);
		return;
	}
	for (uint32_t i = 0; i < p->port_count; i++) {
		if (is_over[i])
			continue;
		if (p->ports[i]->fd < 0) {
			tl_idle_turn(&rx->idle);
			return;
		}
		waiters[count++] = (struct pollfd) {.fd = p->ports[i]->fd, .events = POLLIN};
	}
	// An interface that went down wakes the poll at once, again and again.
	int ready = poll(waiters, count, RX_POLL_MS);
	for (nfds_t i = 0; i < count; i++)
		if (ready <= 0 || (waiters[i].revents & POLLIN) != 0)
			return;
	tl_idle_turn(&rx->idle);
}

// One round over the ports; false when all have ended.
static bool turn(struct tl_rx *rx, bool *is_over, uint32_t *ret_packets)
{
	struct tl_pipeline *p = rx->pipeline;
	bool is_stopped = atomic_load_explicit(&p->signals.stop, memory_order_acquire);
	bool goes_on = false;

	*ret_packets = 0;
	for (uint32_t i = 0; i < p->port_count; i++) {
		struct tl_port *port = p->ports[i];
		if (is_over[i])
			continue;
		if (is_stopped) {
			port->ops->stop(port);
			is_over[i] = true;
			continue;
		}
		int count = port->ops->turn(port);
		if (count > 0)
			*ret_packets += (uint32_t)count;
		is_over[i] = count < 0 || port->ops->is_done(port);
		goes_on |= !is_over[i];
	}
	return goes_on;
}

// ---- Another filter ------------------------------------------------------------------------

// For all ports, or for none of them.
static void change_filter(struct tl_pipeline *p)
{
	int rc = 0;
	uint32_t done = 0;

	for (; done < p->port_count && rc == 0; done++)
		if (!p->ports[done]->ops->is_done(p->ports[done]))
			rc = p->ports[done]->ops->set_filter(p->ports[done], p->filter_wanted,
							     p->filter_error,
							     sizeof(p->filter_error));
	if (rc == 0) {
		char *before = p->filter;
		p->filter = p->filter_wanted;
		p->filter_wanted = before;
	}
	for (uint32_t i = 0; rc < 0 && i + 1 < done; i++) {
		char ignored[sizeof(p->filter_error)]; // it was good before
		if (!p->ports[i]->ops->is_done(p->ports[i]))
			(void)p->ports[i]->ops->set_filter(p->ports[i], p->filter, ignored,
							   sizeof(ignored));
	}
	p->filter_rc = rc;
}

// The first changes it while the others wait.
static void take_filter(struct tl_rx *rx)
{
	struct tl_pipeline *p = rx->pipeline;
	uint32_t asked = atomic_load_explicit(&p->filter_asked, memory_order_acquire);
	uint32_t turns = 0;

	if (TL_LIKELY(asked == atomic_load_explicit(&p->filter_answered, memory_order_acquire)))
		return;
	if (rx->index != 0) {
		atomic_store_explicit(&rx->waits_for, asked, memory_order_release);
		while (atomic_load_explicit(&p->filter_answered, memory_order_acquire) != asked)
			tl_wait_turn(&turns);
		return;
	}
	for (uint32_t i = 1; i < p->rx_count; i++)
		while (atomic_load_explicit(&p->rx[i].is_running, memory_order_acquire) &&
		       atomic_load_explicit(&p->rx[i].waits_for, memory_order_acquire) != asked)
			tl_wait_turn(&turns);
	change_filter(p);
	atomic_store_explicit(&p->filter_answered, asked, memory_order_release);
}

// ---- The loop ------------------------------------------------------------------------------

static bool others_run(const struct tl_pipeline *p)
{
	for (uint32_t i = 1; i < p->rx_count; i++)
		if (atomic_load_explicit(&p->rx[i].is_running, memory_order_acquire))
			return true;
	return false;
}

int tl_rx_run(void *arg)
{
	struct tl_rx *rx = arg;
	const struct tl_pipeline *p = rx->pipeline;
	bool is_over[TL_PORTS_MAX];
	uint32_t packets;

	for (uint32_t i = 0; i < p->port_count; i++)
		is_over[i] = !p->ports[i]->has_distributor || i % p->rx_count != rx->index;
	while (turn(rx, is_over, &packets) || (rx->index == 0 && others_run(p))) {
		take_filter(rx);
		tl_busy_turn(&rx->busy, packets > 0);
		if (packets > 0)
			tl_idle_reset(&rx->idle);
		else
			sleep_on(rx, is_over);
	}
	atomic_store_explicit(&rx->is_running, false, memory_order_release);
	return 0;
}

bool tl_rx_is_running(const struct tl_pipeline *p)
{
	return atomic_load_explicit(&p->rx[0].is_running, memory_order_acquire) || others_run(p);
}
