// SPDX-License-Identifier: Apache-2.0
// The formats. Bytes come through a window (source.c); no length is believed before it is
// compared with what may be and with what is there.
#include "pmd/pcap/file.h"

#include "base/bytes.h"
#include "base/check.h"
#include "pmd/pcap/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCAP_HEADER_BYTES 24u
#define PCAP_RECORD_BYTES 16u
#define PCAP_MODIFIED_RECORD_BYTES 24u
#define BLOCK_BYTES_MIN 12u
#define SECTION_BYTES_MIN 28u
#define NS_PER_S UINT64_C(1000000000)

#define MAGIC_US 0xa1b2c3d4u
#define MAGIC_NS 0xa1b23c4du
#define MAGIC_MODIFIED 0xa1b2cd34u
#define MAGIC_ORDER 0x1a2b3c4du // of a pcapng section

enum block_type {
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2,
	BLOCK_PACKET_SIMPLE = 3,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0a0d0d0a,
};

// The whole of a packet block must fit the window: the packet and as much again of options.
#define BLOCK_BYTES_MAX (2 * TL_CAPTURE_RECORD_MAX)
static_assert(BLOCK_BYTES_MAX <= TL_SOURCE_WINDOW_BYTES, "blocks are read from one window");

// ns = ticks * multiplier >> shift / divisor + offset_s seconds.
struct interface {
	uint16_t link_type;
	uint8_t shift;
	uint32_t snaplen; // 0: none
	uint64_t multiplier;
	uint64_t divisor;
	int64_t offset_s;
};

struct tl_capture_file {
	struct tl_source source;
	int (*next)(struct tl_capture_file *file, struct tl_capture_record *ret_record);
	uint64_t records;
	uint64_t skip;       // bytes of a block nobody wants, still to be passed over
	uint64_t time_ns;    // of the last record
	int failed;          // -errno of the failure that ended the reading
	bool is_swapped;     // big-endian
	uint32_t record_bytes; // pcap: of a record's header
	struct interface *interfaces; // pcap: one
	uint32_t interface_count;
	char name[160];
	char error[400];
};

static inline uint32_t load32(const struct tl_capture_file *f, const uint8_t *p)
{
	return f->is_swapped ? tl_load_be32(p) : tl_load_le32(p);
}

static inline uint16_t load16(const struct tl_capture_file *f, const uint8_t *p)
{
	return f->is_swapped ? tl_load_be16(p) : tl_load_le16(p);
}

// ---- Failures ------------------------------------------------------------------------------

// The end of reading, with a message about the whole file.
__attribute__((format(printf, 3, 4))) static int fail(struct tl_capture_file *f, int rc,
						      const char *format, ...)
{
	va_list arguments;
	int len = snprintf(f->error, sizeof(f->error), "%s: ", f->name);

	va_start(arguments, format);
	(void)vsnprintf(f->error + len, sizeof(f->error) - (size_t)len, format, arguments);
	va_end(arguments);
	f->failed = rc;
	return rc;
}

// The same for a damage at the place that has been reached; says what was read before it.
__attribute__((format(printf, 2, 3))) static int damage(struct tl_capture_file *f,
							const char *format, ...)
{
	char what[160];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	unsigned long long records = f->records;
	unsigned long long at = tl_source_offset(&f->source);
	const char *unpacked = f->source.is_gzip ? " of the unpacked data" : "";
	if (records == 0)
		return fail(f, -EBADMSG, "record 1 at offset 0x%llx%s: %s; nothing was read before it",
			    at, unpacked, what);
	return fail(f, -EBADMSG, "record %llu at offset 0x%llx%s: %s; the %llu record%s before it %s",
		    records + 1, at, unpacked, what, records, records == 1 ? "" : "s",
		    records == 1 ? "was read" : "were read");
}

// What a source that gave less than was needed comes to. `what` was cut.
static int short_input(struct tl_capture_file *f, int rc, const char *what)
{
	if (rc == -EAGAIN)
		return rc;
	if (rc == -EBADMSG)
		return damage(f, "%s", f->source.error);
	if (rc < 0)
		return fail(f, rc, "%s", f->source.error);
	if (f->source.is_cut)
		return damage(f, "the gzip data ends too early");
	if (tl_source_left(&f->source) == 0 && f->skip == 0)
		return 0;
	return damage(f, "the file ends within %s: it was cut short or is still being written",
		      what);
}

// ---- pcap ----------------------------------------------------------------------------------

static int next_pcap(struct tl_capture_file *f, struct tl_capture_record *r)
{
	int rc = tl_source_need(&f->source, f->record_bytes);
	if (TL_UNLIKELY(rc <= 0))
		return short_input(f, rc, "the record's header");
	const uint8_t *p = tl_source_at(&f->source);
	uint32_t len = load32(f, p + 8);
	uint32_t original_len = load32(f, p + 12);
	if (TL_UNLIKELY(len > TL_CAPTURE_RECORD_MAX))
		return damage(f, "its length %u is above the limit of %u bytes", len,
			      TL_CAPTURE_RECORD_MAX);
	rc = tl_source_need(&f->source, f->record_bytes + len);
	if (TL_UNLIKELY(rc <= 0)) {
		char what[64];
		(void)snprintf(what, sizeof(what), "its %u bytes", len);
		return short_input(f, rc, what);
	}
	p = tl_source_at(&f->source);
	*r = (struct tl_capture_record) {
		.time_ns = load32(f, p) * NS_PER_S +
			   load32(f, p + 4) * f->interfaces[0].multiplier,
		.len = len,
		.original_len = original_len > len ? original_len : len,
		.link_type = f->interfaces[0].link_type,
		.data = p + f->record_bytes,
	};
	tl_source_consume(&f->source, f->record_bytes + len);
	f->records++;
	return 1;
}

// Link types beyond 16 bits don't exist; such a number stays what we can't read.
static uint16_t link_type_of(uint32_t field)
{
	field &= 0x03ffffff; // above it: the length of a frame check sequence
	return field < UINT16_MAX ? (uint16_t)field : UINT16_MAX;
}

static bool is_pcap(struct tl_capture_file *f, const uint8_t *p)
{
	for (int i = 0; i < 2; i++) {
		f->is_swapped = i != 0;
		uint32_t magic = load32(f, p);
		if (magic == MAGIC_US || magic == MAGIC_NS || magic == MAGIC_MODIFIED)
			return true;
	}
	return false;
}

static int start_pcap(struct tl_capture_file *f)
{
	int rc = tl_source_need(&f->source, PCAP_HEADER_BYTES);
	if (rc == -EAGAIN)
		return rc;
	if (rc <= 0)
		return rc < 0 ? fail(f, rc, "%s", f->source.error)
			      : fail(f, -EBADMSG, "cut within the header of the file: no packet in it");
	const uint8_t *p = tl_source_at(&f->source);
	uint32_t magic = load32(f, p);
	f->interfaces = calloc(1, sizeof(*f->interfaces));
	if (f->interfaces == NULL)
		return fail(f, -ENOMEM, "out of memory");
	f->interface_count = 1;
	f->interfaces[0].link_type = link_type_of(load32(f, p + 20));
	f->interfaces[0].multiplier = magic == MAGIC_NS ? 1 : 1000;
	f->record_bytes = magic == MAGIC_MODIFIED ? PCAP_MODIFIED_RECORD_BYTES : PCAP_RECORD_BYTES;
	f->next = next_pcap;
	tl_source_consume(&f->source, PCAP_HEADER_BYTES);
	return 1;
}

// ---- pcapng --------------------------------------------------------------------------------

static uint64_t time_of(const struct interface *i, uint64_t ticks)
{
	__uint128_t ns = ((__uint128_t)ticks * i->multiplier >> i->shift) / i->divisor;
	__int128_t sum = (__int128_t)(uint64_t)(ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns) +
			 (__int128_t)i->offset_s * (int64_t)NS_PER_S;

	if (sum < 0)
		return 0;
	return sum > (__int128_t)UINT64_MAX ? UINT64_MAX : (uint64_t)sum;
}

// if_tsresol: a power of ten, or with the top bit a power of two. The 64 bits of a
// clock finer than 10^-28 s hold less than a nanosecond: always 0.
static void set_resolution(struct interface *i, uint8_t resolution)
{
	uint32_t exponent = resolution & 0x7fu;

	i->multiplier = 1;
	i->divisor = 1;
	i->shift = 0;
	if ((resolution & 0x80) != 0) {
		i->multiplier = NS_PER_S;
		i->shift = (uint8_t)exponent;
		return;
	}
	for (; exponent < 9; exponent++)
		i->multiplier *= 10;
	for (; exponent > 9 && i->divisor < UINT64_MAX / 10; exponent--)
		i->divisor *= 10;
	if (exponent > 9)
		i->multiplier = 0;
}

static void read_interface_options(const struct tl_capture_file *f, struct interface *i,
				   struct tl_bytes options)
{
	enum { OPTION_END = 0, OPTION_RESOLUTION = 9, OPTION_OFFSET = 14 };

	while (options.len >= 4) {
		uint16_t code = load16(f, options.ptr);
		uint32_t len = load16(f, options.ptr + 2);
		const uint8_t *value = options.ptr + 4;
		if (code == OPTION_END || len > options.len - 4)
			return;
		if (code == OPTION_RESOLUTION && len == 1)
			set_resolution(i, value[0]);
		if (code == OPTION_OFFSET && len == 8)
			i->offset_s = (int64_t)(f->is_swapped ? tl_load_be64(value)
							      : tl_load_le64(value));
		options = tl_bytes_from(options, 4 + ((len + 3) & ~3u));
	}
}

// `body` is what lies between the two lengths of a block.
static int read_interface(struct tl_capture_file *f, struct tl_bytes body)
{
	if (body.len < 8)
		return damage(f, "an interface block of %u bytes", body.len);
	if (f->interface_count == TL_CAPTURE_INTERFACES_MAX)
		return damage(f, "more than %u interfaces", TL_CAPTURE_INTERFACES_MAX);
	// Grows by doubling: at powers of two, the array is full.
	uint32_t count = f->interface_count;
	if ((count & (count - 1)) == 0) {
		size_t size = (count == 0 ? 1 : 2 * (size_t)count) * sizeof(*f->interfaces);
		struct interface *more = realloc(f->interfaces, size);
		if (more == NULL)
			return fail(f, -ENOMEM, "out of memory");
		f->interfaces = more;
	}
	struct interface *i = &f->interfaces[f->interface_count++];
	*i = (struct interface) {.link_type = load16(f, body.ptr),
				 .snaplen = load32(f, body.ptr + 4)};
	set_resolution(i, 6);
	read_interface_options(f, i, tl_bytes_from(body, 8));
	return 1;
}

// A packet of `len` bytes at `at` of the body, on `interface`.
static int give_packet(struct tl_capture_file *f, struct tl_bytes body, uint32_t at,
		       uint32_t interface, struct tl_capture_record *r)
{
	if (interface >= f->interface_count)
		return damage(f, "interface %u was not described before", interface);
	if (r->len > TL_CAPTURE_RECORD_MAX)
		return damage(f, "its length %u is above the limit of %u bytes", r->len,
			      TL_CAPTURE_RECORD_MAX);
	if (r->len > body.len - at)
		return damage(f, "its length %u exceeds its block of %u bytes", r->len, body.len);
	r->link_type = f->interfaces[interface].link_type;
	r->data = body.ptr + at;
	if (r->original_len < r->len)
		r->original_len = r->len;
	f->time_ns = r->time_ns;
	f->records++;
	return 1;
}

static uint64_t block_time(const struct tl_capture_file *f, uint32_t interface, const uint8_t *p)
{
	if (interface >= f->interface_count)
		return 0;
	return time_of(&f->interfaces[interface], (uint64_t)load32(f, p) << 32 | load32(f, p + 4));
}

static int read_packet(struct tl_capture_file *f, struct tl_bytes body, bool is_old,
		       struct tl_capture_record *r)
{
	if (body.len < 20)
		return damage(f, "a packet block of %u bytes", body.len);
	uint32_t interface = is_old ? load16(f, body.ptr) : load32(f, body.ptr);

	r->time_ns = block_time(f, interface, body.ptr + 4);
	r->len = load32(f, body.ptr + 12);
	r->original_len = load32(f, body.ptr + 16);
	return give_packet(f, body, 20, interface, r);
}

// Has no captured length: the snaplen of the section's first interface and the block bound it.
static int read_packet_simple(struct tl_capture_file *f, struct tl_bytes body,
			      struct tl_capture_record *r)
{
	if (body.len < 4)
		return damage(f, "a packet block of %u bytes", body.len);
	uint32_t snaplen = f->interface_count != 0 ? f->interfaces[0].snaplen : 0;

	r->time_ns = f->time_ns;
	r->original_len = load32(f, body.ptr);
	r->len = r->original_len;
	if (snaplen != 0 && r->len > snaplen)
		r->len = snaplen;
	if (r->len > body.len - 4)
		r->len = body.len - 4;
	return give_packet(f, body, 4, 0, r);
}

// The head of a section tells the byte order of all that follows, itself included.
static int read_section(struct tl_capture_file *f)
{
	const uint8_t *p = tl_source_at(&f->source);
	uint32_t order = tl_load_le32(p + 8);

	if (order != MAGIC_ORDER && tl_load_be32(p + 8) != MAGIC_ORDER)
		return damage(f, "a section without byte order");
	f->is_swapped = order != MAGIC_ORDER;
	if (load32(f, p + 4) < SECTION_BYTES_MIN)
		return damage(f, "a section block of %u bytes", load32(f, p + 4));
	int rc = tl_source_need(&f->source, 16);
	if (rc <= 0)
		return short_input(f, rc, "the head of a section");
	uint32_t major = load16(f, tl_source_at(&f->source) + 12);
	if (major != 1)
		return damage(f, "pcapng of version %u: only version 1 is known", major);
	f->interface_count = 0;
	return 1;
}

static bool is_wanted(uint32_t type)
{
	return type == BLOCK_INTERFACE || type == BLOCK_PACKET || type == BLOCK_PACKET_SIMPLE ||
	       type == BLOCK_PACKET_OLD;
}

// Passes over what is left of an unwanted block, however long: 1 when done.
static int skip_rest(struct tl_capture_file *f)
{
	while (f->skip != 0) {
		int rc = tl_source_need(&f->source, 1);
		if (rc <= 0)
			return short_input(f, rc, "a block");
		uint32_t left = tl_source_left(&f->source);
		uint32_t part = f->skip < left ? (uint32_t)f->skip : left;
		tl_source_consume(&f->source, part);
		f->skip -= part;
	}
	return 1;
}

// Reads one wanted block as a whole: 1 with a packet in `r`, 2 for another block.
static int read_block(struct tl_capture_file *f, uint32_t type, uint32_t len,
		      struct tl_capture_record *r)
{
	if (len > BLOCK_BYTES_MAX)
		return damage(f, "its block of %u bytes is above the limit of %u", len,
			      BLOCK_BYTES_MAX);
	int rc = tl_source_need(&f->source, len);
	if (rc <= 0)
		return short_input(f, rc, "its block");
	const uint8_t *p = tl_source_at(&f->source);
	if (load32(f, p + len - 4) != len)
		return damage(f, "the lengths at both ends of its block differ");
	struct tl_bytes body = tl_bytes(p + 8, len - BLOCK_BYTES_MIN);
	if (type == BLOCK_INTERFACE)
		rc = read_interface(f, body) < 0 ? f->failed : 2;
	else if (type == BLOCK_PACKET_SIMPLE)
		rc = read_packet_simple(f, body, r);
	else
		rc = read_packet(f, body, type == BLOCK_PACKET_OLD, r);
	if (rc > 0)
		tl_source_consume(&f->source, len);
	return rc;
}

static int next_pcapng(struct tl_capture_file *f, struct tl_capture_record *r)
{
	for (;;) {
		int rc = skip_rest(f);
		if (rc <= 0)
			return rc;
		rc = tl_source_need(&f->source, BLOCK_BYTES_MIN);
		if (rc <= 0)
			return short_input(f, rc, "the head of a block");
		// The type of a section reads the same in both orders.
		if (tl_load_le32(tl_source_at(&f->source)) == BLOCK_SECTION) {
			rc = read_section(f);
			if (rc <= 0)
				return rc;
		}
		const uint8_t *p = tl_source_at(&f->source);
		uint32_t type = load32(f, p);
		uint32_t len = load32(f, p + 4);
		if (len < BLOCK_BYTES_MIN || len % 4 != 0)
			return damage(f, "a block of %u bytes can't be", len);
		if (!is_wanted(type)) {
			f->skip = len;
			continue;
		}
		rc = read_block(f, type, len, r);
		if (rc != 2)
			return rc;
	}
}

// ---- Opening -------------------------------------------------------------------------------

struct foreign {
	const char *magic;
	uint32_t len;
	const char *what;
};

static int fail_foreign(struct tl_capture_file *f, const uint8_t *p, uint32_t len)
{
	static const struct foreign foreigns[] = {
		{"\x28\xb5\x2f\xfd", 4, "compressed by zstd: unpack it first (zstd -dc FILE | ... -)"},
		{"\xfd" "7zXZ", 5, "compressed by xz: unpack it first (xz -dc FILE | ... -)"},
		{"BZh", 3, "compressed by bzip2: unpack it first (bzip2 -dc FILE | ... -)"},
		{"\x04\x22\x4d\x18", 4, "compressed by lz4: unpack it first (lz4 -dc FILE | ... -)"},
		{"PK\x03\x04", 4, "a zip archive: unpack it first"},
		{"snoop", 5, "a snoop capture: convert it first (editcap FILE NEW.pcapng)"},
	};

	for (size_t i = 0; i < TL_COUNT_OF(foreigns); i++)
		if (len >= foreigns[i].len && memcmp(p, foreigns[i].magic, foreigns[i].len) == 0)
			return fail(f, -EBADMSG, "%s", foreigns[i].what);
	return fail(f, -EBADMSG, "not a capture file (pcap, pcapng, either also in gzip)");
}

// Finds out the format: 1, or -EAGAIN while a pipe hasn't said enough.
static int start(struct tl_capture_file *f)
{
	int rc = tl_source_need(&f->source, 4);

	if (rc == -EAGAIN)
		return rc;
	if (rc < 0)
		return fail(f, rc, "%s", f->source.error);
	const uint8_t *p = tl_source_at(&f->source);
	uint32_t left = tl_source_left(&f->source);
	if (rc == 0 && left == 0)
		return fail(f, -EBADMSG, "%s",
			    f->source.is_gzip ? "gzip without content: not a capture file"
					      : "empty: not a capture file (pcap, pcapng, gzip)");
	if (rc != 0 && is_pcap(f, p))
		return start_pcap(f);
	if (rc != 0 && tl_load_le32(p) == BLOCK_SECTION) {
		f->next = next_pcapng;
		return 1;
	}
	return fail_foreign(f, p, left);
}

int tl_capture_file_next(struct tl_capture_file *file, struct tl_capture_record *ret_record)
{
	if (TL_UNLIKELY(file->next == NULL)) {
		int rc = file->failed != 0 ? file->failed : start(file);
		if (rc <= 0)
			return rc;
	}
	if (TL_UNLIKELY(file->failed != 0))
		return file->failed;
	return file->next(file, ret_record);
}

int tl_capture_file_open_fd(int fd, const char *name, struct tl_capture_file **ret_file,
			    char *error, size_t error_size)
{
	struct tl_capture_file *f = calloc(1, sizeof(*f));
	struct stat status;

	if (f == NULL) {
		(void)close(fd);
		(void)snprintf(error, error_size, "%s: out of memory", name);
		return -ENOMEM;
	}
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	bool is_regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
	int rc = tl_source_init(&f->source, fd, !is_regular);
	if (rc < 0)
		(void)fail(f, rc, "out of memory");
	else if (is_regular)
		rc = start(f);
	if (rc < 0) {
		(void)snprintf(error, error_size, "%s", f->error);
		tl_capture_file_close(f);
		return rc;
	}
	*ret_file = f;
	return 0;
}

int tl_capture_file_open(const char *path, struct tl_capture_file **ret_file, char *error,
			 size_t error_size)
{
	struct stat status;

	if (strcmp(path, "-") == 0) {
		int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		if (fd >= 0)
			return tl_capture_file_open_fd(fd, "stdin", ret_file, error, error_size);
		int rc = -errno;
		(void)snprintf(error, error_size, "stdin: %s", strerror(-rc));
		return rc;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : 0;
	if (rc == 0 && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
		(void)close(fd);
		rc = -EISDIR;
	}
	if (rc < 0) {
		(void)snprintf(error, error_size, "%s: %s", path, strerror(-rc));
		return rc;
	}
	return tl_capture_file_open_fd(fd, path, ret_file, error, error_size);
}

void tl_capture_file_wait(struct tl_capture_file *file, int timeout_ms)
{
	tl_source_wait(&file->source, timeout_ms);
}

void tl_capture_file_progress(const struct tl_capture_file *f, uint64_t *ret_read,
			      uint64_t *ret_size)
{
	struct stat status;
	off_t at = f->source.is_pollable || fstat(f->source.fd, &status) < 0
			   ? -1 : lseek(f->source.fd, 0, SEEK_CUR);

	*ret_read = at < 0 ? 0 : (uint64_t)at;
	*ret_size = at < 0 ? 0 : (uint64_t)status.st_size;
}

const char *tl_capture_file_error(const struct tl_capture_file *file)
{
	return file->error;
}

void tl_capture_file_close(struct tl_capture_file *file)
{
	if (file == NULL)
		return;
	tl_source_fini(&file->source);
	free(file->interfaces);
	free(file);
}
