// SPDX-License-Identifier: Apache-2.0
// Gauges and counters that someone else measured, in a list that never changes once it is done:
// the way of a collector's values into a snapshot. Any thread; a list under construction belongs
// to one.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TL_POINTS_MAX 65536u      // of one list; more are left out and counted
#define TL_POINT_LABELS_MAX 16u

struct tl_label {
	const char *name;
	const char *value;
};

enum tl_metric_type { TL_METRIC_COUNTER, TL_METRIC_GAUGE, TL_METRIC_HISTOGRAM };

struct tl_point {
	const char *family; // "tapline_cpu_usr"
	const char *help;
	uint8_t type;       // TL_METRIC_COUNTER or TL_METRIC_GAUGE
	double value;
	const struct tl_label *labels;
	uint32_t label_count;
};

struct tl_points;

struct tl_points *tl_points_create(void); // one reference; NULL on no memory
// Copies everything, values of labels as valid UTF-8. False when the list is full or memory ran out:
// the point is left out then.
bool tl_points_add(struct tl_points *points, const struct tl_point *point);
struct tl_points *tl_points_get(struct tl_points *points); // another reference
void tl_points_put(struct tl_points *points);              // the end of one; accepts NULL

uint32_t tl_points_count(const struct tl_points *points);
const struct tl_point *tl_points_at(const struct tl_points *points, uint32_t index);
