// SPDX-License-Identifier: Apache-2.0
// Walks the body of a message by its rows in the schema, as far as the bytes go, and takes up the
// walk where it stopped: a walk's state is all that is kept of a body. Knows nothing of a
// connection; what it finds goes to a sink. Without a sink it only tells whether bytes are such a
// message.
#pragma once

#include "base/bytes.h"
#include "schema.h"

#define KAFKA_TEXT_BYTES_MAX 256u    // shown to the sink of a text
#define KAFKA_HEADERS_BYTES_MAX 1024u // of a record, searched for a trace context
#define KAFKA_HEADERS_MAX 64u
#define KAFKA_BATCH_HEAD 61u         // of a record batch of format 2
#define KAFKA_OPS_PER_CALL 8192u     // rows walked at most in one call

enum kafka_phase {
	KAFKA_PHASE_ROW,      // the next row
	KAFKA_PHASE_ELEMENTS, // `count` elements of the row are left
	KAFKA_PHASE_TAGS,     // the number of tagged fields comes
	KAFKA_PHASE_TAGGED,   // `count` tagged fields are left
	KAFKA_PHASE_BATCH,    // in records: the next batch
	KAFKA_PHASE_RECORD,   // its first record
	KAFKA_PHASE_VALUE,    // the same behind the key
	KAFKA_PHASE_HEADERS,  // the same behind the value
};

struct kafka_frame {
	uint32_t left; // elements still to come, with the one being read
	uint16_t row;  // of the ARRAY or STRUCT
};

struct kafka_walk {
	uint64_t left;        // bytes of the message
	uint32_t records;     // bytes left of the records being read
	uint32_t batch;       // and of their batch
	uint32_t record;      // and of its first record
	uint32_t count;
	uint16_t row;
	uint8_t depth;
	uint8_t version;
	uint8_t phase;        // enum kafka_phase
	bool is_flexible;
	bool in_header;       // the tags are the header's
	bool wants_trace;
	struct kafka_frame frames[KAFKA_DEPTH_MAX];
};

// What came of a batch of records.
struct kafka_batch {
	uint32_t records;    // 0 with is_counted false: how many is not said
	uint8_t compression; // 0: none
	bool is_counted;
	bool is_control;     // markers of transactions
};

// Where the findings go. `self` is handed back.
struct kafka_sink {
	void *self;
	void (*number)(void *self, uint8_t use, uint32_t depth, int64_t value);
	void (*text)(void *self, uint8_t use, struct tl_bytes text);
	void (*id)(void *self, const uint8_t id[16]); // of a topic
	void (*element)(void *self, uint32_t depth);  // of an array begins
	void (*records)(void *self, uint32_t bytes);
	void (*batch)(void *self, const struct kafka_batch *batch);
	void (*header)(void *self, struct tl_bytes name, struct tl_bytes value); // of a record
};

enum kafka_walked {
	KAFKA_WALK_MORE, // `need` bytes from `ate` on are wanted
	KAFKA_WALK_SKIP, // `skip` bytes behind `ate` are of no use, they go beyond the view
	KAFKA_WALK_PAUSE, // enough for one call
	KAFKA_WALK_STOP, // nothing of use is left (with a sink only)
	KAFKA_WALK_DONE, // the message ends here
	KAFKA_WALK_BAD,  // that's no such message
};

struct kafka_result {
	enum kafka_walked kind;
	uint32_t ate;
	uint32_t need;
	uint64_t skip;
};

// The rows of `version`, NULL if the schema has none.
const struct kafka_variant *tl_kafka_variant(const struct kafka_variant variants[KAFKA_VARIANTS],
					     uint32_t version);
// `left` bytes of the message are behind the fixed part of its header; `has_tags`: the header goes
// on with tagged fields.
void tl_kafka_walk_begin(struct kafka_walk *walk, const struct kafka_variant *variant,
			 uint32_t version, bool has_tags, uint64_t left);
struct kafka_result tl_kafka_walk(struct kafka_walk *walk, const struct kafka_sink *sink,
				  struct tl_bytes view);
