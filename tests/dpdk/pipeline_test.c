// SPDX-License-Identifier: Apache-2.0
// The way from a port to the workers, over real EAL, rings and lcores. Each run has a process of
// its own. Live tests need root (a network namespace); without it they say so and are skipped.
#include "run.h"
#include "traffic.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534u

static char folder[64];
static char capture[96];
static struct traffic_sums sent;

static void assert_all_there(const struct run_result *result, const struct traffic_sums *sums)
{
	assert_string_equal(result->error, "");
	assert_int_equal(result->rc, 0);
	assert_true(result->is_finished);
	assert_int_equal(result->records, sums->datagrams);
	assert_int_equal(result->processed, sums->processed);
	assert_int_equal(result->digests, sums->digests);
	assert_int_equal(result->records_dropped, 0);
	assert_int_equal(result->port.received, sums->frames);
	// The books close, whoever did the work: nothing was queued or dropped at the end.
	assert_int_equal(result->offered, sums->frames);
	assert_int_equal(result->bytes_offered, sums->bytes);
	assert_int_equal(result->port.queued + result->port.ring_dropped +
				 result->port.pool_dropped, 0);
}

static struct run_options of_file(uint32_t workers)
{
	return (struct run_options) {.port.file = capture, .workers = workers};
}

static void a_file_gives_every_packet_to_one_worker(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = of_file(1);

	run_pipeline(&options, &result);
	assert_all_there(&result, &sent);
	assert_int_equal(result.workers, 1);
	print_message("first record after %.1f ms, %.1f MB resident\n",
		      (double)result.first_ns / 1e6, (double)result.rss_max_bytes / 1e6);
	assert_true(result.rss_max_bytes < 100000000);
}

static void four_workers_see_the_same(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = of_file(4);

	run_pipeline(&options, &result);
	assert_all_there(&result, &sent);
	assert_int_equal(result.workers, 4);
	assert_true(result.port.fragments.reassembled > 0);
}

static void one_cpu_is_enough(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = of_file(3);

	options.cpus = "1";
	run_pipeline(&options, &result);
	assert_all_there(&result, &sent);
}

static void nobody_may_read_a_file_in_little_memory(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = of_file(2);

	options.memory_max = UINT64_C(512) << 20;
	options.uid = getuid() == 0 ? NOBODY : 0;
	run_pipeline(&options, &result);
	assert_all_there(&result, &sent);
}

static void a_slow_reader_holds_the_file_back(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = of_file(2);

	options.ring_bytes = 256 << 10;
	options.is_slow_reader = true;
	run_pipeline(&options, &result);
	assert_all_there(&result, &sent);
}

static void a_stop_in_the_middle_ends_in_order(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = of_file(2);

	// The ring keeps the workers from being through before the stop.
	options.ring_bytes = 64 << 10;
	options.is_slow_reader = true;
	options.stop_after = 100;
	run_pipeline(&options, &result);
	assert_int_equal(result.rc, 0);
	assert_string_equal(result.error, "");
	assert_true(result.records >= 100 && result.records < sent.datagrams);
	assert_true(result.records <= result.processed);
	assert_int_equal(result.port.received, result.offered);
}

static void net_pcap_gives_the_same(void **state)
{
	(void)state;
	struct run_result result;
	char devargs[160];

	(void)snprintf(devargs, sizeof(devargs), "net_pcap0,rx_pcap=%s", capture);
	for (uint32_t workers = 1; workers <= 4; workers += 3) {
		struct run_options options = {.port.devargs = devargs, .workers = workers};
		run_pipeline(&options, &result);
		assert_all_there(&result, &sent);
		assert_int_equal(result.workers, workers);
	}
}

static void refuses(const struct tl_port_spec *port, const char *filter, int rc, const char *word)
{
	struct run_result result;
	struct run_options options = {.port = *port, .filter = filter, .workers = 1};

	run_pipeline(&options, &result);
	print_message("%s\n", result.error);
	assert_int_equal(result.rc, rc);
	assert_non_null(strstr(result.error, word));
	assert_null(strchr(result.error, '\n'));
}

static void refusals_say_how_to_mend_it(void **state)
{
	(void)state;
	refuses(&(struct tl_port_spec) {.devargs = "net_nonsense0"}, NULL, -ENODEV, "net_nonsense0");
	refuses(&(struct tl_port_spec) {.devargs = "eth0"}, NULL, -EINVAL, "devargs");
	refuses(&(struct tl_port_spec) {.devargs = "net_pcap0,rx_pcap=/nowhere"}, NULL, -EBADMSG,
		"/nowhere");
	refuses(&(struct tl_port_spec) {.file = "/nowhere"}, NULL, -EBADMSG, "/nowhere");
	refuses(&(struct tl_port_spec) {.file = capture}, "tcp prot 80", -EINVAL, "filter");
	if (getuid() == 0)
		refuses(&(struct tl_port_spec) {.interface = "nosuch0"}, NULL, -ENODEV, "lo");
}

static void live_capture_needs_a_right(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = {.port.interface = "lo",
				      .uid = getuid() == 0 ? NOBODY : 0,
				      .workers = 1};

	run_pipeline(&options, &result);
	print_message("%s\n", result.error);
	assert_int_equal(result.rc, -EPERM);
	assert_non_null(strstr(result.error, "setcap"));
}

// ---- Live: a pair of virtual links in a network namespace ----------------------------------

struct sender {
	const char *link;
	uint32_t packets;
	uint32_t payload_max;
	int fd;
	uint32_t sent;
	struct traffic_sums *sums; // shared with the parent
};

static void send_frame(void *arg, const uint8_t *frame, uint32_t len, uint64_t time_ns)
{
	struct sender *sender = arg;
	const struct timespec pause = {.tv_nsec = 500000};

	(void)time_ns;
	while (send(sender->fd, frame, len, 0) != (ssize_t)len)
		TL_ASSERT(errno == ENOBUFS || errno == EAGAIN || errno == EINTR);
	if (++sender->sent % 64 == 0)
		(void)nanosleep(&pause, NULL);
}

static void send_all(void *arg)
{
	struct sender *sender = arg;
	const struct timespec settle = {.tv_nsec = 200000000};
	struct sockaddr_ll address = {.sll_family = AF_PACKET};

	sender->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	TL_ASSERT(sender->fd >= 0);
	address.sll_ifindex = (int)if_nametoindex(sender->link);
	TL_ASSERT(address.sll_ifindex > 0);
	TL_ASSERT(bind(sender->fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	(void)nanosleep(&settle, NULL);
	traffic_make(sender->packets, sender->payload_max, false, send_frame, sender, sender->sums);
	(void)nanosleep(&settle, NULL);
	TL_ASSERT(close(sender->fd) == 0);
}

static void count_only(void *arg, const uint8_t *frame, uint32_t len, uint64_t time_ns)
{
	(void)arg;
	(void)frame;
	(void)len;
	(void)time_ns;
}

static void live(const struct tl_port_spec *port, uint32_t workers, uint64_t copies)
{
	static struct sender sender; // the child's copy makes the same traffic
	struct traffic_sums sums;
	struct run_result result;

	if (getuid() != 0) {
		print_message("skipped: needs root for a network namespace\n");
		skip();
	}
	static struct traffic_sums scratch;
	sender = (struct sender) {
		.link = "tl1", .packets = 20000, .payload_max = 1400, .sums = &scratch};
	struct run_options options = {
		.port = *port,
		.workers = workers,
		.is_in_namespace = true,
		.traffic = send_all,
		.arg = &sender,
	};
	run_pipeline(&options, &result);
	assert_string_equal(result.error, "");
	assert_int_equal(result.rc, 0);
	// What was sent in the child, counted again here.
	traffic_make(sender.packets, sender.payload_max, false,
		     count_only, NULL, &sums);
	print_message("%s: received %lu of %lu, kernel dropped %lu\n", result.port_text,
		      (unsigned long)result.port.received, (unsigned long)(sums.frames * copies),
		      (unsigned long)result.port.kernel_dropped);
	assert_int_equal(result.port.received + result.port.kernel_dropped, sums.frames * copies);
	assert_int_equal(result.port.received,
			 result.offered + result.port.ring_dropped + result.port.pool_dropped);
	if (result.port.received == sums.frames * copies) {
		assert_int_equal(result.records, sums.datagrams * copies);
		assert_int_equal(result.digests_timeless, sums.digests_timeless * copies);
	}
}

static void live_traffic_is_all_seen_or_counted(void **state)
{
	(void)state;
	live(&(struct tl_port_spec) {.interface = "tl0"}, 1, 1);
	live(&(struct tl_port_spec) {.interface = "tl0"}, 3, 1);
}

static void any_sees_both_ends_of_a_link(void **state)
{
	(void)state;
	live(&(struct tl_port_spec) {.interface = "any"}, 1, 2);
}

static void af_packet_sees_the_same(void **state)
{
	(void)state;
	live(&(struct tl_port_spec) {.devargs = "net_af_packet0,iface=tl0,framecnt=8192"}, 1, 1);
	live(&(struct tl_port_spec) {.devargs = "net_af_packet0,iface=tl0,framecnt=8192"}, 2, 1);
}

static void remove_link(void *arg)
{
	const struct timespec settle = {.tv_nsec = 300000000};

	(void)arg;
	TL_ASSERT(system("ip link del tl0") == 0);
	(void)nanosleep(&settle, NULL);
}

static void a_vanishing_interface_ends_with_a_line(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = {.port.interface = "tl0",
				      .workers = 1,
				      .is_in_namespace = true,
				      .traffic = remove_link};

	if (getuid() != 0) {
		print_message("skipped: needs root for a network namespace\n");
		skip();
	}
	run_pipeline(&options, &result);
	print_message("%s\n", result.error);
	assert_int_equal(result.rc, 0);
	assert_true(result.is_finished);
	assert_non_null(strstr(result.error, "tl0"));
}

static void an_interface_that_is_down_is_named(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = {.port.interface = "tl0",
				      .workers = 1,
				      .is_in_namespace = true,
				      .is_link_down = true};

	if (getuid() != 0) {
		print_message("skipped: needs root for a network namespace\n");
		skip();
	}
	run_pipeline(&options, &result);
	print_message("%s\n", result.error);
	assert_int_equal(result.rc, -ENODEV);
	assert_non_null(strstr(result.error, "ip link set tl0 up"));
}

static void an_idle_capture_costs_little(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = {.port.interface = "tl0",
				      .workers = 1,
				      .is_in_namespace = true,
				      .is_relaxed_reader = true,
				      .stop_after_ns = UINT64_C(4000000000)};

	if (getuid() != 0) {
		print_message("skipped: needs root for a network namespace\n");
		skip();
	}
	run_pipeline(&options, &result);
	assert_string_equal(result.error, "");
	print_message("%.2f %% of a CPU after the start\n", 100 * result.cpu_share);
	// The aim is 0.03; other work on the machine makes wake-ups dearer.
	assert_true(result.cpu_share < 0.06);
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/tapline-dpdk-test-XXXXXX");
	if (mkdtemp(folder) == NULL || chmod(folder, 0755) != 0)
		return -1;
	(void)snprintf(capture, sizeof(capture), "%s/mixed.pcap", folder);
	traffic_write(capture, 20000, 60000, &sent);
	return chmod(capture, 0644);
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(capture);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(net_pcap_gives_the_same),
		cmocka_unit_test(a_file_gives_every_packet_to_one_worker),
		cmocka_unit_test(four_workers_see_the_same),
		cmocka_unit_test(one_cpu_is_enough),
		cmocka_unit_test(nobody_may_read_a_file_in_little_memory),
		cmocka_unit_test(a_slow_reader_holds_the_file_back),
		cmocka_unit_test(a_stop_in_the_middle_ends_in_order),
		cmocka_unit_test(refusals_say_how_to_mend_it),
		cmocka_unit_test(live_capture_needs_a_right),
		cmocka_unit_test(live_traffic_is_all_seen_or_counted),
		cmocka_unit_test(any_sees_both_ends_of_a_link),
		cmocka_unit_test(af_packet_sees_the_same),
		cmocka_unit_test(a_vanishing_interface_ends_with_a_line),
		cmocka_unit_test(an_interface_that_is_down_is_named),
		cmocka_unit_test(an_idle_capture_costs_little),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
