// SPDX-License-Identifier: Apache-2.0
// A received TCP packet that took too long on its way through the kernel: from the stamp it got when
// it arrived to the network layer, to TCP, and to the application. The kernel stamps packets only
// while somebody asks for it: a socket of ours does as long as we watch.
#include <errno.h>
#include <linux/net_tstamp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "collectors/event/event.h"
#include "collectors/event/gate.h"
#include "collectors/host.h"

TL_BPF_CODE(netrecvlat);

#define CLOCKS 3u                              // of stamps: wall, monotonic, TAI
#define CLOCK_ERROR_NS INT64_C(1000000)        // of an offset that is still right

struct netrecvlat_options {
	uint64_t netif_ns, tcp_ns, usercopy_ns;
	uint64_t rate;
	bool has_host;
};

#define ROW(member, row_key, default_value, row_help) \
	{.key = row_key, .type = TL_OPTION_DURATION, .hot = true, \
	 .offset = offsetof(struct netrecvlat_options, member), .value = default_value, \
	 .min = 10000, .help = row_help}

static const struct tl_option rows[] = {
	ROW(netif_ns, "netif", "5ms", "Age of a packet that enters the network layer."),
	ROW(tcp_ns, "tcp", "10ms", "Age of a packet that reaches TCP."),
	ROW(usercopy_ns, "usercopy", "115ms", "Age of a packet that an application reads."),
	{.key = "host", .type = TL_OPTION_BOOL, .hot = true,
	 .offset = offsetof(struct netrecvlat_options, has_host), .value = "false",
	 .help = "Watch the host's own network namespace, too."},
	TL_EVENT_RATE_ROW(struct netrecvlat_options, rate, "100"),
	TL_OPTION_END,
};

struct netrecvlat {
	struct tl_event event; // first
	int64_t offsets_ns[CLOCKS];
};

static int64_t offset_of(clockid_t clock)
{
	struct timespec monotonic, other;

	(void)clock_gettime(CLOCK_MONOTONIC, &monotonic);
	(void)clock_gettime(clock, &other);
	return (int64_t)(other.tv_sec - monotonic.tv_sec) * 1000000000 + other.tv_nsec -
	       monotonic.tv_nsec;
}

static const clockid_t clocks[CLOCKS] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_TAI};

static void set(struct tl_event *event, struct tl_ctx *ctx, struct tl_event_setting *ret)
{
	struct netrecvlat *self = (struct netrecvlat *)event;
	struct netrecvlat_options options;

	tl_ctx_options(ctx, &options, sizeof(options));
	ret->threshold_ns[TL_RX_NETIF] = options.netif_ns;
	ret->threshold_ns[TL_RX_TCP] = options.tcp_ns;
	ret->threshold_ns[TL_RX_USERCOPY] = options.usercopy_ns;
	ret->flags = options.has_host ? TL_NETRECVLAT_HOST : 0;
	ret->rate = options.rate;
	for (uint32_t i = 0; i < CLOCKS; i++) {
		self->offsets_ns[i] = offset_of(clocks[i]);
		(void)tl_bpf_write(event->bpf, "offsets", &i, &self->offsets_ns[i]);
	}
}

// A clock that was set makes every packet look old until the program knows.
static bool is_clock_right(const struct tl_netrecvlat_record *record)
{
	int64_t error_ns = offset_of(clocks[record->stamp_type]) - record->offset_ns;

	return error_ns < CLOCK_ERROR_NS && error_ns > -CLOCK_ERROR_NS;
}

static void tell(struct tl_event *event, const void *data, uint32_t size)
{
	static const char *const stages[] = {"RX_STAGE_NETIF", "RX_STAGE_TCPV4", "RX_STAGE_USERCOPY"};
	static const char *const stamps[CLOCKS] = {"realtime", "monotonic", "tai"};
	const struct tl_netrecvlat_record *record = data;

	if (size < sizeof(*record) || record->stage >= TL_COUNT_OF(stages) ||
	    record->stamp_type >= CLOCKS)
		return;
	if (!is_clock_right(record)) {
		atomic_fetch_add(&event->known, 1);
		return;
	}
	tl_event_find_net(event, record->packet.net_inum);
	json_t *json = json_pack(
		"{s:s, s:f, s:f, s:s}", "latency_stage", stages[record->stage], "latency_ms",
		(double)record->latency_ns / 1e6, "latency_threshold_ms",
		(double)record->threshold_ns / 1e6, "stamp", stamps[record->stamp_type]);
	if (record->tcp_state != 0)
		(void)json_object_set_new(json, "tcp_state",
					  json_string(tl_event_tcp_state(record->tcp_state)));
	tl_event_add_task(json, &record->task);
	tl_event_add_packet(json, &record->packet);
	tl_event_save(event, record->task.time_ns, json);
}

static const char *const btf[] = {"netif_btf", "tcp_btf", "copy_btf", NULL};
static const char *const raw[] = {"netif_raw", "tcp_raw", "copy_raw", NULL};
static const struct tl_bpf_hook hooks[] = {
	{.name = "tp_btf", .code = &tl_bpf_code_netrecvlat, .programs = btf},
	{.name = "raw_tp", .code = &tl_bpf_code_netrecvlat, .programs = raw},
	{.name = NULL},
};
static const struct tl_event_kind kind = {
	.name = "netrecvlat", .hooks = hooks, .set = set, .tell = tell, .has_net = true};

static int start(void *self, struct tl_ctx *ctx)
{
	const int flags = SOF_TIMESTAMPING_RX_SOFTWARE;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)) < 0
			 ? -errno
			 : tl_event_run(self, ctx);

	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static const struct tl_collector_ops ops = {
	.start = start, .update = tl_event_update, .close = tl_event_destroy};

static int new_netrecvlat(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	return tl_event_new(&kind, &ops, sizeof(struct netrecvlat), 10, ret);
}

TL_COLLECTOR(netrecvlat, new_netrecvlat,
	     .help = "Received TCP packets that took too long through the kernel.",
	     .options = rows, .options_size = sizeof(struct netrecvlat_options));
