// SPDX-License-Identifier: Apache-2.0
// Which values of a record name its series. The configured paths are resolved against the field
// tables once; per record they become a compact key of raw values, which only the control lcore
// ever turns into text.
#pragma once

#include "base/text.h"
#include "l7/decoder.h"
#include "metrics/metrics.h"

#define TL_LABELS_MAX 12u       // labels of one protocol; further ones are refused
#define TL_EXTRAS_MAX 4u        // fields of one protocol that are metrics of their own
#define TL_CAPTURED_MAX (TL_LABELS_MAX + TL_EXTRAS_MAX) // at most 16: the bits of captured_by
#define TL_LABEL_BYTES_MAX 254u // upper limit of the option label_bytes_max
#define TL_KEY_WORD 8u           // keys are hashed, compared and stored in whole words
#define TL_KEY_BYTES_MAX \
	((2u + TL_LABELS_MAX * (TL_LABEL_BYTES_MAX + 1) + TL_KEY_WORD - 1) & ~(TL_KEY_WORD - 1))

// The pseudo protocol of the L4 measurements; the registry never uses this id.
#define TL_PLAN_L4 0u

enum tl_label_kind {
	TL_LABEL_CLIENT_ADDRESS,
	TL_LABEL_CLIENT_PORT,
	TL_LABEL_SERVER_ADDRESS,
	TL_LABEL_SERVER_PORT,
	TL_LABEL_SERVER_NAME,  // address and port, for the control lcore to name
	TL_LABEL_SERVER_PLACE, // the same, for it to say where that runs
	TL_LABEL_CLIENT_PLACE, // address
	TL_LABEL_STATUS,
	TL_LABEL_PROTOCOL,
	TL_LABEL_FIELD,
};

struct tl_label_spec {
	char name[64];
	uint8_t kind;     // enum tl_label_kind
	uint8_t name_of;  // NAME, PLACE: enum tl_name_of
	uint8_t type;     // FIELD: enum tl_field_type
	uint8_t captured; // FIELD: index of its value among those captured
	bool has_ids;     // FIELD: a name, for which an id stands where the request has only that
};

#define TL_LABEL_ID_MARK 0u // a key's value that begins with it is such an id

struct tl_extra_spec {
	char family[96];
	const char *help;
	uint8_t type; // enum tl_field_type
	uint8_t captured;
	bool is_histogram;
};

// What is measured of one protocol.
struct tl_plan {
	uint16_t protocol;
	const char *name; // of the protocol, NULL: not built in
	bool has_status;  // a label of the user's is the status
	uint8_t label_count;
	uint8_t extra_count;
	uint8_t captured_count;
	struct tl_label_spec labels[TL_LABELS_MAX];
	struct tl_extra_spec extras[TL_EXTRAS_MAX];
	uint16_t captured_by[2];             // of request and response: a bit per index captured
	uint8_t wanted[2][TL_FIELDS_MAX];    // by field id: index among those captured + 1
	uint8_t id_field; // of requests: its value stands for the name at id_slot
	uint8_t id_slot;  // index among those captured + 1, 0: none
};

// A key: the protocol (2 bytes), then per label one length byte and that many bytes.
#define TL_KEY_OTHER 0xffu // a length: the value was refused by a budget

struct tl_key {
	uint32_t len;
	_Alignas(8) uint8_t bytes[TL_KEY_BYTES_MAX + TL_KEY_WORD];
};

// Fills the key's last word with zeros.
static inline void tl_key_pad(struct tl_key *key)
{
	memset(key->bytes + key->len, 0, TL_KEY_WORD);
}

static inline uint32_t tl_key_words(uint32_t len)
{
	return (len + TL_KEY_WORD - 1) / TL_KEY_WORD;
}

// Values of a record that its plan asks for; len 0 where the record has none.
struct tl_captured {
	struct tl_bytes values[TL_CAPTURED_MAX];
	uint32_t ids; // a bit per index: it is an id whose name the control lcore may know
};

// What a key may take from the connection.
struct tl_key_ends {
	const uint8_t *client_address;
	const uint8_t *server_address;
	uint16_t client_port;
	uint16_t server_port;
	uint8_t status;
};

// Resolves the labels of `decoder` (NULL with TL_PLAN_L4: tcp_labels). Paths that name nothing are
// left out and give -EINVAL, the first of them is described in `error` (may be NULL).
int tl_plan_make(struct tl_plan *plan, uint16_t protocol, const struct tl_decoder *decoder,
		 const struct tl_metrics_options *options, char *error, uint32_t error_size);

void tl_plan_capture(const struct tl_plan *plan, const struct tl_roundtrip *record,
		     struct tl_captured *ret_captured);
// Values longer than `bytes_max` are cut, at a character's begin.
void tl_key_make(const struct tl_plan *plan, const struct tl_key_ends *ends,
		 const struct tl_captured *captured, uint32_t bytes_max, struct tl_key *ret_key);

// Walks the labels of a key. Start with *at = 2; `ret_other` tells a refused value from others.
static inline struct tl_bytes tl_key_next(struct tl_bytes key, uint32_t *at, bool *ret_other)
{
	uint8_t len = key.ptr[*at];
	struct tl_bytes value = tl_bytes(key.ptr + *at + 1, len == TL_KEY_OTHER ? 0 : len);

	*ret_other = len == TL_KEY_OTHER;
	*at += 1 + value.len;
	return value;
}

// The text of a label's value as exported: valid UTF-8.
void tl_label_text(const struct tl_plan *plan, const struct tl_label_spec *label,
		   struct tl_bytes value, bool is_other, struct tl_text *text);

// The templates of a set of plans: by protocol and label, NULL where a label has none.
struct tl_templates {
	struct tl_template **of; // [protocol * TL_LABELS_MAX + label]
	bool *has_any;           // [protocol]
	uint32_t plan_count;
};

// 0 or -ENOMEM. `is_merging` as for tl_template_create.
int tl_templates_init(struct tl_templates *templates, const struct tl_plan *plans,
		      uint32_t plan_count, const struct tl_metrics_options *options,
		      bool is_merging);
void tl_templates_fini(struct tl_templates *templates); // accepts a zeroed one

static inline struct tl_template *tl_templates_at(const struct tl_templates *templates,
						  uint16_t protocol, uint32_t label)
{
	return templates->of[protocol * TL_LABELS_MAX + label];
}
