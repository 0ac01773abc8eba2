// SPDX-License-Identifier: Apache-2.0
// What the loss test needs of a protocol: requests with a number each, answers that repeat it.
#pragma once

#include "base/bytes.h"
#include "l7/roundtrip.h"

#define LOSS_STREAM_MAX (768u * 1024u)
#define LOSS_NO_NUMBER UINT64_MAX

struct loss_random {
	uint64_t state; // never 0
};

// A number from 0 to `below` - 1.
uint32_t loss_random(struct loss_random *r, uint32_t below);

// The bytes of one side of a connection so far.
struct loss_text {
	uint8_t bytes[LOSS_STREAM_MAX];
	uint32_t len;
};

void loss_add(struct loss_text *text, const void *bytes, size_t len);
__attribute__((format(printf, 2, 3))) void loss_print(struct loss_text *text, const char *format,
						      ...);
void loss_fill(struct loss_text *text, char byte, uint32_t count);

struct loss_dialect {
	const char *name;
	uint16_t port;
	const char *protocol; // NULL: as the name says
	bool pipelines; // clients may have several requests outstanding
	bool counts;    // pairs by counting: behind a loss there may be none
	uint8_t asker;  // the side that sends the requests, enum tl_lane
	// What is said before the first request: `turns` of the two sides alternately, beginning
	// with `first`. NULL: nothing. Gives the number of records it makes.
	uint32_t (*hello)(uint32_t turn, struct loss_text *text);
	uint32_t hello_turns;
	uint8_t hello_first;
	// Appends one or more requests and their answers, numbered from `nonce` on. They are sent at
	// once. Gives how many.
	uint32_t (*unit)(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			 struct loss_text *answer);
	// The numbers in a record's halves, LOSS_NO_NUMBER where there is none. False: the record is
	// none of those that have numbers (a start-up).
	bool (*numbers)(const struct tl_roundtrip *record, uint64_t *ret_asked,
			uint64_t *ret_answered);
};

extern const struct loss_dialect loss_dialects[];
extern const uint32_t loss_dialect_count;
