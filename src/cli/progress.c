// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"

#define FIRST_NS 1000000000u // shorter runs need no line
#define EVERY_NS 250000000u
#define ERASE "\r\033[K"

void tl_progress_begin(struct tl_progress *p, bool is_report, uint64_t now_ns)
{
	*p = (struct tl_progress) {
		.is_wanted = isatty(STDERR_FILENO) == 1 &&
			     (is_report || isatty(STDOUT_FILENO) != 1),
		.begin_ns = now_ns,
		.next_ns = now_ns + FIRST_NS,
	};
}

// "37%  1.1GiB of 3.0GiB  2.4 Mpackets/s  ETA 12s"
static void write_line(struct tl_text *line, const struct tl_port_status *port, uint64_t elapsed_ns)
{
	double seconds = (double)elapsed_ns / 1e9;
	double share = (double)port->file_read / (double)port->file_size;

	tl_text_printf(line, "%3.0f%%  ", share * 100);
	tl_text_size(line, port->file_read);
	tl_text_puts(line, " of ");
	tl_text_size(line, port->file_size);
	tl_text_printf(line, "  %.2f Mpackets/s  ETA ", (double)port->received / seconds / 1e6);
	uint64_t left = (uint64_t)ceil(seconds * (1 / share - 1));
	if (left < 60)
		tl_text_printf(line, "%" PRIu64 "s", left);
	else
		tl_text_duration(line, left * 1000000000u);
}

void tl_progress_turn(struct tl_progress *p, struct tl_pipeline *pipeline, uint64_t now_ns)
{
	struct tl_port_status port;
	struct tl_text line = {0};

	if (!p->is_wanted || now_ns < p->next_ns)
		return;
	p->next_ns = now_ns + EVERY_NS;
	if (tl_pipeline_ports(pipeline, &port, 1) == 0 || port.file_read == 0 || port.file_size == 0)
		return;
	if (port.file_read > port.file_size) // it grows while it is read
		port.file_size = port.file_read;
	write_line(&line, &port, now_ns - p->begin_ns);
	(void)fprintf(stderr, ERASE "%s", line.data);
	(void)fflush(stderr);
	tl_text_free(&line);
	p->is_shown = true;
}

void tl_progress_end(struct tl_progress *p)
{
	if (p->is_shown)
		(void)fputs(ERASE, stderr);
	p->is_shown = false;
}
