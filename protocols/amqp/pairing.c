// SPDX-License-Identifier: Apache-2.0
// What each method means: which message it begins, what that answers, what it changes.
#include "state.h"

#define ALL_TAGS AMQP_TAG_MAX

enum tl_status tl_amqp_status(uint64_t code)
{
	if (code == 200 || code == 0) // clients say 0 as well
		return TL_STATUS_OK;
	return code == 320 || code == 506 || code >= 541 ? TL_STATUS_SERVER_ERROR
							 : TL_STATUS_CLIENT_ERROR;
}

static uint32_t id_of(const struct amqp_call *call)
{
	return AMQP_METHOD(call->class_id, call->method_id);
}

// ---- Messages -------------------------------------------------------------------------------

static struct tl_bytes remembered(const char *name, uint8_t len)
{
	return tl_bytes(name, len);
}

static uint8_t remember(char *name, struct tl_bytes value)
{
	value = tl_bytes_first(value, AMQP_NAME_BYTES_MAX);
	if (value.len != 0)
		memcpy(name, value.ptr, value.len);
	return (uint8_t)value.len;
}

static void record_session(const struct amqp_call *call)
{
	const struct amqp *amqp = call->amqp;

	if (amqp->vhost_len != 0 && id_of(call) != AMQP_CONNECTION_OPEN)
		tl_message_text(call->ctx, call->lane, AMQP_FIELD_VHOST,
				remembered(amqp->vhost, amqp->vhost_len));
	if (amqp->user_len != 0)
		tl_message_text(call->ctx, call->lane, AMQP_FIELD_USER,
				remembered(amqp->user, amqp->user_len));
	if (call->channel != 0)
		tl_message_uint(call->ctx, call->lane, AMQP_FIELD_CHANNEL, call->channel);
	// Lost bytes would have told.
	if (amqp->had_gap != 0 && (amqp->vhost_len == 0 || amqp->user_len == 0))
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
}

// "Exchange.Declare", by the class and method that a Close names; zeros: none failed.
static void record_failed(const struct amqp_call *call, const struct amqp_arguments *arguments)
{
	uint16_t class_id = (uint16_t)tl_amqp_number(arguments, AMQP_USE_FAILED_CLASS);
	const struct amqp_method *method = tl_amqp_method(
		class_id, (uint16_t)tl_amqp_number(arguments, AMQP_USE_FAILED_METHOD));
	const char *class_name = tl_amqp_class_name(class_id);
	char text[48];

	if (method == NULL || class_name == NULL)
		return;
	size_t class_len = strlen(class_name);
	size_t len = strlen(method->name);
	memcpy(text, class_name, class_len);
	text[class_len] = '.';
	memcpy(text + class_len + 1, method->name, len);
	tl_message_text(call->ctx, call->lane, AMQP_FIELD_FAILED_METHOD,
			tl_bytes(text, (uint32_t)(class_len + 1 + len)));
}

static void record_argument(struct amqp_call *call, const struct amqp_arguments *arguments, uint32_t i)
{
	const struct amqp_argument *argument = &arguments->method->arguments[i];
	struct tl_bytes text = arguments->values[i].text;

	switch ((enum amqp_type)argument->type) {
	case AMQP_SHORTSTR:
	case AMQP_LONGSTR:
		// An empty name is the default exchange; other empty strings say nothing.
		if (text.len != 0 || argument->use == AMQP_FIELD_EXCHANGE)
			tl_message_text(call->ctx, call->lane, argument->use, text);
		break;
	case AMQP_BIT:
		if (arguments->values[i].number != 0)
			tl_message_uint(call->ctx, call->lane, argument->use, 1);
		break;
	case AMQP_OCTET:
	case AMQP_SHORT:
	case AMQP_LONG:
	case AMQP_LONGLONG:
		tl_message_uint(call->ctx, call->lane, argument->use, arguments->values[i].number);
		break;
	case AMQP_TABLE:
	case AMQP_END:
		break;
	}
}

// A message begins with this method. `is_request`: it answers nothing.
static void begin(struct amqp_call *call, const struct amqp_arguments *arguments, bool is_request)
{
	const struct amqp_method *method = arguments->method;

	tl_message_begin(call->ctx, call->lane, call->offset);
	tl_message_text(call->ctx, call->lane, AMQP_FIELD_CLASS,
			tl_bytes_of(tl_amqp_class_name(call->class_id)));
	tl_message_text(call->ctx, call->lane, AMQP_FIELD_METHOD, tl_bytes_of(method->name));
	if (is_request)
		record_session(call);
	for (uint32_t i = 0; i < arguments->count; i++) {
		uint8_t use = method->arguments[i].use;
		if (use < AMQP_FIELD_COUNT)
			record_argument(call, arguments, i);
		else if (use == AMQP_USE_PROPERTIES)
			tl_amqp_record_peer(call, arguments->values[i].text);
		else if (use == AMQP_USE_FAILED_CLASS)
			record_failed(call, arguments);
	}
}

// Whether it pairs was not to be told for certain.
static void flag_unsure(struct amqp_call *call)
{
	tl_message_flag(call->ctx, call->lane, TL_FLAG_ESTIMATED);
	if (call->amqp->had_gap != 0)
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
}

// ---- Closing --------------------------------------------------------------------------------

// What is open of the channel, or of all of them, ends without an answer.
static void cancel_open(struct amqp_call *call, bool is_error)
{
	enum tl_status status = is_error ? TL_STATUS_RESET : TL_STATUS_UNANSWERED;
	uint64_t first = amqp_key(call->channel, AMQP_KEY_ASK, 0);
	uint64_t last = call->channel == 0 ? UINT64_MAX
					   : amqp_key(call->channel, AMQP_KEY_DELIVER, ALL_TAGS);

	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++)
		tl_cancel_between(call->ctx, (enum tl_lane)lane, first, last, status,
				  TL_REASON_CHANNEL_CLOSED);
}

static void close_begins(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	bool is_error =
		tl_amqp_status(tl_amqp_number(arguments, AMQP_FIELD_REPLY_CODE)) != TL_STATUS_OK;

	if (id_of(call) == AMQP_CONNECTION_CLOSE) {
		call->amqp->is_closing = 1;
	} else {
		struct amqp_channel *entry = tl_amqp_channel_make(call);
		entry->bits |= AMQP_CHANNEL_CLOSING;
		entry->bits |= is_error ? AMQP_CHANNEL_FAILED : 0;
	}
	// A server has sent its last word on the channel. What a client closes may still be answered.
	if (call->lane == TL_SERVER)
		cancel_open(call, is_error);
}

static void close_ends(struct amqp_call *call, bool is_error)
{
	const struct amqp_channel *entry = tl_amqp_channel(call);

	if (entry != NULL && call->channel != 0)
		is_error = is_error || (entry->bits & AMQP_CHANNEL_FAILED) != 0;
	cancel_open(call, is_error);
	tl_amqp_channel_drop(call);
}

static void channel_opens(struct amqp_call *call)
{
	// Where its closing was not seen.
	cancel_open(call, false);
	tl_amqp_channel_drop(call);
	if (call->amqp->is_unsure != 0)
		tl_amqp_channel_make(call)->bits |= AMQP_CHANNEL_KNOWN;
}

// ---- Methods that ask and their answers -----------------------------------------------------

static bool is_close(uint32_t id)
{
	return id == AMQP_CONNECTION_CLOSE || id == AMQP_CHANNEL_CLOSE;
}

static uint64_t ask_key(const struct amqp_call *call, uint16_t method_id)
{
	uint32_t id = AMQP_METHOD(call->class_id, method_id);

	return amqp_key(call->channel, is_close(id) ? AMQP_KEY_CLOSE : AMQP_KEY_ASK, id);
}

static void confirm_select(struct amqp_call *call)
{
	struct amqp_channel *entry = tl_amqp_channel_make(call);

	if ((entry->bits & AMQP_CHANNEL_CONFIRMS) != 0)
		return; // again
	entry->bits |= AMQP_CHANNEL_CONFIRMS;
	if ((entry->bits & AMQP_CHANNEL_KNOWN) != 0)
		entry->bits |= AMQP_CHANNEL_NUMBERED;
	entry->published = entry->settled = 0;
}

static void set_consumer(struct amqp_call *call, struct tl_bytes tag, bool no_ack)
{
	tl_amqp_consumer_set(call, tag, no_ack ? AMQP_CONSUMER_NO_ACK : AMQP_CONSUMER_ACKS);
}

// See enum amqp_doubt.
static void note_turn(struct amqp_call *call)
{
	struct amqp *amqp = call->amqp;

	if (amqp->doubt == AMQP_NO_DOUBT)
		return;
	if (call->lane == TL_SERVER)
		amqp->server_spoke = 1;
	else if (amqp->server_spoke != 0)
		amqp->doubt = amqp->server_spoke = 0;
}

static void open_ask(struct amqp_call *call, const struct amqp_memo *memo)
{
	uint64_t key = ask_key(call, call->method_id);
	uint8_t doubt = call->lane == TL_CLIENT ? call->amqp->doubt : AMQP_NO_DOUBT;

	if (doubt != AMQP_NO_DOUBT)
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
	tl_open(call->ctx, call->lane, key, memo);
	tl_message_end(call->ctx, call->lane, call->end);
	if (doubt == AMQP_DOUBT_GAP)
		tl_cancel(call->ctx, call->lane, key, TL_STATUS_UNANSWERED, TL_REASON_GAP);
}

static void ask(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	bool no_wait = tl_amqp_number(arguments, AMQP_USE_NO_WAIT) != 0;
	struct amqp_memo memo = {
		.code = (uint16_t)tl_amqp_number(arguments, AMQP_FIELD_REPLY_CODE),
		.no_ack = tl_amqp_number(arguments, AMQP_USE_NO_ACK) != 0,
	};

	if (id_of(call) == AMQP_CHANNEL_OPEN)
		channel_opens(call);
	if (is_close(id_of(call)))
		close_begins(call, arguments);
	begin(call, arguments, true);
	if (no_wait) {
		tl_one_way(call->ctx, call->lane);
		tl_message_end(call->ctx, call->lane, call->end);
	} else {
		open_ask(call, &memo);
	}
	switch (id_of(call)) {
	case AMQP_CONNECTION_OPEN:
		call->amqp->vhost_len = remember(call->amqp->vhost,
						 tl_amqp_text(arguments, AMQP_FIELD_VHOST));
		break;
	case AMQP_CONFIRM_SELECT:
		confirm_select(call);
		break;
	case AMQP_BASIC_CONSUME:
		if (no_wait)
			set_consumer(call, tl_amqp_text(arguments, AMQP_FIELD_CONSUMER_TAG),
				     memo.no_ack != 0);
		break;
	case AMQP_BASIC_CANCEL:
		if (call->lane == TL_SERVER)
			tl_amqp_consumer_set(call, tl_amqp_text(arguments, AMQP_FIELD_CONSUMER_TAG),
					     AMQP_CONSUMER_UNKNOWN);
		break;
	default:
		break;
	}
}

static void start_ok(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	struct tl_bytes user = tl_amqp_user(tl_amqp_text(arguments, AMQP_FIELD_MECHANISM),
					    tl_amqp_text(arguments, AMQP_USE_SASL));

	call->amqp->user_len = remember(call->amqp->user, user);
	if (user.len != 0)
		tl_message_text(call->ctx, call->lane, AMQP_FIELD_USER, user);
}

static void answer(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	uint64_t key = ask_key(call, arguments->method->asked);
	const struct amqp_memo *open =
		(const struct amqp_memo *)tl_pending(call->ctx, call->lane == TL_CLIENT ? TL_SERVER
										       : TL_CLIENT,
						     key);
	struct amqp_memo memo = {.code = 200};
	bool closes = id_of(call) == AMQP_CONNECTION_CLOSE_OK || id_of(call) == AMQP_CHANNEL_CLOSE_OK;

	if (open != NULL)
		memo = *open;
	begin(call, arguments, false);
	if (id_of(call) == AMQP_CONNECTION_START_OK)
		start_ok(call, arguments);
	tl_close(call->ctx, call->lane, key, closes ? tl_amqp_status(memo.code) : TL_STATUS_OK,
		 TL_REASON_NONE);
	tl_message_end(call->ctx, call->lane, call->end);
	if (closes)
		close_ends(call, tl_amqp_status(memo.code) != TL_STATUS_OK);
	else if (id_of(call) == AMQP_BASIC_CONSUME_OK && open != NULL)
		set_consumer(call, tl_amqp_text(arguments, AMQP_FIELD_CONSUMER_TAG),
			     memo.no_ack != 0);
	else if (id_of(call) == AMQP_BASIC_CANCEL_OK)
		tl_amqp_consumer_set(call, tl_amqp_text(arguments, AMQP_FIELD_CONSUMER_TAG),
				     AMQP_CONSUMER_UNKNOWN);
	else if (id_of(call) == AMQP_CONFIRM_SELECT_OK && open == NULL)
		tl_amqp_channel_make(call)->bits |= AMQP_CHANNEL_CONFIRMS; // from what was not seen
	else if (id_of(call) == AMQP_BASIC_RECOVER_OK)
		tl_cancel_between(call->ctx, TL_SERVER, amqp_key(call->channel, AMQP_KEY_DELIVER, 1),
				  amqp_key(call->channel, AMQP_KEY_DELIVER, ALL_TAGS),
				  TL_STATUS_CANCELLED, TL_REASON_REQUEUED);
}

static void tell(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	begin(call, arguments, true);
	tl_one_way(call->ctx, call->lane);
	tl_message_end(call->ctx, call->lane, call->end);
	if (id_of(call) == AMQP_BASIC_RECOVER_ASYNC)
		tl_cancel_between(call->ctx, TL_SERVER, amqp_key(call->channel, AMQP_KEY_DELIVER, 1),
				  amqp_key(call->channel, AMQP_KEY_DELIVER, ALL_TAGS),
				  TL_STATUS_CANCELLED, TL_REASON_REQUEUED);
}

// ---- Publishes and their confirms -----------------------------------------------------------

// Tells a route from others: what is returned comes back by the one that it was published to.
static uint32_t route_of(const struct amqp_arguments *arguments)
{
	const struct tl_bytes parts[] = {tl_amqp_text(arguments, AMQP_FIELD_EXCHANGE),
					 tl_amqp_text(arguments, AMQP_FIELD_ROUTING_KEY)};
	uint32_t hash = 2166136261u; // FNV-1a

	for (uint32_t part = 0; part < 2; part++) {
		for (uint32_t i = 0; i < parts[part].len; i++)
			hash = (hash ^ parts[part].ptr[i]) * 16777619u;
		hash = (hash ^ 0xffu) * 16777619u;
	}
	return hash;
}

static void publish(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	struct amqp_content content = {.role = AMQP_CONTENT_PLAIN};
	struct amqp_channel *entry = tl_amqp_channel(call);
	bool is_known = entry == NULL ? call->amqp->is_unsure == 0
				      : (entry->bits & AMQP_CHANNEL_KNOWN) != 0;

	begin(call, arguments, true);
	if (entry != NULL && (entry->bits & AMQP_CHANNEL_NUMBERED) != 0 &&
	    entry->published < AMQP_TAG_MAX) {
		const struct amqp_memo memo = {
			.route = route_of(arguments),
			.mandatory = tl_amqp_number(arguments, AMQP_FIELD_MANDATORY) != 0,
		};
		content.key = amqp_key(call->channel, AMQP_KEY_PUBLISH, ++entry->published);
		content.opener = TL_CLIENT;
		content.role = AMQP_CONTENT_QUEUED;
		tl_open(call->ctx, TL_CLIENT, content.key, &memo);
	} else if (!is_known) {
		flag_unsure(call);
	}
	tl_amqp_content_begin(call, &content);
}

// The open publish that a Return brings back, 0: none. A broker handles the publishes of a channel
// in order, so it is later than the one that was returned before.
static uint64_t find_returned(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	struct amqp_channel *entry = tl_amqp_channel(call);
	uint32_t route = route_of(arguments);

	if (entry == NULL)
		return 0;
	uint64_t number = entry->settled + 1;
	for (uint32_t n = 0; n < AMQP_RETURN_SCAN_MAX && number <= entry->published; n++, number++) {
		uint64_t key = amqp_key(call->channel, AMQP_KEY_PUBLISH, number);
		const struct amqp_memo *memo =
			(const struct amqp_memo *)tl_pending(call->ctx, TL_CLIENT, key);
		if (memo == NULL || memo->mandatory == 0 || memo->route != route)
			continue;
		entry->settled = number;
		return key;
	}
	return 0;
}

static void returned(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	struct amqp_content content = {
		.key = find_returned(call, arguments),
		.role = AMQP_CONTENT_PLAIN,
		.status = TL_STATUS_CLIENT_ERROR,
		.reason = TL_REASON_RETURNED,
		.opener = TL_CLIENT,
	};

	begin(call, arguments, content.key == 0);
	if (content.key != 0 && tl_answer(call->ctx, TL_SERVER, content.key)) {
		content.role = AMQP_CONTENT_ANSWER;
	} else {
		const struct amqp_channel *entry = tl_amqp_channel(call);
		bool confirms = entry != NULL && (entry->bits & AMQP_CHANNEL_CONFIRMS) != 0;
		if (confirms)
			tl_count(call->ctx, AMQP_COUNT_UNMATCHED_RETURNS);
		// The publish may be confirmed by a number that was not seen.
		if (confirms || (entry == NULL && call->amqp->is_unsure != 0))
			tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_GAP | TL_FLAG_ESTIMATED);
	}
	tl_amqp_content_begin(call, &content);
}

// ---- Deliveries -----------------------------------------------------------------------------

static void deliver(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	uint64_t tag = tl_amqp_number(arguments, AMQP_FIELD_DELIVERY_TAG);
	struct amqp_content content = {.role = AMQP_CONTENT_PLAIN};
	enum amqp_consumer_state consumer =
		tl_amqp_consumer(call, tl_amqp_text(arguments, AMQP_FIELD_CONSUMER_TAG));

	begin(call, arguments, true);
	if (consumer == AMQP_CONSUMER_ACKS && tag != 0 && tag <= AMQP_TAG_MAX) {
		content.key = amqp_key(call->channel, AMQP_KEY_DELIVER, tag);
		content.opener = TL_SERVER;
		content.role = AMQP_CONTENT_QUEUED;
		tl_open(call->ctx, TL_SERVER, content.key, NULL);
	} else if (consumer == AMQP_CONSUMER_UNKNOWN) {
		flag_unsure(call);
	}
	tl_amqp_content_begin(call, &content);
}

// A message that was asked for: the answer to its Get and, where it is to be acknowledged, a request
// of its own. That one is the method frame alone; the content is counted with the answer.
static void get_ok(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	uint64_t key = ask_key(call, arguments->method->asked);
	uint64_t tag = tl_amqp_number(arguments, AMQP_FIELD_DELIVERY_TAG);
	const struct amqp_memo *memo =
		(const struct amqp_memo *)tl_pending(call->ctx, TL_CLIENT, key);
	const struct amqp_channel *entry = tl_amqp_channel(call);
	bool acks = memo != NULL ? memo->no_ack == 0
				 : entry != NULL && (entry->bits & AMQP_CHANNEL_ACKS) != 0;
	struct amqp_content content = {
		.key = key, .role = AMQP_CONTENT_ORPHAN, .status = TL_STATUS_OK, .opener = TL_CLIENT};

	if (acks && tag != 0 && tag <= AMQP_TAG_MAX) {
		begin(call, arguments, true);
		tl_open(call->ctx, TL_SERVER, amqp_key(call->channel, AMQP_KEY_DELIVER, tag), NULL);
		tl_message_end(call->ctx, TL_SERVER, call->end);
	}
	begin(call, arguments, false);
	if (tl_answer(call->ctx, TL_SERVER, key))
		content.role = AMQP_CONTENT_ANSWER;
	else
		tl_orphan(call->ctx, TL_SERVER, TL_REASON_NONE);
	tl_amqp_content_begin(call, &content);
}

// ---- Acknowledgements -----------------------------------------------------------------------

static void confirmed(struct amqp_call *call, uint64_t tag, bool multiple)
{
	struct amqp_channel *entry = tl_amqp_channel_make(call);

	entry->bits |= AMQP_CHANNEL_CONFIRMS;
	if (tag > entry->settled && (multiple || tag == entry->settled + 1))
		entry->settled = tag;
}

static void acknowledge(struct amqp_call *call, const struct amqp_arguments *arguments,
			enum tl_status status, enum tl_reason reason)
{
	uint64_t tag = tl_amqp_number(arguments, AMQP_FIELD_DELIVERY_TAG);
	bool multiple = tl_amqp_number(arguments, AMQP_FIELD_MULTIPLE) != 0;
	enum amqp_key_kind kind = call->lane == TL_SERVER ? AMQP_KEY_PUBLISH : AMQP_KEY_DELIVER;
	uint64_t last = tag == 0 || tag > AMQP_TAG_MAX ? AMQP_TAG_MAX : tag;
	uint64_t first = multiple ? 1 : last;
	const struct amqp_channel *entry = tl_amqp_channel(call);
	bool is_closing = call->amqp->is_closing != 0 ||
			  (entry != NULL && (entry->bits & AMQP_CHANNEL_CLOSING) != 0);

	begin(call, arguments, false);
	// The newest of several may have been lost: then it is another one that this is kept with.
	if (multiple && call->amqp->had_gap != 0)
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
	uint32_t count = tl_close_between(call->ctx, call->lane, amqp_key(call->channel, kind, first),
					  amqp_key(call->channel, kind, last), status, reason);
	tl_message_end(call->ctx, call->lane, call->end);
	if (call->lane == TL_SERVER) {
		// What was returned, or is not numbered, has its record already.
		if (count == 0)
			tl_count(call->ctx, AMQP_COUNT_UNMATCHED_CONFIRMS);
		if (!is_closing)
			confirmed(call, last, multiple);
		return;
	}
	// A channel that closes may cross with acknowledgements: what they are for has ended.
	if (count == 0 && !is_closing) {
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP); // the delivery was not seen
		tl_orphan(call->ctx, call->lane, reason);
	}
	if (call->amqp->is_unsure != 0 && !is_closing)
		tl_amqp_channel_make(call)->bits |= AMQP_CHANNEL_ACKS;
}

void tl_amqp_method_frame(struct amqp_call *call, const struct amqp_arguments *arguments)
{
	bool is_server = call->lane == TL_SERVER;
	bool requeue = tl_amqp_number(arguments, AMQP_FIELD_REQUEUE) != 0;

	note_turn(call);
	tl_amqp_content_break(call);
	tl_amqp_content_park(call);
	switch ((enum amqp_kind)arguments->method->kind) {
	case AMQP_NO_METHOD:
		break;
	case AMQP_TELLS:
		tell(call, arguments);
		break;
	case AMQP_ASKS:
		ask(call, arguments);
		break;
	case AMQP_ANSWERS:
		answer(call, arguments);
		break;
	case AMQP_PUBLISH:
		publish(call, arguments);
		break;
	case AMQP_RETURN:
		returned(call, arguments);
		break;
	case AMQP_DELIVER:
		deliver(call, arguments);
		break;
	case AMQP_GET_OK:
		get_ok(call, arguments);
		break;
	case AMQP_ACK:
		acknowledge(call, arguments, TL_STATUS_OK, TL_REASON_NONE);
		break;
	case AMQP_REJECT:
	case AMQP_NACK:
		acknowledge(call, arguments, is_server ? TL_STATUS_SERVER_ERROR : TL_STATUS_OK,
			    is_server ? TL_REASON_NONE
			    : requeue ? TL_REASON_REQUEUED
				      : TL_REASON_REJECTED);
		break;
	}
}
