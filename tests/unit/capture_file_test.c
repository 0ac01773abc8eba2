// SPDX-License-Identifier: Apache-2.0
#include "pmd/pcap/file.h"

#include "base/bytes.h"
#include "base/check.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#define IMAGE_MAX (1u << 20)
#define NS_PER_S UINT64_C(1000000000)

// A file being made, in either byte order.
struct image {
	uint8_t bytes[IMAGE_MAX];
	uint32_t len;
	bool is_big;
};

static struct image image;

static void put(const void *bytes, uint32_t len)
{
	assert_true(len <= IMAGE_MAX - image.len);
	memcpy(image.bytes + image.len, bytes, len);
	image.len += len;
}

static void put16(uint32_t value)
{
	uint8_t le[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
	uint8_t be[2] = {le[1], le[0]};
	put(image.is_big ? be : le, 2);
}

static void put32(uint32_t value)
{
	put16(image.is_big ? value >> 16 : value & 0xffff);
	put16(image.is_big ? value & 0xffff : value >> 16);
}

static void put_packet_bytes(uint32_t len, bool is_padded)
{
	uint8_t bytes[2048];
	assert_true(len <= sizeof(bytes) - 4);
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i + len);
	memset(bytes + len, 0, 4);
	put(bytes, is_padded ? (len + 3) & ~3u : len);
}

static void begin(bool is_big)
{
	image.len = 0;
	image.is_big = is_big;
}

static void put_pcap_header(uint32_t magic, uint32_t link_type)
{
	put32(magic);
	put16(2);
	put16(4);
	put32(0);
	put32(0);
	put32(65535);
	put32(link_type);
}

static void put_pcap_record(uint32_t s, uint32_t fraction, uint32_t len, uint32_t original_len)
{
	put32(s);
	put32(fraction);
	put32(len);
	put32(original_len);
}

static void put_section(void)
{
	put32(0x0a0d0d0a);
	put32(28);
	put32(0x1a2b3c4d);
	put16(1);
	put16(0);
	put32(UINT32_MAX);
	put32(UINT32_MAX);
	put32(28);
}

// resolution 0: left out, so microseconds.
static void put_interface(uint32_t link_type, uint32_t snaplen, uint8_t resolution, uint32_t offset)
{
	uint32_t len = 20u + (resolution != 0 ? 8 : 0) + (offset != 0 ? 12 : 0) + 4;
	uint8_t value[4] = {resolution, 0, 0, 0};

	put32(1);
	put32(len);
	put16(link_type);
	put16(0);
	put32(snaplen);
	if (resolution != 0) {
		put16(9);
		put16(1);
		put(value, 4);
	}
	if (offset != 0) {
		put16(14);
		put16(8);
		put32(image.is_big ? 0 : offset);
		put32(image.is_big ? offset : 0);
	}
	put32(0);
	put32(len);
}

static void put_enhanced(uint32_t interface, uint64_t ticks, uint32_t len)
{
	uint32_t block = 32 + ((len + 3) & ~3u);
	put32(6);
	put32(block);
	put32(interface);
	put32((uint32_t)(ticks >> 32));
	put32((uint32_t)ticks);
	put32(len);
	put32(len + 5);
	put_packet_bytes(len, true);
	put32(block);
}

static struct tl_capture_file *open_bytes(const uint8_t *bytes, uint32_t len, char error[256])
{
	int fd = memfd_create("capture", 0);
	struct tl_capture_file *file = NULL;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	int rc = tl_capture_file_open_fd(fd, "trace.pcap", &file, error, 256);
	assert_int_equal(rc == 0, file != NULL);
	assert_true(rc == 0 || rc == -EBADMSG);
	return file;
}

static struct tl_capture_file *open_image(void)
{
	char error[256] = "";
	struct tl_capture_file *file = open_bytes(image.bytes, image.len, error);
	if (file == NULL)
		fail_msg("%s", error);
	return file;
}

static void expect(struct tl_capture_file *file, uint64_t time_ns, uint16_t link_type, uint32_t len,
		   uint32_t original_len)
{
	struct tl_capture_record r;
	int rc = tl_capture_file_next(file, &r);

	if (rc != 1)
		fail_msg("%d: %s", rc, tl_capture_file_error(file));
	assert_int_equal(r.time_ns, time_ns);
	assert_int_equal(r.link_type, link_type);
	assert_int_equal(r.len, len);
	assert_int_equal(r.original_len, original_len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(r.data[i], (uint8_t)(i + len));
}

static void expect_end(struct tl_capture_file *file)
{
	struct tl_capture_record r;
	assert_int_equal(tl_capture_file_next(file, &r), 0);
	assert_int_equal(tl_capture_file_next(file, &r), 0);
	tl_capture_file_close(file);
}

static void pcap_of_every_kind_is_read(void **state)
{
	(void)state;
	static const struct {
		uint32_t magic;
		uint32_t ns_per_tick;
	} kinds[] = {{0xa1b2c3d4, 1000}, {0xa1b23c4d, 1}, {0xa1b2cd34, 1000}};

	for (uint32_t i = 0; i < 2 * TL_COUNT_OF(kinds); i++) {
		uint32_t magic = kinds[i / 2].magic;
		begin(i % 2 != 0);
		put_pcap_header(magic, i == 0 ? 0x14000001 : 113); // with an FCS length once
		for (uint32_t len = 0; len < 3; len++) {
			put_pcap_record(1700000000 + len, 123456, len * 60, len * 70);
			if (magic == 0xa1b2cd34)
				put("\0\0\0\1\0\10\0\0", 8);
			put_packet_bytes(len * 60, false);
		}
		struct tl_capture_file *file = open_image();
		for (uint32_t len = 0; len < 3; len++)
			expect(file, (1700000000 + len) * NS_PER_S + 123456 * kinds[i / 2].ns_per_tick,
			       i == 0 ? 1 : 113, len * 60, len * 70);
		expect_end(file);
	}
}

static void put_pcapng(bool is_big)
{
	image.is_big = is_big;
	put_section();
	put_interface(1, 0, 0, 0);
	put_interface(113, 96, 9, 1000);
	put32(0x0000abcd); // a block nobody knows, longer than the window
	put32(600012);
	for (uint32_t i = 0; i < 600000; i += 4)
		put32(0);
	put32(600012);
	put_enhanced(0, UINT64_C(1700000000000001), 60);
	put_enhanced(1, UINT64_C(1700000000000000007), 61);
	put_interface(101, 0, 0x80 | 20, 0); // after the first packets, 2^-20 s
	put_enhanced(2, UINT64_C(3) << 19, 62);
	put32(2); // the packet block of old
	put32(32 + 64);
	put16(1);
	put16(9);
	put32(0);
	put32(5);
	put32(62);
	put32(100);
	put_packet_bytes(62, true);
	put32(32 + 64);
}

static void expect_pcapng(struct tl_capture_file *file)
{
	expect(file, UINT64_C(1700000000000001000), 1, 60, 65);
	expect(file, UINT64_C(1700001000000000007), 113, 61, 66);
	expect(file, NS_PER_S * 3 / 2, 101, 62, 67);
	expect(file, 1000 * NS_PER_S + 5, 113, 62, 100);
}

static void pcapng_with_sections_interfaces_and_clocks_is_read(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		begin(false);
		put_pcapng(i != 0);
		uint32_t len = image.len;
		// A second section in the other order with interfaces of its own.
		image.is_big = i == 0;
		put_section();
		put_interface(276, 40, 0, 0);
		put32(3);
		put32(16 + 40);
		put32(90); // cut by the snaplen
		uint8_t bytes[40];
		for (uint32_t j = 0; j < 40; j++)
			bytes[j] = (uint8_t)(j + 40);
		put(bytes, 40);
		put32(16 + 40);
		assert_true(image.len > len);
		struct tl_capture_file *file = open_image();
		expect_pcapng(file);
		expect(file, 1000 * NS_PER_S + 5, 276, 40, 90);
		expect_end(file);
	}
}

static void resolutions_do_not_overflow(void **state)
{
	(void)state;
	static const struct {
		uint8_t resolution;
		uint64_t ticks;
		uint64_t want;
	} clocks[] = {
		{3, 1700000000123, UINT64_C(1700000000123000000)},
		{12, UINT64_C(1700000000123456789), UINT64_C(1700000000123456)},
		{127, UINT64_MAX, 0},
		{0x80 | 32, UINT64_C(1700000000) << 32 | 1u << 31, UINT64_C(1700000000500000000)},
		{0x80 | 127, UINT64_MAX, 0},
		{1, UINT64_MAX, UINT64_MAX},
	};

	for (size_t i = 0; i < TL_COUNT_OF(clocks); i++) {
		begin(false);
		put_section();
		put_interface(1, 0, clocks[i].resolution, 0);
		put_enhanced(0, clocks[i].ticks, 4);
		struct tl_capture_file *file = open_image();
		expect(file, clocks[i].want, 1, 4, 9);
		expect_end(file);
	}
}

// Records read before the reading ended, and how it ended.
static int read_all(struct tl_capture_file *file, uint32_t *ret_records)
{
	struct tl_capture_record r;
	uint64_t sum = 0;
	int rc;

	*ret_records = 0;
	while ((rc = tl_capture_file_next(file, &r)) == 1) {
		for (uint32_t i = 0; i < r.len; i++)
			sum += r.data[i];
		assert_true(r.len <= r.original_len && r.len <= TL_CAPTURE_RECORD_MAX);
		(*ret_records)++;
	}
	assert_true(sum != 1);
	return rc;
}

static void a_cut_at_every_byte_loses_nothing_before_it(void **state)
{
	(void)state;
	enum { RECORDS = 4, LEN = 30 };
	begin(false);
	put_pcap_header(0xa1b2c3d4, 1);
	for (uint32_t i = 0; i < RECORDS; i++) {
		put_pcap_record(i, 0, LEN, LEN);
		put_packet_bytes(LEN, false);
	}
	for (uint32_t cut = 0; cut <= image.len; cut++) {
		char error[256] = "";
		struct tl_capture_file *file = open_bytes(image.bytes, cut, error);
		uint32_t records;
		if (cut < 24) {
			assert_null(file);
			assert_non_null(strstr(error, "trace.pcap: "));
			continue;
		}
		int rc = read_all(file, &records);
		assert_int_equal(records, (cut - 24) / (16 + LEN));
		assert_int_equal(rc, (cut - 24) % (16 + LEN) == 0 ? 0 : -EBADMSG);
		if (rc != 0)
			assert_non_null(strstr(tl_capture_file_error(file), "record "));
		tl_capture_file_close(file);
	}
}

static void a_damage_says_where_it_is(void **state)
{
	(void)state;
	char error[256] = "";
	uint32_t records;

	begin(false);
	put_pcap_header(0xa1b2c3d4, 1);
	for (uint32_t i = 0; i < 3; i++) {
		put_pcap_record(i, 0, i == 2 ? 70000 : 20, 70000);
		put_packet_bytes(20, false);
	}
	struct tl_capture_file *file = open_bytes(image.bytes, image.len, error);
	assert_int_equal(read_all(file, &records), -EBADMSG);
	assert_int_equal(records, 2);
	assert_string_equal(tl_capture_file_error(file),
			    "trace.pcap: record 3 at offset 0x60: the file ends within its 70000 "
			    "bytes: it was cut short or is still being written; the 2 records before "
			    "it were read");
	struct tl_capture_record r;
	assert_int_equal(tl_capture_file_next(file, &r), -EBADMSG);
	tl_capture_file_close(file);

	begin(false);
	put_pcap_header(0xa1b2c3d4, 1);
	put_pcap_record(0, 0, 0xdeadbeef, 60);
	file = open_bytes(image.bytes, image.len, error);
	assert_int_equal(read_all(file, &records), -EBADMSG);
	assert_string_equal(tl_capture_file_error(file),
			    "trace.pcap: record 1 at offset 0x18: its length 3735928559 is above the "
			    "limit of 262144 bytes; nothing was read before it");
	tl_capture_file_close(file);
}

static uint32_t gzip_image(uint8_t *out, uint32_t size)
{
	z_stream z = {.next_in = image.bytes, .avail_in = image.len, .next_out = out,
		      .avail_out = size};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	return (uint32_t)z.total_out;
}

static void gzip_is_unpacked_on_the_way(void **state)
{
	(void)state;
	char error[256] = "";
	uint8_t *packed = malloc(2 * IMAGE_MAX);
	uint32_t records;

	assert_non_null(packed);
	begin(false);
	put_pcapng(false);
	uint32_t len = gzip_image(packed, IMAGE_MAX);
	uint32_t twice = len + gzip_image(packed + len, IMAGE_MAX);
	// Two members are one stream: the file twice. Padding behind is none of ours.
	memset(packed + twice, 0, 512);
	struct tl_capture_file *file = open_bytes(packed, twice + 512, error);
	assert_non_null(file);
	expect_pcapng(file);
	expect_pcapng(file);
	expect_end(file);
	// Cut anywhere: never a quiet end.
	for (uint32_t cut = 3; cut < len; cut += 1 + len / 97) {
		file = open_bytes(packed, cut, error);
		if (file == NULL)
			continue;
		assert_int_equal(read_all(file, &records), -EBADMSG);
		assert_true(records <= 4);
		assert_non_null(strstr(tl_capture_file_error(file), "gzip"));
		tl_capture_file_close(file);
	}
	packed[len - 6] ^= 1; // its checksum
	file = open_bytes(packed, len, error);
	assert_non_null(file);
	assert_int_equal(read_all(file, &records), -EBADMSG);
	assert_int_equal(records, 4);
	tl_capture_file_close(file);
	free(packed);
}

static void a_pipe_gives_what_it_has(void **state)
{
	(void)state;
	int ends[2];
	char error[256];
	struct tl_capture_file *file;
	struct tl_capture_record r;
	uint32_t records = 0;

	begin(true);
	put_pcap_header(0xa1b23c4d, 1);
	for (uint32_t i = 0; i < 3; i++) {
		put_pcap_record(i, 0, 10, 10);
		put_packet_bytes(10, false);
	}
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(tl_capture_file_open_fd(ends[0], "stdin", &file, error, sizeof(error)), 0);
	for (uint32_t i = 0; i < image.len; i++) {
		assert_int_equal(tl_capture_file_next(file, &r), -EAGAIN);
		assert_int_equal(write(ends[1], image.bytes + i, 1), 1);
		tl_capture_file_wait(file, 1000);
		bool is_whole = i >= 24 && (i + 1 - 24) % 26 == 0;
		if (!is_whole)
			continue;
		assert_int_equal(tl_capture_file_next(file, &r), 1);
		assert_int_equal(r.time_ns, records++ * NS_PER_S);
	}
	assert_int_equal(records, 3);
	assert_int_equal(close(ends[1]), 0);
	expect_end(file);
}

static void what_is_no_capture_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		uint32_t len;
		const char *says;
	} foreigns[] = {
		{"", 0, "trace.pcap: empty: not a capture file (pcap, pcapng, gzip)"},
		{"\xd4", 1, "trace.pcap: not a capture file (pcap, pcapng, either also in gzip)"},
		{"GET / HTTP/1.1\r\n\r\n", 18,
		 "trace.pcap: not a capture file (pcap, pcapng, either also in gzip)"},
		{"\x28\xb5\x2f\xfd....", 8,
		 "trace.pcap: compressed by zstd: unpack it first (zstd -dc FILE | ... -)"},
		{"\xd4\xc3\xb2\xa1\x02\x00", 6,
		 "trace.pcap: cut within the header of the file: no packet in it"},
	};
	char error[256];
	struct tl_capture_file *file;

	for (size_t i = 0; i < TL_COUNT_OF(foreigns); i++) {
		assert_null(open_bytes((const uint8_t *)foreigns[i].bytes, foreigns[i].len, error));
		assert_string_equal(error, foreigns[i].says);
	}
	assert_int_equal(tl_capture_file_open("/no/such", &file, error, sizeof(error)), -ENOENT);
	assert_string_equal(error, "/no/such: No such file or directory");
	assert_int_equal(tl_capture_file_open("/", &file, error, sizeof(error)), -EISDIR);
	assert_string_equal(error, "/: Is a directory");
}

// Somebody cuts the file while it is read: an error or an end, never a signal.
static void a_shrinking_file_kills_nobody(void **state)
{
	(void)state;
	enum { RECORDS = 900 };
	int fd = memfd_create("capture", 0);
	char error[256];
	struct tl_capture_file *file;
	uint32_t records;

	begin(false);
	put_pcap_header(0xa1b2c3d4, 1);
	for (uint32_t i = 0; i < RECORDS; i++) {
		put_pcap_record(i, 0, 1000, 1000);
		put_packet_bytes(1000, false);
	}
	assert_int_equal(write(fd, image.bytes, image.len), image.len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tl_capture_file_open_fd(fd, "x", &file, error, sizeof(error)), 0);
	expect(file, 0, 1, 1000, 1000);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(read_all(file, &records), -EBADMSG);
	assert_true(records < RECORDS);
	tl_capture_file_close(file);
}

static void flipped_bytes_are_safe(void **state)
{
	(void)state;
	uint64_t seed = 7;
	uint32_t records;
	char error[256];

	for (uint32_t kind = 0; kind < 2; kind++) {
		begin(false);
		if (kind == 0)
			put_pcap_header(0xa1b2c3d4, 1);
		else
			put_section();
		if (kind == 1)
			put_interface(1, 0, 6, 7);
		for (uint32_t i = 0; i < 4; i++) {
			if (kind == 1) {
				put_enhanced(0, i, 20);
				continue;
			}
			put_pcap_record(i, 0, 20, 20);
			put_packet_bytes(20, false);
		}
		for (uint32_t i = 0; i < 4000; i++) {
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			uint32_t at = (uint32_t)(seed >> 33) % image.len;
			uint8_t was = image.bytes[at];
			image.bytes[at] = (uint8_t)(seed >> 56);
			struct tl_capture_file *file = open_bytes(image.bytes, image.len, error);
			if (file != NULL) {
				int rc = read_all(file, &records);
				assert_true(rc == 0 || rc == -EBADMSG);
				assert_true(records <= 8);
				tl_capture_file_close(file);
			}
			image.bytes[at] = was;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcap_of_every_kind_is_read),
		cmocka_unit_test(pcapng_with_sections_interfaces_and_clocks_is_read),
		cmocka_unit_test(resolutions_do_not_overflow),
		cmocka_unit_test(a_cut_at_every_byte_loses_nothing_before_it),
		cmocka_unit_test(a_damage_says_where_it_is),
		cmocka_unit_test(gzip_is_unpacked_on_the_way),
		cmocka_unit_test(a_pipe_gives_what_it_has),
		cmocka_unit_test(what_is_no_capture_is_named),
		cmocka_unit_test(a_shrinking_file_kills_nobody),
		cmocka_unit_test(flipped_bytes_are_safe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
