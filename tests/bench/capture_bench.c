// SPDX-License-Identifier: Apache-2.0
// A capture file of 64-byte frames, and how fast it is read and nothing else done:
//   bench_capture make FILE COUNT   TCP segments of 1000 connections that nothing recognises
//   bench_capture libpcap FILE      by pcap_next_ex
//   bench_capture reader FILE       by our own reader
#include "base/check.h"
#include "figure.h"
#include "pmd/pcap/file.h"
#include "tests/support/packets.h"

#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#define FRAME 64u
#define FLOWS 1000u
#define PACKET_US 1u

static void fail(const char *error)
{
	(void)fprintf(stderr, "%s\n", error);
	exit(1);
}

static void put32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof(value));
}

static void make(const char *path, uint64_t count)
{
	static const uint8_t payload[10] = {0x9a, 0x3c, 0xf1, 0x88, 0x17,
					    0xe2, 0xb4, 0x05, 0xc9, 0x6d};
	static uint32_t seqs[FLOWS];
	const struct packet_spec spec = {
		.source = "10.0.0.1", .destination = "10.255.0.1", .source_port = 40000,
		.destination_port = 9, .flags = TL_TCP_ACK | TL_TCP_PSH,
		.payload = tl_bytes(payload, sizeof(payload)),
	};
	uint8_t frame[PACKETS_HEADERS_MAX + sizeof(payload)];
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *dumper = pcap == NULL ? NULL : pcap_dump_open(pcap, path);

	if (dumper == NULL)
		fail("the capture file can't be written");
	TL_ASSERT(packet_write(&spec, frame) == FRAME);
	for (uint64_t i = 0; i < count; i++) {
		uint32_t flow = (uint32_t)(i % FLOWS);
		uint64_t us = UINT64_C(1700000000) * 1000000 + i * PACKET_US;
		struct pcap_pkthdr head = {
			.ts = {.tv_sec = (time_t)(us / 1000000),
			       .tv_usec = (suseconds_t)(us % 1000000)},
			.caplen = FRAME, .len = FRAME,
		};
		put32(frame + 26, 0x0a000000u + flow);
		put32(frame + 38, seqs[flow]);
		seqs[flow] += (uint32_t)sizeof(payload);
		pcap_dump((u_char *)dumper, &head, frame);
	}
	if (pcap_dump_flush(dumper) != 0)
		fail("no room for the capture file");
	pcap_dump_close(dumper);
	pcap_close(pcap);
}

static uint64_t read_libpcap(const char *path, uint64_t *sum)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *head;
	const u_char *data;
	uint64_t count = 0;
	pcap_t *pcap = pcap_open_offline(path, error);

	if (pcap == NULL)
		fail(error);
	for (; pcap_next_ex(pcap, &head, &data) == 1; count++)
		*sum += data[0];
	pcap_close(pcap);
	return count;
}

static uint64_t read_ours(const char *path, uint64_t *sum)
{
	struct tl_capture_file *file;
	struct tl_capture_record record;
	char error[256];
	uint64_t count = 0;

	if (tl_capture_file_open(path, &file, error, sizeof(error)) != 0)
		fail(error);
	for (; tl_capture_file_next(file, &record) == 1; count++)
		*sum += record.data[0] + record.time_ns;
	tl_capture_file_close(file);
	return count;
}

int main(int argc, char **argv)
{
	uint64_t sum = 0;

	if (argc == 4 && strcmp(argv[1], "make") == 0) {
		make(argv[2], strtoull(argv[3], NULL, 10));
		return 0;
	}
	if (argc != 3)
		fail("usage: bench_capture make FILE COUNT | libpcap FILE | reader FILE");
	bool is_libpcap = strcmp(argv[1], "libpcap") == 0;
	uint64_t ns = figure_clock_ns(CLOCK_MONOTONIC);
	uint64_t count = is_libpcap ? read_libpcap(argv[2], &sum) : read_ours(argv[2], &sum);
	ns = figure_clock_ns(CLOCK_MONOTONIC) - ns;
	figure(is_libpcap ? "file_libpcap" : "file_reader", (double)count / (double)ns * 1e3, "Mpps",
	       sum == 0 ? "an empty file" : is_libpcap ? "the same file read by libpcap alone"
						       : "the same file read by our reader alone");
	return 0;
}
