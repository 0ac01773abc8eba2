// SPDX-License-Identifier: Apache-2.0
// What is remembered of channels and consumers: two small tables by hash, in which the entry that
// was not used for longest gives way.
#include "state.h"

static uint32_t hash_of(uint32_t hash, struct tl_bytes bytes)
{
	for (uint32_t i = 0; i < bytes.len; i++)
		hash = (hash ^ bytes.ptr[i]) * 16777619u; // FNV-1a
	return hash;
}

// ---- Channels -------------------------------------------------------------------------------

struct amqp_channel *tl_amqp_channel(struct amqp_call *call)
{
	struct amqp_channel *set = call->room->channels[call->channel % AMQP_SETS];

	for (uint32_t i = 0; i < AMQP_CHANNEL_WAYS; i++) {
		if (set[i].bits == 0 || set[i].id != call->channel)
			continue;
		set[i].used = ++call->amqp->clock;
		return &set[i];
	}
	return NULL;
}

struct amqp_channel *tl_amqp_channel_make(struct amqp_call *call)
{
	struct amqp_channel *set = call->room->channels[call->channel % AMQP_SETS];
	struct amqp_channel *entry = tl_amqp_channel(call);
	uint32_t oldest = 0;

	if (entry != NULL)
		return entry;
	for (uint32_t i = 0; i < AMQP_CHANNEL_WAYS; i++) {
		uint32_t age = set[i].bits == 0 ? UINT32_MAX : call->amqp->clock - set[i].used;
		uint32_t most = set[oldest].bits == 0 ? UINT32_MAX
						      : call->amqp->clock - set[oldest].used;
		if (age > most)
			oldest = i;
	}
	entry = &set[oldest];
	if (entry->bits != 0) {
		tl_count(call->ctx, AMQP_COUNT_CHANNELS_EVICTED);
		call->amqp->is_unsure = 1;
	}
	*entry = (struct amqp_channel) {
		.id = call->channel,
		.used = ++call->amqp->clock,
		.bits = call->amqp->is_unsure != 0 ? 0 : AMQP_CHANNEL_KNOWN,
	};
	return entry;
}

void tl_amqp_channel_drop(struct amqp_call *call)
{
	struct amqp_channel *entry = tl_amqp_channel(call);
	struct amqp_consumer *consumers = call->room->consumers[0];

	if (entry != NULL)
		entry->bits = 0;
	for (uint32_t i = 0; i < AMQP_SETS * AMQP_CONSUMER_WAYS; i++)
		if (consumers[i].channel == call->channel)
			consumers[i].state = AMQP_CONSUMER_UNKNOWN;
}

void tl_amqp_forget_numbers(struct amqp_call *call)
{
	struct amqp_channel *channels = call->room->channels[0];

	for (uint32_t i = 0; i < AMQP_SETS * AMQP_CHANNEL_WAYS; i++)
		channels[i].bits &= (uint16_t)~(AMQP_CHANNEL_NUMBERED | AMQP_CHANNEL_KNOWN);
}

// ---- Consumers ------------------------------------------------------------------------------

static struct amqp_consumer *consumer_set(struct amqp_call *call, uint32_t hash)
{
	return call->room->consumers[(hash ^ hash >> 16) % AMQP_SETS];
}

static uint32_t consumer_hash(const struct amqp_call *call, struct tl_bytes tag)
{
	return hash_of(2166136261u ^ call->channel, tag);
}

// Tags come by order of consumers: the first of a set is the oldest.
void tl_amqp_consumer_set(struct amqp_call *call, struct tl_bytes tag, enum amqp_consumer_state state)
{
	uint32_t hash = consumer_hash(call, tag);
	struct amqp_consumer *set = consumer_set(call, hash);
	uint32_t at = 0;

	for (uint32_t i = 0; i < AMQP_CONSUMER_WAYS; i++) {
		if (set[i].state != AMQP_CONSUMER_UNKNOWN && set[i].tag == hash &&
		    set[i].channel == call->channel)
			set[i].state = AMQP_CONSUMER_UNKNOWN;
	}
	// That deliveries are acknowledged is the default where everything is known.
	if (state == AMQP_CONSUMER_UNKNOWN ||
	    (state == AMQP_CONSUMER_ACKS && call->amqp->is_unsure == 0))
		return;
	while (at < AMQP_CONSUMER_WAYS && set[at].state != AMQP_CONSUMER_UNKNOWN)
		at++;
	if (at == AMQP_CONSUMER_WAYS) {
		tl_count(call->ctx, AMQP_COUNT_CONSUMERS_EVICTED);
		call->amqp->is_unsure = 1;
		memmove(set, set + 1, (AMQP_CONSUMER_WAYS - 1) * sizeof(*set));
		at--;
	}
	set[at] = (struct amqp_consumer) {
		.tag = hash, .channel = call->channel, .state = (uint16_t)state};
}

enum amqp_consumer_state tl_amqp_consumer(struct amqp_call *call, struct tl_bytes tag)
{
	const struct amqp_channel *channel;

	uint32_t hash = consumer_hash(call, tag);
	const struct amqp_consumer *set = consumer_set(call, hash);
	for (uint32_t i = 0; i < AMQP_CONSUMER_WAYS; i++)
		if (set[i].state != AMQP_CONSUMER_UNKNOWN && set[i].tag == hash &&
		    set[i].channel == call->channel)
			return (enum amqp_consumer_state)set[i].state;
	if (call->amqp->is_unsure == 0)
		return AMQP_CONSUMER_ACKS;
	channel = tl_amqp_channel(call);
	return channel != NULL && (channel->bits & AMQP_CHANNEL_ACKS) != 0 ? AMQP_CONSUMER_ACKS
									   : AMQP_CONSUMER_UNKNOWN;
}
