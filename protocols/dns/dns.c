// SPDX-License-Identifier: Apache-2.0
// DNS over UDP and TCP: RFC 1035, 1996 (NOTIFY), 2136 (UPDATE), 5936 (AXFR), 1995 (IXFR), 6891
// (EDNS), 7766 (TCP), 6762 (mDNS), 4795 (LLMNR). A request is recognised by its QR bit, whichever
// side sends it.
#include "l7/decoder.h"
#include "protocols/dns/message.h"
#include "protocols/dns/show.h"
#include "protocols/dns/span.h"

#include <stddef.h>

#define RECENT_COUNT 8u        // keys remembered for answers that repeat no question
#define BAD_MESSAGES_MAX 4u    // broken TCP messages in a row until the lane is given up
#define LENGTH_BYTES 2u        // before each message over TCP
#define DNS_PORT 53
#define MDNS_PORT 5353
#define LLMNR_PORT 5355

#define BOTH (TL_FIELD_REQUEST | TL_FIELD_RESPONSE)
#define LOW TL_CARDINALITY_LOW
#define HIGH TL_CARDINALITY_HIGH
#define ROW(id, name_, label_, attribute_, type_, cardinality_, flags_, parent_, max_, help_) \
	[id] = {.name = name_, .label = label_, .attribute = attribute_, .type = type_, \
		.cardinality = cardinality_, .flags = flags_, .parent = parent_, .max = max_, \
		.help = help_}
#define SECTION(id, name_, help_, data_attribute, data_flags) \
	ROW(id, name_, NULL, NULL, TL_FIELD_OBJECTS, HIGH, BOTH, TL_FIELD_TOP, 0, help_), \
	ROW((id) + MEMBER_NAME, "name", NULL, NULL, TL_FIELD_TEXT, HIGH, BOTH, id, \
	    DNS_NAME_TEXT_MAX, "Owner of the record."), \
	ROW((id) + MEMBER_TYPE, "type", NULL, NULL, TL_FIELD_TEXT, LOW, BOTH, id, 16, \
	    "Type of the record."), \
	ROW((id) + MEMBER_TTL, "ttl", NULL, NULL, TL_FIELD_UINT, HIGH, BOTH, id, 0, \
	    "Seconds it may be cached."), \
	ROW((id) + MEMBER_CLASS, "class", NULL, NULL, TL_FIELD_TEXT, LOW, BOTH, id, 16, \
	    "Class of the record."), \
	ROW((id) + MEMBER_DATA, "data", NULL, data_attribute, TL_FIELD_TEXT, HIGH, \
	    BOTH | (data_flags), id, 1024, \
	    "Data in presentation format, names without the last dot.")

static const struct tl_field fields[] = {
	ROW(FIELD_QTYPE, "qtype", "qtype", "dns.question.type", TL_FIELD_TEXT, LOW,
	    BOTH | TL_FIELD_SUMMARY | TL_FIELD_DEFAULT_LABEL, TL_FIELD_TOP, 16,
	    "Type of the first question; in a response only without its request."),
	ROW(FIELD_QUESTION, "question", "question", "dns.question.name", TL_FIELD_TEXT, HIGH,
	    BOTH | TL_FIELD_SUMMARY, TL_FIELD_TOP, DNS_NAME_TEXT_MAX,
	    "Name of the first question as sent, without its last dot; in a response only without "
	    "its request."),
	ROW(FIELD_RCODE, "rcode", "rcode", "dns.response_code", TL_FIELD_TEXT, LOW,
	    TL_FIELD_RESPONSE | TL_FIELD_SUMMARY | TL_FIELD_DEFAULT_LABEL, TL_FIELD_TOP, 16,
	    "Response code, with the upper bits of EDNS: NOERROR, NXDOMAIN, BADVERS."),
	ROW(FIELD_ID, "id", NULL, "dns.id", TL_FIELD_UINT, HIGH, BOTH, TL_FIELD_TOP, 0,
	    "Message id."),
	ROW(FIELD_OPCODE, "opcode", "opcode", "dns.opcode", TL_FIELD_TEXT, LOW, BOTH, TL_FIELD_TOP,
	    16, "QUERY, NOTIFY, UPDATE, DSO and others."),
	ROW(FIELD_QCLASS, "qclass", "qclass", "dns.question.class", TL_FIELD_TEXT, LOW, BOTH,
	    TL_FIELD_TOP, 16, "Class of the first question."),
	ROW(FIELD_FLAGS, "flags", NULL, NULL, TL_FIELD_TEXT, LOW, BOTH | TL_FIELD_REPEATED,
	    TL_FIELD_TOP, 4, "Those of aa, tc, rd, ra, ad, cd that are set."),
	ROW(FIELD_QUESTION_COUNT, "question_count", NULL, NULL, TL_FIELD_UINT, LOW, BOTH,
	    TL_FIELD_TOP, 0, "Questions by the head, where it is not 1."),
	ROW(FIELD_ANSWER_COUNT, "answer_count", NULL, NULL, TL_FIELD_UINT, LOW,
	    BOTH | TL_FIELD_SUMMARY, TL_FIELD_TOP, 0,
	    "Answer records by the head; of a zone transfer all of them."),
	ROW(FIELD_AUTHORITY_COUNT, "authority_count", NULL, NULL, TL_FIELD_UINT, LOW, BOTH,
	    TL_FIELD_TOP, 0, "Authority records by the head, where there are any."),
	ROW(FIELD_ADDITIONAL_COUNT, "additional_count", NULL, NULL, TL_FIELD_UINT, LOW, BOTH,
	    TL_FIELD_TOP, 0, "Additional records by the head, EDNS included, where there are any."),
	ROW(FIELD_EDNS_VERSION, "edns_version", NULL, NULL, TL_FIELD_UINT, LOW, BOTH, TL_FIELD_TOP, 0,
	    "EDNS version, where there is EDNS."),
	ROW(FIELD_UDP_SIZE, "udp_size", NULL, NULL, TL_FIELD_UINT, LOW, BOTH, TL_FIELD_TOP, 0,
	    "Datagram size that the sender takes (EDNS)."),
	ROW(FIELD_DNSSEC_OK, "dnssec_ok", NULL, NULL, TL_FIELD_BOOL, LOW, BOTH, TL_FIELD_TOP, 0,
	    "DNSSEC records are wanted (EDNS), where set."),
	ROW(FIELD_CLIENT_SUBNET, "client_subnet", NULL, NULL, TL_FIELD_TEXT, HIGH, BOTH, TL_FIELD_TOP,
	    64, "Client subnet (RFC 7871) as address/source/scope."),
	ROW(FIELD_EXTENDED_ERROR, "extended_error", NULL, NULL, TL_FIELD_TEXT, LOW,
	    TL_FIELD_RESPONSE | TL_FIELD_REPEATED, TL_FIELD_TOP, 200,
	    "Extended error (RFC 8914): number, name and text."),
	ROW(FIELD_QUESTIONS, "questions", NULL, NULL, TL_FIELD_OBJECTS, HIGH, BOTH, TL_FIELD_TOP, 0,
	    "All questions, where there are several."),
	ROW(FIELD_QUESTIONS_NAME, "name", NULL, NULL, TL_FIELD_TEXT, HIGH, BOTH, FIELD_QUESTIONS,
	    DNS_NAME_TEXT_MAX, "Name asked for."),
	ROW(FIELD_QUESTIONS_TYPE, "type", NULL, NULL, TL_FIELD_TEXT, LOW, BOTH, FIELD_QUESTIONS, 16,
	    "Type asked for."),
	ROW(FIELD_QUESTIONS_CLASS, "class", NULL, NULL, TL_FIELD_TEXT, LOW, BOTH, FIELD_QUESTIONS, 16,
	    "Class asked for."),
	SECTION(FIELD_ANSWERS, "answers", "Answer records, the first `answers_max` of them.",
		"dns.answers", TL_FIELD_SUMMARY),
	SECTION(FIELD_AUTHORITY, "authority", "Authority records; the update section of an UPDATE.",
		NULL, 0),
	SECTION(FIELD_ADDITIONAL, "additional", "Additional records without EDNS.", NULL, 0),
};

enum counter {
	COUNTER_MALFORMED,
	COUNTER_RECORDS_CUT,
	COUNTER_TRANSFER_REMAINDERS,
	COUNTER_COUNT
};
static const char *const counters[] = {
	[COUNTER_MALFORMED] = "malformed",
	[COUNTER_RECORDS_CUT] = "records_not_shown",
	[COUNTER_TRANSFER_REMAINDERS] = "transfer_remainders",
};

struct options {
	uint64_t answers_max;
};

static const struct tl_option option_rows[] = {
	{.key = "answers_max",
	 .type = TL_OPTION_UINT,
	 .hot = true,
	 .offset = offsetof(struct options, answers_max),
	 .value = "32",
	 .min = 0,
	 .max = 1024,
	 .help = "Records shown of each section of a message; the counts are always complete."},
	TL_OPTION_END,
};

// What is kept with an open request.
struct memo {
	uint32_t query_serial; // IXFR: what the client has
	uint32_t first_serial; // of the transfer's first SOA
	uint32_t answers;      // records of the transfer so far
	uint8_t transfer;      // DNS_AXFR & 0xff, DNS_IXFR & 0xff, 0: an ordinary query
	uint8_t serials;       // SOA records that carry first_serial
	uint8_t is_incremental;
	uint8_t losses; // of the answering lane when the request was read
};
_Static_assert(sizeof(struct memo) <= TL_MEMO_BYTES, "memo too large");

struct lane_state {
	uint32_t length;        // TCP: body bytes due after the length prefix, 0: prefix is next
	uint32_t bad_count;     // broken messages in a row
	uint64_t begin;         // offset of the message's first byte
	uint64_t transfer_key;  // of the zone transfer whose answer is the open message
	uint32_t transfer_shown; // its answers that were shown
	bool in_transfer;
	uint8_t losses;          // gaps so far, modulo 256
	bool ignores_transfer;  // a transfer without its request: one orphan, not one per message
	uint16_t ignored_id;
};

struct dns_state {
	struct lane_state lanes[TL_LANE_COUNT];
	uint64_t recent[TL_LANE_COUNT][RECENT_COUNT]; // keys by opener, newest overwrites oldest
	uint8_t recent_at[TL_LANE_COUNT];
};

static enum tl_lane other(enum tl_lane lane)
{
	return lane == TL_CLIENT ? TL_SERVER : TL_CLIENT;
}

// ---- Records and zone transfers ---------------------------------------------------------------

static uint32_t soa_serial(const struct reading *r, const struct dns_record *record)
{
	return record->data_len >= 22
		       ? tl_load_be32(r->bytes.ptr + record->data_at + record->data_len - 20)
		       : 0;
}

// An answer record of a transfer goes by.
static void count_transfer(const struct reading *r, const struct dns_record *record,
			   struct memo *memo)
{
	uint32_t index = memo->answers++;

	if (record->type != DNS_SOA)
		return;
	uint32_t serial = soa_serial(r, record);
	if (index == 0)
		memo->first_serial = serial;
	else if (index == 1 && memo->transfer == DNS_IXFR)
		memo->is_incremental = serial != memo->first_serial;
	if (serial == memo->first_serial && memo->serials < UINT8_MAX)
		memo->serials++;
}

// RFC 5936 section 2.2: the zone is closed by its SOA. RFC 1995 section 4: differences begin with
// the new SOA, name it again before the last additions, and close with it; the SOA alone says
// that the client is up to date, or over UDP that it has to ask again by TCP.
static bool is_transfer_complete(const struct reading *r, const struct memo *memo)
{
	if (r->rcode != 0 || r->head.records[0] == 0)
		return true;
	if (memo->transfer == DNS_AXFR)
		return memo->serials >= 2;
	if (memo->answers == 1)
		return tl_is_udp(r->ctx) || memo->first_serial == memo->query_serial;
	return memo->serials >= (memo->is_incremental ? 3 : 2);
}

// Shows the sections and counts a transfer. `shown` answers were shown before by this record.
static uint32_t read_records(struct reading *r, struct memo *memo, uint32_t shown)
{
	static const uint8_t lists[] = {FIELD_ANSWERS, FIELD_AUTHORITY, FIELD_ADDITIONAL};
	uint32_t at = r->records_at;
	uint32_t answers = shown;

	for (uint32_t section = 0; section < DNS_SECTION_COUNT; section++) {
		uint32_t here = section == 0 ? shown : 0;
		for (uint32_t i = 0; i < r->head.records[section]; i++) {
			struct dns_record record;
			if (!dns_record_read(r->bytes, &at, &record)) {
				r->is_cut = true;
				return answers;
			}
			if (section == 0 && memo != NULL)
				count_transfer(r, &record, memo);
			if (section == 2 && record.type == DNS_OPT)
				dns_show_edns(r, &record);
			else if (here++ < r->answers_max)
				dns_show_record(r, lists[section], &record);
			else if (here == r->answers_max + 1)
				tl_count(r->ctx, COUNTER_RECORDS_CUT);
		}
		answers = section == 0 ? here : answers;
	}
	return answers;
}

// ---- Requests ---------------------------------------------------------------------------------

static bool is_one_way(const struct reading *r)
{
	uint16_t port = tl_server_port(r->ctx);

	// Captures are anonymised into any range: on port 53 a group address says nothing.
	return tl_is_udp(r->ctx) && (port == MDNS_PORT || port == LLMNR_PORT ||
				     (tl_is_multicast(r->ctx) && port != DNS_PORT));
}

// Over TCP the length prefix has begun the message already, with the time of its own packet.
static void begin(const struct reading *r)
{
	if (tl_is_udp(r->ctx) || !tl_message_is_open(r->ctx, r->lane))
		tl_message_begin(r->ctx, r->lane, r->begin);
	tl_message_body(r->ctx, r->lane, r->bytes.len);
}

static void finish(struct reading *r)
{
	if (r->is_cut) {
		tl_message_flag(r->ctx, r->lane, TL_FLAG_TRUNCATED);
		tl_count(r->ctx, COUNTER_MALFORMED);
	}
	tl_message_end(r->ctx, r->lane, r->end);
}

static void remember(struct dns_state *state, enum tl_lane lane, uint64_t key)
{
	uint32_t at = state->recent_at[lane]++ % RECENT_COUNT;
	state->recent[lane][at] = key;
}

// The serial of the SOA that an IXFR query carries in its authority section.
static uint32_t query_serial(const struct reading *r)
{
	uint32_t at = r->records_at;
	struct dns_record record;

	if (r->head.records[0] != 0 || r->head.records[1] == 0 ||
	    !dns_record_read(r->bytes, &at, &record) || record.type != DNS_SOA)
		return 0;
	return soa_serial(r, &record);
}

static void read_request(struct reading *r)
{
	struct memo memo = {0};

	begin(r);
	if (tl_is_udp(r->ctx) && !is_one_way(r) && tl_pending(r->ctx, r->lane, r->key) != NULL) {
		tl_message_end(r->ctx, r->lane, r->end);
		tl_retry(r->ctx, r->lane, r->key);
		return;
	}
	dns_show_questions(r);
	dns_show_head(r);
	if (r->head.records[0] != 0)
		tl_message_uint(r->ctx, r->lane, FIELD_ANSWER_COUNT, r->head.records[0]);
	if (dns_opcode(&r->head) != DNS_STATEFUL)
		(void)read_records(r, NULL, 0);
	if (is_one_way(r) || (dns_opcode(&r->head) == DNS_STATEFUL && r->head.id == 0)) {
		tl_one_way(r->ctx, r->lane);
		finish(r);
		return;
	}
	if (r->head.questions != 0 &&
	    (r->question.type == DNS_AXFR || r->question.type == DNS_IXFR)) {
		memo.transfer = (uint8_t)r->question.type;
		memo.query_serial = query_serial(r);
		memo.losses = r->state->lanes[other(r->lane)].losses;
	}
	remember(r->state, r->lane, r->key);
	tl_open(r->ctx, r->lane, r->key, &memo);
	finish(r);
}

// ---- Responses --------------------------------------------------------------------------------

static enum tl_status status_of(uint32_t rcode)
{
	switch (rcode) {
	case 0:
		return TL_STATUS_OK;
	case 1: // FORMERR
	case 3: // NXDOMAIN
	case 6: // YXDOMAIN
	case 7: // YXRRSET
	case 8: // NXRRSET
		return TL_STATUS_CLIENT_ERROR;
	default:
		return TL_STATUS_SERVER_ERROR;
	}
}

// The open request that this answers: by id and question, or by id alone where the answer repeats
// no question.
static struct memo *find_request(struct reading *r)
{
	enum tl_lane opener = other(r->lane);
	struct memo *memo = tl_pending(r->ctx, opener, r->key);
	uint64_t oldest;

	if (memo != NULL || r->head.questions != 0)
		return memo;
	for (uint32_t i = 0; i < RECENT_COUNT; i++) {
		uint64_t key = r->state->recent[opener][i];
		if ((key & 0xffff) != r->head.id)
			continue;
		memo = tl_pending(r->ctx, opener, key);
		if (memo != NULL) {
			r->key = key;
			return memo;
		}
	}
	memo = tl_pending_oldest(r->ctx, opener, &oldest);
	if (memo == NULL || (oldest & 0xffff) != r->head.id)
		return NULL;
	r->key = oldest;
	return memo;
}

// The message of a transfer that another answer interrupts can't stay open: a lane has only one.
static void leave_transfer(struct reading *r, struct lane_state *lane)
{
	if (!lane->in_transfer)
		return;
	lane->in_transfer = false;
	if (!tl_message_is_open(r->ctx, r->lane))
		return;
	tl_message_end(r->ctx, r->lane, r->begin);
	tl_part(r->ctx, r->lane, lane->transfer_key);
}

// All messages of a transfer are one answer: the message stays open until the closing SOA.
static void read_transfer(struct reading *r, struct memo *memo)
{
	struct lane_state *lane = &r->state->lanes[r->lane];

	bool goes_on = lane->in_transfer && lane->transfer_key == r->key;

	if (goes_on && tl_message_is_open(r->ctx, r->lane)) {
		tl_message_body(r->ctx, r->lane, r->bytes.len);
	} else {
		if (!goes_on)
			leave_transfer(r, lane);
		begin(r);
		dns_show_head(r);
		lane->in_transfer = true;
		lane->transfer_key = r->key;
		lane->transfer_shown = 0;
	}
	if (lane->losses != memo->losses)
		tl_message_flag(r->ctx, r->lane, TL_FLAG_GAP);
	lane->transfer_shown = read_records(r, memo, lane->transfer_shown);
	if (!is_transfer_complete(r, memo))
		return;
	lane->in_transfer = false;
	dns_show_rcode(r);
	tl_message_uint(r->ctx, r->lane, FIELD_ANSWER_COUNT, memo->answers);
	tl_close(r->ctx, r->lane, r->key, status_of(r->rcode), TL_REASON_NONE);
	finish(r);
}

// True for the second and later messages of a transfer whose request is not known.
static bool is_remainder(struct reading *r)
{
	struct lane_state *lane = &r->state->lanes[r->lane];
	bool may_be = !tl_is_udp(r->ctx) && r->head.records[0] != 0 &&
		      (r->head.questions == 0 || r->question.type == DNS_AXFR ||
		       r->question.type == DNS_IXFR);

	if (!may_be)
		return false;
	if (lane->ignores_transfer && lane->ignored_id == r->head.id) {
		tl_count(r->ctx, COUNTER_TRANSFER_REMAINDERS);
		return true;
	}
	lane->ignores_transfer = true;
	lane->ignored_id = r->head.id;
	return false;
}

static void read_response(struct reading *r)
{
	struct memo *memo = is_one_way(r) ? NULL : find_request(r);

	if (memo != NULL && memo->transfer != 0) {
		read_transfer(r, memo);
		return;
	}
	if (memo == NULL && is_remainder(r))
		return;
	leave_transfer(r, &r->state->lanes[r->lane]);
	begin(r);
	if (memo == NULL) {
		dns_show_questions(r);
		// A stream has no answer without a query: that was lost, or sent before the capture.
		if (!tl_is_udp(r->ctx))
			tl_message_flag(r->ctx, r->lane, TL_FLAG_GAP);
	}
	dns_show_head(r);
	if (dns_opcode(&r->head) != DNS_STATEFUL)
		(void)read_records(r, NULL, 0);
	dns_show_rcode(r);
	tl_message_uint(r->ctx, r->lane, FIELD_ANSWER_COUNT, r->head.records[0]);
	if (is_one_way(r))
		tl_one_way(r->ctx, r->lane);
	else
		tl_close(r->ctx, r->lane, r->key, status_of(r->rcode), TL_REASON_NONE);
	finish(r);
}

// ---- Messages ---------------------------------------------------------------------------------

// The correlation of a message: its id with a hash of all questions, so that several open queries
// with one id are told apart, and a forged answer to another question is nobody's.
static bool read_key(struct reading *r)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	uint32_t at = DNS_HEAD_BYTES;

	for (uint32_t i = 0; i < r->head.questions; i++) {
		struct dns_question q;
		if (!dns_question_read(r->bytes, &at, &q) ||
		    !dns_name_hash(r->bytes, &q.name_at, &hash)) {
			r->is_cut = true;
			r->head.records[0] = r->head.records[1] = r->head.records[2] = 0;
			if (i == 0)
				return false;
			break;
		}
		// The highest bit of mDNS' class asks for a unicast answer.
		hash = (hash ^ q.type ^ (uint64_t)(q.class & 0x7fff) << 16) *
		       UINT64_C(0x100000001b3);
	}
	r->records_at = at;
	r->key = (r->head.questions != 0 ? hash << 16 : 0) | r->head.id;
	return true;
}

// Reads one message. False when it is none.
static bool read_message(struct reading *r)
{
	char name_buffer[DNS_NAME_TEXT_MAX];
	uint32_t at = DNS_HEAD_BYTES;

	r->name_buffer = name_buffer;
	r->name_start = UINT32_MAX;
	if (!dns_head_read(r->bytes, &r->head) ||
	    (r->head.questions != 0 && !dns_question_read(r->bytes, &at, &r->question)) ||
	    !read_key(r)) {
		tl_count(r->ctx, COUNTER_MALFORMED);
		return false;
	}
	const struct options *options = tl_options(r->ctx);
	r->answers_max = (uint32_t)options->answers_max;
	r->rcode = r->head.flags & 15;
	if (r->head.flags & DNS_QR)
		read_response(r);
	else
		read_request(r);
	return true;
}

static struct tl_step step_udp(struct tl_ctx *ctx, struct dns_state *state, enum tl_lane lane,
			       const struct tl_view *view)
{
	struct reading r = {.ctx = ctx,
			    .state = state,
			    .lane = lane,
			    .bytes = view->bytes,
			    .begin = view->offset,
			    .end = view->offset + view->bytes.len};

	(void)read_message(&r);
	return tl_ate(view->bytes.len);
}

static struct tl_step step_tcp(struct tl_ctx *ctx, struct dns_state *state, enum tl_lane lane,
			       const struct tl_view *view)
{
	struct lane_state *l = &state->lanes[lane];

	if (l->length == 0) {
		// The prefix by itself: with it the longest message would be more than one may need.
		if (view->bytes.len < LENGTH_BYTES)
			return tl_need(LENGTH_BYTES);
		uint32_t length = tl_load_be16(view->bytes.ptr);
		if (length < DNS_HEAD_BYTES) {
			tl_count(ctx, COUNTER_MALFORMED);
			return ++l->bad_count >= BAD_MESSAGES_MAX ? tl_stop()
								  : tl_skip(LENGTH_BYTES + length);
		}
		l->length = length;
		l->begin = view->offset;
		if (!l->in_transfer)
			tl_message_begin(ctx, lane, view->offset);
		return tl_ate(LENGTH_BYTES);
	}
	if (view->bytes.len < l->length)
		return tl_need(l->length);
	struct reading r = {.ctx = ctx,
			    .state = state,
			    .lane = lane,
			    .bytes = tl_bytes_first(view->bytes, l->length),
			    .begin = l->begin,
			    .end = view->offset + l->length};
	l->length = 0;
	if (read_message(&r))
		l->bad_count = 0;
	else if (++l->bad_count >= BAD_MESSAGES_MAX)
		return tl_stop();
	return tl_ate(r.bytes.len);
}

static struct tl_step dns_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			       const struct tl_view *view)
{
	return tl_is_udp(ctx) ? step_udp(ctx, state, lane, view)
			      : step_tcp(ctx, state, lane, view);
}

// ---- Detection, loss --------------------------------------------------------------------------

static enum tl_match match_message(enum tl_lane lane, struct tl_bytes message, bool is_complete)
{
	enum dns_looks looks = dns_look(message);

	if (looks == DNS_LOOKS_NO)
		return TL_MATCH_NO;
	if (looks == DNS_LOOKS_SHORT)
		return is_complete ? TL_MATCH_NO : TL_MATCH_UNSURE;
	// Queries come from clients: where that does not fit the sides may be the wrong way round.
	bool is_response = (tl_load_be16(message.ptr + 2) & DNS_QR) != 0;
	if (looks == DNS_LOOKS_WHOLE && is_response == (lane == TL_SERVER))
		return TL_MATCH_CERTAIN;
	return TL_MATCH_LIKELY;
}

static enum tl_match match_tcp(enum tl_lane lane, struct tl_bytes first)
{
	if (first.len < LENGTH_BYTES)
		return TL_MATCH_UNSURE;
	uint32_t length = tl_load_be16(first.ptr);
	if (length < DNS_HEAD_BYTES)
		return TL_MATCH_NO;
	struct tl_bytes message = tl_bytes_first(tl_bytes_from(first, LENGTH_BYTES), length);
	return match_message(lane, message, message.len == length);
}

// Nobody says whether `first` is a datagram or a stream, so both are tried; the prefix makes it
// impossible for one to be whole as the other.
static enum tl_match dns_match(enum tl_lane lane, struct tl_bytes first)
{
	enum tl_match stream = match_tcp(lane, first);

	if (stream == TL_MATCH_CERTAIN || first.len < DNS_HEAD_BYTES)
		return stream;
	enum tl_match datagram = match_message(lane, first, true);
	return datagram > stream ? datagram : stream;
}

static bool dns_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		    uint64_t offset)
{
	struct lane_state *l = &((struct dns_state *)state)->lanes[lane];

	(void)ctx;
	(void)lost;
	(void)offset;
	l->length = 0;
	// Records of a transfer may be missing, but its closing SOA still ends it.
	l->losses++;
	return true;
}

static uint32_t dns_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	(void)state;
	for (uint32_t i = 0; i + LENGTH_BYTES + DNS_HEAD_BYTES <= view.len; i++) {
		struct tl_bytes here = tl_bytes_from(view, i);
		enum tl_match match = match_tcp(lane, here);
		bool has_question = tl_load_be16(here.ptr + LENGTH_BYTES + 4) != 0;
		if (match == TL_MATCH_CERTAIN || (match == TL_MATCH_LIKELY && has_question))
			return i;
	}
	return view.len;
}

static const uint16_t ports[] = {DNS_PORT, MDNS_PORT, LLMNR_PORT, 0};

const struct tl_decoder tl_decoder_dns = {
	.name = "dns",
	.title = "DNS",
	.over = TL_OVER_TCP | TL_OVER_UDP,
	.state_size = sizeof(struct dns_state),
	.need_max = UINT16_MAX,
	.timeout_s = 10,
	.ports = ports,
	.fields = fields,
	.field_count = FIELD_COUNT,
	.counter_count = COUNTER_COUNT,
	.counters = counters,
	.options = option_rows,
	.options_size = sizeof(struct options),
	.span = &dns_span_rules,
	.status_help = "NOERROR: ok; FORMERR, NXDOMAIN, YXDOMAIN, YXRRSET, NXRRSET: client_error; "
		       "every other code: server_error; mDNS and LLMNR: one_way",
	.match = dns_match,
	.step = dns_step,
	.gap = dns_gap,
	.resync = dns_resync,
};

TL_DECODER_CHECK(struct dns_state, UINT16_MAX);
_Static_assert(sizeof(fields) / sizeof(fields[0]) == FIELD_COUNT, "a field has no row");
_Static_assert(FIELD_COUNT <= TL_FIELDS_MAX, "too many fields");
