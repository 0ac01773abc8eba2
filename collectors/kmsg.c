// SPDX-License-Identifier: Apache-2.0
#include "collectors/kmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct tl_kmsg {
	int fd;
	size_t len;                        // bytes in `buffer`
	char buffer[8192];                 // the kernel's own limit of a record
	char line[TL_KMSG_LINE_BYTES];
};

int tl_kmsg_open(struct tl_kmsg **ret_kmsg)
{
	char path[PATH_MAX];
	struct tl_kmsg *kmsg = calloc(1, sizeof(*kmsg));

	if (kmsg == NULL)
		return -ENOMEM;
	kmsg->fd = open(tl_host_path("/dev/kmsg", path, sizeof(path)),
			O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg->fd < 0) {
		int rc = -errno;
		free(kmsg);
		return rc;
	}
	(void)lseek(kmsg->fd, 0, SEEK_END); // what was written before is not told again
	*ret_kmsg = kmsg;
	return 0;
}

void tl_kmsg_close(struct tl_kmsg *kmsg)
{
	if (kmsg == NULL)
		return;
	(void)close(kmsg->fd);
	free(kmsg);
}

// Takes a line out of the buffer. False: none is complete.
static bool take_line(struct tl_kmsg *kmsg)
{
	char *end = memchr(kmsg->buffer, '\n', kmsg->len);

	if (end == NULL && kmsg->len < sizeof(kmsg->buffer))
		return false;
	size_t taken = end == NULL ? kmsg->len : (size_t)(end - kmsg->buffer);
	size_t kept = taken < sizeof(kmsg->line) - 1 ? taken : sizeof(kmsg->line) - 1;
	memcpy(kmsg->line, kmsg->buffer, kept);
	kmsg->line[kept] = '\0';
	taken += end != NULL;
	memmove(kmsg->buffer, kmsg->buffer + taken, kmsg->len - taken);
	kmsg->len -= taken;
	return true;
}

// "6,1234,98765,-;message"; lines that go on a record begin with a blank.
static const char *message_of(const char *line)
{
	const char *semicolon = strchr(line, ';');

	if (line[0] == ' ' || semicolon == NULL)
		return NULL;
	return semicolon + 1;
}

// False: the end of the run, of the time, or of the log itself.
static bool read_more(struct tl_kmsg *kmsg, struct tl_ctx *ctx, uint64_t end_ns)
{
	while (!tl_ctx_done(ctx)) {
		ssize_t got = read(kmsg->fd, kmsg->buffer + kmsg->len,
				   sizeof(kmsg->buffer) - kmsg->len);
		if (got > 0) {
			kmsg->len += (size_t)got;
			return true;
		}
		if (got < 0 && errno == EPIPE) // records were overwritten: the next read goes on
			continue;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		uint64_t now_ns = tl_host_clock_ns();
		if (end_ns != 0 && now_ns >= end_ns)
			return false;
		uint64_t rest_ns = end_ns == 0 ? UINT64_C(1000000000) : end_ns - now_ns;
		const struct timespec rest = {.tv_sec = (time_t)(rest_ns / 1000000000),
					      .tv_nsec = (long)(rest_ns % 1000000000)};
		struct pollfd fds[2] = {{.fd = kmsg->fd, .events = POLLIN},
					{.fd = tl_ctx_fd(ctx), .events = POLLIN}};
		(void)ppoll(fds, 2, &rest, NULL);
		if (got == 0) // a file in the log's place that has ended for now
			(void)tl_ctx_sleep(ctx, 10000000);
	}
	return false;
}

const char *tl_kmsg_next(struct tl_kmsg *kmsg, struct tl_ctx *ctx, uint64_t wait_ns)
{
	uint64_t end_ns = wait_ns == 0 ? 0 : tl_host_clock_ns() + wait_ns;

	for (;;) {
		const char *message = NULL;
		while (take_line(kmsg)) {
			message = message_of(kmsg->line);
			if (message != NULL)
				return message;
		}
		if (!read_more(kmsg, ctx, end_ns))
			return NULL;
	}
}

void tl_kmsg_gather(struct tl_kmsg *kmsg, struct tl_ctx *ctx, const char *end,
		    struct tl_text *ret_text)
{
	uint64_t end_ns = tl_host_clock_ns() + TL_KMSG_STACK_NS;

	tl_text_clear(ret_text);
	tl_text_puts(ret_text, "");
	for (uint32_t i = 0; i < TL_KMSG_STACK_LINES_MAX; i++) {
		uint64_t now_ns = tl_host_clock_ns();
		const char *message =
			now_ns >= end_ns ? NULL : tl_kmsg_next(kmsg, ctx, end_ns - now_ns);
		if (message == NULL)
			return;
		tl_text_puts(ret_text, message);
		tl_text_puts(ret_text, "\n");
		if (strstr(message, end) != NULL)
			return;
	}
}
