// SPDX-License-Identifier: Apache-2.0
// Frame heads, and what looks like a chain of them. Whole conversations are played by tests/sweep.
#include "protocols/http2/frame.h"
#include "protocols/http2/hpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(literal) tl_bytes(literal, sizeof(literal) - 1)

static void a_head_has_four_parts(void **state)
{
	(void)state;
	struct frame frame = tl_http2_frame((const uint8_t *)"\x01\x02\x03\x01\x05\xff\0\0\x07");
	assert_int_equal(frame.length, 0x10203);
	assert_int_equal(frame.type, FRAME_HEADERS);
	assert_int_equal(frame.flags, FRAME_END_STREAM | FRAME_END_HEADERS);
	assert_int_equal(frame.stream, 0x7f000007); // the first bit is reserved
}

static void frames_have_rules(void **state)
{
	static const struct {
		struct frame frame;
		bool client, server;
	} rows[] = {
		{{.type = FRAME_DATA, .stream = 1}, true, true},
		{{.type = FRAME_DATA, .stream = 0}, false, false},
		{{.type = FRAME_HEADERS, .stream = 2}, false, true}, // pushed
		{{.type = FRAME_SETTINGS, .length = 12}, true, true},
		{{.type = FRAME_SETTINGS, .length = 13}, false, false},
		{{.type = FRAME_SETTINGS, .length = 6, .flags = FRAME_ACK}, false, false},
		{{.type = FRAME_PING, .length = 8}, true, true},
		{{.type = FRAME_PING, .length = 8, .stream = 1}, false, false},
		{{.type = FRAME_PUSH_PROMISE, .length = 4, .stream = 1}, false, true},
		{{.type = FRAME_RST_STREAM, .length = 5, .stream = 1}, false, false},
		{{.type = FRAME_GOAWAY, .length = 7}, false, false},
		{{.type = 0x5f, .length = 99, .stream = 3}, true, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(tl_http2_frame_is_valid(TL_CLIENT, &rows[i].frame), rows[i].client);
		assert_int_equal(tl_http2_frame_is_valid(TL_SERVER, &rows[i].frame), rows[i].server);
	}
}

static void the_preface_is_known_by_its_part(void **state)
{
	(void)state;
	assert_int_equal(tl_http2_preface(BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), TL_MATCH_CERTAIN);
	assert_int_equal(tl_http2_preface(BYTES("PRI * H")), TL_MATCH_UNSURE);
	assert_int_equal(tl_http2_preface(BYTES("PUT / H")), TL_MATCH_NO);
}

static void header_blocks_tell_the_side(void **state)
{
	// In front of what tells, pseudo-headers by dynamic index: C-core begins like this.
	static const char request[] = "\xca\xc9\x83\x86\xc8";
	static const char response[] = "\x88\xc4\xc3";
	static const char trailers[] = "\xc2";

	(void)state;
	assert_true(tl_hpack_looks_like_begin(BYTES(request), true));
	assert_false(tl_hpack_looks_like_begin(BYTES(request), false));
	assert_true(tl_hpack_looks_like_begin(BYTES(response), false));
	assert_false(tl_hpack_looks_like_begin(BYTES(response), true));
	assert_false(tl_hpack_looks_like_begin(BYTES(trailers), true));
	assert_false(tl_hpack_looks_like_begin(BYTES(trailers), false));
}

static void a_chain_is_found_behind_other_bytes(void **state)
{
	static const char bytes[] = "middle of a body\0\0\5\1\4\0\0\0\x45\xca\xc9\x83\x86\xc8"
				    "\0\0\7\0\1\0\0\0\x45\0\0\0\0\2hi\0\0\4\x8\0\0\0\0\0\0\0\0\5";
	bool says_lane;

	(void)state;
	assert_int_equal(tl_http2_find(TL_CLIENT, BYTES(bytes), true), 16);
	assert_int_equal(tl_http2_find(TL_SERVER, BYTES(bytes), true), sizeof(bytes) - 1);
	assert_int_equal(tl_http2_chain(TL_CLIENT, tl_bytes_from(BYTES(bytes), 16), &says_lane),
			 TL_MATCH_CERTAIN);
	assert_true(says_lane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_has_four_parts),
		cmocka_unit_test(frames_have_rules),
		cmocka_unit_test(the_preface_is_known_by_its_part),
		cmocka_unit_test(header_blocks_tell_the_side),
		cmocka_unit_test(a_chain_is_found_behind_other_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
