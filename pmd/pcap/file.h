// SPDX-License-Identifier: Apache-2.0
// Reads capture files: pcap (us, ns, either byte order, also the modified format of old Linux
// tcpdump), pcapng (several sections, interfaces, link types and clocks), any of them inside gzip,
// from a file, a pipe or standard input. No DPDK, one thread per file.
// Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, RFC 1952.
//
// Everything is read by read(2), files too. Mapping a file is no faster here (measured, see
// tests/bench) and a mapped file that somebody cuts meanwhile kills its reader with SIGBUS.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TL_CAPTURE_RECORD_MAX 262144u     // bytes of one packet; a longer one means damage
#define TL_CAPTURE_INTERFACES_MAX 4096u   // of one pcapng section

struct tl_capture_file;

// The two lengths lie apart: side by side they would be copied as one word right after they were
// written as two, which holds a CPU up for longer than the rest of reading a record takes.
struct tl_capture_record {
	uint64_t time_ns;      // since the epoch; a simple packet block has the time before it
	uint32_t len;          // bytes captured
	uint16_t link_type;    // registered LINKTYPE_ number
	const uint8_t *data;   // borrowed: valid until the next call of tl_capture_file_next
	uint32_t original_len; // bytes on the wire, >= len
};

// Opens `path`, "-" is standard input. A regular file is checked at once: an empty or foreign one
// gives -EBADMSG; otherwise -ENOENT, -EACCES, -EISDIR, -ENOMEM ... `error` then holds one line
// that begins with the path. Close the file with tl_capture_file_close.
int tl_capture_file_open(const char *path, struct tl_capture_file **ret_file, char *error,
			 size_t error_size);

// The same for an open descriptor, which the file keeps and closes; `name` is used in messages.
int tl_capture_file_open_fd(int fd, const char *name, struct tl_capture_file **ret_file,
			    char *error, size_t error_size);

// Gives 1 and the next record; 0 at the end; -EAGAIN when a pipe has nothing now; -EBADMSG at a
// damage (everything before it has been given), another -errno when reading failed. After a
// failure tl_capture_file_error() tells what and where, and every further call fails alike.
int tl_capture_file_next(struct tl_capture_file *file, struct tl_capture_record *ret_record);

// Sleeps until a pipe has something to read or `timeout_ms` passed; returns at once for files.
void tl_capture_file_wait(struct tl_capture_file *file, int timeout_ms);

// Bytes of the file read so far, as they lie there (gzip: packed), and its size; both 0 for what is
// no regular file. May run on any thread beside tl_capture_file_next.
void tl_capture_file_progress(const struct tl_capture_file *file, uint64_t *ret_read,
			      uint64_t *ret_size);

const char *tl_capture_file_error(const struct tl_capture_file *file);

// Accepts NULL.
void tl_capture_file_close(struct tl_capture_file *file);
