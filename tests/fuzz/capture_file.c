// SPDX-License-Identifier: Apache-2.0
// Input: a capture file.
#include "fuzz.h"

#include "pmd/pcap/file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECORDS_MAX 100000 // gzip makes much out of little

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);
	struct tl_capture_file *file;
	struct tl_capture_record r;
	char error[256];
	uint64_t sum = 0;
	int rc = 0;

	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	if (tl_capture_file_open_fd(fd, "fuzz", &file, error, sizeof(error)) < 0) {
		FUZZ_CHECK(strncmp(error, "fuzz: ", 6) == 0);
		return 0;
	}
	for (int i = 0; i < RECORDS_MAX && (rc = tl_capture_file_next(file, &r)) == 1; i++) {
		FUZZ_CHECK(r.len <= r.original_len && r.len <= TL_CAPTURE_RECORD_MAX);
		for (uint32_t at = 0; at < r.len; at++)
			sum += r.data[at];
	}
	FUZZ_CHECK(rc == 1 || rc == 0 || rc == -EBADMSG);
	FUZZ_CHECK((rc == -EBADMSG) == (tl_capture_file_error(file)[0] != '\0'));
	FUZZ_CHECK(sum != UINT64_MAX);
	tl_capture_file_close(file);
	return 0;
}
