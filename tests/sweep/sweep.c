// SPDX-License-Identifier: Apache-2.0
// Plays each conversation of a file in every way in which a probe may come to see it, and holds
// the records against those of the plain run, which in turn must be the expected ones:
//  - cut anywhere, in one and two places, into single bytes; in every causal order of the lanes;
//    with neighbouring packets swapped, packets copied or sent again: the same records;
//  - with a hole anywhere, joined late, one direction only: the same records or none, or records
//    that say what they miss; never one that was not said.
// At the end of each run the counters must add up.
//
//	sweep [--seed N] [--only NAME] [--print] [--corpus FOLDER] FILE...
//
// --corpus writes each conversation as a seed of tests/fuzz/decoder.c instead.
#include "run.h"

#include "base/check.h"

#include <stdlib.h>

#define TWO_CUTS_MAX 600u   // pairs of cuts tried; more are sampled
#define SINGLES_MAX 700u    // positions tried of single cuts, holes of a byte, late joins
#define HOLES_MAX 250u      // holes sampled besides
#define ORDERS_MAX 100u     // interleavings of the two lanes
#define FAILURES_SHOWN 3u   // per conversation
#define STEP_NS 5000000ull  // between turns
#define HOLE_STEP_NS 60000000ull // so that losses are noticed while the conversation goes on

struct sweep {
	const struct conversation *c;
	struct run_options *options;
	struct plan plan;
	struct result base;
	struct result got;
	uint64_t seed;
	uint64_t random;
	uint32_t runs;
	uint32_t failures;
	uint32_t mispaired; // records that hold halves of two, flagged as they must be
	char what[256];     // this run, in words
};

static uint32_t random_below(struct sweep *s, uint32_t n)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (uint32_t)(s->random >> 16) % n;
}

static void show(const struct result *r, const char *title)
{
	static char text[2 * RECORD_TEXT_MAX];

	printf("    %s\n", title);
	for (uint32_t i = 0; i < r->count; i++) {
		record_text(&r->records[i], 0, text, sizeof(text));
		printf("      %s\n", text);
	}
}

static void fail(struct sweep *s, const char *why)
{
	if (s->failures++ >= FAILURES_SHOWN)
		return;
	printf("  FAILED %s, %s (seed %llu): %s\n", s->c->name, s->what,
	       (unsigned long long)s->seed, why);
	show(&s->base, "the plain run gave:");
	show(&s->got, "this one gave:");
}

static void play(struct sweep *s, struct plan_spec spec)
{
	if (spec.step_ns == 0)
		spec.step_ns = STEP_NS;
	plan_make(s->c, &spec, &s->plan);
	s->runs++;
	run_plan(s->c, run_options_rules(s->options), &s->plan, &s->got);
}

static void play_again(struct sweep *s)
{
	s->runs++;
	run_plan(s->c, run_options_rules(s->options), &s->plan, &s->got);
}

static bool same_record(const struct record *a, const struct record *b, uint32_t ignore)
{
	return a->status == b->status && a->reason == b->reason &&
	       (a->flags & ~ignore) == (b->flags & ~ignore) &&
	       memcmp(a->trace, b->trace, sizeof(a->trace)) == 0 &&
	       strcmp(a->request, b->request) == 0 && strcmp(a->response, b->response) == 0;
}

// The run must have given what the plain one did.
static void want_same(struct sweep *s, uint32_t ignore)
{
	if (s->got.ledger[0] != '\0')
		fail(s, s->got.ledger);
	bool same = s->got.count == s->base.count;
	for (uint32_t i = 0; same && i < s->got.count; i++)
		same = same_record(&s->got.records[i], &s->base.records[i], ignore);
	if (!same)
		fail(s, "other records");
	result_free(&s->got);
}

// ---- The plain run against what the file expects -----------------------------------------------

// Does `text` have the word `token`? Words are parted by blanks outside of quotes.
static bool has_token(const char *text, const char *token, size_t len)
{
	while (*text != '\0') {
		size_t word = 0;
		bool quoted = false;
		for (; text[word] != '\0' && (quoted || text[word] != ' '); word++)
			quoted = quoted != (text[word] == '"');
		if (word == len && strncmp(text, token, len) == 0)
			return true;
		text += word + (text[word] != '\0');
	}
	return false;
}

static bool meets(const struct record *r, const char *expected)
{
	static char text[2 * RECORD_TEXT_MAX];
	record_text(r, 0, text, sizeof(text));
	// Flags and a reason must be expected, everything else may be left out.
	if (r->flags != 0 && strstr(expected, "flags=") == NULL)
		return false;
	if (r->reason != 0 && strstr(expected, "reason=") == NULL)
		return false;
	while (*expected != '\0') {
		size_t word = 0;
		bool quoted = false;
		for (; expected[word] != '\0' && (quoted || expected[word] != ' '); word++)
			quoted = quoted != (expected[word] == '"');
		// "!res.body" must not be there.
		bool not = expected[0] == '!';
		if (not && strstr(text, expected + 1) != NULL)
			return false;
		if (!not && word != 0 && !has_token(text, expected, word))
			return false;
		expected += word + (expected[word] != '\0');
	}
	return true;
}

static void plain(struct sweep *s)
{
	snprintf(s->what, sizeof(s->what), "plain");
	play(s, (struct plan_spec) {.only_lane = -1});
	s->base = s->got;
	memset(&s->got, 0, sizeof(s->got));
	if (s->base.ledger[0] != '\0')
		fail(s, s->base.ledger);
	for (uint32_t i = 0; i < s->base.count && i < s->c->expected_count; i++) {
		if (meets(&s->base.records[i], s->c->expected[i]))
			continue;
		char why[512];
		snprintf(why, sizeof(why), "record %u is not: %.400s", i + 1, s->c->expected[i]);
		fail(s, why);
	}
	if (s->base.count != s->c->expected_count)
		fail(s, "not the number of records expected");
}

// ---- Runs that must give the same ------------------------------------------------------------

static void cut_sweep(struct sweep *s)
{
	uint32_t len = s->c->len;
	uint64_t pairs = (uint64_t)len * (len - 1) / 2;
	uint32_t stride = len / SINGLES_MAX + 1;

	for (uint32_t i = 1; i < len; i += stride) {
		snprintf(s->what, sizeof(s->what), "cut at %u", i);
		play(s, (struct plan_spec) {.cuts = &i, .cut_count = 1, .only_lane = -1});
		want_same(s, 0);
	}
	for (uint64_t n = 0; n < pairs && n < TWO_CUTS_MAX; n++) {
		uint32_t cuts[2] = {1 + random_below(s, len - 1), 1 + random_below(s, len - 1)};
		snprintf(s->what, sizeof(s->what), "cut at %u and %u", cuts[0], cuts[1]);
		play(s, (struct plan_spec) {.cuts = cuts, .cut_count = 2, .only_lane = -1});
		want_same(s, 0);
	}
	if (len < PACKETS_MAX - 4 * TURNS_MAX) {
		snprintf(s->what, sizeof(s->what), "byte by byte");
		play(s, (struct plan_spec) {.every_byte = true, .only_lane = -1});
		want_same(s, 0);
	}
}

struct order_search {
	uint8_t order[TURNS_MAX];
	uint32_t tried;
};

// The next order after `state->order` in which each turn comes after those it needs: counts up
// like an odometer over "which lane goes next", without recursion.
static bool order_of_bits(const struct conversation *c, uint64_t bits, uint8_t *order)
{
	uint32_t at[TL_LANE_COUNT] = {0, 0};
	uint32_t done[TL_LANE_COUNT] = {0, 0};

	for (uint32_t n = 0; n < c->turn_count; n++) {
		uint8_t lane = (uint8_t)(bits >> n & 1);
		while (at[lane] < c->turn_count && c->turns[at[lane]].lane != lane)
			at[lane]++;
		if (at[lane] == c->turn_count || c->turns[at[lane]].needs > done[!lane])
			return false;
		order[n] = (uint8_t)at[lane]++;
		done[lane]++;
	}
	return true;
}

static void order_sweep(struct sweep *s)
{
	struct order_search search = {.tried = 0};
	const uint32_t turns = s->c->turn_count;

	if (turns > 16)
		return; // 65,536 choices are looked at
	for (uint64_t bits = 0; bits < 1ull << turns && search.tried < ORDERS_MAX; bits++) {
		if (!order_of_bits(s->c, bits, search.order))
			continue;
		search.tried++;
		snprintf(s->what, sizeof(s->what), "lanes in the order %#llx",
			 (unsigned long long)bits);
		play(s, (struct plan_spec) {.order = search.order, .only_lane = -1});
		want_same(s, 0);
	}
}

// Packets of about a third of a turn, so that there is something to swap and to repeat.
static void make_thirds(struct sweep *s)
{
	static uint32_t cuts[2 * TURNS_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->c->turn_count; i++) {
		const struct turn *turn = &s->c->turns[i];
		cuts[count++] = turn->offset + turn->len / 3;
		cuts[count++] = turn->offset + turn->len * 2 / 3;
	}
	plan_make(s->c, &(struct plan_spec) {.cuts = cuts, .cut_count = count,
					     .step_ns = STEP_NS, .only_lane = -1},
		  &s->plan);
}

static void swap_packets(struct plan *plan, uint32_t i, uint32_t j)
{
	struct packet_spec a = plan->packets[i];
	uint64_t early = a.time_ns;
	uint64_t late = plan->packets[j].time_ns;
	int32_t turn = plan->turn[i];

	plan->packets[i] = plan->packets[j];
	plan->packets[j] = a;
	plan->packets[i].time_ns = early;
	plan->packets[j].time_ns = late;
	plan->turn[i] = plan->turn[j];
	plan->turn[j] = turn;
}

static bool ends_connection(const struct packet_spec *p)
{
	return (p->flags & (TL_TCP_FIN | TL_TCP_RST)) != 0;
}

static void swap_sweep(struct sweep *s)
{
	make_thirds(s);
	uint32_t count = s->plan.count;
	// What follows an RST is not part of the conversation: neither moves across the end.
	for (uint32_t i = 3; i + 1 < count; i++) {
		if (ends_connection(&s->plan.packets[i]) || ends_connection(&s->plan.packets[i + 1]))
			continue;
		snprintf(s->what, sizeof(s->what), "packets %u and %u swapped", i, i + 1);
		swap_packets(&s->plan, i, i + 1);
		play_again(s);
		swap_packets(&s->plan, i, i + 1);
		want_same(s, 0);
	}
}

static void insert_packet(struct plan *plan, uint32_t at, uint32_t copy_of, uint64_t later_ns,
			  bool is_sent_again)
{
	TL_ASSERT(plan->count < PACKETS_MAX);
	memmove(&plan->packets[at + 1], &plan->packets[at],
		(plan->count - at) * sizeof(plan->packets[0]));
	memmove(&plan->turn[at + 1], &plan->turn[at], (plan->count - at) * sizeof(plan->turn[0]));
	plan->packets[at] = plan->packets[copy_of];
	plan->turn[at] = plan->turn[copy_of];
	plan->packets[at].time_ns = plan->packets[at - 1].time_ns + later_ns;
	if (is_sent_again)
		plan->packets[at].ip_id = (uint16_t)(plan->packets[at].ip_id + 10000);
	plan->count++;
}

static void repeat_sweep(struct sweep *s)
{
	make_thirds(s);
	uint32_t count = s->plan.count;
	for (uint32_t i = 0; i < count; i++) {
		snprintf(s->what, sizeof(s->what), "packet %u captured twice", i);
		make_thirds(s);
		insert_packet(&s->plan, i + 1, i, 1000, false);
		play_again(s);
		want_same(s, 0);
		if (s->plan.packets[i].payload.len == 0)
			continue;
		snprintf(s->what, sizeof(s->what), "packet %u sent twice", i);
		make_thirds(s);
		uint32_t to = i + 2 < count ? i + 2 : count;
		insert_packet(&s->plan, to, i, 2000, true);
		play_again(s);
		want_same(s, TL_FLAG_RETRANSMITTED);
	}
}

// ---- Runs with losses ------------------------------------------------------------------------

// A half behind its byte counts: what was cut short has the fields, not all the bytes.
static const char *fields_of(const char *half)
{
	for (int blanks = 0; blanks < 2; blanks++) {
		const char *blank = strchr(half, ' ');
		if (blank == NULL)
			return half + strlen(half);
		half = blank + 1;
	}
	return half;
}

static const struct record *find_half(const struct sweep *s, const struct record *r, bool response)
{
	for (uint32_t i = 0; i < s->base.count; i++) {
		const struct record *b = &s->base.records[i];
		const char *want = response ? b->response : b->request;
		const char *got = response ? r->response : r->request;
		if (strcmp(fields_of(want), fields_of(got)) == 0)
			return b;
	}
	return NULL;
}

// True when all fields of `got` are fields of `want`.
static bool says_no_more(const char *got, const char *want, const char *side)
{
	got = fields_of(got);
	while (*got != '\0') {
		const char *end = strstr(got, side);
		size_t len = end == NULL ? strlen(got) : (size_t)(end - got);
		const char *at = want;
		while (at != NULL &&
		       (strncmp(at, got, len) != 0 || (at[len] != ' ' && at[len] != '\0'))) {
			at = strstr(at, side);
			at = at == NULL ? NULL : at + 1;
		}
		if (at == NULL)
			return false;
		got += len + (end != NULL);
	}
	return true;
}

// Of a session whose begin was not seen less is known (user, schema, prepared statements): true
// when the record is one of the plain run's without some of its fields.
static bool is_shorter(const struct sweep *s, const struct record *r)
{
	if ((r->flags & (TL_FLAG_LATE_JOIN | TL_FLAG_ONE_SIDED)) == 0)
		return false;
	for (uint32_t i = 0; i < s->base.count; i++) {
		const struct record *b = &s->base.records[i];
		bool is_half = r->status == TL_STATUS_UNANSWERED || r->status == TL_STATUS_ORPHAN;
		bool has_request = strcmp(r->request, "req=none") != 0;
		bool has_response = strcmp(r->response, "res=none") != 0;
		if ((is_half || b->status == r->status) &&
		    (has_request ? says_no_more(r->request, b->request, " req.")
				 : is_half || strcmp(b->request, r->request) == 0) &&
		    (has_response ? says_no_more(r->response, b->response, " res.")
				  : is_half || strcmp(b->response, r->response) == 0))
			return true;
	}
	return false;
}

// Every word of `got` is in `want`, or says that it isn't known, or begins with `but` (may be NULL).
// Byte counts come first.
static bool is_part(const char *got, const char *want, const char *but)
{
	got = fields_of(got);
	while (*got != '\0') {
		size_t word = 0;
		bool quoted = false;
		for (; got[word] != '\0' && (quoted || got[word] != ' '); word++)
			quoted = quoted != (got[word] == '"');
		const char *equals = memchr(got, '=', word);
		bool unknown = equals != NULL && strncmp(equals, "=<unknown>", 10) == 0;
		bool ignored = but != NULL && strncmp(got, but, strlen(but)) == 0;
		if (!unknown && !ignored && !has_token(want, got, word))
			return false;
		got += word + (got[word] != '\0');
	}
	return true;
}

// Where later messages refer to what earlier ones said: the record is one of the plain run's but
// for values that only what was missed could tell.
static bool is_less_known(const struct sweep *s, const struct record *r)
{
	if (!s->c->refers_back || (r->flags & (TL_FLAG_LATE_JOIN | TL_FLAG_ONE_SIDED)) == 0)
		return false;
	for (uint32_t i = 0; i < s->base.count; i++) {
		const struct record *b = &s->base.records[i];
		bool same = (r->status == b->status && r->reason == b->reason) ||
			    r->status >= TL_STATUS_TIMEOUT || (r->flags & TL_FLAG_ESTIMATED) != 0;
		if (same && (strcmp(r->request, "req=none") == 0 || is_part(r->request, b->request, NULL)) &&
		    (strcmp(r->response, "res=none") == 0 || is_part(r->response, b->response, NULL)))
			return true;
	}
	return false;
}

// A response without its request, where that would have told that it carries another protocol: it
// says less, but the reason that only HTTP/1 has.
static bool is_outer_half(const struct sweep *s, const struct record *r)
{
	for (uint32_t i = 0; s->c->is_carried && i < s->base.count; i++)
		if (is_part(r->response, s->base.records[i].response, "res.reason="))
			return true;
	return false;
}

// A record that was not among the plain run's: does it say that it is not whole?
static bool is_excused(struct sweep *s, const struct record *r, uint32_t excuses)
{
	if ((r->flags & excuses) != 0) {
		if (r->status <= TL_STATUS_SERVER_ERROR &&
		    find_half(s, r, false) != find_half(s, r, true) &&
		    find_half(s, r, false) != NULL && find_half(s, r, true) != NULL)
			s->mispaired++;
		return true;
	}
	if (is_shorter(s, r) || is_less_known(s, r))
		return true;
	switch ((enum tl_status)r->status) {
	case TL_STATUS_TIMEOUT:
	case TL_STATUS_RESET:
	case TL_STATUS_CANCELLED:
	case TL_STATUS_UNANSWERED:
		return find_half(s, r, false) != NULL;
	case TL_STATUS_ORPHAN:
		return find_half(s, r, true) != NULL || is_outer_half(s, r);
	default:
		return false;
	}
}

// Records of the plain run, or excused ones; those complete before turn `whole` unchanged.
static void want_honest(struct sweep *s, uint32_t ignore, uint32_t excuses, uint32_t whole)
{
	bool taken[RECORDS_MAX] = {false};
	bool is_honest = true;

	if (s->got.ledger[0] != '\0')
		fail(s, s->got.ledger);
	for (uint32_t i = 0; i < s->got.count; i++) {
		const struct record *r = &s->got.records[i];
		uint32_t b = 0;
		while (b < s->base.count && (taken[b] || !same_record(&s->base.records[b], r, ignore)))
			b++;
		if (b < s->base.count)
			taken[b] = true;
		else if (!is_excused(s, r, excuses))
			is_honest = false;
	}
	if (!is_honest)
		fail(s, "a record that was never said, and that does not say so");
	bool kept = true;
	for (uint32_t b = 0; whole > 0 && b < s->base.after_turn[whole - 1]; b++)
		kept = kept && taken[b];
	if (!kept)
		fail(s, "a record complete before the loss was harmed by it");
	result_free(&s->got);
}

static void hole(struct sweep *s, uint32_t begin, uint32_t end)
{
	uint32_t turn = 0;

	while (turn + 1 < s->c->turn_count && s->c->turns[turn + 1].offset <= begin)
		turn++;
	snprintf(s->what, sizeof(s->what), "hole [%u, %u) from turn %u", begin, end, turn + 1);
	play(s, (struct plan_spec) {.hole_begin = begin, .hole_end = end,
				    .step_ns = HOLE_STEP_NS, .only_lane = -1});
	// A hole before the protocol was recognised is taken for a late join.
	want_honest(s, TL_FLAG_LATE_JOIN, TL_FLAG_GAP | TL_FLAG_TRUNCATED | TL_FLAG_LATE_JOIN, turn);
}

static void hole_sweep(struct sweep *s)
{
	const struct conversation *c = s->c;
	uint32_t stride = c->len / SINGLES_MAX + 1;

	for (uint32_t i = 0; i < c->len; i += stride)
		hole(s, i, i + 1);
	for (uint32_t i = 0; i < c->turn_count; i++)
		for (uint32_t j = i; j < c->turn_count && j < i + 8; j++)
			hole(s, c->turns[i].offset, c->turns[j].offset + c->turns[j].len);
	for (uint32_t n = 0; n < HOLES_MAX && c->len > 2; n++) {
		uint32_t begin = random_below(s, c->len - 1);
		hole(s, begin, begin + 1 + random_below(s, c->len - begin));
	}
}

static bool has_eager_turns(const struct conversation *c)
{
	for (uint32_t i = 0; i < c->turn_count; i++)
		if (c->turns[i].is_eager)
			return true;
	return false;
}

static void late_sweep(struct sweep *s)
{
	uint32_t stride = s->c->len / SINGLES_MAX + 1;
	// Behind a pipelining client nothing tells which request the first response belongs to.
	uint32_t excuses = TL_FLAG_GAP | TL_FLAG_TRUNCATED;

	if (s->c->hides_starts)
		return;
	if (has_eager_turns(s->c))
		excuses |= TL_FLAG_LATE_JOIN;
	for (uint32_t i = 1; i < s->c->len; i += stride) {
		snprintf(s->what, sizeof(s->what), "joined at %u", i);
		play(s, (struct plan_spec) {.from = i, .step_ns = HOLE_STEP_NS, .only_lane = -1});
		// A message of the server that needs no request may be all that was seen so far.
		want_honest(s, TL_FLAG_LATE_JOIN | TL_FLAG_ONE_SIDED, excuses, 0);
	}
}

static void one_sided_sweep(struct sweep *s)
{
	for (int lane = 0; lane < TL_LANE_COUNT; lane++) {
		snprintf(s->what, sizeof(s->what), "%s only", lane == TL_CLIENT ? "client" : "server");
		play(s, (struct plan_spec) {.only_lane = lane, .step_ns = HOLE_STEP_NS});
		bool is_paired = false;
		for (uint32_t i = 0; i < s->got.count; i++) {
			const struct record *r = &s->got.records[i];
			// What a server pushes, it promises and answers by itself.
			bool is_pushed = lane == TL_SERVER && (r->flags & TL_FLAG_FROM_SERVER) != 0;
			is_paired = is_paired || (!is_pushed && strcmp(r->request, "req=none") != 0 &&
						  strcmp(r->response, "res=none") != 0);
		}
		if (is_paired)
			fail(s, "a pair out of one half");
		want_honest(s, TL_FLAG_ONE_SIDED, TL_FLAG_GAP | TL_FLAG_TRUNCATED, 0);
	}
}

// ---- Main ------------------------------------------------------------------------------------

static uint32_t sweep_conversation(const struct conversation *c, uint64_t seed, bool print)
{
	static struct sweep s;

	memset(&s, 0, sizeof(s));
	s.c = c;
	s.seed = seed;
	s.random = seed * 0x9e3779b97f4a7c15ull | 1;
	s.options = run_options_create(c);
	plain(&s);
	if (print)
		show(&s.base, c->name);
	if (s.failures == 0) {
		cut_sweep(&s);
		order_sweep(&s);
		swap_sweep(&s);
		repeat_sweep(&s);
		hole_sweep(&s);
		late_sweep(&s);
		one_sided_sweep(&s);
	}
	printf("%s %s: %u runs, %u failed", s.failures == 0 ? "ok    " : "FAILED", c->name, s.runs,
	       s.failures);
	if (s.mispaired != 0)
		printf(", %u pairs of unlike halves, flagged", s.mispaired);
	printf("\n");
	run_options_free(s.options);
	result_free(&s.base);
	return s.failures;
}

#define SEED_BYTES_MAX 4096u // longer conversations make slow seeds

// The protocol whose usual port the conversation names.
static uint16_t protocol_of(const struct conversation *c)
{
	for (uint16_t id = 0; id < tl_decoder_count; id++) {
		const uint16_t *port = tl_decoders[id] == NULL ? NULL : tl_decoders[id]->ports;
		for (; port != NULL && *port != 0; port++)
			if (*port == c->port)
				return id;
	}
	return 0;
}

static void write_seed(const struct conversation *c, const char *folder)
{
	char path[512];
	uint16_t id = protocol_of(c);

	if (c->len > SEED_BYTES_MAX || id == 0)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, c->name);
	FILE *file = fopen(path, "wb");
	if (file == NULL) {
		perror(path);
		exit(2);
	}
	fputc(id, file);
	for (uint32_t i = 0; i < c->turn_count; i++) {
		const struct turn *turn = &c->turns[i];
		fputc(turn->lane, file);
		fputc((int)(turn->len & 0xff), file);
		fputc((int)(turn->len >> 8), file);
		fwrite(c->bytes + turn->offset, 1, turn->len, file);
	}
	fclose(file);
}

struct wish {
	const char *only;
	const char *corpus;
	uint64_t seed;
	bool print;
};

static uint32_t sweep_file(const char *path, const struct wish *wish)
{
	uint32_t line = 0;
	uint32_t failures = 0;
	uint32_t count = 0;
	FILE *file = fopen(path, "r");

	if (file == NULL) {
		perror(path);
		exit(2);
	}
	for (struct conversation *c; (c = conversation_read(file, path, &line)) != NULL;) {
		if (wish->only == NULL || strcmp(wish->only, c->name) == 0) {
			if (wish->corpus != NULL)
				write_seed(c, wish->corpus);
			else
				failures += sweep_conversation(c, wish->seed, wish->print);
			count++;
		}
		conversation_free(c);
	}
	fclose(file);
	if (count == 0) {
		fprintf(stderr, "%s: no conversation\n", path);
		exit(2);
	}
	return failures;
}

int main(int argc, char **argv)
{
	struct wish wish = {.seed = 1};
	uint32_t failures = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			wish.seed = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			wish.only = argv[++i];
		else if (strcmp(argv[i], "--corpus") == 0 && i + 1 < argc)
			wish.corpus = argv[++i];
		else if (strcmp(argv[i], "--print") == 0)
			wish.print = true;
		else
			failures += sweep_file(argv[i], &wish);
	}
	return failures == 0 ? 0 : 1;
}
