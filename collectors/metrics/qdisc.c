// SPDX-License-Identifier: Apache-2.0
// Queueing disciplines at the roots of the host's devices, asked by rtnetlink (RTM_GETQDISC).
#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collectors/collector.h"

#define ANSWER_BYTES 65536u
#define ANSWER_SECONDS 1 // the kernel answers at once, if at all

struct qdisc {
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
};

static int ask(void)
{
	const struct {
		struct nlmsghdr head;
		struct tcmsg body;
	} request = {
		.head = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETQDISC,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.tcm_family = AF_UNSPEC},
	};
	const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, &request, sizeof(request), 0) < 0) {
		int rc = -errno;
		(void)close(fd);
		return rc;
	}
	return fd;
}

struct stats {
	struct gnet_stats_basic basic;
	struct gnet_stats_queue queue;
};

static void read_stats(const struct rtattr *nested, struct stats *ret)
{
	uint32_t rest = (uint32_t)RTA_PAYLOAD(nested);

	for (const struct rtattr *a = RTA_DATA(nested); RTA_OK(a, rest); a = RTA_NEXT(a, rest)) {
		size_t size = RTA_PAYLOAD(a);
		if (a->rta_type == TCA_STATS_BASIC)
			memcpy(&ret->basic, RTA_DATA(a),
			       size < sizeof(ret->basic) ? size : sizeof(ret->basic));
		else if (a->rta_type == TCA_STATS_QUEUE)
			memcpy(&ret->queue, RTA_DATA(a),
			       size < sizeof(ret->queue) ? size : sizeof(ret->queue));
	}
}

static void emit_stats(struct tl_emit *emit, int index, const char *kind, const struct stats *s)
{
	char name[IF_NAMESIZE] = "";

	if (if_indextoname((unsigned)index, name) == NULL)
		return; // it has just gone
	const struct tl_label *labels = TL_LABELS({"device", name}, {"kind", kind});
	tl_emit_counter(emit, "bytes_total", (double)s->basic.bytes, "Bytes sent.", labels);
	tl_emit_counter(emit, "packets_total", s->basic.packets, "Packets sent.", labels);
	tl_emit_counter(emit, "drops_total", s->queue.drops, "Packets dropped.", labels);
	tl_emit_counter(emit, "requeues_total", s->queue.requeues, "Packets put back.", labels);
	tl_emit_counter(emit, "overlimits_total", s->queue.overlimits,
			"Times that a limit held packets back.", labels);
	tl_emit_gauge(emit, "current_queue_length", s->queue.qlen, "Packets waiting.", labels);
	tl_emit_gauge(emit, "backlog", s->queue.backlog, "Bytes waiting.", labels);
}

static void take_message(struct tl_emit *emit, const struct nlmsghdr *head)
{
	const struct tcmsg *message = NLMSG_DATA(head);
	const char *kind = "";
	struct stats stats = {0};

	if (head->nlmsg_type != RTM_NEWQDISC ||
	    head->nlmsg_len < NLMSG_LENGTH(sizeof(*message)) || message->tcm_parent != TC_H_ROOT)
		return;
	uint32_t rest = head->nlmsg_len - (uint32_t)NLMSG_LENGTH(sizeof(*message));
	const struct rtattr *a = (const struct rtattr *)(const void *)
		((const char *)message + NLMSG_ALIGN(sizeof(*message)));
	for (; RTA_OK(a, rest); a = RTA_NEXT(a, rest)) {
		if (a->rta_type == TCA_KIND)
			kind = RTA_DATA(a);
		else if (a->rta_type == TCA_STATS2)
			read_stats(a, &stats);
	}
	if (strcmp(kind, "noqueue") != 0)
		emit_stats(emit, message->tcm_ifindex, kind, &stats);
}

static int update(void *arg, struct tl_emit *emit)
{
	struct qdisc *self = arg;
	int fd = ask(), rc = fd < 0 ? fd : 1;

	while (rc > 0) {
		ssize_t got = recv(fd, self->answer, sizeof(self->answer), 0);
		uint32_t rest = got < 0 ? 0 : (uint32_t)got;
		rc = got < 0 ? -errno : (int)rest;
		const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)self->answer;
		for (; NLMSG_OK(head, rest); head = NLMSG_NEXT(head, rest)) {
			if (head->nlmsg_type == NLMSG_DONE)
				rc = 0;
			else if (head->nlmsg_type == NLMSG_ERROR)
				rc = ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
			else
				take_message(emit, head);
		}
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static const struct tl_collector_ops ops = {.update = update, .close = free};

static int new_qdisc(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	*ret = (struct tl_collector) {
		.ops = &ops, .self = malloc(sizeof(struct qdisc)), .flags = TL_METRIC};
	return ret->self == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(qdisc, new_qdisc, .help = "Queueing disciplines of network devices.");
