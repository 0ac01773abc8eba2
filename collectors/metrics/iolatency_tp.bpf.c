// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// How long block requests take, by the records of classic tracepoints: for kernels that don't
// describe their types. A request is known by where it begins. Merging to its front moves that: such
// ones are missed.
#include "collectors/metrics/iolatency_count.h"

#define REQUESTS_MAX 8192

struct place {
	__u64 sector;
	__u32 device;
	__u32 unused;
};

struct times {
	__u64 made_ns, given_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, REQUESTS_MAX);
	__type(key, struct place);
	__type(value, struct times);
} requests SEC(".maps");

const volatile __u32 getrq_dev, getrq_sector;
const volatile __u32 issue_dev, issue_sector;
const volatile __u32 done_dev, done_sector, done_rwbs;

static __always_inline struct place place_of(void *record, __u32 dev, __u32 sector)
{
	struct place place = {0};

	bpf_probe_read_kernel(&place.device, sizeof(place.device), record + dev);
	bpf_probe_read_kernel(&place.sector, sizeof(place.sector), record + sector);
	return place;
}

SEC("tracepoint/block/block_getrq")
int made(void *record)
{
	struct place place = place_of(record, getrq_dev, getrq_sector);
	struct times times = {.made_ns = bpf_ktime_get_ns()};

	bpf_map_update_elem(&requests, &place, &times, BPF_ANY);
	return TL_PASS;
}

SEC("tracepoint/block/block_rq_issue")
int given(void *record)
{
	struct place place = place_of(record, issue_dev, issue_sector);
	struct times *known = bpf_map_lookup_elem(&requests, &place);
	struct times times = {.given_ns = bpf_ktime_get_ns()};

	if (known != NULL)
		known->given_ns = times.given_ns;
	else
		bpf_map_update_elem(&requests, &place, &times, BPF_ANY);
	return TL_PASS;
}

// "WS", "RA", "D"; "F" before a write is its flush, alone ("FF") it is one.
static __always_inline __u32 op_of_letters(const char letters[2])
{
	char letter = letters[0] == 'F' && letters[1] != '\0' ? letters[1] : letters[0];

	return letter == 'R' ? 0 : letter == 'W' ? 1 : letter == 'F' ? 2 : letter == 'D' ? 3 :
	       IOLATENCY_OPS;
}

SEC("tracepoint/block/block_rq_complete")
int complete(void *record)
{
	__u64 now = bpf_ktime_get_ns();
	struct place place = place_of(record, done_dev, done_sector);
	struct times *times = bpf_map_lookup_elem(&requests, &place);
	char letters[2] = "";

	if (times == NULL)
		return TL_PASS;
	bpf_probe_read_kernel(letters, sizeof(letters), record + done_rwbs);
	__u32 op = op_of_letters(letters);
	if (op < IOLATENCY_OPS)
		count(place.device, op, 0, since(times->made_ns, now), since(times->given_ns, now));
	bpf_map_delete_elem(&requests, &place);
	return TL_PASS;
}

TL_LICENSE;
