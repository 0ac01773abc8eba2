// SPDX-License-Identifier: Apache-2.0
#include "metrics/labels.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct common_label {
	const char *path;
	const char *name;
	uint8_t kind;
	bool is_l4; // a word of tcp_labels
	uint8_t name_of;
};

// packetd's words on both sides. On L4 the client is the source, whoever sent the packet.
static const struct common_label common_labels[] = {
	{"client.address", "client_address", TL_LABEL_CLIENT_ADDRESS, false},
	{"client.port", "client_port", TL_LABEL_CLIENT_PORT, false},
	{"server.address", "server_address", TL_LABEL_SERVER_ADDRESS, false},
	{"server.port", "server_port", TL_LABEL_SERVER_PORT, false},
	{"server.name", "server_name", TL_LABEL_SERVER_NAME, false, TL_NAME_OF_SERVICE},
	{"client.namespace", "client_namespace", TL_LABEL_CLIENT_PLACE, false, TL_NAME_OF_NAMESPACE},
	{"client.workload", "client_workload", TL_LABEL_CLIENT_PLACE, false, TL_NAME_OF_WORKLOAD},
	{"client.pod", "client_pod", TL_LABEL_CLIENT_PLACE, false, TL_NAME_OF_POD},
	{"server.namespace", "server_namespace", TL_LABEL_SERVER_PLACE, false, TL_NAME_OF_NAMESPACE},
	{"server.workload", "server_workload", TL_LABEL_SERVER_PLACE, false, TL_NAME_OF_WORKLOAD},
	{"server.pod", "server_pod", TL_LABEL_SERVER_PLACE, false, TL_NAME_OF_POD},
	{"status", "status", TL_LABEL_STATUS, false},
	{"protocol", "protocol", TL_LABEL_PROTOCOL, false},
	{"source.host", "src_host", TL_LABEL_CLIENT_ADDRESS, true},
	{"source.port", "src_port", TL_LABEL_CLIENT_PORT, true},
	{"destination.host", "dst_host", TL_LABEL_SERVER_ADDRESS, true},
	{"destination.port", "dst_port", TL_LABEL_SERVER_PORT, true},
};

static const char *const side_names[2] = {"request", "response"};
static const uint16_t side_flags[2] = {TL_FIELD_REQUEST, TL_FIELD_RESPONSE};

// The index under which the value of a field is captured, TL_CAPTURED_MAX when there is no room.
static uint8_t capture_field(struct tl_plan *plan, uint32_t side, uint8_t field)
{
	uint8_t *wanted = &plan->wanted[side][field];

	if (*wanted == 0) {
		if (plan->captured_count == TL_CAPTURED_MAX)
			return TL_CAPTURED_MAX;
		*wanted = ++plan->captured_count;
		plan->captured_by[side] |= (uint16_t)(1u << (*wanted - 1));
	}
	return (uint8_t)(*wanted - 1);
}

static bool has_label(const struct tl_plan *plan, const char *name)
{
	for (uint32_t i = 0; i < plan->label_count; i++)
		if (strcmp(plan->labels[i].name, name) == 0)
			return true;
	return false;
}

static bool add_field_label(struct tl_plan *plan, const struct tl_decoder *decoder, uint32_t side,
			    uint8_t id, const char *name)
{
	const struct tl_field *field = &decoder->fields[id];
	struct tl_label_spec *label = &plan->labels[plan->label_count];
	// A request and a response field may share a word; names of labels must differ.
	const char *prefix = has_label(plan, name) ? side_names[side] : "";

	if (plan->label_count == TL_LABELS_MAX)
		return false;
	uint8_t captured = capture_field(plan, side, id);
	if (captured == TL_CAPTURED_MAX)
		return false;
	*label = (struct tl_label_spec) {
		.kind = TL_LABEL_FIELD, .type = field->type, .captured = captured};
	(void)snprintf(label->name, sizeof(label->name), "%s%s%s", prefix,
		       *prefix != 0 ? "_" : "", name);
	if (has_label(plan, label->name))
		return false;
	if (side == 0 && decoder->naming != NULL && decoder->naming->name == id) {
		label->has_ids = true;
		plan->id_field = decoder->naming->id;
		plan->id_slot = (uint8_t)(captured + 1);
	}
	plan->label_count++;
	return true;
}

static bool can_be_label(const struct tl_field *field)
{
	return field->label != NULL && field->parent == TL_FIELD_TOP &&
	       field->type != TL_FIELD_MAP &&
	       field->type != TL_FIELD_OBJECTS;
}

static bool add_by_path(struct tl_plan *plan, const struct tl_decoder *decoder, const char *path)
{
	for (uint32_t i = 0; i < TL_COUNT_OF(common_labels); i++) {
		const struct common_label *common = &common_labels[i];
		if (common->is_l4 != (decoder == NULL) || strcmp(common->path, path) != 0)
			continue;
		if (plan->label_count == TL_LABELS_MAX || has_label(plan, common->name))
			return false;
		struct tl_label_spec *label = &plan->labels[plan->label_count++];
		*label = (struct tl_label_spec) {.kind = common->kind, .name_of = common->name_of};
		(void)snprintf(label->name, sizeof(label->name), "%s", common->name);
		plan->has_status |= common->kind == TL_LABEL_STATUS;
		return true;
	}
	for (uint32_t side = 0; decoder != NULL && side < 2; side++) {
		size_t prefix = strlen(side_names[side]);
		if (strncmp(path, side_names[side], prefix) != 0 || path[prefix] != '.')
			continue;
		for (uint8_t id = 0; id < decoder->field_count; id++) {
			const struct tl_field *field = &decoder->fields[id];
			if ((field->flags & side_flags[side]) == 0 || !can_be_label(field))
				continue;
			if (strcmp(field->name, path + prefix + 1) == 0)
				return add_field_label(plan, decoder, side, id, field->label);
			if (field->also != NULL && strcmp(field->also, path + prefix + 1) == 0)
				return add_field_label(plan, decoder, side, id, field->also);
		}
	}
	return false;
}

static const struct tl_text_list *configured_labels(const struct tl_metrics_options *options,
						    const struct tl_decoder *decoder)
{
	if (decoder == NULL)
		return &options->tcp_labels;
	const struct tl_protocol_labels *rows =
		(const struct tl_protocol_labels *)options->labels.items;
	for (uint32_t i = 0; i < options->labels.count; i++)
		if (strcmp(rows[i].protocol, decoder->name) == 0 && rows[i].labels.count != 0)
			return &rows[i].labels;
	return NULL;
}

static void add_extras(struct tl_plan *plan, const struct tl_decoder *decoder)
{
	for (uint8_t id = 0; id < decoder->field_count; id++) {
		const struct tl_field *field = &decoder->fields[id];
		if ((field->flags & (TL_FIELD_COUNTER | TL_FIELD_HISTOGRAM)) == 0)
			continue;
		for (uint32_t side = 0; side < 2; side++) {
			if ((field->flags & side_flags[side]) == 0 ||
			    plan->extra_count == TL_EXTRAS_MAX)
				continue;
			uint8_t captured = capture_field(plan, side, id);
			if (captured == TL_CAPTURED_MAX)
				continue;
			struct tl_extra_spec *extra = &plan->extras[plan->extra_count++];
			extra->help = field->help;
			extra->type = field->type;
			extra->captured = captured;
			extra->is_histogram = (field->flags & TL_FIELD_HISTOGRAM) != 0;
			(void)snprintf(extra->family, sizeof(extra->family), "%s_%s_%s",
				       decoder->name, side_names[side],
				       field->metric != NULL ? field->metric : field->name);
		}
	}
}

int tl_plan_make(struct tl_plan *plan, uint16_t protocol, const struct tl_decoder *decoder,
		 const struct tl_metrics_options *options, char *error, uint32_t error_size)
{
	int result = 0;

	memset(plan, 0, sizeof(*plan));
	plan->protocol = protocol;
	plan->name = decoder != NULL ? decoder->name : "tcp";
	const struct tl_text_list *paths = configured_labels(options, decoder);
	for (uint32_t i = 0; paths != NULL && i < paths->count; i++) {
		if (add_by_path(plan, decoder, paths->items[i]))
			continue;
		if (result == 0 && error != NULL)
			(void)snprintf(error, error_size,
				       "%s: %s is no field that can be a label, is named twice or "
				       "is one too many (at most %u)",
				       plan->name, paths->items[i], TL_LABELS_MAX);
		result = -EINVAL;
	}
	for (uint8_t id = 0; decoder != NULL && paths == NULL && id < decoder->field_count; id++) {
		const struct tl_field *field = &decoder->fields[id];
		if ((field->flags & TL_FIELD_DEFAULT_LABEL) == 0 || !can_be_label(field))
			continue;
		bool is_response = (field->flags & TL_FIELD_REQUEST) == 0;
		if (!add_field_label(plan, decoder, is_response, id, field->label))
			continue;
		// A default that both sides may have is the response's where the request was missed.
		if (!is_response && (field->flags & TL_FIELD_RESPONSE) != 0) {
			plan->wanted[1][id] = plan->wanted[0][id];
			plan->captured_by[1] |= (uint16_t)(1u << (plan->wanted[1][id] - 1));
		}
	}
	if (decoder != NULL)
		add_extras(plan, decoder);
	return result;
}

// Captures what is still `missing`, bit by index, and gives what it did not find. The labels' fields
// come early in most tails: no further than needed is looked.
static inline uint32_t capture_tail(const uint8_t *wanted, struct tl_bytes tail, uint32_t missing,
				    struct tl_captured *captured)
{
	struct tl_value_head head;
	uint32_t size = sizeof(head);

	// tl_value_next() without its detour: most values are not wanted.
	for (uint32_t at = 0; missing != 0 && at + size <= tail.len; at += (head.len + 3u) & ~3u) {
		memcpy(&head, tail.ptr + at, size);
		at += size;
		if (head.len > tail.len - at)
			break;
		uint32_t slot = head.field < TL_FIELDS_MAX ? wanted[head.field] : 0;
		// Of a repeated field the first value counts.
		if (slot == 0 || (missing & 1u << (slot - 1)) == 0)
			continue;
		captured->values[slot - 1] = tl_bytes(tail.ptr + at, head.len);
		missing &= ~(1u << (slot - 1));
	}
	return missing;
}

// Of a request that has no name where one is wanted: the id, if it has that. Gives the bit found.
static uint32_t capture_id(const struct tl_plan *plan, struct tl_bytes tail,
			   struct tl_captured *captured)
{
	struct tl_value value;
	uint32_t at = 0;

	while (tl_value_next(tail, &at, &value)) {
		if (value.field != plan->id_field)
			continue;
		captured->values[plan->id_slot - 1] = value.bytes;
		captured->ids = 1u << (plan->id_slot - 1);
		break;
	}
	return captured->ids;
}

_Static_assert(TL_CAPTURED_MAX <= 16, "an index is a bit of captured_by");

void tl_plan_capture(const struct tl_plan *plan, const struct tl_roundtrip *record,
		     struct tl_captured *ret_captured)
{
	uint32_t all = (1u << plan->captured_count) - 1;

	for (uint32_t i = 0; i < plan->captured_count; i++)
		ret_captured->values[i] = tl_bytes(NULL, 0);
	ret_captured->ids = 0;
	uint32_t missing = all & ~plan->captured_by[0];
	missing |= capture_tail(plan->wanted[0], tl_roundtrip_request_tail(record),
				plan->captured_by[0], ret_captured);
	if (plan->id_slot != 0 && (missing & 1u << (plan->id_slot - 1)) != 0)
		missing &= ~capture_id(plan, tl_roundtrip_request_tail(record), ret_captured);
	(void)capture_tail(plan->wanted[1], tl_roundtrip_response_tail(record),
			   plan->captured_by[1] & missing, ret_captured);
}

// Copies a value of a tail. Short ones, the usual case, without a branch on their length: the eight
// bytes before a value are its own head, so a whole word that ends with it may be loaded.
static inline void copy_value(uint8_t *to, const uint8_t *from, uint32_t len)
{
	_Static_assert(sizeof(struct tl_value_head) == 8, "a value may be read from its head on");
	uint64_t word;

	if (len == 0)
		return;
	if (len > sizeof(word)) {
		memcpy(to, from, len);
		return;
	}
	memcpy(&word, from + len - sizeof(word), sizeof(word));
	word >>= 64 - 8 * len;
	memcpy(to, &word, sizeof(word)); // the key has room for a word behind its end
}

static inline uint8_t *put(uint8_t *at, const void *value, uint32_t len)
{
	*at++ = (uint8_t)len;
	memcpy(at, value, len);
	return at + len;
}

static uint8_t *put_id(uint8_t *at, struct tl_bytes id)
{
	*at++ = (uint8_t)(1 + id.len);
	*at++ = TL_LABEL_ID_MARK;
	copy_value(at, id.ptr, id.len);
	return at + id.len;
}

// A value that is too long is cut where a character ends.
static inline uint8_t *put_field(uint8_t *at, const struct tl_captured *captured, uint32_t which,
				 uint32_t bytes_max)
{
	struct tl_bytes value = captured->values[which];

	if (TL_UNLIKELY((captured->ids & 1u << which) != 0))
		return put_id(at, tl_bytes_first(value, bytes_max - 1));
	if (value.len > bytes_max) {
		value.len = bytes_max;
		while (value.len != 0 && (value.ptr[value.len] & 0xc0) == 0x80)
			value.len--;
	}
	*at++ = (uint8_t)value.len;
	copy_value(at, value.ptr, value.len);
	return at + value.len;
}

void tl_key_make(const struct tl_plan *plan, const struct tl_key_ends *ends,
		 const struct tl_captured *captured, uint32_t bytes_max, struct tl_key *ret_key)
{
	uint8_t *at = ret_key->bytes;

	memcpy(at, &plan->protocol, 2);
	at += 2;
	for (uint32_t i = 0; i < plan->label_count; i++) {
		const struct tl_label_spec *label = &plan->labels[i];
		switch (label->kind) {
		case TL_LABEL_CLIENT_ADDRESS:
		case TL_LABEL_CLIENT_PLACE:
			at = put(at, ends->client_address, 16);
			break;
		case TL_LABEL_SERVER_ADDRESS:
			at = put(at, ends->server_address, 16);
			break;
		case TL_LABEL_SERVER_NAME:
		case TL_LABEL_SERVER_PLACE:
			at = put(at, ends->server_address, 16);
			memcpy(at, &ends->server_port, 2);
			at[-17] += 2;
			at += 2;
			break;
		case TL_LABEL_CLIENT_PORT:
			at = put(at, &ends->client_port, 2);
			break;
		case TL_LABEL_SERVER_PORT:
			at = put(at, &ends->server_port, 2);
			break;
		case TL_LABEL_STATUS:
			at = put(at, &ends->status, 1);
			break;
		case TL_LABEL_FIELD:
			at = put_field(at, captured, label->captured, bytes_max);
			break;
		default: // the protocol stands in the head already
			*at++ = 0;
		}
	}
	ret_key->len = (uint32_t)(at - ret_key->bytes);
	tl_key_pad(ret_key);
}

static void number_text(uint8_t type, struct tl_bytes value, struct tl_text *text)
{
	uint64_t number = 0;
	double real = 0;

	if (value.len != sizeof(number))
		return;
	memcpy(&number, value.ptr, sizeof(number));
	memcpy(&real, value.ptr, sizeof(real));
	if (type == TL_FIELD_BOOL)
		tl_text_puts(text, number != 0 ? "true" : "false");
	else if (type == TL_FIELD_INT)
		tl_text_printf(text, "%" PRId64, (int64_t)number);
	else if (type == TL_FIELD_REAL)
		tl_text_printf(text, "%.9g", real);
	else
		tl_text_printf(text, "%" PRIu64, number);
}

void tl_label_text(const struct tl_plan *plan, const struct tl_label_spec *label,
		   struct tl_bytes value, bool is_other, struct tl_text *text)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint16_t port = 0;

	if (is_other) {
		tl_text_puts(text, "other");
		return;
	}
	switch (label->kind) {
	case TL_LABEL_CLIENT_ADDRESS:
	case TL_LABEL_SERVER_ADDRESS:
	case TL_LABEL_SERVER_NAME:
		tl_text_address(text, value.ptr, memcmp(value.ptr, mapped, 12) == 0 ? 4 : 6);
		break;
	case TL_LABEL_CLIENT_PLACE:
	case TL_LABEL_SERVER_PLACE: // the address alone is no place
		break;
	case TL_LABEL_CLIENT_PORT:
	case TL_LABEL_SERVER_PORT:
		memcpy(&port, value.ptr, sizeof(port));
		tl_text_printf(text, "%u", port);
		break;
	case TL_LABEL_STATUS:
		tl_text_puts(text, tl_status_name((enum tl_status)value.ptr[0]));
		break;
	case TL_LABEL_PROTOCOL:
		tl_text_puts(text, plan->name);
		break;
	default:
		if (label->has_ids && value.len != 0 && value.ptr[0] == TL_LABEL_ID_MARK)
			break; // nobody has told its name yet
		if (label->type == TL_FIELD_TEXT || label->type == TL_FIELD_BYTES)
			tl_text_utf8(text, value, false);
		else
			number_text(label->type, value, text);
	}
}
