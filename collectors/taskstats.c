// SPDX-License-Identifier: Apache-2.0
#include "collectors/taskstats.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cgroupstats.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "collectors/host.h"

#define ANSWER_BYTES 4096u
#define HEADS_BYTES (sizeof(struct nlmsghdr) + sizeof(struct genlmsghdr)) // both are aligned
#define ATTRIBUTE_BYTES sizeof(struct nlattr)
#define ALIGNED(size) (((size) + 3u) & ~3u)

// A request with one attribute, and room for its answer.
struct message {
	struct nlmsghdr head;
	struct genlmsghdr generic;
	char rest[ANSWER_BYTES];
};

static int ask(int fd, uint16_t family, uint8_t command, uint16_t type, const void *value,
	       uint16_t size, struct message *message)
{
	struct nlattr attribute = {.nla_len = (uint16_t)(ATTRIBUTE_BYTES + size), .nla_type = type};

	*message = (struct message) {
		.head = {.nlmsg_len = (uint32_t)HEADS_BYTES + ALIGNED(attribute.nla_len),
			 .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST},
		.generic = {.cmd = command, .version = 1},
	};
	memcpy(message->rest, &attribute, sizeof(attribute));
	memcpy(message->rest + ATTRIBUTE_BYTES, value, size);
	if (send(fd, message, message->head.nlmsg_len, 0) < 0)
		return -errno;
	ssize_t got = recv(fd, message, sizeof(*message), 0);
	if (got < 0)
		return -errno;
	if ((size_t)got < HEADS_BYTES)
		return -EBADMSG;
	if (message->head.nlmsg_type == NLMSG_ERROR) {
		int error;
		memcpy(&error, (const char *)message + sizeof(message->head), sizeof(error));
		return error < 0 ? error : -EBADMSG;
	}
	return (int)((size_t)got - HEADS_BYTES);
}

// The value of attribute `type` among the `len` bytes of an answer. NULL: it is not there.
static const char *find(const struct message *message, int len, uint16_t type, size_t size)
{
	size_t at = 0;
	struct nlattr attribute;

	while (at + sizeof(attribute) <= (size_t)len) {
		memcpy(&attribute, message->rest + at, sizeof(attribute));
		if (attribute.nla_len < ATTRIBUTE_BYTES || at + attribute.nla_len > (size_t)len)
			return NULL;
		if ((attribute.nla_type & ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)) == type &&
		    attribute.nla_len >= ATTRIBUTE_BYTES + size)
			return message->rest + at + ATTRIBUTE_BYTES;
		at += ALIGNED(attribute.nla_len);
	}
	return NULL;
}

int tl_taskstats_open(uint16_t *ret_family)
{
	const struct timeval patience = {.tv_sec = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	struct message message;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	int rc = ask(fd, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME,
		     TASKSTATS_GENL_NAME, sizeof(TASKSTATS_GENL_NAME), &message);
	const char *family = rc < 0 ? NULL : find(&message, rc, CTRL_ATTR_FAMILY_ID,
						  sizeof(*ret_family));
	if (family == NULL) {
		(void)close(fd);
		return rc < 0 ? rc : -ENOENT;
	}
	memcpy(ret_family, family, sizeof(*ret_family));
	return fd;
}

int tl_taskstats_read(int fd, uint16_t family, const char *directory,
		      struct tl_cgroup_tasks *ret_tasks)
{
	struct cgroupstats stats;
	struct message message;
	char path[PATH_MAX];
	int cgroup = open(tl_host_path(directory, path, sizeof(path)),
			  O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (cgroup < 0)
		return -errno;
	uint32_t number = (uint32_t)cgroup;
	int rc = ask(fd, family, CGROUPSTATS_CMD_GET, CGROUPSTATS_CMD_ATTR_FD, &number,
		     sizeof(number), &message);
	(void)close(cgroup);
	if (rc < 0)
		return rc;
	const char *value = find(&message, rc, CGROUPSTATS_TYPE_CGROUP_STATS, sizeof(stats));
	if (value == NULL)
		return -EBADMSG;
	memcpy(&stats, value, sizeof(stats));
	*ret_tasks = (struct tl_cgroup_tasks) {
		.sleeping = stats.nr_sleeping,
		.running = stats.nr_running,
		.stopped = stats.nr_stopped,
		.uninterruptible = stats.nr_uninterruptible,
		.iowait = stats.nr_io_wait,
	};
	return 0;
}
