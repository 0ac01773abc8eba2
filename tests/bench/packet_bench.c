// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per packet of decoding and hashing, and of reading a capture file of 64-byte frames
// by our reader, by libpcap and by looking at a mapping of it.
#include "packet/packet.h"
#include "pmd/pcap/file.h"
#include "unit/wire.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <pcap/pcap.h>

#define ROUNDS 20000u
#define BATCHES 800u // the fastest counts: others share the machine
#define PACKETS 64u
#define RECORDS 2000000u
#define FRAME 64u

static double now_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void bench_decode(const char *recipe)
{
	static struct wire wires[PACKETS];
	static struct tl_chunk chunks[PACKETS];
	static struct tl_packet packets[PACKETS];
	static struct tl_headers headers[PACKETS];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < PACKETS; i++) {
		wire_build(&wires[i], recipe);
		chunks[i] = (struct tl_chunk) {.data = wires[i].room + wires[i].at,
					       .len = wire_len(&wires[i])};
		packets[i] = (struct tl_packet) {.chunks = &chunks[i], .chunk_count = 1,
						 .link_type = wires[i].link_type,
						 .len = chunks[i].len, .original_len = chunks[i].len};
	}
	double decode = 1e9, hash = 1e9;
	for (uint32_t batch = 0; batch < BATCHES; batch++) {
		double from = now_ns();
		for (uint32_t i = 0; i < ROUNDS; i++)
			sum += tl_packet_decode(&packets[i % PACKETS], &headers[i % PACKETS]);
		double middle = now_ns();
		for (uint32_t i = 0; i < ROUNDS; i++)
			sum += tl_tuple_hash(&headers[i % PACKETS].tuple, 42);
		double to = now_ns();
		decode = middle - from < decode ? middle - from : decode;
		hash = to - middle < hash ? to - middle : hash;
	}
	printf("%-44s decode %5.1f ns  hash %4.1f ns  (%llu)\n", recipe, decode / ROUNDS, hash / ROUNDS,
	       (unsigned long long)(sum & 1));
}

static void report(const char *what, double ns, uint64_t sum)
{
	printf("%-44s %5.1f ns per record, %6.1f Mpps  (%llu)\n", what, ns / RECORDS,
	       RECORDS / ns * 1e3, (unsigned long long)(sum & 1));
}

static void make_file(const char *path)
{
	struct pcap_pkthdr head = {.caplen = FRAME, .len = FRAME};
	uint8_t frame[FRAME] = {0};
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *dumper = pcap_dump_open(pcap, path);

	if (dumper == NULL)
		abort();
	for (uint32_t i = 0; i < RECORDS; i++) {
		frame[0] = (uint8_t)i;
		pcap_dump((u_char *)dumper, &head, frame);
	}
	pcap_dump_close(dumper);
	pcap_close(pcap);
}

static void bench_ours(const char *path)
{
	struct tl_capture_file *file;
	struct tl_capture_record r;
	char error[256];
	uint64_t sum = 0;
	double from = now_ns();

	if (tl_capture_file_open(path, &file, error, sizeof(error)) != 0)
		abort();
	while (tl_capture_file_next(file, &r) == 1)
		sum += r.data[0] + r.time_ns;
	tl_capture_file_close(file);
	report("tl_capture_file_next", now_ns() - from, sum);
}

static void bench_libpcap(const char *path)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *head;
	const u_char *data;
	uint64_t sum = 0;
	double from = now_ns();
	pcap_t *pcap = pcap_open_offline(path, error);

	if (pcap == NULL)
		abort();
	while (pcap_next_ex(pcap, &head, &data) == 1)
		sum += data[0];
	pcap_close(pcap);
	report("pcap_next_ex", now_ns() - from, sum);
}

// What a reader over a mapping could reach at best: it touches each record and checks nothing.
static void bench_mapping(const char *path)
{
	size_t size = 24 + (size_t)RECORDS * (16 + FRAME);
	uint64_t sum = 0;
	double from = now_ns();
	int fd = open(path, O_RDONLY);
	uint8_t *base = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (base == MAP_FAILED)
		abort();
	(void)madvise(base, size, MADV_SEQUENTIAL);
	for (uint8_t *p = base + 24; p < base + size; p += 16 + tl_load_le32(p + 8))
		sum += p[16] + tl_load_le32(p);
	(void)munmap(base, size);
	(void)close(fd);
	report("a mapping, unchecked", now_ns() - from, sum);
}

int main(void)
{
	static const char *const recipes[] = {
		"eth ipv4 tcp pay:10",
		"eth ipv4 tcpts pay:10",
		"eth vlan:7 ipv4 tcpts pay:10",
		"eth ipv6 tcpts pay:10",
		"eth ipv4 udp pay:40",
		"eth ipv4 udp:4789 vxlan:42 eth ipv4 tcpts pay:9",
	};
	char path[] = "/tmp/tl-bench-XXXXXX";
	int fd = mkstemp(path);

	for (uint32_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++)
		bench_decode(recipes[i]);
	if (fd < 0)
		return 1;
	(void)close(fd);
	make_file(path);
	for (uint32_t i = 0; i < 2; i++) {
		bench_ours(path);
		bench_mapping(path);
		bench_libpcap(path);
	}
	(void)unlink(path);
	return 0;
}
