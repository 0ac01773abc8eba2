// SPDX-License-Identifier: Apache-2.0
// A tap that loses packets which the peers got: no request may ever be paired with the answer to
// another. For protocols whose answers name no request, so that order alone pairs them.
//
// Clients of several habits talk to a server over a simulated network; each answer repeats the
// number of its request. Packets are left out at random on their way to the engine. A record whose
// two halves have unequal numbers fails the test, at any rate of loss and for any seed; so does one
// that lacks a number and does not say that something is missing. Where the first packets of a
// connection are lost it is one that was joined late: wrong pairs of those are counted apart, and
// must carry the flag `late_join`.
//
// The same holds where each side comes on a queue of its own, whose reader is away now and then and
// stamps late what it reads then: a response is seen before its request, a SYN-ACK before its SYN.
//
//	loss [--seeds N] [--from SEED] [--protocol NAME] [--habit N] [--loss N] [--print] [--pcap FILE]
//
// --print shows wrong pairs, --pcap writes the packets of the first run that has one.
#include "loss.h"

#include "base/check.h"
#include "run.h"

#include <stdlib.h>

#define START_NS UINT64_C(1700000000000000000)
#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define UNITS 240u // requests of a connection, or groups of them
#define WRITES_MAX (UNITS + 8u)
#define SEGMENTS_MAX 8192u
#define CONTROLS_MAX 6u // packets of the handshake and of the end
#define SEGMENT_BYTES_MAX 9000u
#define WINDOW 4u

uint32_t loss_random(struct loss_random *r, uint32_t below)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint32_t)(r->state >> 20) % below;
}

static bool happens(struct loss_random *r, double share)
{
	return loss_random(r, 1000000) < share * 1e6;
}

// ---- Clients ---------------------------------------------------------------------------------

enum habit { SINGLE, BATCH, LONG_BATCH, FULL_WINDOW, LOOSE_WINDOW, SHARED, MOODY, HABIT_COUNT };

static const char *const habit_names[HABIT_COUNT] = {
	[SINGLE] = "one at a time",
	[BATCH] = "batches of 16",
	[LONG_BATCH] = "batches of 100, answered meanwhile",
	[FULL_WINDOW] = "a window of 4, always full",
	[LOOSE_WINDOW] = "a window of 4, empty now and then",
	[SHARED] = "a connection that many threads share",
	[MOODY] = "another of these habits now and then",
};

struct client {
	enum habit habit;
	enum habit mood;     // the habit of a moody one at the moment
	uint32_t mood_left;  // requests until it changes
	uint32_t batch_left; // requests until it waits for all answers
};

struct write {
	uint64_t ns; // at its sender
	uint32_t to; // end in the sender's stream
};

struct segment {
	uint64_t sent_ns;
	uint32_t from, to; // in the sender's stream; 0, 0: no data
	uint32_t ack;
	uint8_t side;
};

struct talk {
	const struct loss_dialect *dialect;
	struct loss_random random;
	struct client client;
	struct loss_text streams[2];
	struct write writes[2][WRITES_MAX];
	uint32_t write_count[2];
	struct segment segments[SEGMENTS_MAX];
	uint32_t segment_count;
	uint64_t delay_ns[2]; // from each side to the tap
	uint64_t asked_ns[UNITS];
	uint64_t got_ns[UNITS]; // when the client has the whole answer
	uint32_t asked;         // records that a tap without loss gives
};

static void add_write(struct talk *t, uint8_t side, uint64_t ns)
{
	uint32_t *count = &t->write_count[side];
	struct write *last = *count == 0 ? NULL : &t->writes[side][*count - 1];

	if (last == NULL || last->ns < ns) {
		TL_ASSERT(*count < WRITES_MAX);
		last = &t->writes[side][(*count)++];
		last->ns = ns;
	}
	last->to = t->streams[side].len;
}

static enum habit habit_now(struct talk *t)
{
	struct client *client = &t->client;

	if (client->habit != MOODY)
		return client->habit;
	if (client->mood_left-- == 0) {
		client->mood = (enum habit)loss_random(&t->random, MOODY);
		client->mood_left = 10 + loss_random(&t->random, 80);
		client->batch_left = 0;
	}
	return client->mood;
}

// When the client sends request `n`: `idle` is when it got the last answer, `last` when it sent the
// request before.
static uint64_t when(struct talk *t, uint32_t n, uint64_t last, uint64_t idle)
{
	struct loss_random *r = &t->random;
	struct client *client = &t->client;
	uint64_t think = US * (1 + loss_random(r, 60));
	enum habit habit = habit_now(t);

	if (happens(r, 0.005))
		think += MS * loss_random(r, 2000); // the application has other things to do
	switch (habit) {
	case SINGLE:
		return idle + think;
	case BATCH:
	case LONG_BATCH:
		if (client->batch_left-- == 0) {
			client->batch_left = (habit == BATCH ? 16 : 100) - 1;
			return idle + think;
		}
		return habit == BATCH ? last : last + US * loss_random(r, 8);
	case SHARED:
		if (happens(r, 0.5))
			return idle + think;
		return last + US * loss_random(r, happens(r, 0.7) ? 400 : 30);
	case LOOSE_WINDOW:
		if (happens(r, 0.3))
			return idle + think;
		break;
	default:
		break;
	}
	uint64_t room = n < WINDOW ? START_NS : t->got_ns[n - WINDOW];
	return (room > last ? room : last) + US * (1 + loss_random(r, 5));
}

static uint64_t say_hello(struct talk *t, uint64_t now)
{
	const struct loss_dialect *d = t->dialect;

	for (uint32_t turn = 0; turn < d->hello_turns; turn++) {
		uint8_t side = (uint8_t)((turn + d->hello_first) % 2);
		t->asked += d->hello(turn, &t->streams[side]);
		add_write(t, side, now);
		now += t->delay_ns[0] + t->delay_ns[1] + 10 * US;
	}
	return now;
}

static void converse(struct talk *t)
{
	uint64_t way = t->delay_ns[0] + t->delay_ns[1];
	uint64_t last = say_hello(t, START_NS + 2 * way + 10 * US);
	uint64_t idle = last;
	uint64_t done = last; // the server has answered what came before
	uint64_t arrived = 0;
	uint32_t nonce = 1;
	uint8_t asker = t->dialect->asker;

	for (uint32_t n = 0; n < UNITS; n++) {
		uint64_t at = when(t, n, last, idle);
		last = t->asked_ns[n] = at > last ? at : last;
		uint32_t count = t->dialect->unit(&t->random, nonce, &t->streams[asker],
						  &t->streams[!asker]);
		nonce += count;
		t->asked += count;
		add_write(t, asker, last);
		// What came in one write is answered in one, mostly.
		if (last + way != arrived || happens(&t->random, 0.1)) {
			arrived = last + way;
			done = (arrived > done ? arrived : done) +
			       US * (2 + loss_random(&t->random, 40));
			if (happens(&t->random, 0.01))
				done += MS * loss_random(&t->random, 5);
		}
		add_write(t, !asker, done);
		idle = t->got_ns[n] = done + way + US;
	}
}

// ---- Packets ---------------------------------------------------------------------------------

static void add_segment(struct talk *t, uint8_t side, uint64_t ns, uint32_t from, uint32_t to)
{
	TL_ASSERT(t->segment_count < SEGMENTS_MAX);
	t->segments[t->segment_count++] =
		(struct segment) {.sent_ns = ns, .from = from, .to = to, .side = side};
}

static uint64_t tap_ns(const struct talk *t, const struct segment *s)
{
	return s->sent_ns + t->delay_ns[s->side];
}

static void cut_writes(struct talk *t, uint8_t side, uint32_t most)
{
	uint64_t ns = 0;
	uint32_t at = 0;

	for (uint32_t i = 0; i < t->write_count[side]; i++) {
		const struct write *w = &t->writes[side][i];
		ns = w->ns > ns ? w->ns : ns;
		while (at < w->to) {
			uint32_t end = w->to - at > most ? at + most : w->to;
			add_segment(t, side, ns, at, end);
			ns += 100; // of a nanosecond each: one after the other
			at = end;
		}
	}
}

// Acknowledgements without data, of some of what arrives.
static void add_acks(struct talk *t)
{
	uint64_t way = t->delay_ns[0] + t->delay_ns[1];

	for (uint32_t i = 0, count = t->segment_count; i < count; i++) {
		const struct segment *s = &t->segments[i];
		if (loss_random(&t->random, 3) != 0)
			continue;
		uint64_t late = loss_random(&t->random, 4) == 0 ? 40 * MS : US;
		add_segment(t, !s->side, s->sent_ns + way + late, 0, 0);
	}
}

static const struct talk *sorted; // for qsort(), which has no argument for it

static int by_tap(const void *a, const void *b)
{
	const struct segment *x = (const struct segment *)a;
	const struct segment *y = (const struct segment *)b;
	uint64_t x_ns = tap_ns(sorted, x);
	uint64_t y_ns = tap_ns(sorted, y);

	if (x_ns != y_ns)
		return x_ns < y_ns ? -1 : 1;
	if (x->side != y->side)
		return x->side - y->side;
	return (x->to > y->to) - (x->to < y->to);
}

// What each side had got when it sent a segment.
static void fill_acks(struct talk *t, uint8_t side)
{
	uint64_t way = t->delay_ns[0] + t->delay_ns[1];
	uint32_t got = 0;
	uint32_t sent = 0;
	uint32_t k = 0;

	for (uint32_t i = 0; i < t->segment_count; i++) {
		struct segment *s = &t->segments[i];
		if (s->side != side)
			continue;
		for (; k < t->segment_count; k++) {
			const struct segment *other = &t->segments[k];
			if (other->side == side)
				continue;
			if (other->sent_ns + way > s->sent_ns)
				break;
			got = other->to > got ? other->to : got;
		}
		if (s->to == 0)
			s->from = s->to = sent;
		sent = s->to;
		s->ack = got;
	}
}

static void make_segments(struct talk *t)
{
	static const uint32_t sizes[] = {1448, 1448, 536, 8948};
	uint32_t most = sizes[loss_random(&t->random, TL_COUNT_OF(sizes))];

	cut_writes(t, TL_CLIENT, most);
	cut_writes(t, TL_SERVER, most);
	add_acks(t);
	sorted = t;
	qsort(t->segments, t->segment_count, sizeof(t->segments[0]), by_tap);
	fill_acks(t, TL_CLIENT);
	fill_acks(t, TL_SERVER);
}

// ---- A run -------------------------------------------------------------------------------------

static const struct loss {
	const char *name;
	double share; // of the packets
	uint32_t run; // longest row of lost ones
	double floor; // least share of paired requests of a client that waits for each answer
	uint32_t away_us; // the longest time that the reader of a side is away
} losses[] = {
	{"none", 0, 1, 1, 0}, {"0.1 %", 0.001, 1, 0.97, 0}, {"1 %", 0.01, 1, 0.8, 0},
	{"5 %", 0.05, 1, 0.25, 0}, {"2 % in runs", 0.02, 12, 0.8, 0},
	{"none, late", 0, 1, 1, 2000}, {"none, too late", 0, 1, 0, 600000},
	{"1 %, too late", 0.01, 1, 0, 20000},
};

// A packet on its way from the tap to the engine.
struct arrival {
	struct packet_spec spec;
	uint64_t read_ns;
	uint32_t order;
};

// Who reads the packets of a side: away for a while, then there for a while.
struct reader {
	uint64_t away_until_ns;
	uint64_t there_until_ns;
};

struct tally {
	uint64_t asked;
	uint64_t paired;
	uint64_t wrong;
	uint64_t joined; // wrong pairs of connections whose first packets were lost: they say so
	uint64_t silent; // records without a number that don't say why
};

struct run {
	const struct loss_dialect *dialect;
	struct tl_engine *engine;
	struct loss_random random; // of the losses
	const struct loss *loss;
	uint32_t losing;
	struct reader readers[2];
	struct arrival arrivals[SEGMENTS_MAX + CONTROLS_MAX];
	uint32_t arrival_count;
	uint64_t now_ns;
	struct tally tally;
	bool shows;
	FILE *pcap;
};

static void take_record(void *arg, const struct tl_roundtrip *record)
{
	struct run *run = (struct run *)arg;
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);
	const char *protocol = run->dialect->protocol != NULL ? run->dialect->protocol
							      : run->dialect->name;
	uint64_t asked, answered;

	if (decoder == NULL || strcmp(decoder->name, protocol) != 0 ||
	    record->request.seen == 0)
		return;
	// What the server leaves out behind an error needs no answer.
	run->tally.paired += record->reason == TL_REASON_SKIPPED;
	if (record->response.seen == 0)
		return;
	if (!run->dialect->numbers(record, &asked, &answered)) {
		run->tally.paired++;
		return;
	}
	bool is_known = asked != LOSS_NO_NUMBER && answered != LOSS_NO_NUMBER;
	bool is_wrong = is_known && asked != answered;
	bool is_silent = !is_known && record->status <= TL_STATUS_SERVER_ERROR && record->flags == 0;
	bool is_joined = (record->flags & TL_FLAG_LATE_JOIN) != 0;
	run->tally.paired += !is_wrong;
	run->tally.wrong += is_wrong && !is_joined;
	run->tally.joined += is_wrong && is_joined;
	run->tally.silent += is_silent;
	if (run->shows && (is_wrong || is_silent))
		printf("    at %.6f s: request %llu, response %llu, flags %#x, response at %.6f s\n",
		       (double)(record->request.first_ns - START_NS) / 1e9, (unsigned long long)asked,
		       (unsigned long long)answered, record->flags,
		       (double)(record->response.first_ns - START_NS) / 1e9);
}

static bool is_lost(struct run *run)
{
	if (run->losing == 0 && run->loss->share > 0 &&
	    happens(&run->random, 2 * run->loss->share / (1 + run->loss->run)))
		run->losing = 1 + loss_random(&run->random, run->loss->run);
	if (run->losing == 0)
		return false;
	run->losing--;
	return true;
}

static void write_pcap(FILE *pcap, const struct tl_packet *packet)
{
	const uint32_t head[] = {(uint32_t)(packet->time_ns / 1000000000),
				 (uint32_t)(packet->time_ns % 1000000000), packet->len, packet->len};

	(void)fwrite(head, sizeof(head), 1, pcap);
	(void)fwrite(packet->chunks[0].data, packet->len, 1, pcap);
}

static void send_packet(struct run *run, const struct packet_spec *spec)
{
	static uint8_t bytes[PACKETS_HEADERS_MAX + SEGMENT_BYTES_MAX];
	uint32_t len = packet_write(spec, bytes);
	const struct tl_chunk chunk = {.data = bytes, .len = len};
	const struct tl_packet packet = {
		.chunks = &chunk, .chunk_count = 1, .link_type = TL_LINK_ETHERNET, .len = len,
		.original_len = len, .time_ns = spec->time_ns,
	};

	if (run->pcap != NULL)
		write_pcap(run->pcap, &packet);
	tl_engine_burst(run->engine, &packet, 1);
}

static uint64_t read_at(struct run *run, uint8_t side, uint64_t ns)
{
	struct reader *reader = &run->readers[side];
	uint32_t away_us = run->loss->away_us;

	if (away_us == 0)
		return ns;
	if (ns >= reader->there_until_ns) {
		reader->away_until_ns = ns + loss_random(&run->random, away_us) * US;
		reader->there_until_ns =
			reader->away_until_ns + loss_random(&run->random, 4 * away_us) * US;
	}
	return ns > reader->away_until_ns ? ns : reader->away_until_ns;
}

static void add_packet(struct run *run, uint8_t side, const struct packet_spec *spec)
{
	if (is_lost(run))
		return;
	TL_ASSERT(run->arrival_count < TL_COUNT_OF(run->arrivals));
	struct arrival *a = &run->arrivals[run->arrival_count];
	*a = (struct arrival) {.spec = *spec, .order = run->arrival_count++};
	a->read_ns = a->spec.time_ns = read_at(run, side, spec->time_ns);
}

static int by_reading(const void *a, const void *b)
{
	const struct arrival *x = (const struct arrival *)a;
	const struct arrival *y = (const struct arrival *)b;

	if (x->read_ns != y->read_ns)
		return x->read_ns < y->read_ns ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static void send_all(struct run *run)
{
	if (run->loss->away_us != 0)
		qsort(run->arrivals, run->arrival_count, sizeof(run->arrivals[0]), by_reading);
	for (uint32_t i = 0; i < run->arrival_count; i++)
		send_packet(run, &run->arrivals[i].spec);
}

static void send_control(struct run *run, const struct talk *t, uint8_t side, uint8_t flags,
			 uint32_t seq, uint32_t ack)
{
	static const char *const hosts[] = {"10.1.0.1", "10.1.0.2"};
	const uint16_t ports[] = {40001, t->dialect->port};

	run->now_ns += 10 * US;
	add_packet(run, side, &(struct packet_spec) {
		.time_ns = run->now_ns, .source = hosts[side], .destination = hosts[!side],
		.source_port = ports[side], .destination_port = ports[!side], .flags = flags,
		.seq = 1000 + seq, .ack = 1000 + ack, .mss = (flags & TL_TCP_SYN) != 0 ? 1460 : 0,
	});
}

static void play(struct run *run, const struct talk *t)
{
	static const char *const hosts[] = {"10.1.0.1", "10.1.0.2"};
	const uint16_t ports[] = {40001, t->dialect->port};
	uint32_t ends[2] = {t->streams[0].len + 1, t->streams[1].len + 1};

	run->now_ns = START_NS - 100 * US;
	send_control(run, t, TL_CLIENT, TL_TCP_SYN, 0, 0);
	send_control(run, t, TL_SERVER, TL_TCP_SYN | TL_TCP_ACK, 0, 1);
	send_control(run, t, TL_CLIENT, TL_TCP_ACK, 1, 1);
	for (uint32_t i = 0; i < t->segment_count; i++) {
		const struct segment *s = &t->segments[i];
		run->now_ns = tap_ns(t, s);
		add_packet(run, s->side, &(struct packet_spec) {
			.time_ns = run->now_ns, .source = hosts[s->side],
			.destination = hosts[!s->side], .source_port = ports[s->side],
			.destination_port = ports[!s->side], .ip_id = (uint16_t)i,
			.flags = TL_TCP_ACK | (s->to > s->from ? TL_TCP_PSH : 0),
			.seq = 1001 + s->from, .ack = 1001 + s->ack,
			.payload = tl_bytes(t->streams[s->side].bytes + s->from, s->to - s->from),
		});
	}
	send_control(run, t, TL_CLIENT, TL_TCP_FIN | TL_TCP_ACK, ends[0], ends[1]);
	send_control(run, t, TL_SERVER, TL_TCP_FIN | TL_TCP_ACK, ends[1], ends[0] + 1);
	send_control(run, t, TL_CLIENT, TL_TCP_ACK, ends[0] + 1, ends[1] + 1);
	send_all(run);
}

static uint64_t delay(struct loss_random *r)
{
	static const uint64_t delays[] = {5 * US, 5 * US, 60 * US, MS};

	return delays[loss_random(r, TL_COUNT_OF(delays))];
}

static struct tally run_seed(const struct loss_dialect *dialect, enum habit habit, uint32_t loss,
			     uint64_t seed, const struct tl_rules *rules, bool shows, FILE *pcap)
{
	static struct talk t;
	static struct run run;
	uint64_t mixed = (seed * HABIT_COUNT + habit) * TL_COUNT_OF(losses) + loss + 1;

	memset(&run, 0, sizeof(run));
	run.dialect = dialect;
	run.loss = &losses[loss];
	run.shows = shows;
	run.pcap = pcap;
	memset(&t, 0, offsetof(struct talk, streams));
	t.streams[0].len = t.streams[1].len = t.segment_count = t.asked = 0;
	t.write_count[0] = t.write_count[1] = 0;
	t.dialect = dialect;
	t.client.habit = habit;
	t.random.state = mixed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	run.random.state = mixed * UINT64_C(0xbf58476d1ce4e5b9) | 1;
	for (uint32_t i = 0; i < 8; i++)
		(void)loss_random(&run.random, 1 + loss_random(&t.random, 7));
	t.delay_ns[0] = delay(&t.random);
	t.delay_ns[1] = delay(&t.random);
	converse(&t);
	make_segments(&t);
	run.engine = run_engine_create(rules, take_record, &run);
	play(&run, &t);
	tl_engine_finish(run.engine, TL_END_INPUT);
	tl_engine_destroy(run.engine);
	run.tally.asked = t.asked;
	return run.tally;
}

// ---- Main --------------------------------------------------------------------------------------

struct wish {
	const char *protocol;
	const char *pcap;
	uint64_t seeds;
	uint64_t from;
	int habit;
	int loss;
	bool prints;
};

static void open_pcap(const char *path, FILE **ret)
{
	static const uint32_t head[] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 65535, 1};

	*ret = fopen(path, "wb");
	if (*ret == NULL) {
		perror(path);
		exit(2);
	}
	(void)fwrite(head, sizeof(head), 1, *ret);
}

// Plays a run once more, to look at it.
static void show_again(struct wish *wish, const struct loss_dialect *dialect, enum habit habit,
		       uint32_t loss, uint64_t seed, const struct tl_rules *rules)
{
	FILE *pcap = NULL;

	if (wish->prints)
		printf("  seed %llu\n", (unsigned long long)seed);
	if (wish->pcap != NULL)
		open_pcap(wish->pcap, &pcap);
	wish->pcap = NULL;
	(void)run_seed(dialect, habit, loss, seed, rules, wish->prints, pcap);
	if (pcap != NULL)
		fclose(pcap);
}

static bool run_cell(struct wish *wish, const struct loss_dialect *dialect, enum habit habit,
		     uint32_t loss, const struct tl_rules *rules)
{
	struct tally sum = {0};
	bool is_plain = losses[loss].share == 0 && losses[loss].away_us == 0;
	uint64_t seeds = is_plain		     ? (wish->seeds + 9) / 10
			 : losses[loss].away_us != 0 ? (wish->seeds + 1) / 2
						     : wish->seeds;

	for (uint64_t seed = wish->from; seed < wish->from + seeds; seed++) {
		struct tally one = run_seed(dialect, habit, loss, seed, rules, false, NULL);
		sum.asked += one.asked;
		sum.paired += one.paired;
		sum.wrong += one.wrong;
		sum.joined += one.joined;
		sum.silent += one.silent;
		if ((one.wrong != 0 || one.silent != 0) && (wish->prints || wish->pcap != NULL))
			show_again(wish, dialect, habit, loss, seed, rules);
	}
	// What is seen is not thrown away: without loss nothing, with it not where clients wait. What
	// is held for a side that is late is bounded, which clients that don't wait exceed.
	bool has_floor = is_plain || (habit == SINGLE && !dialect->counts);
	double floor = has_floor ? losses[loss].floor : 0;
	bool is_bad = sum.wrong != 0 || sum.silent != 0 ||
		      (double)sum.paired < floor * (double)sum.asked;
	printf("%-6s %-10s %-36s loss %-12s %8llu asked, %6.2f %% paired, %llu wrong, %llu late, "
	       "%llu silent\n",
	       is_bad ? "FAILED" : "ok", dialect->name, habit_names[habit], losses[loss].name,
	       (unsigned long long)sum.asked, 100.0 * (double)sum.paired / (double)sum.asked,
	       (unsigned long long)sum.wrong, (unsigned long long)sum.joined,
	       (unsigned long long)sum.silent);
	return is_bad;
}

static uint32_t run_dialect(struct wish *wish, const struct loss_dialect *dialect)
{
	struct conversation options = {.option_count = 0};
	uint32_t failures = 0;

	if (strcmp(dialect->name, "http") == 0)
		options.options[options.option_count++] = (char *)"http.response_headers=x-number";
	struct run_options *o = run_options_create(&options);
	for (uint32_t habit = 0; habit < HABIT_COUNT; habit++) {
		if (habit != SINGLE && !dialect->pipelines)
			continue;
		if (wish->habit >= 0 && habit != (uint32_t)wish->habit)
			continue;
		for (uint32_t loss = 0; loss < TL_COUNT_OF(losses); loss++)
			if (wish->loss < 0 || loss == (uint32_t)wish->loss)
				failures += run_cell(wish, dialect, (enum habit)habit, loss,
						     run_options_rules(o));
	}
	run_options_free(o);
	return failures;
}

int main(int argc, char **argv)
{
	struct wish wish = {.seeds = 20, .from = 1, .habit = -1, .loss = -1};
	uint32_t failures = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--print") == 0) {
			wish.prints = true;
			continue;
		}
		if (strcmp(argv[i], "--seeds") == 0)
			wish.seeds = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--from") == 0)
			wish.from = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--protocol") == 0)
			wish.protocol = value;
		else if (strcmp(argv[i], "--habit") == 0)
			wish.habit = (int)strtol(value, NULL, 10);
		else if (strcmp(argv[i], "--loss") == 0)
			wish.loss = (int)strtol(value, NULL, 10);
		else if (strcmp(argv[i], "--pcap") == 0)
			wish.pcap = value;
		else
			return 2;
		i++;
	}
	for (uint32_t i = 0; i < loss_dialect_count; i++)
		if (wish.protocol == NULL || strcmp(wish.protocol, loss_dialects[i].name) == 0)
			failures += run_dialect(&wish, &loss_dialects[i]);
	return failures == 0 ? 0 : 1;
}
