// SPDX-License-Identifier: Apache-2.0
// What is known of commands by name: where their keys are, what answers them in an unusual way,
// how long they may wait. A command that is not listed is recorded like any other, without a
// count of keys. Source: redis.io/commands, `COMMAND` of Redis 7.0; valkey.io, docs.keydb.dev.
#pragma once

#include "base/bytes.h"
#include "l7/roundtrip.h"

#define REDIS_NAME_BYTES_MAX 64u // of a command's name or its sub-command; longer ones are cut

// What a command means for the connection or for its own answer.
enum redis_role {
	REDIS_ROLE_PLAIN,
	REDIS_ROLE_CONTAINER, // its first argument is a sub-command, part of the name
	REDIS_ROLE_STREAMS,   // its keys are half of what follows the word STREAMS
	REDIS_ROLE_SUBSCRIBE,
	REDIS_ROLE_PSUBSCRIBE,
	REDIS_ROLE_SSUBSCRIBE,
	REDIS_ROLE_UNSUBSCRIBE,
	REDIS_ROLE_PUNSUBSCRIBE,
	REDIS_ROLE_SUNSUBSCRIBE,
	REDIS_ROLE_MULTI,
	REDIS_ROLE_EXEC,
	REDIS_ROLE_DISCARD,
	REDIS_ROLE_SELECT,
	REDIS_ROLE_RESET,
	REDIS_ROLE_MONITOR,
	REDIS_ROLE_PSYNC,
	REDIS_ROLE_SYNC,
	REDIS_ROLE_REPLCONF,
	REDIS_ROLE_COUNT
};

// Which argument says how long a command may block.
enum redis_wait {
	REDIS_WAIT_NONE,
	REDIS_WAIT_FIRST, // seconds
	REDIS_WAIT_LAST,  // seconds
	REDIS_WAIT_MS_2,  // milliseconds, the second argument
	REDIS_WAIT_MS_3,
	REDIS_WAIT_BLOCK, // milliseconds behind the word BLOCK, if it is there
};

struct redis_command {
	char name[24];
	int8_t first;     // index of the first key among the arguments, the name being 0; 0: none
	int8_t last;      // of the last one; negative: counted from the end
	int8_t step;
	int8_t count_at;  // index of the argument that counts further keys, behind it; 0: none
	uint8_t role;     // enum redis_role
	uint8_t wait;     // enum redis_wait
};

// By name in upper case, NULL if it isn't listed.
const struct redis_command *tl_redis_command(struct tl_bytes name);

// Writes `word` in upper case, cut to REDIS_NAME_BYTES_MAX; gives the part of `out` that is used.
struct tl_bytes tl_redis_upper(struct tl_bytes word, uint8_t out[REDIS_NAME_BYTES_MAX]);

// How an error with this prefix ("ERR", "MOVED") is recorded.
enum tl_status tl_redis_status(struct tl_bytes prefix, enum tl_reason *ret_reason);

// Decimal digits, perhaps behind a minus: false if it is anything else, or too long.
bool tl_redis_integer(struct tl_bytes digits, int64_t *ret_value);
// "1.5" seconds and the like as nanoseconds, `unit_ns` being one; 0 for 0 or what is no number.
uint64_t tl_redis_duration(struct tl_bytes text, uint64_t unit_ns);

// Glob with * and ?. Time grows with the product of the lengths, both of which are limited.
bool tl_redis_glob(const char *pattern, struct tl_bytes text);
