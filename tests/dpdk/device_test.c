// SPDX-License-Identifier: Apache-2.0
// What a device's queues do to conversations, its clock, and the refusals of network cards.
#include "run.h"

#include "base/check.h"
#include "pmd/device/clock.h"
#include "pmd/device/pci.h"
#include "pmd/device/rss.h"
#include "pmd/device/setup.h"
#include "pmd/eal.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_ethdev.h>

// Of the RSS specification; most drivers' default.
static const uint8_t usual_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static void a_key_tells_whether_conversations_stay_together(void **state)
{
	(void)state;
	static struct tl_rss good, bad;

	good = (struct tl_rss) {.key_len = 40, .table_size = 128};
	tl_rss_symmetric_key(good.key, 40);
	for (uint16_t i = 0; i < 128; i++)
		good.table[i] = i % 4;
	for (uint32_t has_ports = 0; has_ports < 2; has_ports++) {
		good.types = has_ports ? RTE_ETH_RSS_TCP : RTE_ETH_RSS_IP;
		bad = good;
		memcpy(bad.key, usual_key, sizeof(usual_key));
		assert_int_equal(tl_rss_split(&good, 1000), 0);
		// By chance a quarter meets on one of four queues.
		assert_in_range(tl_rss_split(&bad, 1000), 650, 850);
		bad.table_size = 0;
		assert_in_range(tl_rss_split(&bad, 1000), 990, 1000);
	}
}

// The examples of the RSS specification, by its key: 66.9.149.187:2794 to 161.142.100.80:1766 and
// 3ffe:2501:200:1fff::7:2794 to 3ffe:2501:200:3::1:1766.
static void queues_are_those_of_the_specification(void **state)
{
	(void)state;
	static struct tl_rss rss;
	struct tl_tuple v4 = {
		.source = {[10] = 0xff, 0xff, 66, 9, 149, 187},
		.destination = {[10] = 0xff, 0xff, 161, 142, 100, 80},
		.source_port = 2794, .destination_port = 1766, .protocol = 6, .ip_version = 4};
	struct tl_tuple v6 = {
		.source = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, [15] = 7},
		.destination = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, [15] = 1},
		.source_port = 2794, .destination_port = 1766, .protocol = 6, .ip_version = 6};

	rss = (struct tl_rss) {.key_len = 40};
	memcpy(rss.key, usual_key, sizeof(usual_key));
	assert_int_equal(tl_rss_queue(&rss, &v4), UINT32_MAX); // no table
	rss.table_size = 4096;
	for (uint16_t i = 0; i < 4096; i++)
		rss.table[i] = i;
	rss.types = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP;
	assert_int_equal(tl_rss_queue(&rss, &v4), 0x51ccc178 % 4096);
	assert_int_equal(tl_rss_queue(&rss, &v6), 0x40207d3d % 4096);
	rss.types = RTE_ETH_RSS_IP;
	assert_int_equal(tl_rss_queue(&rss, &v4), 0x323e8fc2 % 4096);
	assert_int_equal(tl_rss_queue(&rss, &v6), 0x2cc18cd5 % 4096);
	rss.types = RTE_ETH_RSS_NONFRAG_IPV4_UDP; // no type of these packets
	assert_int_equal(tl_rss_queue(&rss, &v4), 0);
}

static void ticks_become_wall_time(void **state)
{
	(void)state;
	static struct tl_device_clock clock;
	const uint64_t wall_ns = UINT64_C(1700000000000000000);
	const uint64_t hz = 156250000; // 6.4 ns a tick

	assert_int_equal(tl_device_clock_ns(&clock, 77), 0);
	assert_true(tl_device_clock_is_due(&clock, wall_ns));
	tl_device_clock_read(&clock, 1000, wall_ns);
	assert_int_equal(tl_device_clock_ns(&clock, 2000), 0); // no rate yet
	for (uint64_t second = 1; second <= 3; second++)
		tl_device_clock_read(&clock, 1000 + second * hz, wall_ns + second * 1000000000);
	assert_false(tl_device_clock_is_due(&clock, wall_ns + 3999999999));
	assert_true(tl_device_clock_is_due(&clock, wall_ns + 4000000000));
	// A stamp of before the last reading, and one of after it.
	uint64_t before = tl_device_clock_ns(&clock, 1000 + hz * 5 / 2);
	uint64_t after = tl_device_clock_ns(&clock, 1000 + hz * 4);
	assert_in_range(before, wall_ns + 2500000000 - 2, wall_ns + 2500000000 + 2);
	assert_in_range(after, wall_ns + 4000000000 - 2, wall_ns + 4000000000 + 2);
	// The card began anew: no rate until it was read again.
	tl_device_clock_read(&clock, 5, wall_ns + 5000000000);
	assert_int_equal(tl_device_clock_ns(&clock, 5), 0);
	tl_device_clock_read(&clock, 5 + hz, wall_ns + 6000000000);
	assert_int_equal(tl_device_clock_ns(&clock, 5 + hz), wall_ns + 6000000000);
}

// An hour of the wall clock in a second of the card's says nothing of the card's rate.
static void a_wall_clock_that_is_set_changes_no_rate(void **state)
{
	(void)state;
	static struct tl_device_clock clock;
	const uint64_t hz = 156250000;
	uint64_t wall_ns = UINT64_C(1700000000000000000);
	uint64_t ticks = 1000;
	const int64_t hours[] = {0, 0, 1, 0, -2, 0, 0};

	for (size_t i = 0; i < sizeof(hours) / sizeof(hours[0]); i++) {
		ticks += hz;
		wall_ns += UINT64_C(1000000000) + (uint64_t)(hours[i] * INT64_C(3600000000000));
		tl_device_clock_read(&clock, ticks, wall_ns);
		if (i == 0)
			continue;
		uint64_t next = tl_device_clock_ns(&clock, ticks + hz);
		assert_in_range(next, wall_ns + 1000000000 - 2, wall_ns + 1000000000 + 2);
	}
}

// Drivers write ticks, nanoseconds of UTC or of TAI, or what nobody can read.
static void stamps_are_told_apart(void **state)
{
	(void)state;
	static struct tl_device_clock clock;
	const uint64_t wall_ns = UINT64_C(1700000000000000000);
	const uint64_t hz = 156250000;
	const uint64_t tai_ns = UINT64_C(37000000000);

	tl_device_clock_read(&clock, 99 * hz, wall_ns - 1000000000);
	tl_device_clock_read(&clock, 100 * hz, wall_ns);
	for (const struct tl_device_clock *c = &clock;; c = NULL) {
		// A packet of a moment ago, whatever the clock says.
		assert_int_equal(tl_device_clock_stamp(c, wall_ns - 5000, wall_ns), wall_ns - 5000);
		assert_int_equal(tl_device_clock_stamp(c, wall_ns - 5000 + tai_ns, wall_ns),
				 wall_ns - 5000);
		// A clock that nobody set, one of an hour ago, one of the future.
		assert_int_equal(tl_device_clock_stamp(c, 77, wall_ns), wall_ns);
		assert_int_equal(tl_device_clock_stamp(c, wall_ns - 3600000000000, wall_ns), wall_ns);
		assert_int_equal(tl_device_clock_stamp(c, wall_ns + 3600000000000, wall_ns), wall_ns);
		assert_int_equal(tl_device_clock_stamp(c, UINT64_MAX, wall_ns), wall_ns);
		if (c == NULL)
			break;
	}
	assert_in_range(tl_device_clock_stamp(&clock, 100 * hz - hz / 1000, wall_ns),
			wall_ns - 1000001, wall_ns - 999999);
	assert_int_equal(tl_device_clock_stamp(NULL, 100 * hz - hz / 1000, wall_ns), wall_ns);
	// Ticks that began anew between two readings: an hour before or behind the line.
	assert_int_equal(tl_device_clock_stamp(&clock, 3700 * hz, wall_ns), wall_ns);
	tl_device_clock_read(&clock, 4000 * hz, wall_ns + UINT64_C(3900000000000));
	assert_int_equal(tl_device_clock_stamp(&clock, 5, wall_ns + UINT64_C(3900000000000)),
			 wall_ns + UINT64_C(3900000000000));
}

static void addresses_have_two_forms(void **state)
{
	(void)state;
	char address[TL_PCI_ADDRESS_BYTES];
	static const char *const none[] = {"", "eth0", "net_null0", "0000:03:00", "03:00.0x", "3"};

	assert_true(tl_pci_address("0000:03:00.0", address));
	assert_string_equal(address, "0000:03:00.0");
	assert_true(tl_pci_address("3B:00.1", address));
	assert_string_equal(address, "0000:3b:00.1");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(tl_pci_address(none[i], address));
}

static void refuses(const struct tl_port_spec *port, int rc, const char *word)
{
	struct run_result result;
	struct run_options options = {.port = *port, .workers = 1};

	run_pipeline(&options, &result);
	print_message("%s\n", result.error);
	assert_int_equal(result.rc, rc);
	assert_non_null(strstr(result.error, word));
	assert_null(strchr(result.error, '\n'));
}

static void cards_are_refused_before_dpdk_starts(void **state)
{
	(void)state;
	DIR *devices = opendir("/sys/bus/pci/devices");
	const struct dirent *entry;
	char error[256];

	refuses(&(struct tl_port_spec) {.pci = "0000:ff:1f.7"}, -ENODEV, "no PCI device 0000:ff:1f.7");
	refuses(&(struct tl_port_spec) {.pci = "eth0"}, -EINVAL, "PCI address");
	while (devices != NULL && (entry = readdir(devices)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		int rc = tl_pci_check(entry->d_name, error, sizeof(error));
		if (rc == 0)
			continue;
		// What this machine has: a bridge, a disk, a card of the kernel's.
		print_message("%s\n", error);
		assert_non_null(strstr(error, entry->d_name));
		assert_non_null(strstr(error, rc == -EBUSY ? "scripts/nic bind"
							   : "is no network card"));
	}
	if (devices != NULL)
		(void)closedir(devices);
}

static void a_card_without_huge_pages_gets_the_arithmetic(void **state)
{
	(void)state;
	static const char *const card = "0000:ff:1f.7";
	// More than any machine has: 2 TiB, and a fifth and 16 MiB more.
	const struct tl_eal_options options = {
		.workers = 3, .memory_bytes = UINT64_C(2) << 40, .pci = &card, .pci_count = 1};
	static struct tl_eal eal;
	char error[256];

	assert_int_equal(tl_eal_start(&options, &eal, error, sizeof(error)), -EBUSY);
	print_message("%s\n", error);
	assert_non_null(strstr(error, "2097152 MiB for the packets of 3 workers"));
	assert_non_null(strstr(error, "1258300 pages of 2 MiB"));
	assert_non_null(strstr(error, "scripts/nic hugepages 1258300"));
}

static void too_many_queues_are_one_line(void **state)
{
	(void)state;
	char devargs[512] = "net_pcap0";
	char pattern[] = "/tmp/tapline-device-test-XXXXXX";
	static const uint8_t head[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [18] = 4, [20] = 1};
	int fd = mkstemp(pattern);

	assert_true(fd >= 0 && write(fd, head, sizeof(head)) == (ssize_t)sizeof(head));
	for (uint32_t i = 0; i < 17; i++) // DPDK's net_pcap takes 16
		(void)snprintf(devargs + strlen(devargs), sizeof(devargs) - strlen(devargs),
			       ",rx_pcap=/proc/self/fd/%d", fd);
	refuses(&(struct tl_port_spec) {.devargs = devargs}, -EPERM, "net_pcap0"); // its bare -1
	(void)close(fd);
	(void)unlink(pattern);
}

// It keeps the usual key whatever it is told.
static void an_asymmetric_device_is_found(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = {.port.devargs = "net_null0,no-rx=1",
				      .stop_after_ns = 100000000};

	for (uint32_t workers = 1; workers <= 2; workers++) {
		options.workers = workers;
		run_pipeline(&options, &result);
		assert_string_equal(result.error, "");
		assert_int_equal(result.workers, workers);
		assert_true(result.is_finished);
		if (workers == 1) {
			assert_string_equal(result.port.spread, "one_queue");
			continue;
		}
		print_message("%s\n", result.port.spread_text);
		assert_string_equal(result.port.spread, "asymmetric");
		assert_non_null(strstr(result.port.spread_text, "computed"));
		assert_non_null(strstr(result.port.spread_text, "hand packets"));
	}
	assert_non_null(strstr(result.port_text, "Ethernet, up"));
}

static void take_the_link_away(void *arg)
{
	(void)arg;
	TL_ASSERT(system("ip link del tl1") == 0);
}

// The driver goes on, and says that the link is up.
static void an_interface_that_is_gone_is_told(void **state)
{
	(void)state;
	struct run_result result;
	const struct run_options options = {.port.devargs = "net_af_packet0,iface=tl0", .workers = 1,
					    .is_in_namespace = true,
					    .traffic = take_the_link_away};

	if (getuid() != 0) {
		print_message("skipped: needs root for a network namespace\n");
		skip();
	}
	run_pipeline(&options, &result);
	assert_string_equal(result.error, "");
	assert_string_equal(result.port_text, "dpdk|Ethernet, tl0 is down or gone|net_af_packet0");
	assert_false(result.port.is_up);
}

static void take_the_carrier_away(void *arg)
{
	TL_ASSERT(arg == NULL || system("ip link set tl1 down") == 0);
	(void)usleep(100000);
}

// libpcap says nothing of it.
static void a_link_that_goes_down_is_told(void **state)
{
	(void)state;
	struct run_result result;
	struct run_options options = {.port.interface = "tl0", .workers = 1, .is_in_namespace = true,
				      .traffic = take_the_carrier_away};

	if (getuid() != 0) {
		print_message("skipped: needs root for a network namespace\n");
		skip();
	}
	for (uint32_t down = 0; down < 2; down++) {
		options.arg = down ? &options : NULL;
		run_pipeline(&options, &result);
		assert_string_equal(result.error, "");
		assert_int_equal(result.port.is_up, !down);
	}
}

// More than any machine has: refused before DPDK tries.
static void packets_without_memory_get_the_arithmetic(void **state)
{
	(void)state;
	struct run_result result;
	const struct run_options options = {.port.devargs = "net_null0", .workers = 16,
					    .packets_max = 1u << 30};

	run_pipeline(&options, &result);
	print_message("%s\n", result.error);
	assert_int_equal(result.rc, -EINVAL);
	assert_non_null(strstr(result.error, "1073741824 packets for each of 16 workers take"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_tells_whether_conversations_stay_together),
		cmocka_unit_test(queues_are_those_of_the_specification),
		cmocka_unit_test(ticks_become_wall_time),
		cmocka_unit_test(a_wall_clock_that_is_set_changes_no_rate),
		cmocka_unit_test(stamps_are_told_apart),
		cmocka_unit_test(addresses_have_two_forms),
		cmocka_unit_test(cards_are_refused_before_dpdk_starts),
		cmocka_unit_test(a_card_without_huge_pages_gets_the_arithmetic),
		cmocka_unit_test(too_many_queues_are_one_line),
		cmocka_unit_test(an_asymmetric_device_is_found),
		cmocka_unit_test(an_interface_that_is_gone_is_told),
		cmocka_unit_test(a_link_that_goes_down_is_told),
		cmocka_unit_test(packets_without_memory_get_the_arithmetic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
