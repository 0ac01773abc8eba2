// SPDX-License-Identifier: Apache-2.0
// Inside the exporter `kafka`: brings one frame of the queue after the other to the brokers, by
// librdkafka. Helper thread.
//
// A frame is lines of "KEY<tab>VALUE", as the queue keeps them. All its messages are under way at the
// same time; the next frame begins when each has its answer. Messages of one key arrive in order, but
// for those that no broker took within the time limit: they are sent again behind others of their
// frame. A frame leaves the queue only when nothing of it is left to send.
#pragma once

#include "base/text.h"
#include "exporters/http_sink/http_sink.h"

#define TL_KAFKA_ERROR_BYTES sizeof(((struct tl_exporter_stats *)0)->last_error)

struct tl_kafka_options {
	const char *name;
	const char *brokers;
	const char *topic;
	uint32_t compression; // index into tl_kafka_compression_words
	uint64_t timeout_ns;  // of a message, from the first attempt to the broker's answer
	struct tl_text_map properties;
	uint64_t batch_max; // messages of one frame
	struct tl_http_backoff backoff;
	struct tl_queue_options queue;
};
extern const char *const tl_kafka_compression_words[];

// What became of the messages of a frame.
struct tl_kafka_outcome {
	uint32_t delivered, rejected, too_large;
	uint32_t again; // not delivered, may be sent again
};

struct tl_kafka_producer;

// What librdkafka thinks of the options: 0, or -EINVAL with a line for the user, without secrets.
int tl_kafka_producer_check(const struct tl_kafka_options *options, char *error,
			    uint32_t error_size);
// Connects in threads of librdkafka. 0, or -errno with a line for the user, without secrets.
int tl_kafka_producer_create(const struct tl_kafka_options *options,
			     struct tl_kafka_producer **ret_producer, char *error,
			     uint32_t error_size);
// Gives up what is under way, whatever became of it. Accepts NULL.
void tl_kafka_producer_destroy(struct tl_kafka_producer *producer);

// Begins a frame; it is copied.
void tl_kafka_producer_begin(struct tl_kafka_producer *producer, struct tl_bytes frame);
// Begins anew with those messages of the frame that may be sent again.
void tl_kafka_producer_again(struct tl_kafka_producer *producer);
// Takes in answers, for up to `ms`. True when each message of the frame has one.
bool tl_kafka_producer_poll(struct tl_kafka_producer *producer, int ms);
// Of the messages that were begun last, once all have an answer.
void tl_kafka_producer_outcome(const struct tl_kafka_producer *producer,
			       struct tl_kafka_outcome *ret_outcome);
// All connections failed, and no broker has answered since.
bool tl_kafka_producer_is_down(const struct tl_kafka_producer *producer);
// What went wrong last, with a message or a connection; "" for nothing since the last message that
// was delivered.
const char *tl_kafka_producer_error(const struct tl_kafka_producer *producer);
