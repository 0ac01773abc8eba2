// SPDX-License-Identifier: Apache-2.0
// Reassembles a capture file and writes both directions of every TCP connection to standard
// output: a line "address port length lost gaps late" per side, each followed by its bytes.
// tests/corpus/streams.py compares them with another implementation's.
#include "engine/engine.h"
#include "base/check.h"
#include "pmd/pcap/file.h"
#include "tests/support/options.h"
#include "tests/support/recorder.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define YEAR_NS UINT64_C(31536000000000000)
#define MS UINT64_C(1000000)

static struct tl_engine *make_engine(void)
{
	// No time-outs: the other side has none either.
	struct tl_engine_options options = test_engine_options(65536);

	options.flow.tcp_idle_ns = options.flow.syn_idle_ns = YEAR_NS;
	options.flow.tcp_closed_ns = 10000 * MS;
	options.flow.reorder_bytes_max = 256u << 20;
	options.flow.reorder_flow_bytes_max = 64u << 20;
	options.flow.duplicate_ns = 3 * MS;
	options.defrag.datagrams_max = 1024;
	options.defrag.bytes_max = 16u << 20;
	options.defragments = true;
	return tl_engine_create(&options, NULL, NULL, NULL);
}

static int read_file(const char *path, struct tl_engine *engine)
{
	struct tl_capture_file *file;
	struct tl_capture_record record;
	char error[256];
	int got;

	got = tl_capture_file_open(path, &file, error, sizeof(error));
	if (got < 0) {
		(void)fprintf(stderr, "%s\n", error);
		return got;
	}
	while ((got = tl_capture_file_next(file, &record)) == 1) {
		const struct tl_chunk chunk = {record.data, record.len};
		const struct tl_packet packet = {
			.chunks = &chunk,
			.chunk_count = 1,
			.link_type = record.link_type,
			.len = record.len,
			.original_len = record.original_len,
			.time_ns = record.time_ns,
		};
		tl_engine_burst(engine, &packet, 1);
	}
	if (got < 0)
		(void)fprintf(stderr, "%s\n", tl_capture_file_error(file));
	tl_capture_file_close(file);
	return 0; // what was read before a damage counts
}

static void print_side(const struct recording *r, uint8_t side)
{
	const struct tl_flow_identity *id = &r->identity;
	// The recording's sides are those of the normalised key; the identity names client and server.
	int order = memcmp(id->client_address, id->server_address, 16);
	bool client_first = order < 0 || (order == 0 && id->client_port <= id->server_port);
	bool is_client = (side == 0) == client_first;
	const uint8_t *address = is_client ? id->client_address : id->server_address;
	bool is_v4 = id->ip_version == 4;
	char text[INET6_ADDRSTRLEN];

	TL_ASSERT(inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? address + 12 : address, text,
			    sizeof(text)) != NULL);
	(void)printf("%s %u %llu %llu %u %d\n", text, is_client ? id->client_port : id->server_port,
		     (unsigned long long)r->len[side], (unsigned long long)r->lost[side], r->gaps[side],
		     id->is_late_join);
	(void)fwrite(r->bytes[side], 1, r->len[side], stdout);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s CAPTURE\n", argv[0]);
		return 2;
	}
	recorder_bytes_max = UINT64_C(1) << 30;
	struct tl_engine *engine = make_engine();
	TL_ASSERT(engine != NULL);
	if (read_file(argv[1], engine) < 0)
		return 1;
	tl_engine_finish(engine, TL_END_INPUT);
	for (uint32_t i = 0; i < recorder_count(); i++) {
		if (recorder_at(i)->identity.l4 != 6)
			continue;
		print_side(recorder_at(i), 0);
		print_side(recorder_at(i), 1);
	}
	const struct tl_counters *c = tl_engine_counters(engine);
	(void)fprintf(stderr, "retransmitted %llu out_of_order %llu duplicates %llu lost %llu\n",
		      (unsigned long long)c->at[TL_COUNT_TCP_RETRANSMITTED],
		      (unsigned long long)c->at[TL_COUNT_TCP_OUT_OF_ORDER],
		      (unsigned long long)c->at[TL_COUNT_DUPLICATES_TCP],
		      (unsigned long long)c->at[TL_COUNT_STREAM_LOST]);
	tl_engine_destroy(engine);
	return 0;
}
