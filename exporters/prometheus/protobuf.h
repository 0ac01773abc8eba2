// SPDX-License-Identifier: Apache-2.0
// The protobuf exposition, the only form that carries native histograms: each family as one
// io.prometheus.client.MetricFamily with its length in front.
// Source: github.com/prometheus/client_model, io/prometheus/client/metrics.proto.
#pragma once

#include "base/text.h"
#include "metrics/metrics.h"

// Appends the family of the samples from `from` up to `to`, that one not included.
void tl_prometheus_put_family(struct tl_text *text, const struct tl_snapshot *snapshot, uint32_t from,
			      uint32_t to);
