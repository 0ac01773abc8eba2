// SPDX-License-Identifier: Apache-2.0
// The Accept header of whoever scrapes. Whatever it is, a format comes out that has a content type,
// and a header that names OpenMetrics nowhere gets text.
#include "tests/fuzz/fuzz.h"

#include "exporters/prometheus/prometheus.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *header = malloc(size + 1);

	FUZZ_CHECK(header != NULL);
	memcpy(header, data, size);
	header[size] = '\0';
	enum tl_prometheus_format native = tl_prometheus_negotiate(header, true);
	FUZZ_CHECK(native != TL_PROMETHEUS_PROTOBUF || strcasestr(header, "google.protobuf") != NULL);
	enum tl_prometheus_format format = tl_prometheus_negotiate(header, false);
	FUZZ_CHECK(native == TL_PROMETHEUS_PROTOBUF || native == format);
	FUZZ_CHECK(format == TL_PROMETHEUS_TEXT || format == TL_PROMETHEUS_OPENMETRICS);
	FUZZ_CHECK(format == TL_PROMETHEUS_TEXT || strcasestr(header, "openmetrics-text") != NULL);
	FUZZ_CHECK(strlen(tl_prometheus_content_type(format)) > 10);
	free(header);
	return 0;
}
