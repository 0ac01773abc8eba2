// SPDX-License-Identifier: Apache-2.0
// The whole way, real engine included: HTTP conversations in a capture file give the same set of
// records whatever the number of workers, and through net_pcap as well as our own reader.
#include "run.h"

#include "base/check.h"
#include "l7/rules.h"
#include "support/options.h"
#include "support/packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CONVERSATIONS 400u
#define REQUESTS 3u
#define UNANSWERED_EVERY 10u // conversations whose last request stays open
#define START_NS (UINT64_C(1700000000) * 1000000000)
#define PCAP_MAGIC 0xa1b2c3d4u

static char path[64];

struct side {
	uint32_t next_seq;
};

struct talk {
	FILE *file;
	uint64_t time_ns;
	uint32_t number; // of the conversation
	struct side sides[2];
};

static void say(struct talk *talk, uint8_t side, uint8_t flags, const char *text)
{
	struct side *from = &talk->sides[side];
	const uint32_t len = (uint32_t)strlen(text);
	uint8_t frame[PACKETS_HEADERS_MAX + 1024];
	char client[24];

	(void)snprintf(client, sizeof(client), "10.3.%u.%u", talk->number >> 8, talk->number & 255);
	const struct packet_spec spec = {
		.source = side == 0 ? client : "10.4.0.1",
		.destination = side == 0 ? "10.4.0.1" : client,
		.source_port = (uint16_t)(side == 0 ? 20000 + talk->number : 80),
		.destination_port = (uint16_t)(side == 0 ? 80 : 20000 + talk->number),
		.seq = from->next_seq,
		.ack = talk->sides[!side].next_seq,
		.flags = flags,
		.payload = tl_bytes(text, len),
	};
	TL_ASSERT(len <= 1024);
	uint32_t size = packet_write(&spec, frame);
	const uint32_t head[4] = {(uint32_t)(talk->time_ns / 1000000000),
				  (uint32_t)(talk->time_ns % 1000000000 / 1000), size, size};
	TL_ASSERT(fwrite(head, sizeof(head), 1, talk->file) == 1);
	TL_ASSERT(fwrite(frame, size, 1, talk->file) == 1);
	from->next_seq += len + ((flags & (TL_TCP_SYN | TL_TCP_FIN)) != 0);
}

// One step of a conversation; the conversations take turns, so that their packets interleave.
static void step(struct talk *talk, uint32_t at)
{
	char text[160];
	bool is_open = talk->number % UNANSWERED_EVERY == 3;

	if (at == 0) {
		say(talk, 0, TL_TCP_SYN, "");
		say(talk, 1, TL_TCP_SYN | TL_TCP_ACK, "");
		say(talk, 0, TL_TCP_ACK, "");
	} else if (at <= REQUESTS * 2 && at % 2 == 1) {
		(void)snprintf(text, sizeof(text),
			       "GET /c%u/r%u HTTP/1.1\r\nHost: test.example\r\n\r\n", talk->number,
			       at / 2);
		say(talk, 0, TL_TCP_ACK | TL_TCP_PSH, text);
	} else if (at <= REQUESTS * 2 && !(is_open && at == REQUESTS * 2)) {
		(void)snprintf(text, sizeof(text),
			       "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nbody%03u",
			       talk->number);
		say(talk, 1, TL_TCP_ACK | TL_TCP_PSH, text);
	} else if (!is_open) {
		say(talk, 0, TL_TCP_FIN | TL_TCP_ACK, "");
		say(talk, 1, TL_TCP_FIN | TL_TCP_ACK, "");
	}
}

static int write_conversations(void **state)
{
	static struct talk talks[CONVERSATIONS];
	const uint32_t head[6] = {PCAP_MAGIC, 2 | 4 << 16, 0, 0, 262144, TL_LINK_ETHERNET};

	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/tapline-records-test-XXXXXX");
	int fd = mkstemp(path);
	TL_ASSERT(fd >= 0);
	FILE *file = fdopen(fd, "w");
	TL_ASSERT(file != NULL && fwrite(head, sizeof(head), 1, file) == 1);
	for (uint32_t at = 0; at <= REQUESTS * 2 + 1; at++) {
		for (uint32_t i = 0; i < CONVERSATIONS; i++) {
			talks[i].file = file;
			talks[i].number = i;
			// 20 s from first to last: some of what stays open has timed out by then.
			talks[i].time_ns = START_NS + at * UINT64_C(3000000000) + i * 5000000;
			step(&talks[i], at);
		}
	}
	return fclose(file);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static void the_number_of_workers_does_not_matter(void **state)
{
	(void)state;
	const struct tl_rules_spec spec = {0};
	struct tl_rules *rules;
	const struct tl_engine_options engine = test_engine_options(4096);
	struct run_result first = {0};
	struct run_result other;
	char error[128];
	char devargs[96];

	assert_int_equal(tl_rules_create(&spec, &rules, error, sizeof(error)), 0);
	(void)snprintf(devargs, sizeof(devargs), "net_pcap0,rx_pcap=%s", path);
	for (uint32_t i = 0; i < 6; i++) {
		const struct run_options options = {
			.port = {.file = i < 4 ? path : NULL, .devargs = i < 4 ? NULL : devargs},
			.workers = i < 4 ? i + 1 : i - 3,
			.engine = &engine,
			.rules = rules,
		};
		run_pipeline(&options, &other);
		assert_string_equal(other.error, "");
		assert_int_equal(other.rc, 0);
		if (i == 0)
			first = other;
		print_message("%s, %u workers: %lu records, digest %lx\n", other.port_text,
			      other.workers, (unsigned long)other.records,
			      (unsigned long)other.digests);
		assert_int_equal(other.records, CONVERSATIONS * REQUESTS);
		assert_int_equal(other.digests, first.digests);
		assert_int_equal(other.processed, first.processed);
		assert_int_equal(other.records_dropped, 0);
	}
	tl_rules_destroy(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_number_of_workers_does_not_matter),
	};

	return cmocka_run_group_tests(tests, write_conversations, remove_file);
}
