// SPDX-License-Identifier: Apache-2.0
// tapline doctor: is the copy of the traffic that comes to a port good? Listens for some seconds and
// judges link, queues, time stamps, losses and traffic in words.
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/sysfs.h"
#include "base/text.h"
#include "cli/capture.h"
#include "cli/commands.h"

#define HINTS_MAX 8u
#define FINDINGS_MAX (TL_TOTALS_PORTS_MAX * 6u + HINTS_MAX + 4u)
#define FINDING_BYTES (TL_HINT_BYTES + 64u)
#define PORTS_DEFAULT "any"

enum { OUTPUT_TEXT, OUTPUT_JSON };

// MIND does no harm by itself, or is mended; BAD is reported by the exit status, too.
enum verdict { OK, MIND, BAD };
static const char *const verdict_words[] = {"ok", "mind", "bad"};
static const char *const output_words[] = {"text", "json", NULL};

struct doctor_options {
	struct tl_text_list ports;
	uint64_t seconds;
	uint64_t workers;
	const char *filter;
	uint32_t output;
};

struct finding {
	const char *check; // "link"
	enum verdict verdict;
	char port[64];     // "" for what concerns all
	char text[FINDING_BYTES];
};

struct doctor {
	const struct doctor_options *options;
	double seconds; // that it listened
	struct finding findings[FINDINGS_MAX];
	uint32_t count;
};

__attribute__((format(printf, 5, 6))) static void find(struct doctor *d, const char *port,
						       const char *check, enum verdict verdict,
						       const char *format, ...)
{
	va_list args;

	if (d->count == FINDINGS_MAX)
		return;
	struct finding *finding = &d->findings[d->count++];
	*finding = (struct finding) {.check = check, .verdict = verdict};
	(void)snprintf(finding->port, sizeof(finding->port), "%s", port);
	va_start(args, format);
	(void)vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

// ---- Each port -----------------------------------------------------------------------------

// A line of /sys/class/net/INTERFACE/NAME; "" where there is none.
static void read_interface(const char *interface, const char *name, char *ret, size_t size)
{
	ret[0] = '\0';
	if (strchr(interface, '/') == NULL)
		tl_sysfs_line(ret, size, "/sys/class/net/%s/%s", interface, name);
}

static void judge_interface_link(struct doctor *d, const struct tl_port_status *port)
{
	char state[32], speed[32], mtu[32], carrier[8];

	read_interface(port->name, "operstate", state, sizeof(state));
	read_interface(port->name, "carrier", carrier, sizeof(carrier));
	read_interface(port->name, "speed", speed, sizeof(speed));
	read_interface(port->name, "mtu", mtu, sizeof(mtu));
	if (state[0] == '\0') {
		find(d, port->name, "link", OK, "%s", port->link);
		return;
	}
	bool is_down = strcmp(state, "down") == 0 || strcmp(carrier, "0") == 0;
	bool has_speed = speed[0] != '\0' && speed[0] != '-';
	find(d, port->name, "link", is_down ? BAD : OK, "%s%s%s%s, MTU %s%s", state,
	     has_speed ? ", " : "", has_speed ? speed : "", has_speed ? " Mbit/s" : "", mtu,
	     is_down ? ": is the cable plugged in, and the interface up?" : "");
}

static void judge_link(struct doctor *d, const struct tl_port_status *port)
{
	if (strcmp(port->kind, "live") == 0) {
		judge_interface_link(d, port);
		return;
	}
	bool is_down = strstr(port->link, "down") != NULL;
	bool is_deaf = strstr(port->link, "not promiscuous") != NULL;
	find(d, port->name, "link", is_down || is_deaf ? BAD : OK, "%s%s%s", port->link,
	     is_down ? ": is the cable plugged in, and the other end up?" : "",
	     is_deaf ? ": the card hears what is addressed to it alone (a virtual function must be "
		       "trusted by its host)" : "");
}

static void judge_queues(struct doctor *d, const struct tl_port_status *port)
{
	if (port->spread == NULL)
		find(d, port->name, "queues", OK, "read by one reader, dealt out by conversation");
	else if (strcmp(port->spread, "one_queue") == 0)
		find(d, port->name, "queues", OK, "one queue, one worker; --workers N tests as many "
		     "queues");
	else
		find(d, port->name, "queues", strcmp(port->spread, "symmetric") == 0 ? OK : MIND,
		     "RSS %s: %s", port->spread, port->spread_text);
}

static void judge_stamps(struct doctor *d, const struct tl_port_status *port)
{
	if (strcmp(port->stamps, "of the burst") == 0)
		find(d, port->name, "stamps", MIND,
		     "of the burst: the device does not stamp, latencies are as exact as the worker's "
		     "turn is short");
	else
		find(d, port->name, "stamps", OK, "%s", port->stamps);
}

static void judge_losses(struct doctor *d, const struct tl_port_status *port)
{
	struct tl_text driver = {0};
	uint64_t lost = port->kernel_dropped + port->ring_dropped + port->pool_dropped;

	for (uint32_t i = 0; i < port->loss_count; i++)
		tl_text_printf(&driver, "%s%s %" PRIu64, i == 0 ? "; the driver counts " : ", ",
			       port->losses[i].name, port->losses[i].count);
	find(d, port->name, "losses", lost != 0 ? BAD : port->loss_count > 0 ? MIND : OK,
	     "kernel or device %" PRIu64 ", rings %" PRIu64 ", buffers %" PRIu64 "%s%s",
	     port->kernel_dropped, port->ring_dropped, port->pool_dropped,
	     driver.len > 0 ? driver.data : "",
	     lost != 0 ? ": docs/tuning.md says what to change" : "");
	tl_text_free(&driver);
}

static void judge_traffic(struct doctor *d, const struct tl_port_status *port)
{
	if (port->received == 0)
		find(d, port->name, "traffic", BAD, "no packet in %.3g s: does the mirror send to this "
		     "port, and is there traffic?", d->seconds);
	else
		find(d, port->name, "traffic", OK, "%" PRIu64 " packets in %.3g s: %.4g packets/s, "
		     "%.3g Mbit/s, %" PRIu64 " bytes each", port->received, d->seconds,
		     (double)port->received / d->seconds,
		     (double)port->bytes * 8 / 1e6 / d->seconds, port->bytes / port->received);
}

// ---- All of them ---------------------------------------------------------------------------

// What conversations were recognised as, the payload of each in percent.
static void judge_protocols(struct doctor *d, const struct tl_totals *totals)
{
	struct tl_text list = {0};
	uint64_t bytes = 0;
	uint32_t known = 0;

	for (uint32_t i = 0; i < totals->verdict_count; i++)
		bytes += totals->verdicts[i].bytes;
	for (uint32_t i = 0; i < totals->verdict_count; i++) {
		const struct tl_verdict_count *v = &totals->verdicts[i];
		const char *name = tl_totals_verdict_name(i);
		if (name == NULL || v->bytes == 0)
			continue;
		known += i < tl_decoder_count;
		tl_text_printf(&list, "%s%s %.0f %%", list.len > 0 ? ", " : "", name,
			       round((double)v->bytes * 100 / (double)bytes));
	}
	if (bytes != 0)
		find(d, "", "payload", known > 0 ? OK : MIND, "%s", list.data);
	tl_text_free(&list);
}

static void judge(void *arg, const struct tl_totals *totals, uint64_t elapsed_ns)
{
	struct doctor *d = arg;
	char hints[HINTS_MAX][TL_HINT_BYTES];
	uint64_t received = 0;

	d->seconds = (double)elapsed_ns / 1e9;
	for (uint32_t i = 0; i < totals->port_count; i++) {
		const struct tl_port_status *port = &totals->ports[i];
		received += port->received;
		judge_link(d, port);
		judge_queues(d, port);
		judge_stamps(d, port);
		judge_losses(d, port);
		judge_traffic(d, port);
	}
	if (received == 0)
		return;
	judge_protocols(d, totals);
	uint32_t count = tl_totals_hints(totals, d->options->filter, hints, HINTS_MAX);
	for (uint32_t i = 0; i < count; i++)
		find(d, "", "copy", MIND, "%s", hints[i]);
	if (count == 0)
		find(d, "", "copy", OK, "nothing is missing that shows: both directions, whole packets,"
		     " no copies");
}

// ---- Output --------------------------------------------------------------------------------

static enum verdict worst(const struct doctor *d)
{
	enum verdict verdict = OK;

	for (uint32_t i = 0; i < d->count; i++)
		if (d->findings[i].verdict > verdict)
			verdict = d->findings[i].verdict;
	return verdict;
}

static void print_text(const struct doctor *d)
{
	static const char *const ends[] = {
		[OK] = "This port can be used as it is.",
		[MIND] = "This port can be used; read the lines with \"mind\".",
		[BAD] = "Something is wrong: see the lines with \"bad\".",
	};
	const char *port = NULL;

	for (uint32_t i = 0; i < d->count; i++) {
		const struct finding *f = &d->findings[i];
		if (port == NULL || strcmp(port, f->port) != 0)
			(void)printf("%s\n", f->port[0] != '\0' ? f->port : "what came");
		port = f->port;
		(void)printf("  %-4s  %-8s %s\n", verdict_words[f->verdict], f->check, f->text);
	}
	(void)printf("%s\n", ends[worst(d)]);
}

static void print_json(const struct doctor *d)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < d->count; i++) {
		const struct finding *f = &d->findings[i];
		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "port", f->port,
							    "check", f->check, "verdict",
							    verdict_words[f->verdict], "text",
							    f->text));
	}
	json_t *all = json_pack("{s:s, s:o}", "verdict", verdict_words[worst(d)], "findings", list);
	(void)json_dumpf(all, stdout, JSON_INDENT(2));
	(void)fputc('\n', stdout);
	json_decref(all);
}

static int no_record(void *arg, const struct tl_roundtrip_signal *signal)
{
	(void)arg;
	(void)signal;
	return 0;
}

static int run(const void *arg, const struct tl_arguments *arguments)
{
	static const char *const any = PORTS_DEFAULT;
	const struct doctor_options *options = arg;
	struct doctor *doctor = calloc(1, sizeof(*doctor));
	struct tl_totals *totals = calloc(1, sizeof(*totals));
	struct tl_capture_flags flags = {
		.ifaces = "",
		.ports = options->ports,
		.filter = options->filter,
		.workers = options->workers,
		.duration_ns = options->seconds * UINT64_C(1000000000),
		.at_end = judge,
	};
	int status = TL_EXIT_FAILURE;
	(void)arguments;

	if (flags.ports.count == 0)
		flags.ports = (struct tl_text_list) {.items = (const char **)&any, .count = 1};
	if (doctor == NULL || totals == NULL) {
		status = tl_cli_error(status, "doctor: out of memory");
	} else {
		doctor->options = options;
		status = tl_capture_run("doctor", &flags, no_record, doctor, totals);
	}
	if (status == TL_EXIT_DONE) {
		if (options->output == OUTPUT_JSON)
			print_json(doctor);
		else
			print_text(doctor);
		status = worst(doctor) == BAD ? TL_EXIT_FAILURE : TL_EXIT_DONE;
	}
	free(totals);
	free(doctor);
	return tl_cli_finish_output(status);
}

#define AT(member) (uint32_t)offsetof(struct doctor_options, member)

static const struct tl_flag flags_of_doctor[] = {
	{.name = "port", .letter = 'p', .type = TL_FLAG_TEXTS, .offset = AT(ports),
	 .argument = "PORT", .group = "Input",
	 .help = "An interface (eth1, any), a network card's PCI address (0000:03:00.0) or a DPDK"
		 " virtual device (net_af_packet0,iface=eth1); repeatable, as for the two ports of a"
		 " TAP. Without it any"},
	{.name = "seconds", .letter = 's', .type = TL_FLAG_UINT, .offset = AT(seconds),
	 .value = "10", .min = 1, .max = 3600, .argument = "N",
	 .group = "Input", .help = "How long to listen"},
	{.name = "workers", .letter = 'w', .type = TL_FLAG_UINT, .max = 64, .offset = AT(workers),
	 .argument = "N", .group = "Input",
	 .help = "As capture.workers will be: each polls a queue of its own where there are so many"},
	{.name = "filter", .letter = 'f', .type = TL_FLAG_TEXT, .offset = AT(filter),
	 .argument = "BPF", .group = "Input", .help = "Packet filter in tcpdump's language"},
	{.name = "output", .letter = 'o', .type = TL_FLAG_CHOICE, .offset = AT(output),
	 .choices = output_words, .argument = "text|json", .group = "Output",
	 .help = "Lines for people or one JSON object"},
	TL_FLAG_END,
};

static const char *const examples[] = {
	"tapline doctor --port eth1", "is the mirror on eth1 good?",
	"tapline doctor --port 0000:03:00.0 --workers 4", "the self-test of a card with four queues",
	"tapline doctor --port eth1 --port eth2 --seconds 60", "the two ports of a TAP",
	NULL,
};

const struct tl_command tl_command_doctor = {
	.name = "doctor",
	.summary = "Judge a capture port: link, queues, time stamps, losses, traffic",
	.description = "Listens for some seconds and says of each thing whether it is ok, is to be kept in "
		       "mind, or is bad. The exit status is 1 when anything is bad, 3 when nothing could "
		       "be captured.",
	.flags = flags_of_doctor,
	.options_size = sizeof(struct doctor_options),
	.examples = examples,
	.run = run,
};
