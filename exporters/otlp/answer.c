// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/otlp.h"

#include <stdio.h>

#include "trace_service.pb-c.h"

// Ours has a number and a sentence; of a larger one each field that nobody knows would take memory.
#define ANSWER_BYTES_MAX (64u << 10)

// ExportTraceServiceResponse and ExportMetricsServiceResponse look the same on the wire.
void tl_otlp_judge(struct tl_bytes answer, uint32_t items, struct tl_http_result *ret_result)
{
	Otlp__ExportTraceServiceResponse *response = NULL;
	int64_t rejected = 0;

	if (answer.len <= ANSWER_BYTES_MAX)
		response = otlp__export_trace_service_response__unpack(NULL, answer.len, answer.ptr);
	else
		(void)snprintf(ret_result->message, sizeof(ret_result->message),
			       "an answer of %u bytes was not read", answer.len);
	if (response != NULL && response->partial_success != NULL) {
		rejected = response->partial_success->rejected_spans;
		(void)snprintf(ret_result->message, sizeof(ret_result->message), "%s",
			       response->partial_success->error_message);
	}
	if (rejected < 0)
		rejected = 0;
	ret_result->rejected = rejected > items ? items : (uint32_t)rejected;
	ret_result->delivered = items - ret_result->rejected;
	if (response != NULL)
		otlp__export_trace_service_response__free_unpacked(response, NULL);
}
