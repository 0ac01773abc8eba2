// SPDX-License-Identifier: Apache-2.0
#include "worker/pipeline.h"

#include "base/check.h"
#include "pmd/device/pci.h"
#include "pmd/pcap/filter.h"
#include "worker/rx.h"
#include "worker/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#define FILE_WORKERS_MAX 4u      // by default; more do not speed up one reader
#define FILE_PACKETS 4096u       // mbufs per worker: lossless needs few, and few stay in cache
#define LIVE_PACKETS 16384u      // ... and live bridges a worker that was scheduled away
#define PACKETS_LEAST 2048u
#define MEMORY_SHARE 8u          // mbufs take at most this part of the memory there is
#define EAL_OWN_BYTES (4u << 20)
#define STEER_SLEEP_US_MAX 100u  // others wait for what a worker may have read meanwhile
#define FILE_SLEEP_US_MAX 100u   // a reader fills a worker's ring in less than a millisecond

static struct tl_worker *worker_at(struct tl_pipeline *p, uint32_t index)
{
	TL_ASSERT(index < p->worker_count);
	return &p->workers[index];
}

static int say(char *error, uint32_t error_size, int rc, const char *text)
{
	(void)snprintf(error, error_size, "%s", text);
	return rc;
}

// ---- Create --------------------------------------------------------------------------------

static bool spec_is_file(const struct tl_port_spec *spec)
{
	return spec->file != NULL || spec->file_count > 0;
}

static bool spec_is_device(const struct tl_port_spec *spec)
{
	return spec->devargs != NULL || spec->pci != NULL || spec->synthetic != NULL;
}

static bool is_same_interface(const char *one, const char *other)
{
	return strcmp(one, other) == 0 || strcmp(one, "any") == 0 || strcmp(other, "any") == 0;
}

// Names of devices as DPDK has them; "" for another kind.
static bool is_same(const struct tl_port_spec *one, const char *device,
		    const struct tl_port_spec *other, const char *other_device)
{
	if (one->interface != NULL && other->interface != NULL)
		return is_same_interface(one->interface, other->interface);
	return *device != '\0' && strcmp(device, other_device) == 0;
}

int tl_pipeline_check_ports(const struct tl_port_spec *ports, uint32_t count, char *error,
			    uint32_t error_size)
{
	char names[TL_PORTS_MAX][64] = {{0}};

	TL_ASSERT(count <= TL_PORTS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		const char *device = ports[i].pci != NULL ? ports[i].pci : ports[i].devargs;
		if (device != NULL && tl_port_device_name(device, names[i], sizeof(names[i]), error,
							  error_size) < 0)
			return -EINVAL;
		for (uint32_t k = 0; k < i; k++) {
			if (!is_same(&ports[i], names[i], &ports[k], names[k]))
				continue;
			if (device == NULL)
				(void)snprintf(error, error_size, "interface '%s' beside '%s': its packets "
					       "would be counted twice", ports[i].interface,
					       ports[k].interface);
			else
				(void)snprintf(error, error_size, "device %s is given twice%s", names[i],
					       ports[i].pci != NULL ? "" : ": number virtual devices, as in "
					       "net_af_packet0 and net_af_packet1");
			return -EINVAL;
		}
	}
	return 0;
}

// A network card's address, also where it was given as a device. NULL: no card.
static const char *card_of(const struct tl_port_spec *spec)
{
	char address[TL_PCI_ADDRESS_BYTES];

	if (spec->devargs != NULL && tl_pci_address(spec->devargs, address))
		return spec->devargs;
	return spec->pci;
}

static uint32_t readers_of(const struct tl_pipeline_options *options,
			   const struct tl_port_spec *spec)
{
	return spec->interface != NULL && options->readers > 1 ? options->readers : 1;
}

// Not the flow tables' seed: all flows of a worker would have one end of its hash in common.
static uint64_t spread_seed(const struct tl_pipeline_options *options)
{
	return tl_hash_mix(options->engine.seed ^ UINT64_C(0x9e3779b97f4a7c15),
			   UINT64_C(0xd1b54a32d192ed03));
}

static int open_port(struct tl_pipeline *p, const struct tl_pipeline_options *options,
		     const struct tl_port_spec *spec, uint32_t packets_max, int32_t *fanout,
		     char *error, uint32_t error_size)
{
	struct tl_port **at = &p->ports[p->port_count];
	const struct tl_port_options port = {
		.name = spec->name,
		.filter = options->filter,
		.snaplen = options->snaplen,
		.buffer_bytes = options->buffer_bytes,
		.promiscuous = options->promiscuous,
		.packets_max = packets_max,
		.defrag = options->engine.defrag,
		.left_alone = options->engine.left_alone,
		.seed = spread_seed(options),
		.waits = p->is_lossless,
		.duration_ns = options->duration_ns,
		.fanout = fanout,
		.index = (uint8_t)p->port_count,
	};
	int rc;

	if (spec->file != NULL)
		rc = tl_port_open_files(&port, &spec->file, 1, at, error, error_size);
	else if (spec->file_count > 0)
		rc = tl_port_open_files(&port, spec->files, spec->file_count, at, error, error_size);
	else if (spec->interface != NULL)
		rc = tl_port_open_live(&port, spec->interface, at, error, error_size);
	else if (spec->synthetic != NULL)
		rc = tl_port_open_synthetic(&port, spec->synthetic, at, error, error_size);
	else
		rc = tl_port_open_device(&port, spec->pci != NULL ? spec->pci : spec->devargs, at,
					 error, error_size);
	// A file that can't be read is a failure like any other, not a lack of permission to capture.
	if (spec_is_file(spec) && (rc == -ENOENT || rc == -EACCES || rc == -EPERM))
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < TL_WORKERS_MAX; i++)
		(*at)->ethdev[i] = UINT16_MAX;
	p->port_count++;
	return 0;
}

// One port, or one for each reader of an interface.
static int open_ports(struct tl_pipeline *p, const struct tl_pipeline_options *options,
		      uint32_t index, uint32_t packets_max, char *error, uint32_t error_size)
{
	const struct tl_port_spec *spec = &options->ports[index];
	uint32_t count = readers_of(options, spec);
	int32_t fanout = -1;
	int rc = 0;

	if (p->port_count + count > TL_PORTS_MAX) {
		(void)snprintf(error, error_size, "%u readers of each interface make more than %u "
			       "ports", count, TL_PORTS_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = open_port(p, options, spec, packets_max, count > 1 ? &fanout : NULL, error,
			       error_size);
	return rc;
}

static uint32_t choose_workers(const struct tl_pipeline *p,
			       const struct tl_pipeline_options *options)
{
	uint32_t cpus = tl_eal_cpu_count();

	if (options->workers > 0)
		return options->workers;
	if (!p->is_lossless || cpus <= 2)
		return 1;
	return cpus - 1 < FILE_WORKERS_MAX ? cpus - 1 : FILE_WORKERS_MAX;
}

static uint64_t memory_need(const struct tl_pipeline_options *options, uint32_t workers,
			    uint32_t packets_max)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < options->port_count; i++)
		bytes += readers_of(options, &options->ports[i]) *
			 tl_port_memory(workers, packets_max, spec_is_device(&options->ports[i]));
	return bytes;
}

// mbufs per worker and port, within a share of the memory there is.
static uint32_t choose_packets(const struct tl_pipeline_options *options, uint32_t workers,
			       bool is_lossless)
{
	uint64_t packets = options->packets_max;
	uint64_t share = tl_eal_memory_available() / MEMORY_SHARE;

	if (packets == 0) {
		packets = is_lossless ? FILE_PACKETS : LIVE_PACKETS;
		while (packets > PACKETS_LEAST &&
		       memory_need(options, workers, (uint32_t)packets) > share)
			packets /= 2;
	}
	packets = packets < PACKETS_LEAST ? PACKETS_LEAST : packets;
	return packets < UINT32_MAX / 2 ? (uint32_t)packets : UINT32_MAX / 2;
}

// Of what somebody wants, before DPDK tries.
static int check_memory(const struct tl_pipeline_options *options, uint32_t workers,
			uint32_t packets_max, char *error, uint32_t error_size)
{
	uint64_t need = memory_need(options, workers, packets_max);
	uint64_t there = tl_eal_memory_available() + tl_eal_hugepages_free();

	if (need < there)
		return 0;
	(void)snprintf(error, error_size, "capture.packets: %u packets for each of %u worker%s take %"
		       PRIu64 " MiB on all ports, %" PRIu64 " MiB are free", packets_max, workers,
		       workers == 1 ? "" : "s", need >> 20, there >> 20);
	return -EINVAL;
}

static int start_eal(struct tl_pipeline *p, const struct tl_pipeline_options *options,
		     uint32_t packets_max, char *error, uint32_t error_size)
{
	static bool is_started; // by an earlier pipeline of this process
	const char *pci[TL_PORTS_MAX];
	struct tl_eal_options eal = {
		.rx_lcores = p->rx_count,
		.workers = p->worker_count,
		.floats = p->is_lossless,
		.memory_bytes = EAL_OWN_BYTES +
				memory_need(options, p->worker_count, packets_max),
		.pci = pci,
	};

	if (is_started)
		return say(error, error_size, -EBUSY, "DPDK can be started once in a process");
	for (uint32_t i = 0; i < options->port_count; i++) {
		const char *card = card_of(&options->ports[i]);
		if (card != NULL)
			pci[eal.pci_count++] = card;
	}
	is_started = true;
	return tl_eal_start(&eal, &p->eal, error, error_size);
}

// Several live ports that are read for the workers, each stamped by the kernel. The readers of one
// interface have whole conversations each.
static bool merges_live(const struct tl_pipeline *p, const struct tl_pipeline_options *options)
{
	for (uint32_t i = 0; i < p->port_count; i++)
		if (!p->ports[i]->has_distributor || !p->ports[i]->is_stamped ||
		    p->ports[i]->is_lossless)
			return false;
	return options->port_count > 1;
}

static int init_workers(struct tl_pipeline *p, const struct tl_pipeline_options *options,
			const struct tl_rules *rules, char *error, uint32_t error_size)
{
	struct tl_worker_options init = {
		.engine = options->engine,
		.metrics = options->metrics,
		.rules = rules,
		.record_ring_bytes = options->want_records ? options->record_ring_bytes : 0,
		.merges = merges_live(p, options),
		.is_crowded = p->eal.is_crowded,
	};

	if (options->want_records && init.record_ring_bytes == 0)
		init.record_ring_bytes = 1u << 20;
	// Where a port has put fragments together, none reaches a worker.
	init.engine.defragments = false;
	for (uint32_t i = 0; i < p->port_count; i++)
		init.engine.defragments |= !p->ports[i]->is_decoded;
	for (uint32_t i = 0; i < p->worker_count; i++) {
		struct tl_worker *worker = worker_at(p, i);
		worker->index = i;
		worker->ports = p->ports;
		worker->port_count = p->port_count;
		worker->signals = &p->signals;
		worker->steer = p->steer;
		worker->is_lossless = p->is_lossless;
		worker->idle = (struct tl_idle) {
			.policy = options->idle,
			.is_crowded = p->eal.is_crowded,
			.sleep_us_max = p->is_lossless    ? FILE_SLEEP_US_MAX
					: p->steer != NULL ? STEER_SLEEP_US_MAX : 0,
		};
		init.engine.worker = (uint8_t)i;
		p->workers_ready++;
		if (tl_worker_init(worker, &init) < 0)
			return say(error, error_size, -ENOMEM,
				   "not enough memory for the workers' tables: lower "
				   "limits.flow.flows_max or --workers");
		p->metrics[i] = worker->metrics;
	}
	return 0;
}

static int start_ports(struct tl_pipeline *p, char *error, uint32_t error_size)
{
	for (uint32_t i = 0; i < p->port_count; i++) {
		struct tl_port *port = p->ports[i];
		int rc = port->ops->start(port, p->worker_count);
		if (rc < 0) {
			(void)snprintf(error, error_size, "%s", port->error);
			return rc;
		}
		p->has_rx |= port->has_distributor;
	}
	return 0;
}

// Where queues part conversations, or may, workers hand packets to each other, and else what came in
// tunnels or fragments; where several stamped ports are polled (the two of a TAP), they are put in
// order.
static int start_steer(struct tl_pipeline *p, const struct tl_pipeline_options *options,
		       uint32_t packets_max, char *error, uint32_t error_size)
{
	bool parts = false, has_queues = false, is_stamped = true;
	uint32_t polled = 0;

	for (uint32_t i = 0; i < p->port_count; i++) {
		const struct tl_port *port = p->ports[i];
		if (port->has_distributor)
			continue;
		polled++;
		is_stamped &= port->is_stamped;
		has_queues |= port->spread != TL_SPREAD_NONE;
		parts |= port->spread > TL_SPREAD_SYMMETRIC;
	}
	bool merges = polled > 1 && is_stamped;
	if (!has_queues && !merges)
		return 0;
	const struct tl_steer_options steer = {
		.ports = p->ports,
		.port_count = p->port_count,
		.workers = p->worker_count,
		.packets_max = packets_max,
		.seed = spread_seed(options),
		.left_alone = options->engine.left_alone,
		.is_lossless = p->is_lossless,
		.is_crowded = p->eal.is_crowded,
		.leaves_whole = !parts && !merges,
		.defrag = options->engine.defrag,
	};
	p->steer = tl_steer_create(&steer);
	if (p->steer == NULL)
		return say(error, error_size, -ENOMEM, "out of memory");
	// Fragments are put together on the way to their worker, if there is a way.
	for (uint32_t i = 0; i < p->port_count; i++)
		p->ports[i]->is_decoded |= p->worker_count > 1;
	return 0;
}

static int create(struct tl_pipeline *p, const struct tl_pipeline_options *options,
		  const struct tl_rules *rules, char *error, uint32_t error_size)
{
	p->is_lossless = true;
	for (uint32_t i = 0; i < options->port_count; i++)
		p->is_lossless &= spec_is_file(&options->ports[i]) ||
				  options->ports[i].synthetic != NULL ||
				  (spec_is_device(&options->ports[i]) &&
				   tl_port_device_is_file(options->ports[i].devargs));
	p->worker_count = choose_workers(p, options);
	if (p->worker_count > TL_WORKERS_MAX) {
		(void)snprintf(error, error_size, "%u workers are too many: at most %u",
			       p->worker_count, TL_WORKERS_MAX);
		return -EINVAL;
	}
	uint32_t packets_max = choose_packets(options, p->worker_count, p->is_lossless);
	if (options->packets_max != 0 &&
	    check_memory(options, p->worker_count, packets_max, error, error_size) < 0)
		return -EINVAL;
	// More readers than one share the packets of each interface.
	p->rx_count = options->readers > 1 && !p->is_lossless ? options->readers : 1;
	int rc = 0;
	if (p->rx_count > TL_RX_MAX) {
		(void)snprintf(error, error_size, "%u readers are too many: at most %u", p->rx_count,
			       TL_RX_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; rc == 0 && i < options->port_count; i++)
		rc = open_ports(p, options, i, packets_max, error, error_size);
	if (rc == 0)
		rc = start_eal(p, options, packets_max, error, error_size);
	if (rc == 0)
		rc = start_ports(p, error, error_size);
	if (rc == 0)
		rc = start_steer(p, options, packets_max, error, error_size);
	if (rc < 0)
		return rc;
	size_t size = p->worker_count * sizeof(*p->workers);
	p->workers = aligned_alloc(_Alignof(struct tl_worker), size);
	if (p->workers == NULL)
		return say(error, error_size, -ENOMEM, "out of memory");
	memset(p->workers, 0, size);
	for (uint32_t i = 0; i < p->rx_count; i++) {
		p->rx[i].pipeline = p;
		p->rx[i].index = i;
		p->rx[i].idle = (struct tl_idle) {
			.policy = options->idle,
			.is_crowded = p->eal.is_crowded,
		};
	}
	p->signals.rules = rules;
	p->filter = strdup(options->filter == NULL ? "" : options->filter);
	if (p->filter == NULL)
		return say(error, error_size, -ENOMEM, "out of memory");
	return init_workers(p, options, rules, error, error_size);
}

int tl_pipeline_create(const struct tl_pipeline_options *options, const struct tl_rules *rules,
		       struct tl_pipeline **ret_pipeline, char *error, uint32_t error_size)
{
	TL_ASSERT(error_size > 0);
	if (options->port_count == 0 || options->port_count > TL_PORTS_MAX) {
		(void)snprintf(error, error_size,
			       "%u ports to capture from: name 1 to %u files, interfaces or devices",
			       options->port_count, TL_PORTS_MAX);
		return -EINVAL;
	}
	if (tl_pipeline_check_ports(options->ports, options->port_count, error, error_size) < 0)
		return -EINVAL;
	struct tl_pipeline *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return say(error, error_size, -ENOMEM, "out of memory");
	int rc = create(p, options, rules, error, error_size);
	if (rc < 0) {
		tl_pipeline_destroy(p);
		return rc;
	}
	*ret_pipeline = p;
	return 0;
}

// ---- Run -----------------------------------------------------------------------------------

int tl_pipeline_start(struct tl_pipeline *p)
{
	TL_ASSERT(!p->is_started);
	p->is_started = true;
	p->status_tsc = rte_rdtsc();
	for (uint32_t i = 0; i < p->worker_count; i++) {
		struct tl_worker *worker = worker_at(p, i);
		atomic_store(&worker->is_running, true);
		int rc = rte_eal_remote_launch(tl_worker_run, worker, p->eal.worker[i].id);
		if (rc < 0) {
			atomic_store(&worker->is_running, false);
			return rc;
		}
	}
	for (uint32_t i = 0; p->has_rx && i < p->rx_count; i++) {
		atomic_store(&p->rx[i].is_running, true);
		int rc = rte_eal_remote_launch(tl_rx_run, &p->rx[i], p->eal.rx[i].id);
		if (rc < 0) {
			atomic_store(&p->rx[i].is_running, false);
			return rc;
		}
	}
	return 0;
}

void tl_pipeline_stop(struct tl_pipeline *p)
{
	// Ports without a distributor are told here, the others by their rx lcore.
	if (atomic_exchange(&p->signals.stop, true))
		return;
	for (uint32_t i = 0; i < p->port_count; i++) {
		if (!p->ports[i]->has_distributor && p->is_started)
			p->ports[i]->ops->stop(p->ports[i]);
	}
}

static bool is_running(struct tl_pipeline *p)
{
	bool runs = tl_rx_is_running(p);

	for (uint32_t i = 0; i < p->workers_ready; i++)
		runs |= atomic_load_explicit(&p->workers[i].is_running, memory_order_acquire);
	return runs;
}

bool tl_pipeline_is_finished(struct tl_pipeline *p, const char **ret_error)
{
	if (!p->is_started || is_running(p))
		return false;
	*ret_error = "";
	for (uint32_t i = 0; i < p->port_count && **ret_error == '\0'; i++)
		*ret_error = p->ports[i]->error;
	return true;
}

void tl_pipeline_destroy(struct tl_pipeline *p)
{
	if (p == NULL)
		return;
	if (p->is_started) {
		atomic_store(&p->signals.abandon, true);
		tl_pipeline_stop(p);
		for (uint32_t i = 0; p->has_rx && i < p->rx_count; i++)
			(void)rte_eal_wait_lcore(p->eal.rx[i].id);
		for (uint32_t i = 0; i < p->worker_count; i++)
			(void)rte_eal_wait_lcore(p->eal.worker[i].id);
	}
	for (uint32_t i = 0; i < p->workers_ready; i++)
		tl_worker_fini(worker_at(p, i));
	tl_steer_destroy(p->steer);
	for (uint32_t i = 0; i < p->port_count; i++)
		p->ports[i]->ops->close(p->ports[i]);
	free(p->workers);
	free(p->filter_wanted);
	free(p->filter);
	free(p);
}

uint32_t tl_pipeline_worker_count(const struct tl_pipeline *p)
{
	return p->worker_count;
}

struct tl_ring *tl_pipeline_records(struct tl_pipeline *p, uint32_t worker)
{
	return worker_at(p, worker)->records;
}

struct tl_worker_metrics *const *tl_pipeline_worker_metrics(struct tl_pipeline *p)
{
	return p->metrics;
}

struct tl_engine *tl_pipeline_engine(struct tl_pipeline *p, uint32_t worker)
{
	return worker_at(p, worker)->engine;
}

// ---- Changes -------------------------------------------------------------------------------

void tl_pipeline_ask(struct tl_pipeline *p, const struct tl_rules *rules,
		     struct tl_worker_metrics *const *metrics)
{
	p->signals.rules = rules;
	for (uint32_t i = 0; metrics != NULL && i < p->worker_count; i++)
		p->metrics[i] = worker_at(p, i)->metrics_wanted = metrics[i];
	atomic_fetch_add_explicit(&p->signals.generation, 1, memory_order_release);
}

bool tl_pipeline_has_taken(struct tl_pipeline *p)
{
	uint32_t wanted = atomic_load_explicit(&p->signals.generation, memory_order_relaxed);

	for (uint32_t i = 0; i < p->worker_count; i++) {
		struct tl_worker *worker = worker_at(p, i);
		if (atomic_load_explicit(&worker->taken, memory_order_acquire) == wanted)
			continue;
		if (atomic_load_explicit(&worker->is_running, memory_order_acquire))
			return false;
		tl_worker_take_metrics(worker); // has returned, will not look again
		atomic_store_explicit(&worker->taken, wanted, memory_order_relaxed);
	}
	return true;
}

int tl_pipeline_check_filter(const char *filter, char *error, uint32_t error_size)
{
	struct tl_filter *trial = NULL;
	int rc = *filter == '\0' ? 0 : tl_filter_create(filter, TL_LINK_ETHERNET, &trial, error,
							error_size);

	tl_filter_destroy(trial);
	return rc;
}

static bool is_filter_answered(struct tl_pipeline *p)
{
	return atomic_load_explicit(&p->filter_answered, memory_order_acquire) ==
	       atomic_load_explicit(&p->filter_asked, memory_order_relaxed);
}

int tl_pipeline_ask_filter(struct tl_pipeline *p, const char *filter, char *error,
			   uint32_t error_size)
{
	for (uint32_t i = 0; i < p->port_count; i++)
		if (!p->ports[i]->has_distributor || p->ports[i]->ops->set_filter == NULL) {
			(void)snprintf(error, error_size,
				       "%s can't take another filter while it runs: restart",
				       p->ports[i]->name);
			return -ENOTSUP;
		}
	if (tl_rx_is_running(p) && !is_filter_answered(p))
		return say(error, error_size, -EBUSY, "the last filter has not been taken yet: try again");
	char *copy = strdup(filter);
	if (copy == NULL)
		return say(error, error_size, -ENOMEM, "out of memory");
	// The rx lcore has answered: it uses nothing of the last one any more.
	free(p->filter_wanted);
	p->filter_wanted = copy;
	atomic_fetch_add_explicit(&p->filter_asked, 1, memory_order_release);
	return 0;
}

int tl_pipeline_filter_taken(struct tl_pipeline *p, char *error, uint32_t error_size)
{
	if (!tl_rx_is_running(p))
		return 1; // nothing is left to be filtered
	if (!is_filter_answered(p))
		return 0;
	return p->filter_rc < 0 ? say(error, error_size, p->filter_rc, p->filter_error) : 1;
}
