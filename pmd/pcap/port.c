// SPDX-License-Identifier: Apache-2.0
// A capture file as a port: read on the rx lcore, without loss, to its end or to the first
// damaged record. What was read before the damage is worked off like any other input.
#include "pmd/pcap/distribute.h"
#include "pmd/pcap/file.h"
#include "pmd/pcap/filter.h"
#include "pmd/port.h"

#include "base/check.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#define TURN_PACKETS 256
#define TAG_SAMPLES 1000u // filtered packets looked at for a VLAN tag that the filter overlooks

struct file_port {
	struct tl_port port;
	struct tl_port_options options;
	struct tl_capture_file *capture;
	struct tl_filter *filter; // NULL: all packets pass
	uint32_t tags_sampled;
	bool has_passed;          // a packet has matched the filter
	uint16_t link_type;       // of the first packet, before it Ethernet
	struct tl_distributor *distributor;
	uint64_t end_ns; // packets from this time on are not read, 0: not known yet
	struct {
		uint64_t received, bytes, filtered, filtered_bytes;
	} turn; // the rx lcore's own; what follows is its copy for others
	_Atomic uint64_t received;
	_Atomic uint64_t bytes;
	_Atomic uint64_t filtered;
	_Atomic uint64_t filtered_bytes;
	_Atomic uint64_t filtered_tagged;
};

static struct file_port *file_of(struct tl_port *port)
{
	return (struct file_port *)port; // its first member
}

// ---- Filter --------------------------------------------------------------------------------

static int make_filter(const char *text, uint16_t link_type, struct tl_filter **ret_filter,
		       char *error, uint32_t error_size)
{
	*ret_filter = NULL;
	if (text == NULL || *text == '\0')
		return 0;
	return tl_filter_create(text, link_type, ret_filter, error, error_size);
}

static bool passes(struct file_port *file, const struct tl_capture_record *record)
{
	if (file->filter == NULL)
		return true;
	if (tl_filter_match(file->filter, record->link_type, record->data, record->len,
			    record->original_len)) {
		file->has_passed = true;
		return true;
	}
	if (file->tags_sampled < TAG_SAMPLES && tl_filter_overlooks_tag(
		    file->filter, record->link_type, record->data, record->len,
		    record->original_len)) {
		file->tags_sampled++;
		atomic_fetch_add_explicit(&file->filtered_tagged, 1, memory_order_relaxed);
	}
	return false;
}

static int file_set_filter(struct tl_port *port, const char *text, char *error,
			   uint32_t error_size)
{
	struct file_port *file = file_of(port);
	struct tl_filter *filter;
	int rc = make_filter(text, file->link_type, &filter, error, error_size);

	if (rc < 0)
		return rc;
	tl_filter_destroy(file->filter);
	file->filter = filter;
	file->tags_sampled = 0;
	atomic_store_explicit(&file->filtered_tagged, 0, memory_order_relaxed);
	return 0;
}

// ---- Opening -------------------------------------------------------------------------------

static int open_source(struct file_port *file, const char *path, char *error, uint32_t error_size)
{
	int rc = tl_capture_file_open(path, &file->capture, error, error_size);

	if (rc < 0)
		return rc;
	// For Ethernet at once, to refuse a wrong expression before anything starts.
	file->link_type = TL_LINK_ETHERNET;
	return make_filter(file->options.filter, file->link_type, &file->filter, error, error_size);
}

static const struct tl_port_ops file_ops;

int tl_port_open_file(const struct tl_port_options *options, const char *path,
		      struct tl_port **ret_port, char *error, uint32_t error_size)
{
	struct file_port *file = calloc(1, sizeof(*file));

	if (file == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	const char *base = strrchr(path, '/');
	const char *name = options->name != NULL && *options->name != '\0' ? options->name
			   : strcmp(path, "-") == 0			   ? "stdin"
			   : base != NULL				   ? base + 1
									   : path;
	file->options = *options;
	file->port.ops = &file_ops;
	file->port.index = options->index;
	file->port.is_lossless = true;
	file->port.fd = -1;
	(void)snprintf(file->port.name, sizeof(file->port.name), "%s", name);
	int rc = open_source(file, path, error, error_size);
	if (rc < 0) {
		file_ops.close(&file->port);
		return rc;
	}
	*ret_port = &file->port;
	return 0;
}

static int file_start(struct tl_port *port, uint32_t worker_count)
{
	struct file_port *file = file_of(port);
	char name[16];

	(void)snprintf(name, sizeof(name), "tl%u", port->index);
	const struct tl_distributor_options options = {
		.name = name,
		.workers = worker_count,
		.packets_max = file->options.packets_max,
		.is_lossless = true,
		.defrag = file->options.defrag,
	};
	int rc = tl_distributor_create(&options, &file->distributor, port->error,
				       sizeof(port->error));
	if (rc == 0)
		tl_distributor_attach(file->distributor, port);
	return rc;
}

// ---- Running: rx lcore ---------------------------------------------------------------------

static int fail(struct file_port *file, int rc)
{
	if (*file->port.error == '\0')
		(void)snprintf(file->port.error, sizeof(file->port.error), "%s",
			       tl_capture_file_error(file->capture));
	return rc;
}

static void hand_out(struct file_port *file, const struct tl_capture_record *record)
{
	const struct tl_chunk chunk = {.data = record->data, .len = record->len};
	const struct tl_packet packet = {
		.chunks = &chunk,
		.chunk_count = 1,
		.link_type = record->link_type,
		.port = file->port.index,
		.len = record->len,
		.original_len = record->original_len,
		.time_ns = record->time_ns,
	};

	tl_distributor_packet(file->distributor, &packet);
}

static void count_filtered(struct file_port *file, uint32_t bytes)
{
	file->turn.filtered++;
	file->turn.filtered_bytes += bytes;
}

// One packet: 1, 0 at the end, -EAGAIN when a pipe has nothing now, other -errno at a damage.
static int one(struct file_port *file)
{
	struct tl_capture_record record;
	int rc = tl_capture_file_next(file->capture, &record);

	if (TL_UNLIKELY(rc <= 0))
		return rc == 0 || rc == -EAGAIN ? rc : fail(file, rc);
	if (TL_UNLIKELY(file->turn.received == 0)) {
		file->link_type = record.link_type;
		file->port.link = pcap_datalink_val_to_description(record.link_type);
	}
	if (TL_UNLIKELY(file->options.duration_ns > 0)) {
		if (file->end_ns == 0)
			file->end_ns = record.time_ns + file->options.duration_ns;
		if (record.time_ns >= file->end_ns)
			return 0;
	}
	file->turn.received++;
	file->turn.bytes += record.original_len;
	if (TL_LIKELY(passes(file, &record)))
		hand_out(file, &record);
	else
		count_filtered(file, record.original_len);
	return 1;
}

// An expression without a meaning on the only link type there is matched nothing for that reason.
static void tell_useless_filter(struct file_port *file)
{
	if (file->filter != NULL && !file->has_passed)
		(void)snprintf(file->port.error, sizeof(file->port.error), "%s",
			       tl_filter_error(file->filter));
}

static int file_turn(struct tl_port *port)
{
	struct file_port *file = file_of(port);
	int count = 0;
	int rc = 1;

	while (count < TURN_PACKETS && rc > 0) {
		rc = one(file);
		count += rc > 0;
	}
	atomic_store_explicit(&file->received, file->turn.received, memory_order_relaxed);
	atomic_store_explicit(&file->bytes, file->turn.bytes, memory_order_relaxed);
	atomic_store_explicit(&file->filtered, file->turn.filtered, memory_order_relaxed);
	atomic_store_explicit(&file->filtered_bytes, file->turn.filtered_bytes,
			      memory_order_relaxed);
	if (rc == 0)
		tell_useless_filter(file);
	if (rc == -EAGAIN)
		tl_distributor_flush(file->distributor, 0);
	else if (rc <= 0)
		tl_distributor_end(file->distributor);
	return rc < 0 && rc != -EAGAIN ? rc : count;
}

static void file_stop(struct tl_port *port)
{
	struct file_port *file = file_of(port);

	if (!tl_distributor_is_done(file->distributor))
		tl_distributor_end(file->distributor);
}

// ---- Any thread ----------------------------------------------------------------------------

static uint64_t file_clock(const struct tl_port *port)
{
	return tl_distributor_clock(((const struct file_port *)port)->distributor);
}

static bool file_is_done(const struct tl_port *port)
{
	return tl_distributor_is_done(((const struct file_port *)port)->distributor);
}

static void file_stats(struct tl_port *port, struct tl_port_stats *ret_stats)
{
	struct file_port *file = file_of(port);

	memset(ret_stats, 0, sizeof(*ret_stats));
	if (file->distributor != NULL)
		tl_distributor_stats(file->distributor, ret_stats);
	ret_stats->received = atomic_load_explicit(&file->received, memory_order_relaxed);
	ret_stats->bytes = atomic_load_explicit(&file->bytes, memory_order_relaxed);
	ret_stats->filtered = atomic_load_explicit(&file->filtered, memory_order_relaxed);
	ret_stats->filtered_bytes =
		atomic_load_explicit(&file->filtered_bytes, memory_order_relaxed);
	ret_stats->filtered_tagged =
		atomic_load_explicit(&file->filtered_tagged, memory_order_relaxed);
}

static void file_close(struct tl_port *port)
{
	struct file_port *file = file_of(port);

	tl_distributor_destroy(file->distributor);
	tl_filter_destroy(file->filter);
	tl_capture_file_close(file->capture);
	free(file);
}

static const struct tl_port_ops file_ops = {
	.kind = "file",
	.turn = file_turn,
	.start = file_start,
	.stop = file_stop,
	.set_filter = file_set_filter,
	.clock = file_clock,
	.is_done = file_is_done,
	.stats = file_stats,
	.close = file_close,
};
