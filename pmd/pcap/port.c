// SPDX-License-Identifier: Apache-2.0
// A capture file as a port: read on the rx lcore, without loss, to its end or to the first
// damaged record. What was read before the damage is worked off like any other input. Several files
// (of the two ports of a TAP, or of a ring buffer) are one port, their packets in the order of the
// stamps: whichever has the oldest next packet goes on.
#include "pmd/pcap/distribute.h"
#include "pmd/pcap/file.h"
#include "pmd/pcap/sieve.h"
#include "pmd/port.h"

#include "base/check.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#define TURN_PACKETS 256

struct source {
	struct tl_capture_file *capture;
	struct tl_capture_record record; // with rc 1: the next one
	int rc; // of the last read; -EAGAIN: it must be read again
};

struct file_port {
	struct tl_port port;
	struct tl_port_options options;
	struct source sources[TL_PORT_FILES_MAX];
	uint32_t source_count;
	int failed; // of several: -errno of the first that is damaged, its words in port.error
	struct tl_sieve sieve;
	uint16_t link_type; // of the first packet, before it Ethernet
	struct tl_distributor *distributor;
	uint64_t end_ns; // packets from this time on are not read, 0: not known yet
	struct {
		uint64_t received, bytes;
	} turn; // the rx lcore's own; what follows is its copy for others
	_Atomic uint64_t received;
	_Atomic uint64_t bytes;
};

static struct file_port *file_of(struct tl_port *port)
{
	return (struct file_port *)port; // its first member
}

static int file_set_filter(struct tl_port *port, const char *text, char *error,
			   uint32_t error_size)
{
	struct file_port *file = file_of(port);

	return tl_sieve_set(&file->sieve, text, file->link_type, error, error_size);
}

// ---- Opening -------------------------------------------------------------------------------

static int open_sources(struct file_port *file, const char *const *paths, uint32_t count,
			char *error, uint32_t error_size)
{
	bool has_stdin = false;

	for (uint32_t i = 0; i < count; i++) {
		struct source *source = &file->sources[i];
		bool is_stdin = strcmp(paths[i], "-") == 0;
		if (is_stdin && has_stdin) {
			(void)snprintf(error, error_size, "standard input can be read once only");
			return -EINVAL;
		}
		has_stdin |= is_stdin;
		source->rc = -EAGAIN;
		int rc = tl_capture_file_open(paths[i], &source->capture, error, error_size);
		if (rc < 0)
			return rc;
		file->source_count++;
	}
	// For Ethernet at once, to refuse a wrong expression before anything starts.
	file->link_type = TL_LINK_ETHERNET;
	return tl_sieve_set(&file->sieve, file->options.filter, file->link_type, error, error_size);
}

// "up.pcap+down.pcap"
static void name_after(struct tl_port *port, const char *const *paths, uint32_t count)
{
	char *at = port->name;
	size_t left = sizeof(port->name);

	for (uint32_t i = 0; i < count && left > 1; i++) {
		const char *base = strrchr(paths[i], '/');
		const char *name = strcmp(paths[i], "-") == 0 ? "stdin"
				   : base != NULL	      ? base + 1
							      : paths[i];
		int len = snprintf(at, left, "%s%s", i == 0 ? "" : "+", name);
		size_t part = len > 0 && (size_t)len < left ? (size_t)len : left - 1;
		at += part;
		left -= part;
	}
}

static const struct tl_port_ops file_ops;

int tl_port_open_files(const struct tl_port_options *options, const char *const *paths,
		       uint32_t count, struct tl_port **ret_port, char *error, uint32_t error_size)
{
	TL_ASSERT(count > 0);
	if (count > TL_PORT_FILES_MAX) {
		(void)snprintf(error, error_size, "%u capture files: at most %u can be read together",
			       count, TL_PORT_FILES_MAX);
		return -EINVAL;
	}
	struct file_port *file = calloc(1, sizeof(*file));
	if (file == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	file->options = *options;
	file->port.ops = &file_ops;
	file->port.index = options->index;
	file->port.is_lossless = true;
	file->port.fd = -1;
	if (options->name != NULL && *options->name != '\0')
		(void)snprintf(file->port.name, sizeof(file->port.name), "%s", options->name);
	else
		name_after(&file->port, paths, count);
	int rc = open_sources(file, paths, count, error, error_size);
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
		.left_alone = file->options.left_alone,
		.seed = file->options.seed,
	};
	int rc = tl_distributor_create(&options, &file->distributor, port->error,
				       sizeof(port->error));
	if (rc == 0)
		tl_distributor_attach(file->distributor, port);
	return rc;
}

// ---- Running: rx lcore ---------------------------------------------------------------------

static int fail(struct file_port *file, const struct source *source, int rc)
{
	if (*file->port.error == '\0')
		(void)snprintf(file->port.error, sizeof(file->port.error), "%s",
			       tl_capture_file_error(source->capture));
	return rc;
}

// The oldest of several files' next records. A damaged file ends, the others go on.
static int next_of_all(struct file_port *file, struct tl_capture_record *ret_record)
{
	struct source *oldest = NULL;

	for (uint32_t i = 0; i < file->source_count; i++) {
		struct source *source = &file->sources[i];
		if (source->rc == -EAGAIN)
			source->rc = tl_capture_file_next(source->capture, &source->record);
		if (source->rc == -EAGAIN)
			return -EAGAIN; // what comes may be older than what the others have
		if (source->rc < 0) {
			if (file->failed == 0)
				file->failed = fail(file, source, source->rc);
			source->rc = 0;
		}
		if (source->rc > 0 &&
		    (oldest == NULL || source->record.time_ns < oldest->record.time_ns))
			oldest = source;
	}
	if (oldest == NULL)
		return file->failed;
	*ret_record = oldest->record;
	oldest->rc = -EAGAIN;
	return 1;
}

static int next(struct file_port *file, struct tl_capture_record *ret_record)
{
	struct source *source = &file->sources[0];

	if (TL_UNLIKELY(file->source_count > 1))
		return next_of_all(file, ret_record);
	int rc = tl_capture_file_next(source->capture, ret_record);
	return rc >= 0 || rc == -EAGAIN ? rc : fail(file, source, rc);
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

// One packet: 1, 0 at the end, -EAGAIN when a pipe has nothing now, other -errno at a damage.
static int one(struct file_port *file)
{
	struct tl_capture_record record;
	int rc = next(file, &record);

	if (TL_UNLIKELY(rc <= 0))
		return rc;
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
	if (tl_sieve_passes(&file->sieve, record.link_type, record.data, record.len,
			    record.original_len))
		hand_out(file, &record);
	return 1;
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
	if (rc == 0)
		(void)snprintf(port->error, sizeof(port->error), "%s",
			       tl_sieve_error(&file->sieve));
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

// Of all files; none where one is a pipe.
static void read_progress(const struct file_port *file, struct tl_port_stats *ret_stats)
{
	for (uint32_t i = 0; i < file->source_count; i++) {
		uint64_t done, size;
		tl_capture_file_progress(file->sources[i].capture, &done, &size);
		if (size == 0) {
			ret_stats->file_read = ret_stats->file_size = 0;
			return;
		}
		ret_stats->file_read += done;
		ret_stats->file_size += size;
	}
}

static void file_stats(struct tl_port *port, struct tl_port_stats *ret_stats)
{
	struct file_port *file = file_of(port);

	memset(ret_stats, 0, sizeof(*ret_stats));
	if (file->distributor != NULL)
		tl_distributor_stats(file->distributor, ret_stats);
	ret_stats->received = atomic_load_explicit(&file->received, memory_order_relaxed);
	ret_stats->bytes = atomic_load_explicit(&file->bytes, memory_order_relaxed);
	read_progress(file, ret_stats);
	tl_sieve_stats(&file->sieve, ret_stats);
}

static void file_close(struct tl_port *port)
{
	struct file_port *file = file_of(port);

	tl_distributor_destroy(file->distributor);
	tl_sieve_fini(&file->sieve);
	for (uint32_t i = 0; i < file->source_count; i++)
		tl_capture_file_close(file->sources[i].capture);
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
