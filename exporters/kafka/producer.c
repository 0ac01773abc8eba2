// SPDX-License-Identifier: Apache-2.0
#include "exporters/kafka/producer.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_KBYTES "131072" // a frame and what librdkafka adds to it
#define BUFFER_MESSAGES "1000000"
#define SCRAM_VERSION 0x02060100 // the first librdkafka whose SCRAM is as RFC 5802 has it
#define DESTROY_NS (3 * TL_SECOND_NS)
#define PURGE_MS 1000 // a purged message has its answer at once

const char *const tl_kafka_compression_words[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};

enum fate { FATE_WAITING, FATE_DELIVERED, FATE_REJECTED, FATE_TOO_LARGE, FATE_AGAIN };

struct message {
	struct tl_bytes key, value; // in the frame's copy
	enum fate fate;
};

struct tl_kafka_producer {
	const struct tl_kafka_options *options;
	rd_kafka_t *kafka;
	struct tl_text frame;
	struct message *messages;
	uint32_t count, capacity;
	uint32_t waiting; // of `count`
	bool is_down;     // no broker can be reached
	bool is_scram;
	bool is_ending;   // nobody asks for the error, and the options may be gone
	atomic_int certificate; // error of the broker's, as OpenSSL numbers it, 0: none; any thread
	char error[TL_KAFKA_ERROR_BYTES];
};

// ---- Answers -------------------------------------------------------------------------------------

// Values that must not be shown, wherever a peer or the library puts them.
static void mask(const struct tl_text_map *properties, char *text)
{
	static const char *const secret[] = {"password", "secret", "key", "config", "token"};

	for (uint32_t i = 0; i < properties->count; i++) {
		const struct tl_text_pair *pair = &properties->items[i];
		size_t len = strlen(pair->value);
		bool is_secret = false;
		for (size_t s = 0; s < TL_COUNT_OF(secret); s++)
			is_secret |= strstr(pair->key, secret[s]) != NULL;
		for (char *at = text; is_secret && len >= 4 && (at = strstr(at, pair->value)) != NULL;
		     at += len)
			memset(at, '*', len);
	}
}

static void set_error(struct tl_kafka_producer *producer, char *line)
{
	if (producer->is_ending)
		return;
	for (char *at = line; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = ' ';
	mask(&producer->options->properties, line);
	(void)snprintf(producer->error, sizeof(producer->error), "%.*s",
		       (int)sizeof(producer->error) - 1, line);
}

// What OpenSSL says of a certificate (X509_V_ERR_...), in words that tell what to do.
static const char *certificate_words(int number)
{
	switch (number) {
	case 9:
		return "is not valid yet";
	case 10:
		return "has expired";
	case 18: // self-signed
	case 19: // self-signed in the chain
	case 20: // the issuer is missing
	case 21: // the same, of the first one
		return "does not lead to a CA of ssl.ca.location";
	case 23:
		return "is revoked";
	case 62: // host name
	case 64: // address
		return "is for another name or address than this";
	default:
		return "is not valid";
	}
}

// Whether the broker ended the connection by a TLS alert (RFC 8446 section 6.2) that is about our
// certificate. Java says bad_certificate where it got none.
static bool is_own_certificate(const char *reason)
{
	static const char words[] = "SSL alert number ";
	const char *at = strstr(reason, words);
	long number = at != NULL ? strtol(at + sizeof(words) - 1, NULL, 10) : 0;

	return (number >= 41 && number <= 46) || number == 48 || number == 116;
}

// The library's words are for its own log: how long it took and how often goes, the broker's
// certificate is judged in a word, and what hides behind the broker's answer is said.
static void note_broker(struct tl_kafka_producer *producer, rd_kafka_resp_err_t code,
			const char *reason)
{
	int number = atomic_exchange(&producer->certificate, 0);
	const char *tail = strstr(reason, " (after ");
	int len = tail != NULL ? (int)(tail - reason) : (int)strlen(reason);
	const char *broker_end = strstr(reason, ": "); // "ssl://broker:9093/1: SSL handshake failed: ..."
	int broker = broker_end != NULL ? (int)(broker_end - reason) : 0;
	char line[512];

	if (number != 0 && strstr(reason, "certificate verify failed") != NULL)
		(void)snprintf(line, sizeof(line), "%.*s: the broker's certificate %s (X.509 error %d)",
			       broker, reason, certificate_words(number), number);
	else if (is_own_certificate(reason))
		(void)snprintf(line, sizeof(line), "%.*s: the broker does not take our certificate, or "
			       "we have none (ssl.certificate.location)%.*s", broker, reason,
			       len - broker, reason + broker);
	else if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION && producer->is_scram &&
		 rd_kafka_version() < SCRAM_VERSION)
		// Before, the last message of SCRAM had the client's nonce twice: Kafka 4 refuses it
		// as it refuses a wrong password.
		(void)snprintf(line, sizeof(line), "%.*s; SCRAM with Kafka 4 needs librdkafka 2.6.1, "
			       "this one is %s", len, reason, rd_kafka_version_str());
	else if (code == RD_KAFKA_RESP_ERR__SSL && (strstr(reason, "unexpected eof") != NULL ||
						    strstr(reason, "wrong version number") != NULL))
		(void)snprintf(line, sizeof(line), "%.*s (does this listener speak TLS?)", len, reason);
	else
		(void)snprintf(line, sizeof(line), "%.*s", len, reason);
	set_error(producer, line);
}

static enum fate fate_of(rd_kafka_resp_err_t code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return FATE_DELIVERED;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
		return FATE_TOO_LARGE;
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
	case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
	case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
		return FATE_REJECTED; // it would be the next time, too
	default:
		// Brokers that can't be reached or are not ready, and what an operator mends: rights,
		// credentials, a topic that is not there yet.
		return FATE_AGAIN;
	}
}

static void settle(struct tl_kafka_producer *producer, struct message *message,
		   rd_kafka_resp_err_t code)
{
	char line[256];

	if (message->fate != FATE_WAITING)
		return;
	message->fate = fate_of(code);
	producer->waiting--;
	if (code >= RD_KAFKA_RESP_ERR_NO_ERROR) // below are the library's own: no broker said it
		producer->is_down = false;
	// Why a message found no broker was said before; that it did not says less.
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		producer->error[0] = '\0';
	if (code > RD_KAFKA_RESP_ERR_NO_ERROR ||
	    (code < RD_KAFKA_RESP_ERR_NO_ERROR && producer->error[0] == '\0')) {
		(void)snprintf(line, sizeof(line), "%s", rd_kafka_err2str(code));
		set_error(producer, line);
	}
}

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *answer, void *opaque)
{
	(void)kafka;
	settle(opaque, answer->_private, answer->err);
}

static void on_error(rd_kafka_t *kafka, int code, const char *reason, void *opaque)
{
	struct tl_kafka_producer *producer = opaque;

	(void)kafka;
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		producer->is_down = true;
	else
		note_broker(producer, (rd_kafka_resp_err_t)code, reason); // says why
}

// Changes nothing of what OpenSSL found. A thread of librdkafka.
static int on_certificate(rd_kafka_t *kafka, const char *name, int32_t id, int *number, int depth,
			  const char *certificate, size_t size, char *error, size_t error_size,
			  void *opaque)
{
	struct tl_kafka_producer *producer = opaque;

	(void)kafka;
	(void)name;
	(void)id;
	(void)depth;
	(void)certificate;
	(void)size;
	(void)snprintf(error, error_size, "%d", *number);
	if (*number != 0)
		atomic_store(&producer->certificate, *number);
	return *number == 0;
}

// The library's own lines name what an operator doesn't know; its errors come to on_error().
static void on_log(const rd_kafka_t *kafka, int level, const char *facility, const char *line)
{
	(void)kafka;
	(void)level;
	(void)facility;
	(void)line;
}

// ---- Frames --------------------------------------------------------------------------------------

static void send_message(struct tl_kafka_producer *producer, struct message *message)
{
	message->fate = FATE_WAITING;
	rd_kafka_resp_err_t code = rd_kafka_producev(
		producer->kafka, RD_KAFKA_V_TOPIC(producer->options->topic),
		RD_KAFKA_V_KEY(message->key.ptr, message->key.len),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)message->value.ptr, message->value.len),
		RD_KAFKA_V_OPAQUE(message), RD_KAFKA_V_END);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		settle(producer, message, code);
}

static void send_all(struct tl_kafka_producer *producer)
{
	producer->waiting = producer->count;
	for (uint32_t i = 0; i < producer->count; i++)
		send_message(producer, &producer->messages[i]);
}

static void add_line(struct tl_kafka_producer *producer, struct tl_bytes line)
{
	uint32_t tab = tl_bytes_find(line, '\t', 0);

	if (tab == TL_BYTES_NONE)
		return; // nothing of ours has none
	if (producer->count == producer->capacity) {
		uint32_t capacity = producer->capacity == 0 ? 1024 : producer->capacity * 2;
		struct message *more = realloc(producer->messages, capacity * sizeof(*more));
		TL_ASSERT(more != NULL && "out of memory");
		producer->messages = more;
		producer->capacity = capacity;
	}
	producer->messages[producer->count++] = (struct message) {
		.key = tl_bytes_first(line, tab), .value = tl_bytes_from(line, tab + 1)};
}

void tl_kafka_producer_begin(struct tl_kafka_producer *producer, struct tl_bytes frame)
{
	TL_ASSERT(producer->waiting == 0);
	tl_text_clear(&producer->frame);
	tl_text_add(&producer->frame, frame.ptr, frame.len);
	producer->count = 0;
	struct tl_bytes rest = tl_bytes((const uint8_t *)producer->frame.data, frame.len);
	for (uint32_t end; (end = tl_bytes_find(rest, '\n', 0)) != TL_BYTES_NONE;
	     rest = tl_bytes_from(rest, end + 1))
		add_line(producer, tl_bytes_first(rest, end));
	send_all(producer);
}

void tl_kafka_producer_again(struct tl_kafka_producer *producer)
{
	uint32_t count = 0;

	TL_ASSERT(producer->waiting == 0);
	for (uint32_t i = 0; i < producer->count; i++)
		if (producer->messages[i].fate == FATE_AGAIN)
			producer->messages[count++] = producer->messages[i];
	producer->count = count;
	send_all(producer);
}

bool tl_kafka_producer_poll(struct tl_kafka_producer *producer, int ms)
{
	(void)rd_kafka_poll(producer->kafka, ms);
	return producer->waiting == 0;
}

void tl_kafka_producer_outcome(const struct tl_kafka_producer *producer,
			       struct tl_kafka_outcome *ret_outcome)
{
	*ret_outcome = (struct tl_kafka_outcome) {0};
	for (uint32_t i = 0; i < producer->count; i++) {
		enum fate fate = producer->messages[i].fate;
		ret_outcome->delivered += fate == FATE_DELIVERED;
		ret_outcome->rejected += fate == FATE_REJECTED;
		ret_outcome->too_large += fate == FATE_TOO_LARGE;
		ret_outcome->again += fate == FATE_AGAIN;
	}
}

bool tl_kafka_producer_is_down(const struct tl_kafka_producer *producer)
{
	return producer->is_down;
}

const char *tl_kafka_producer_error(const struct tl_kafka_producer *producer)
{
	return producer->error;
}

// ---- Life ----------------------------------------------------------------------------------------

static int set_own(rd_kafka_conf_t *conf, const struct tl_kafka_options *options, char *error,
		   uint32_t error_size)
{
	char timeout[24];
	char why[200];

	(void)snprintf(timeout, sizeof(timeout), "%" PRIu64, options->timeout_ns / 1000000);
	const struct tl_text_pair own[] = {
		{"bootstrap.servers", options->brokers},
		{"compression.type", tl_kafka_compression_words[options->compression]},
		{"message.timeout.ms", timeout},
		{"acks", "all"},
		// An idempotent producer may come to an end from which there is no way on.
		{"enable.idempotence", "false"},
		// A frame is done when each of its messages has its answer.
		{"delivery.report.only.error", "false"},
		// One request at a time keeps the order over retries inside the library.
		{"max.in.flight.requests.per.connection", "1"},
		{"queue.buffering.max.messages", BUFFER_MESSAGES},
		{"queue.buffering.max.kbytes", BUFFER_KBYTES},
		{"client.id", "tapline"},
	};

	for (size_t i = 0; i < TL_COUNT_OF(own); i++)
		if (rd_kafka_conf_set(conf, own[i].key, own[i].value, why, sizeof(why)) !=
		    RD_KAFKA_CONF_OK) {
			(void)snprintf(error, error_size, "%s: %s", own[i].key, why);
			return -EINVAL;
		}
	return 0;
}

// A file that isn't there is better told before anything begins. Whether it may be read is another
// question: who checks a configuration may be another user.
static bool is_missing(const struct tl_text_pair *pair)
{
	static const char *const files[] = {"ssl.ca.location", "ssl.certificate.location",
					    "ssl.key.location", "ssl.keystore.location",
					    "ssl.crl.location"};
	bool is_file = false;

	for (size_t i = 0; i < TL_COUNT_OF(files); i++)
		is_file |= strcmp(pair->key, files[i]) == 0;
	return is_file && *pair->value != '\0' && strcmp(pair->value, "probe") != 0 &&
	       access(pair->value, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

static int set_properties(rd_kafka_conf_t *conf, const struct tl_text_map *properties, char *error,
			  uint32_t error_size)
{
	char why[200];

	for (uint32_t i = 0; i < properties->count; i++) {
		const struct tl_text_pair *pair = &properties->items[i];
		rd_kafka_conf_res_t result =
			rd_kafka_conf_set(conf, pair->key, pair->value, why, sizeof(why));
		if (result == RD_KAFKA_CONF_OK && is_missing(pair)) {
			(void)snprintf(error, error_size, "properties: there is no such file as "
				       "%.60s names", pair->key);
			return -EINVAL;
		}
		if (result == RD_KAFKA_CONF_OK)
			continue;
		// Its own words would show the value, which may be a secret.
		(void)snprintf(error, error_size, result == RD_KAFKA_CONF_UNKNOWN ?
			       "properties: librdkafka has no %.60s" :
			       "properties: librdkafka does not take this value of %.60s", pair->key);
		return -EINVAL;
	}
	return 0;
}

// NULL with a line in `error`.
static rd_kafka_conf_t *make_conf(const struct tl_kafka_options *options, char *error,
				  uint32_t error_size)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set_log_cb(conf, on_log);
	if (set_properties(conf, &options->properties, error, error_size) == 0 &&
	    set_own(conf, options, error, error_size) == 0) // ours come last and win
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

int tl_kafka_producer_check(const struct tl_kafka_options *options, char *error,
			    uint32_t error_size)
{
	rd_kafka_conf_t *conf = make_conf(options, error, error_size);

	if (conf == NULL)
		return -EINVAL;
	rd_kafka_conf_destroy(conf);
	return 0;
}

static bool is_scram(const struct tl_text_map *properties)
{
	bool is_found = false;

	for (uint32_t i = 0; i < properties->count; i++)
		is_found |= strncmp(properties->items[i].key, "sasl.mechanism", 14) == 0 &&
			    strncmp(properties->items[i].value, "SCRAM-", 6) == 0;
	return is_found;
}

int tl_kafka_producer_create(const struct tl_kafka_options *options,
			     struct tl_kafka_producer **ret_producer, char *error,
			     uint32_t error_size)
{
	rd_kafka_conf_t *conf = make_conf(options, error, error_size);
	struct tl_kafka_producer *producer = calloc(1, sizeof(*producer));
	char why[200];

	if (conf == NULL || producer == NULL) {
		free(producer);
		if (conf == NULL)
			return -EINVAL;
		rd_kafka_conf_destroy(conf);
		return -ENOMEM;
	}
	producer->options = options;
	producer->is_scram = is_scram(&options->properties);
	rd_kafka_conf_set_opaque(conf, producer);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_error_cb(conf, on_error);
	(void)rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate); // not without TLS
	producer->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (producer->kafka == NULL) {
		mask(&options->properties, why);
		(void)snprintf(error, error_size, "%s", why);
		rd_kafka_conf_destroy(conf);
		free(producer);
		return -EINVAL;
	}
	*ret_producer = producer;
	return 0;
}

static void *destroy(void *arg)
{
	struct tl_kafka_producer *producer = arg;

	(void)rd_kafka_purge(producer->kafka, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	(void)rd_kafka_flush(producer->kafka, PURGE_MS);
	rd_kafka_destroy(producer->kafka); // nothing calls back from here on
	tl_text_free(&producer->frame);
	free(producer->messages);
	free(producer);
	return NULL;
}

void tl_kafka_producer_destroy(struct tl_kafka_producer *producer)
{
	uint64_t until_ns = tl_clock_ns(CLOCK_MONOTONIC) + DESTROY_NS;
	const struct timespec until = {.tv_sec = (time_t)(until_ns / TL_SECOND_NS),
				       .tv_nsec = (long)(until_ns % TL_SECOND_NS)};
	pthread_t thread;

	if (producer == NULL)
		return;
	producer->is_ending = true;
	// The library waits for its threads, and one of these may wait for a resolver that is silent.
	if (pthread_create(&thread, NULL, destroy, producer) != 0)
		(void)destroy(producer);
	else if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) != 0)
		(void)pthread_detach(thread);
}
