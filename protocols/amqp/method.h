// SPDX-License-Identifier: Apache-2.0
// The methods of AMQP 0-9-1 as data: every class and method of the specification, and RabbitMQ's
// extensions. What a method is, who may send it, what answers it, what its arguments are.
#pragma once

#include "base/bytes.h"

#define AMQP_ARGUMENTS_MAX 10u // of one method; Access.Request has eight

enum amqp_type {
	AMQP_END,
	AMQP_OCTET,
	AMQP_SHORT,
	AMQP_LONG,
	AMQP_LONGLONG,
	AMQP_SHORTSTR,
	AMQP_LONGSTR,
	AMQP_TABLE,
	AMQP_BIT, // bits that follow one another share an octet, lowest first
};

// Record fields, in the order in which the text line shows those it does.
enum amqp_field {
	AMQP_FIELD_CLASS,
	AMQP_FIELD_METHOD,
	AMQP_FIELD_VHOST,
	AMQP_FIELD_USER,
	AMQP_FIELD_CHANNEL,
	AMQP_FIELD_EXCHANGE,
	AMQP_FIELD_ROUTING_KEY,
	AMQP_FIELD_QUEUE,
	AMQP_FIELD_CONSUMER_TAG,
	AMQP_FIELD_DELIVERY_TAG,
	AMQP_FIELD_MULTIPLE,
	AMQP_FIELD_REQUEUE,
	AMQP_FIELD_REDELIVERED,
	AMQP_FIELD_MANDATORY,
	AMQP_FIELD_MESSAGE_BYTES,
	AMQP_FIELD_REPLY_CODE,
	AMQP_FIELD_REPLY_TEXT,
	AMQP_FIELD_FAILED_METHOD,
	AMQP_FIELD_MESSAGE_COUNT,
	AMQP_FIELD_CONSUMER_COUNT,
	AMQP_FIELD_PREFETCH,
	AMQP_FIELD_EXCHANGE_TYPE,
	AMQP_FIELD_DESTINATION,
	AMQP_FIELD_CONTENT_TYPE,
	AMQP_FIELD_CONTENT_ENCODING,
	AMQP_FIELD_HEADERS,
	AMQP_FIELD_DELIVERY_MODE,
	AMQP_FIELD_PRIORITY,
	AMQP_FIELD_CORRELATION_ID,
	AMQP_FIELD_REPLY_TO,
	AMQP_FIELD_EXPIRATION,
	AMQP_FIELD_MESSAGE_ID,
	AMQP_FIELD_TIMESTAMP,
	AMQP_FIELD_TYPE,
	AMQP_FIELD_USER_ID,
	AMQP_FIELD_APP_ID,
	AMQP_FIELD_MECHANISM,
	AMQP_FIELD_PRODUCT,
	AMQP_FIELD_PRODUCT_VERSION,
	AMQP_FIELD_CONNECTION_NAME,
	AMQP_FIELD_CHANNEL_MAX,
	AMQP_FIELD_FRAME_MAX,
	AMQP_FIELD_HEARTBEAT,
	AMQP_FIELD_COUNT,

	// What an argument is used for besides, or that it is not.
	AMQP_USE_NONE = AMQP_FIELD_COUNT,
	AMQP_USE_NO_WAIT,
	AMQP_USE_NO_ACK,
	AMQP_USE_PROPERTIES, // of the client or server
	AMQP_USE_SASL,
	AMQP_USE_FAILED_CLASS,
	AMQP_USE_FAILED_METHOD,
};

struct amqp_argument {
	uint8_t type; // enum amqp_type
	uint8_t use;  // enum amqp_field
};

enum amqp_from { AMQP_FROM_CLIENT = 1, AMQP_FROM_SERVER = 2, AMQP_FROM_BOTH = 3 };

enum amqp_kind {
	AMQP_NO_METHOD,
	AMQP_TELLS,   // no answer is due
	AMQP_ASKS,    // synchronous
	AMQP_ANSWERS, // `asked` of its class
	AMQP_PUBLISH,
	AMQP_RETURN,
	AMQP_DELIVER,
	AMQP_GET_OK,
	AMQP_ACK,
	AMQP_REJECT,
	AMQP_NACK,
};

struct amqp_method {
	const char *name;
	uint8_t kind;  // enum amqp_kind
	uint8_t from;  // enum amqp_from
	uint8_t asked; // ANSWERS, GET_OK: the method that is answered
	struct amqp_argument arguments[AMQP_ARGUMENTS_MAX]; // ended by AMQP_END
};

enum amqp_class {
	AMQP_CONNECTION = 10,
	AMQP_CHANNEL = 20,
	AMQP_ACCESS = 30,
	AMQP_EXCHANGE = 40,
	AMQP_QUEUE = 50,
	AMQP_BASIC = 60,
	AMQP_CONFIRM = 85,
	AMQP_TX = 90,
};

// The methods that change what the decoder remembers: class in the upper half.
#define AMQP_METHOD(class, method) ((uint32_t)(class) << 16 | (method))
enum amqp_method_id {
	AMQP_CONNECTION_START_OK = AMQP_METHOD(AMQP_CONNECTION, 11),
	AMQP_CONNECTION_OPEN = AMQP_METHOD(AMQP_CONNECTION, 40),
	AMQP_CONNECTION_CLOSE = AMQP_METHOD(AMQP_CONNECTION, 50),
	AMQP_CONNECTION_CLOSE_OK = AMQP_METHOD(AMQP_CONNECTION, 51),
	AMQP_CHANNEL_OPEN = AMQP_METHOD(AMQP_CHANNEL, 10),
	AMQP_CHANNEL_CLOSE = AMQP_METHOD(AMQP_CHANNEL, 40),
	AMQP_CHANNEL_CLOSE_OK = AMQP_METHOD(AMQP_CHANNEL, 41),
	AMQP_BASIC_CONSUME = AMQP_METHOD(AMQP_BASIC, 20),
	AMQP_BASIC_CONSUME_OK = AMQP_METHOD(AMQP_BASIC, 21),
	AMQP_BASIC_CANCEL = AMQP_METHOD(AMQP_BASIC, 30),
	AMQP_BASIC_CANCEL_OK = AMQP_METHOD(AMQP_BASIC, 31),
	AMQP_BASIC_RECOVER_OK = AMQP_METHOD(AMQP_BASIC, 111),
	AMQP_BASIC_RECOVER_ASYNC = AMQP_METHOD(AMQP_BASIC, 100),
	AMQP_CONFIRM_SELECT = AMQP_METHOD(AMQP_CONFIRM, 10),
	AMQP_CONFIRM_SELECT_OK = AMQP_METHOD(AMQP_CONFIRM, 11),
};

// NULL: there is none.
const struct amqp_method *tl_amqp_method(uint16_t class_id, uint16_t method_id);
const char *tl_amqp_class_name(uint16_t class_id); // NULL: no such class

// The arguments of one method as they were sent.
struct amqp_arguments {
	const struct amqp_method *method;
	uint32_t count; // of those that were there
	struct {
		struct tl_bytes text; // of strings and tables
		uint64_t number;
	} values[AMQP_ARGUMENTS_MAX];
};

// Reads the arguments; gives how many bytes they take, or TL_BYTES_NONE if they go on behind
// `bytes`.
uint32_t tl_amqp_arguments(const struct amqp_method *method, struct tl_bytes bytes,
			   struct amqp_arguments *ret);
// Of the argument with this use; 0 or empty if there is none.
uint64_t tl_amqp_number(const struct amqp_arguments *arguments, uint8_t use);
struct tl_bytes tl_amqp_text(const struct amqp_arguments *arguments, uint8_t use);
