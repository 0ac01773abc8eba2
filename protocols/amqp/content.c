// SPDX-License-Identifier: Apache-2.0
// Contents: the header and body frames behind Publish, Return, Deliver and Get-Ok. Those of several
// channels may be under way in one lane; then one message is read on and the others are aside.
#include "state.h"

static struct amqp_content *current(const struct amqp_call *call)
{
	uint8_t at = call->amqp->current[call->lane];

	return at == 0 ? NULL : &call->room->contents[call->lane][at - 1];
}

static void set_current(const struct amqp_call *call, const struct amqp_content *content)
{
	const struct amqp_content *first = call->room->contents[call->lane];

	call->amqp->current[call->lane] = content == NULL ? 0 : (uint8_t)(content - first + 1);
}

static struct amqp_content *find(const struct amqp_call *call)
{
	struct amqp_content *at = current(call);

	if (at != NULL && at->phase != AMQP_CONTENT_NONE && at->channel == call->channel)
		return at;
	at = call->room->contents[call->lane];
	for (uint32_t i = 0; i < AMQP_CONTENTS_MAX; i++)
		if (at[i].phase != AMQP_CONTENT_NONE && at[i].channel == call->channel)
			return &at[i];
	return NULL;
}

static void forget(const struct amqp_call *call, struct amqp_content *content)
{
	if (current(call) == content)
		set_current(call, NULL);
	content->phase = AMQP_CONTENT_NONE;
}

// Its message is over, its last byte is the one before `end`.
static void finish(const struct amqp_call *call, struct amqp_content *content, uint64_t end)
{
	switch ((enum amqp_content_role)content->role) {
	case AMQP_CONTENT_DEAD:
		break;
	case AMQP_CONTENT_PLAIN:
		tl_one_way(call->ctx, call->lane);
		tl_message_end(call->ctx, call->lane, end);
		break;
	case AMQP_CONTENT_QUEUED:
	case AMQP_CONTENT_ORPHAN:
		tl_message_end(call->ctx, call->lane, end);
		break;
	case AMQP_CONTENT_ANSWER:
		tl_close(call->ctx, call->lane, content->key, (enum tl_status)content->status,
			 (enum tl_reason)content->reason);
		tl_message_end(call->ctx, call->lane, end);
		break;
	}
	forget(call, content);
}

void tl_amqp_content_begin(struct amqp_call *call, const struct amqp_content *content)
{
	struct amqp_content *at = call->room->contents[call->lane];
	uint32_t i = 0;

	while (i < AMQP_CONTENTS_MAX && at[i].phase != AMQP_CONTENT_NONE)
		i++;
	if (i == AMQP_CONTENTS_MAX) {
		// Its message ends here; its frames will find nothing.
		struct amqp_content untold = *content;
		tl_count(call->ctx, AMQP_COUNT_TOO_MANY_CONTENTS);
		tl_message_flag(call->ctx, call->lane, TL_FLAG_TRUNCATED);
		finish(call, &untold, call->end);
		return;
	}
	at[i] = *content;
	at[i].channel = call->channel;
	at[i].phase = AMQP_CONTENT_HEADER;
	set_current(call, &at[i]);
}

void tl_amqp_content_park(struct amqp_call *call)
{
	struct amqp_content *content = current(call);

	if (content == NULL)
		return;
	if (content->role == AMQP_CONTENT_PLAIN) {
		content->key = amqp_key(content->channel,
					call->lane == TL_CLIENT ? AMQP_KEY_PUBLISH : AMQP_KEY_DELIVER,
					0);
		content->opener = (uint8_t)call->lane;
		content->role = AMQP_CONTENT_QUEUED;
		tl_one_way_aside(call->ctx, call->lane, content->key);
	} else if (content->role == AMQP_CONTENT_ORPHAN) {
		content->role = AMQP_CONTENT_DEAD; // it ends here, with what is known
	}
	tl_message_set_aside(call->ctx, call->lane);
	set_current(call, NULL);
}

// Makes the content's message the one that the lane reads.
static void take_up(struct amqp_call *call, struct amqp_content *content)
{
	if (current(call) == content)
		return;
	tl_amqp_content_park(call);
	if (content->role != AMQP_CONTENT_DEAD &&
	    !tl_message_resume(call->ctx, call->lane, (enum tl_lane)content->opener, content->key))
		content->role = AMQP_CONTENT_DEAD; // its request has ended otherwise
	set_current(call, content);
}

void tl_amqp_content_break(struct amqp_call *call)
{
	struct amqp_content *content = find(call);

	if (content == NULL)
		return;
	tl_count(call->ctx, AMQP_COUNT_BAD_CONTENT);
	take_up(call, content);
	tl_message_flag(call->ctx, call->lane, TL_FLAG_TRUNCATED);
	finish(call, content, call->offset);
}

void tl_amqp_contents_lost(struct amqp_call *call)
{
	struct amqp_content *at = call->room->contents[call->lane];

	// What was being read has ended with the last byte seen; what is aside ends too.
	tl_flag_open(call->ctx, TL_FLAG_GAP);
	for (uint32_t i = 0; i < AMQP_CONTENTS_MAX; i++) {
		if (at[i].phase != AMQP_CONTENT_NONE && at[i].role == AMQP_CONTENT_QUEUED &&
		    (at[i].key & AMQP_TAG_MAX) == 0)
			tl_cancel(call->ctx, call->lane, at[i].key, TL_STATUS_ONE_WAY,
				  TL_REASON_NONE);
		at[i].phase = AMQP_CONTENT_NONE;
	}
	set_current(call, NULL);
}

// A frame that belongs to nothing, or comes at the wrong place.
static void note_stray(struct amqp_call *call, const struct amqp_content *content)
{
	tl_count(call->ctx, content == NULL ? AMQP_COUNT_STRAY_CONTENT : AMQP_COUNT_BAD_CONTENT);
	tl_amqp_content_park(call);
}

void tl_amqp_content_header(struct amqp_call *call, struct tl_bytes payload)
{
	struct amqp_content *content = find(call);

	if (content == NULL || content->phase != AMQP_CONTENT_HEADER || payload.len < 14) {
		note_stray(call, content);
		return;
	}
	take_up(call, content);
	content->left = tl_load_be64(payload.ptr + 4);
	content->phase = AMQP_CONTENT_BODY;
	if (content->role != AMQP_CONTENT_DEAD) {
		tl_message_uint(call->ctx, call->lane, AMQP_FIELD_MESSAGE_BYTES, content->left);
		tl_amqp_record_properties(call, tl_bytes_from(payload, 12));
	}
	if (content->left == 0)
		finish(call, content, call->end);
}

void tl_amqp_content_body(struct amqp_call *call, uint32_t bytes)
{
	struct amqp_content *content = find(call);

	if (content == NULL || content->phase != AMQP_CONTENT_BODY) {
		note_stray(call, content);
		return;
	}
	take_up(call, content);
	if (bytes > content->left)
		tl_count(call->ctx, AMQP_COUNT_BAD_CONTENT);
	if (content->role != AMQP_CONTENT_DEAD)
		tl_message_body(call->ctx, call->lane, bytes);
	content->left -= bytes < content->left ? bytes : content->left;
	if (content->left == 0)
		finish(call, content, call->end);
}
