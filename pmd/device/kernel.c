// SPDX-License-Identifier: Apache-2.0
#include "pmd/device/kernel.h"

#include "base/sysfs.h"

#include <dirent.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>
#include <rte_cycles.h>

static bool is_packet_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_PACKET;
}

void tl_kernel_sockets_list(struct tl_kernel_sockets *s)
{
	DIR *files = opendir("/proc/self/fd");
	const struct dirent *entry;

	s->count = 0;
	while (files != NULL && (entry = readdir(files)) != NULL && s->count < TL_KERNEL_SOCKETS_MAX) {
		char *end;
		long fd = strtol(entry->d_name, &end, 10);
		if (end != entry->d_name && *end == '\0' && is_packet_socket((int)fd))
			s->fds[s->count++] = (int)fd;
	}
	if (files != NULL)
		(void)closedir(files);
}

static bool has(const struct tl_kernel_sockets *s, int fd)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->fds[i] == fd)
			return true;
	return false;
}

// Reading them sets the kernel's counts to 0.
static uint64_t read_drops(const struct tl_kernel_sockets *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		struct tpacket_stats stats = {0};
		socklen_t len = sizeof(stats);
		if (getsockopt(s->fds[i], SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
			sum += stats.tp_drops;
	}
	return sum;
}

void tl_kernel_sockets_since(struct tl_kernel_sockets *s, const struct tl_kernel_sockets *before)
{
	uint32_t kept = 0;

	tl_kernel_sockets_list(s);
	for (uint32_t i = 0; i < s->count; i++)
		if (!has(before, s->fds[i]))
			s->fds[kept++] = s->fds[i];
	s->count = kept;
	// What was lost while the driver set itself up was not meant for us.
	(void)read_drops(s);
}

uint64_t tl_kernel_sockets_dropped(struct tl_kernel_sockets *s)
{
	uint64_t now = rte_get_tsc_cycles();
	uint64_t next = atomic_load_explicit(&s->next_read, memory_order_relaxed);

	if (s->count != 0 && now >= next &&
	    atomic_compare_exchange_strong(&s->next_read, &next, now + rte_get_tsc_hz() / 100))
		(void)atomic_fetch_add_explicit(&s->dropped, read_drops(s), memory_order_relaxed);
	return atomic_load_explicit(&s->dropped, memory_order_relaxed);
}

static uint64_t interface_count(const char *interface, const char *counter)
{
	char line[32];

	tl_sysfs_line(line, sizeof(line), "/sys/class/net/%s/statistics/%s", interface, counter);
	return strtoull(line, NULL, 10);
}

static uint64_t interface_drops(const char *interface)
{
	return interface_count(interface, "rx_dropped") +
	       interface_count(interface, "rx_missed_errors");
}

void tl_kernel_interface_watch(struct tl_kernel_interface *i, const char *name)
{
	(void)snprintf(i->name, sizeof(i->name), "%s", name);
	i->before = interface_drops(i->name);
}

uint64_t tl_kernel_interface_dropped(struct tl_kernel_interface *i)
{
	uint64_t now = rte_get_tsc_cycles();
	uint64_t next = atomic_load_explicit(&i->next_read, memory_order_relaxed);

	if (*i->name != '\0' && now >= next &&
	    atomic_compare_exchange_strong(&i->next_read, &next, now + rte_get_tsc_hz() / 100)) {
		uint64_t drops = interface_drops(i->name);
		// An interface that is gone counts nothing: what it had counted stays.
		if (drops >= i->before)
			atomic_store_explicit(&i->dropped, drops - i->before, memory_order_relaxed);
	}
	return atomic_load_explicit(&i->dropped, memory_order_relaxed);
}

// Not by /sys, which may be of another network namespace.
bool tl_kernel_interface_is_up(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return true;
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", name);
	bool is_there = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
	(void)close(fd);
	return is_there && (~request.ifr_flags & (IFF_UP | IFF_RUNNING)) == 0;
}
