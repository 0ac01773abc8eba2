// SPDX-License-Identifier: Apache-2.0
// A capture file as a port: read on the rx lcore, without loss, to its end or to the first
// damaged record. What was read before the damage is worked off like any other input.
#include "pmd/pcap/distribute.h"
#include "pmd/port.h"

#include "base/check.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#define TURN_PACKETS 256u

struct file_port {
	struct tl_port port;
	struct tl_port_options options;
	pcap_t *pcap;
	struct bpf_program filter;
	bool has_filter;
	uint16_t link_type;
	struct tl_distributor *distributor;
	uint64_t end_ns; // packets from this time on are not read, UINT64_MAX: all are
	_Atomic uint64_t received;
	_Atomic uint64_t bytes;
	_Atomic uint64_t filtered;
};

static struct file_port *file_of(struct tl_port *port)
{
	return (struct file_port *)port; // its first member
}

// ---- Opening -------------------------------------------------------------------------------

static int set_filter(struct file_port *file, char *error, uint32_t error_size)
{
	const char *text = file->options.filter;

	if (text == NULL || *text == '\0')
		return 0;
	if (pcap_compile(file->pcap, &file->filter, text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		(void)snprintf(error, error_size, "filter '%s': %s", text,
			       pcap_geterr(file->pcap));
		return -EINVAL;
	}
	file->has_filter = true;
	return 0;
}

static int open_source(struct file_port *file, const char *path, char *error, uint32_t error_size)
{
	char text[PCAP_ERRBUF_SIZE];

	errno = 0;
	file->pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, text);
	if (file->pcap == NULL) {
		int err = errno;
		(void)snprintf(error, error_size, "%s%s%s", path,
			       strncmp(text, path, strlen(path)) == 0 ? "" : ": ",
			       strncmp(text, path, strlen(path)) == 0 ? text + strlen(path) : text);
		return err == ENOENT || err == EACCES || err == EPERM || err == EISDIR ? -err
										       : -EBADMSG;
	}
	file->link_type = (uint16_t)pcap_datalink(file->pcap);
	file->port.link = pcap_datalink_val_to_description(file->link_type);
	return set_filter(file, error, error_size);
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
	file->end_ns = UINT64_MAX;
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

// The next packet into `ret`: 1, 0 at the end, -EBADMSG with the port's error at a damage.
static int next_packet(struct file_port *file, struct tl_packet *ret, struct tl_chunk *ret_chunk)
{
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int rc = pcap_next_ex(file->pcap, &head, &bytes);

	if (rc == PCAP_ERROR_BREAK)
		return 0;
	if (rc != 1) {
		(void)snprintf(file->port.error, sizeof(file->port.error), "%s: %s",
			       file->port.name, pcap_geterr(file->pcap));
		return -EBADMSG;
	}
	*ret_chunk = (struct tl_chunk) {.data = bytes, .len = head->caplen};
	*ret = (struct tl_packet) {
		.chunks = ret_chunk,
		.chunk_count = 1,
		.link_type = file->link_type,
		.port = file->port.index,
		.len = head->caplen,
		.original_len = head->len < head->caplen ? head->caplen : head->len,
		// With nanosecond precision tv_usec counts nanoseconds.
		.time_ns = (uint64_t)head->ts.tv_sec * UINT64_C(1000000000) +
			   (uint64_t)head->ts.tv_usec,
	};
	return 1;
}

static bool passes(const struct file_port *file, const struct tl_packet *packet)
{
	const struct pcap_pkthdr head = {.caplen = packet->len, .len = packet->original_len};

	return !file->has_filter ||
	       pcap_offline_filter(&file->filter, &head, packet->chunks[0].data) != 0;
}

static int file_turn(struct tl_port *port)
{
	struct file_port *file = file_of(port);
	struct tl_packet packet;
	struct tl_chunk chunk;
	uint64_t bytes = 0;
	uint32_t count = 0;
	uint32_t filtered = 0;
	int rc = 1;

	while (count < TURN_PACKETS) {
		rc = next_packet(file, &packet, &chunk);
		if (rc <= 0)
			break;
		if (file->end_ns == UINT64_MAX && file->options.duration_ns > 0)
			file->end_ns = packet.time_ns + file->options.duration_ns;
		if (packet.time_ns >= file->end_ns) {
			rc = 0;
			break;
		}
		count++;
		bytes += packet.original_len;
		if (passes(file, &packet))
			tl_distributor_packet(file->distributor, &packet);
		else
			filtered++;
	}
	atomic_fetch_add_explicit(&file->received, count, memory_order_relaxed);
	atomic_fetch_add_explicit(&file->bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&file->filtered, filtered, memory_order_relaxed);
	if (rc <= 0)
		tl_distributor_end(file->distributor);
	return rc < 0 ? rc : (int)count;
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
}

static void file_close(struct tl_port *port)
{
	struct file_port *file = file_of(port);

	tl_distributor_destroy(file->distributor);
	if (file->has_filter)
		pcap_freecode(&file->filter);
	if (file->pcap != NULL)
		pcap_close(file->pcap);
	free(file);
}

static const struct tl_port_ops file_ops = {
	.kind = "file",
	.turn = file_turn,
	.start = file_start,
	.stop = file_stop,
	.clock = file_clock,
	.is_done = file_is_done,
	.stats = file_stats,
	.close = file_close,
};
