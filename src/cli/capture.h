// SPDX-License-Identifier: Apache-2.0
// What `watch` and `stats` have in common: the flags that say what to capture, and the running of
// a probe for them, without a configuration file.
#pragma once

#include "cli/command.h"
#include "cli/summary.h"
#include "control/probe.h"

struct tl_capture_flags {
	const char *ifaces;
	struct tl_text_list files;
	struct tl_text_list devices;
	struct tl_text_list proto;
	const char *filter;
	uint32_t ipv;          // 0: both, else index into the words
	bool no_promisc;
	uint64_t workers;
	uint64_t duration_ns;
	bool redact;
	// Not on command lines: ports of any kind instead of the three above, told apart by their form;
	// and who sees the totals at the end, the ports among them, before the probe is gone, with the
	// time that it listened: an interrupted one ends before its duration.
	struct tl_text_list ports;
	void (*at_end)(void *arg, const struct tl_totals *totals, uint64_t elapsed_ns);
	// Called while no record waits: what was written so far is to reach its reader. May be NULL; a
	// negative result ends the capture in order.
	int (*at_pause)(void *arg);
};

extern const char *const tl_capture_ip_words[];

// The rows of these flags for a command whose options struct has them as `member`.
#define TL_CAPTURE_AT(Options, Member, Flag) \
	(uint32_t)(offsetof(Options, Member) + offsetof(struct tl_capture_flags, Flag))
#define TL_CAPTURE_FLAGS(Options, Member) \
	{.name = "ifaces", .letter = 'i', .type = TL_FLAG_TEXT, \
	 .offset = TL_CAPTURE_AT(Options, Member, ifaces), .argument = "NAME[,NAME]|any", \
	 .group = "Input", .help = "Capture on these interfaces; any is all of them"}, \
	{.name = "pcap-file", .letter = 'r', .type = TL_FLAG_TEXTS, \
	 .offset = TL_CAPTURE_AT(Options, Member, files), .argument = "FILE|-", \
	 .group = "Input", .help = "Read a capture file (pcap, pcapng, also gzipped) or standard input;" \
	 " repeatable: the files are put together in the order of their time stamps"}, \
	{.name = "device", .type = TL_FLAG_TEXTS, \
	 .offset = TL_CAPTURE_AT(Options, Member, devices), .argument = "DEVARGS", \
	 .group = "Input", .help = "Capture on a DPDK virtual device, as net_af_packet0,iface=eth1;" \
	 " repeatable, as for the two ports of a TAP"}, \
	{.name = "proto", .letter = 'p', .type = TL_FLAG_TEXTS, \
	 .offset = TL_CAPTURE_AT(Options, Member, proto), .argument = "'NAME;PORT[,PORT][;HOST|CIDR]'", \
	 .group = "Input", .help = "Only this protocol, on these ports and hosts; repeatable. Without" \
	 " it every protocol is recognised on every port"}, \
	{.name = "filter", .letter = 'f', .type = TL_FLAG_TEXT, \
	 .offset = TL_CAPTURE_AT(Options, Member, filter), .argument = "BPF", \
	 .group = "Input", .help = "Packet filter in tcpdump's language"}, \
	{.name = "ipv", .type = TL_FLAG_CHOICE, .choices = tl_capture_ip_words, \
	 .offset = TL_CAPTURE_AT(Options, Member, ipv), .argument = "v4|v6", \
	 .group = "Input", .help = "Only this version of IP"}, \
	{.name = "no-promisc", .type = TL_FLAG_BOOL, \
	 .offset = TL_CAPTURE_AT(Options, Member, no_promisc), \
	 .group = "Input", .help = "Don't put interfaces into promiscuous mode"}, \
	{.name = "duration", .letter = 'd', .type = TL_FLAG_DURATION, \
	 .offset = TL_CAPTURE_AT(Options, Member, duration_ns), .argument = "TIME", \
	 .group = "Input", .help = "Stop after this time (packet time for files), as 30s"}, \
	{.name = "workers", .letter = 'w', .type = TL_FLAG_UINT, .max = 64, \
	 .offset = TL_CAPTURE_AT(Options, Member, workers), .argument = "N", \
	 .group = "Input", .help = "Worker lcores; by default 1 live, up to 4 for files"}, \
	{.name = "redact", .type = TL_FLAG_BOOL, \
	 .offset = TL_CAPTURE_AT(Options, Member, redact), \
	 .group = "Output", .help = "Mask secrets in values, as the agent does"}

// Runs the probe until its input ends, the duration is over, or SIGINT or SIGTERM comes. `fn`
// sees every record; a negative result ends the capture in order. After the last record the
// totals are filled. Returns an exit status; errors have been printed.
int tl_capture_run(const char *command, const struct tl_capture_flags *flags,
		   tl_probe_record_fn *fn, void *arg, struct tl_totals *ret_totals);
