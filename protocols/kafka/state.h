// SPDX-License-Identifier: Apache-2.0
// What the Kafka decoder remembers of a connection, and what its files tell each other.
//
// Every message has its length in front, so that the end of the one being read is known whatever
// is lost of it. `key` of a pair is the correlation id.
#pragma once

#include "l7/decoder.h"
#include "walk.h"
#include "words.h"

#define KAFKA_SIZE_BYTES 4u
#define KAFKA_REQUEST_HEAD 12u    // size, api, version, correlation id
#define KAFKA_RESPONSE_HEAD 8u    // size, correlation id
#define KAFKA_SIZE_MAX 0x7fffffffu
#define KAFKA_SIZE_LIKELY (128u << 20) // of a message that is not expected
#define KAFKA_REQUEST_LIKELY 65536u // of a request without records
#define KAFKA_ENOUGH_BYTES 1024u    // of one, to believe it before it is all there
#define KAFKA_CLIENT_ID_MAX 256u  // shown
#define KAFKA_CLIENT_ID_LIKELY 256u // of a request that is not expected
#define KAFKA_TOPIC_MAX 249u      // by the servers
#define KAFKA_LIST_MAX 16u        // topics, partitions, groups that are shown of a message
#define KAFKA_NAMED_BYTES_MAX 12288u // of values that tell the names of topics in an answer
#define KAFKA_NAMED_BYTES 48u        // of one of them besides the name, with the id
#define KAFKA_NEED_MAX (KAFKA_HEADERS_BYTES_MAX + 64u)
#define KAFKA_HUNT_BYTES_MAX (1u << 20) // looked at for a message that can be believed
#define KAFKA_AHEAD_MAX 4096      // correlation ids that a client may be ahead of the last one
#define KAFKA_REBALANCE_DEFAULT_MS 300000u // the servers' limit for members that state none
#define KAFKA_KEY_RESERVED 0x7ffffff8u // from here on clients number authentication apart
#define KAFKA_TOKEN_MAX (1u << 20)  // bytes of an authentication token
#define KAFKA_PROOF_BYTES 40u      // of a response that have to fit where messages begin is unsure
#define KAFKA_SASL_KEY (UINT64_C(1) << 32) // no correlation id is so large

enum kafka_key {
	KAFKA_PRODUCE = 0,
	KAFKA_FETCH = 1,
	KAFKA_CONTROLLED_SHUTDOWN = 7,
	KAFKA_JOIN_GROUP = 11,
	KAFKA_SYNC_GROUP = 14,
	KAFKA_SASL_HANDSHAKE = 17,
	KAFKA_API_VERSIONS = 18,
};

enum kafka_field {
	KAFKA_FIELD_API,
	KAFKA_FIELD_API_VERSION,
	KAFKA_FIELD_TOPIC,
	KAFKA_FIELD_ERROR,
	KAFKA_FIELD_CORRELATION_ID,
	KAFKA_FIELD_CLIENT_ID,
	KAFKA_FIELD_SOFTWARE_NAME,
	KAFKA_FIELD_SOFTWARE_VERSION,
	KAFKA_FIELD_GROUP,
	KAFKA_FIELD_TRANSACTION,
	KAFKA_FIELD_TOPIC_ID,
	KAFKA_FIELD_TOPIC_COUNT,
	KAFKA_FIELD_PARTITIONS,
	KAFKA_FIELD_PARTITION_COUNT,
	KAFKA_FIELD_ACKS,
	KAFKA_FIELD_WAIT,
	KAFKA_FIELD_COORDINATOR_KEY,
	KAFKA_FIELD_RESOURCE,
	KAFKA_FIELD_MECHANISM,
	KAFKA_FIELD_BATCHES,
	KAFKA_FIELD_RECORDS,
	KAFKA_FIELD_RECORD_BYTES,
	KAFKA_FIELD_COMPRESSION,
	KAFKA_FIELD_ERROR_CODE,
	KAFKA_FIELD_ERROR_MESSAGE,
	KAFKA_FIELD_PARTITIONS_IN_ERROR,
	KAFKA_FIELD_ERROR_PARTITION,
	KAFKA_FIELD_BASE_OFFSET,
	KAFKA_FIELD_THROTTLE,
	KAFKA_FIELD_NAMED,
	KAFKA_FIELD_NAMED_ID,
	KAFKA_FIELD_NAMED_TOPIC,
	KAFKA_FIELD_COUNT
};

enum kafka_counter {
	KAFKA_COUNT_BAD_BODY,
	KAFKA_COUNT_UNKNOWN_VERSION,
	KAFKA_COUNT_MISALIGNED,
	KAFKA_COUNT_SASL_TOKENS,
	KAFKA_COUNTER_COUNT
};

// Kept with an open request.
struct kafka_memo {
	uint16_t api;
	uint16_t version;
	uint8_t is_sasl; // tokens without headers
	uint8_t reserved[11];
};
_Static_assert(sizeof(struct kafka_memo) == TL_MEMO_BYTES, "memo");

// What the body being read has said so far.
struct kafka_body {
	uint64_t record_bytes;
	uint64_t records;
	uint32_t batches;
	uint32_t topics;
	uint32_t partitions;
	uint32_t groups;      // and transactions, keys, resources
	uint32_t errors;      // below the top level
	uint32_t named_bytes; // of topics with their ids
	int32_t partition;
	int16_t top_error;
	int16_t worst_error;  // below the top level
	uint8_t compression;
	bool has_partition;   // `partition` is the one being read
	bool is_uncounted;    // some batch doesn't say how many records it has
	bool has_acks;        // an answer is due: of a Produce request
	bool has_message;     // an error message was shown
	bool has_offset;
	bool has_error_partition;
	bool has_name;        // `topic` is the name of the element being read
	uint8_t topic_len;
	char topic[KAFKA_TOPIC_MAX];
};

struct kafka_lane {
	struct kafka_walk walk;
	struct kafka_body body;
	uint64_t end;      // of the message being read, or of the last one
	uint32_t key;
	uint16_t api;
	uint16_t version;
	uint32_t hunted;   // bytes
	bool in_body;
	bool is_opened;    // the request is
	bool is_begun;
	bool is_unsure;    // where messages begin: only what proves to be one is believed
	bool was_lost;     // messages may have been
};

enum kafka_sasl {
	KAFKA_SASL_NONE,
	KAFKA_SASL_TOKENS, // tokens may come instead of requests
	KAFKA_SASL_ASKED,  // one came
	KAFKA_SASL_ANSWERED,
};

struct kafka {
	struct kafka_lane lane[TL_LANE_COUNT];
	uint32_t last_key;     // of a request
	uint32_t client_hash;  // of the client id
	uint32_t rebalance_ms; // that the last JoinGroup asked for
	bool has_key;
	bool has_client;
	uint8_t sasl;          // enum kafka_sasl
	uint8_t mechanism_len;
	char mechanism[31];
};

// A call of step(), and what the sinks of a walk are handed.
struct kafka_call {
	struct tl_ctx *ctx;
	struct kafka *kf;
	struct kafka_lane *me;
	struct tl_bytes view;
	uint64_t offset;  // of the view
	enum tl_lane lane;
};

// The head of a request.
struct kafka_head {
	uint32_t size;
	uint16_t api;
	uint16_t version;
	uint32_t key;
	struct tl_bytes client; // as far as it is in view
	uint32_t client_len;
	bool has_client;        // false: null, or none in this header
	uint32_t len;           // from the size to the end of the client id
};

enum kafka_fit { KAFKA_FIT_NO, KAFKA_FIT_SHORT, KAFKA_FIT_YES };

// detect.c. SHORT: ret_head->len bytes are wanted. Strict: only what is known of Kafka fits.
enum kafka_fit tl_kafka_head(struct tl_bytes view, bool strict, struct kafka_head *ret_head);
// Walks what is in view of a request, or of the response to what `memo` says.
enum kafka_walked tl_kafka_try_request(struct tl_bytes view, const struct kafka_head *head);
enum kafka_walked tl_kafka_try_response(struct tl_bytes view, const struct kafka_memo *memo);
// The version that a response of `version` is written in.
uint32_t tl_kafka_response_version(const struct kafka_memo *memo, struct tl_bytes view);
// Index of the next head that may be one, at or after `from`; the view's length if there is none.
uint32_t tl_kafka_find(const struct kafka *kf, enum tl_lane lane, struct tl_bytes view,
		       uint32_t from);
enum tl_match tl_kafka_match(enum tl_lane lane, struct tl_bytes first);
uint32_t tl_kafka_resync(const void *state, enum tl_lane lane, struct tl_bytes view);
uint32_t tl_kafka_hash(struct tl_bytes text);

static inline const struct kafka_api *tl_kafka_api(uint32_t key)
{
	return key < tl_kafka_api_count && tl_kafka_apis[key].name != NULL ? &tl_kafka_apis[key]
									  : NULL;
}

// body.c. Walks on; gives the step. *ret_done: nothing of the body is left to be read.
struct tl_step tl_kafka_body_step(struct kafka_call *call, bool *ret_done);
// Shows what was counted.
void tl_kafka_body_show(struct kafka_call *call);
// The request being read may wait so long for its answer.
void tl_kafka_may_wait(struct kafka_call *call, int64_t ms);

struct tl_step tl_kafka_client_step(struct kafka_call *call);
// The request's acks are known, or will not be.
void tl_kafka_open(struct kafka_call *call);
struct tl_step tl_kafka_server_step(struct kafka_call *call);
// The answer under way ends with what was read of it.
void tl_kafka_response_ends(struct kafka_call *call);
// kafka.c. Bytes that are no message: goes to where the next one may begin.
struct tl_step tl_kafka_hunt(struct kafka_call *call);
