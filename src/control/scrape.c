// SPDX-License-Identifier: Apache-2.0
#include "control/scrape.h"

#include "exporters/prometheus/prometheus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define GZIP_LEVEL 3           // a scrape is read once, over a fast link
#define GZIP_WINDOW (15 + 16)  // zlib's way to ask for the gzip format
#define DEFLATE_BYTES 16384u

struct writer {
	struct tl_text *body;
	z_stream zip;
	bool is_gzip;
};

bool tl_scrape_set_style(struct tl_scrape *scrape, const char *word)
{
	if (strcmp(word, "vmrange") == 0)
		scrape->style = TL_HISTOGRAM_VMRANGE;
	else if (strcmp(word, "le") == 0)
		scrape->style = TL_HISTOGRAM_LE;
	else
		return false;
	return true;
}

// RFC 9110 12.5.3: gzip is taken when it is named (or *) and its weight is not 0.
static bool accepts_gzip(const char *header)
{
	const char *found = header == NULL ? NULL : strstr(header, "gzip");
	if (found == NULL && header != NULL)
		found = strchr(header, '*');
	if (found == NULL)
		return false;
	const char *end = found + strcspn(found, ",");
	const char *weight = strstr(found, "q=");
	return weight == NULL || weight > end || strtod(weight + 2, NULL) > 0;
}

static int pack(struct writer *writer, const char *data, size_t len, int flush)
{
	uint8_t block[DEFLATE_BYTES];

	writer->zip.next_in = (z_const Bytef *)(uintptr_t)data;
	writer->zip.avail_in = (uInt)len;
	do {
		writer->zip.next_out = block;
		writer->zip.avail_out = sizeof(block);
		if (deflate(&writer->zip, flush) == Z_STREAM_ERROR)
			return -EIO;
		tl_text_add(writer->body, block, sizeof(block) - writer->zip.avail_out);
	} while (writer->zip.avail_out == 0);
	return 0;
}

static int write_piece(void *arg, const char *data, size_t len)
{
	struct writer *writer = arg;

	if (writer->is_gzip)
		return pack(writer, data, len, Z_NO_FLUSH);
	tl_text_add(writer->body, data, len);
	return 0;
}

int tl_scrape_render(struct tl_scrape *scrape, const struct tl_snapshot *snapshot)
{
	enum tl_prometheus_format format = tl_prometheus_negotiate(scrape->accept);
	struct tl_prometheus_options options = {
		.format = (uint8_t)format,
		.histogram = (uint8_t)scrape->style,
		.is_self = scrape->is_self,
		.le_seconds = &scrape->le_seconds,
		.le_bytes = &scrape->le_bytes,
	};
	struct writer writer = {.body = &scrape->body,
				.is_gzip = accepts_gzip(scrape->accept_encoding)};
	char error[160];

	scrape->content_type = tl_prometheus_content_type(format);
	if (writer.is_gzip && deflateInit2(&writer.zip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8,
					   Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	int rc = tl_prometheus_render(snapshot, &options, write_piece, &writer, error,
				      sizeof(error));
	if (writer.is_gzip) {
		if (rc == 0)
			rc = pack(&writer, "", 0, Z_FINISH);
		(void)deflateEnd(&writer.zip);
	}
	scrape->is_gzip = writer.is_gzip;
	return rc;
}

void tl_scrape_fini(struct tl_scrape *scrape)
{
	tl_text_free(&scrape->body);
}
