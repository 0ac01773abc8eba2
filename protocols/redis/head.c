// SPDX-License-Identifier: Apache-2.0
// What the beginning of a reply says: its type, and of an error the text.
#include "state.h"

enum redis_line_kind tl_redis_read_head(struct tl_bytes bytes, uint32_t at, struct redis_head *ret)
{
	struct redis_number number;
	struct tl_bytes shown = tl_bytes_first(tl_bytes_from(bytes, at), REDIS_LINE_BYTES_MAX);

	*ret = (struct redis_head) {.type = bytes.ptr[at]};
	if (ret->type == '\0')
		return REDIS_LINE_BAD;
	if (strchr("+-:_#,(", ret->type) != NULL) {
		uint32_t end = tl_bytes_find(shown, '\n', 0);
		if (end == TL_BYTES_NONE && shown.len < REDIS_LINE_BYTES_MAX)
			return REDIS_LINE_MORE;
		if (end != TL_BYTES_NONE && (end < 1 || shown.ptr[end - 1] != '\r'))
			return REDIS_LINE_BAD;
		ret->is_null = ret->type == '_';
		ret->text = tl_bytes(shown.ptr + 1, end == TL_BYTES_NONE ? shown.len - 1 : end - 2);
		return REDIS_LINE_OK;
	}
	if (strchr("$=!*~>%|", ret->type) == NULL)
		return REDIS_LINE_BAD;
	enum redis_line_kind kind = tl_redis_number(bytes, at, &number);
	if (kind != REDIS_LINE_OK)
		return kind == REDIS_LINE_STREAMED ? REDIS_LINE_OK : kind;
	ret->is_null = number.value == -1;
	ret->is_empty = number.value == 0;
	if (ret->type != '!' || number.value <= 0)
		return REDIS_LINE_OK;
	uint32_t most = REDIS_LINE_BYTES_MAX - REDIS_HEAD_BYTES_MAX;
	uint32_t len = number.value < most ? (uint32_t)number.value : most;
	if (bytes.len - number.next < len)
		return REDIS_LINE_MORE;
	ret->text = tl_bytes(bytes.ptr + number.next, len);
	return REDIS_LINE_OK;
}

const char *tl_redis_type_name(const struct redis_head *head)
{
	if (head->is_null)
		return "null";
	switch (head->type) {
	case '+':
		return "simple_string";
	case '-':
	case '!':
		return "error";
	case ':':
		return "integer";
	case '$':
		return "bulk_string";
	case '=':
		return "verbatim_string";
	case '*':
		return "array";
	case '~':
		return "set";
	case '%':
		return "map";
	case '>':
		return "push";
	case '#':
		return "boolean";
	case ',':
		return "double";
	default:
		return "big_number";
	}
}

#define PREFIX_BYTES_MAX 32u

// The word in capitals in front of an error's text.
static struct tl_bytes error_prefix(struct tl_bytes text)
{
	uint32_t len = 0;

	while (len < text.len && strchr(" \r\n", text.ptr[len]) == NULL) {
		uint8_t c = text.ptr[len++];
		if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_')
			return tl_bytes_of("other");
	}
	return len == 0 || len > PREFIX_BYTES_MAX ? tl_bytes_of("other") : tl_bytes_first(text, len);
}

// "MOVED 3999 127.0.0.1:6381": the last word.
static void record_redirect(struct redis_call *call, struct tl_bytes text)
{
	uint32_t from = 0;

	for (uint32_t i = 0; i < text.len; i++)
		if (text.ptr[i] == ' ')
			from = i + 1;
	if (from != 0)
		tl_message_text(call->ctx, TL_SERVER, REDIS_FIELD_REDIRECT, tl_bytes_from(text, from));
}

enum tl_status tl_redis_record_head(struct redis_call *call, const struct redis_head *head,
				  enum tl_reason *ret_reason)
{
	*ret_reason = TL_REASON_NONE;
	tl_message_text(call->ctx, TL_SERVER, REDIS_FIELD_REPLY_TYPE,
			tl_bytes_of(tl_redis_type_name(head)));
	if ((head->type != '-' && head->type != '!') || head->is_null)
		return TL_STATUS_OK;
	struct tl_bytes prefix = error_prefix(head->text);
	enum tl_status status = tl_redis_status(prefix, ret_reason);
	tl_message_text(call->ctx, TL_SERVER, REDIS_FIELD_ERROR, prefix);
	tl_message_text(call->ctx, TL_SERVER, REDIS_FIELD_ERROR_TEXT, head->text);
	if (*ret_reason == TL_REASON_REDIRECT)
		record_redirect(call, head->text);
	return status;
}

enum tl_match tl_redis_match_reply(struct tl_bytes bytes)
{
	struct redis_head head;

	switch (tl_redis_read_head(bytes, 0, &head)) {
	case REDIS_LINE_MORE:
		return TL_MATCH_UNSURE;
	case REDIS_LINE_OK:
		break;
	default:
		return TL_MATCH_NO;
	}
	for (uint32_t i = 0; i < head.text.len; i++)
		if (head.text.ptr[i] < 0x20 && head.text.ptr[i] != '\t')
			return TL_MATCH_NO;
	int64_t number;
	if (head.type == '-' && tl_bytes_is(error_prefix(head.text), "other"))
		return TL_MATCH_NO;
	if (head.type == ':' && !tl_redis_integer(head.text, &number))
		return TL_MATCH_NO;
	return TL_MATCH_LIKELY;
}
