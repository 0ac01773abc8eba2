// SPDX-License-Identifier: Apache-2.0
#include "control/scrape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define GZIP_LEVEL 3           // a scrape is read once, over a fast link
#define GZIP_WINDOW (15 + 16)  // zlib's way to ask for the gzip format

struct tl_scrape {
	struct tl_snapshot *snapshot;
	struct tl_prometheus_page page;
	enum tl_prometheus_format format;
	size_t taken;    // of the present piece
	bool has_piece;
	bool is_gzip;
	bool is_finished; // the gzip stream
	z_stream zip;
};

bool tl_scrape_style(const char *word, uint32_t *ret_style)
{
	if (strcmp(word, "vmrange") == 0)
		*ret_style = TL_HISTOGRAM_VMRANGE;
	else if (strcmp(word, "le") == 0)
		*ret_style = TL_HISTOGRAM_LE;
	else if (strcmp(word, "native") == 0)
		*ret_style = TL_HISTOGRAM_NATIVE;
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

struct tl_scrape *tl_scrape_open(const struct tl_scrape_request *request,
				 struct tl_snapshot *snapshot)
{
	struct tl_scrape *scrape = calloc(1, sizeof(*scrape));

	if (scrape == NULL) {
		tl_snapshot_put(snapshot);
		return NULL;
	}
	scrape->snapshot = snapshot;
	scrape->format = tl_prometheus_negotiate(request->accept,
						 request->style == TL_HISTOGRAM_NATIVE);
	const struct tl_prometheus_options options = {
		.format = (uint8_t)scrape->format,
		.histogram = (uint8_t)request->style,
		.is_self = request->is_self,
		.le_seconds = request->le_seconds,
		.le_bytes = request->le_bytes,
	};
	bool is_gzip = accepts_gzip(request->accept_encoding);
	tl_prometheus_begin(&scrape->page, snapshot, &options);
	if (is_gzip && deflateInit2(&scrape->zip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8,
				    Z_DEFAULT_STRATEGY) != Z_OK) {
		tl_scrape_close(scrape);
		return NULL;
	}
	scrape->is_gzip = is_gzip;
	return scrape;
}

const char *tl_scrape_content_type(const struct tl_scrape *scrape)
{
	return tl_prometheus_content_type(scrape->format);
}

bool tl_scrape_is_gzip(const struct tl_scrape *scrape)
{
	return scrape->is_gzip;
}

// What is left of the present piece, else the next one. Empty behind the last.
static struct tl_bytes rest_of_piece(struct tl_scrape *scrape)
{
	struct tl_text *text = &scrape->page.text;

	if (!scrape->has_piece || scrape->taken == text->len) {
		scrape->has_piece = tl_prometheus_next(&scrape->page);
		scrape->taken = 0;
	}
	if (!scrape->has_piece)
		return tl_bytes(NULL, 0);
	return tl_bytes(text->data + scrape->taken, (uint32_t)(text->len - scrape->taken));
}

static ssize_t read_packed(struct tl_scrape *scrape, char *buffer, size_t max)
{
	z_stream *zip = &scrape->zip;

	zip->next_out = (Bytef *)buffer;
	zip->avail_out = (uInt)max;
	while (zip->avail_out == max && !scrape->is_finished) {
		struct tl_bytes piece = rest_of_piece(scrape);
		zip->next_in = (z_const Bytef *)(uintptr_t)piece.ptr;
		zip->avail_in = piece.len;
		int rc = deflate(zip, piece.len == 0 ? Z_FINISH : Z_NO_FLUSH);
		if (rc == Z_STREAM_ERROR)
			return -EIO;
		scrape->taken += piece.len - zip->avail_in;
		scrape->is_finished = rc == Z_STREAM_END;
	}
	return (ssize_t)(max - zip->avail_out);
}

ssize_t tl_scrape_read(struct tl_scrape *scrape, char *buffer, size_t max)
{
	if (scrape->is_gzip)
		return read_packed(scrape, buffer, max);
	struct tl_bytes piece = rest_of_piece(scrape);
	size_t len = piece.len < max ? piece.len : max;
	if (len != 0)
		memcpy(buffer, piece.ptr, len);
	scrape->taken += len;
	return (ssize_t)len;
}

void tl_scrape_close(struct tl_scrape *scrape)
{
	if (scrape == NULL)
		return;
	if (scrape->is_gzip)
		(void)deflateEnd(&scrape->zip);
	tl_prometheus_end(&scrape->page);
	tl_snapshot_put(scrape->snapshot);
	free(scrape);
}
