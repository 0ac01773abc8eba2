// SPDX-License-Identifier: Apache-2.0
// tapline ifaces: what can be captured on. Reads libpcap's list and sysfs; never starts EAL and
// never touches a device.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <net/if.h>
#include <pcap/pcap.h>

#include "base/check.h"
#include "base/sysfs.h"
#include "cli/commands.h"
#include "config/value.h"

#define PCI_PATH "/sys/bus/pci/devices"
#define PCI_CLASS_NETWORK "0x02"
#define LINK_TEXT_BYTES 256u

enum { OUTPUT_TEXT, OUTPUT_JSON };

struct ifaces_options {
	uint32_t output;
};

static const char *const output_words[] = {"text", "json", NULL};

// Calls `visit` for each entry, sorted; false when the directory can't be read.
typedef void visit_fn(void *arg, const char *name);
static bool each_entry(const char *directory, visit_fn *visit, void *arg)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.')
			visit(arg, entries[i]->d_name);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return count >= 0;
}

static void count_rx_queue(void *arg, const char *name)
{
	if (strncmp(name, "rx-", 3) == 0)
		++*(int *)arg;
}

// ---- Interfaces -----------------------------------------------------------------------------

static json_t *addresses_json(const pcap_if_t *interface)
{
	json_t *list = json_array();

	for (const struct pcap_addr *at = interface->addresses; at != NULL; at = at->next) {
		char text[INET6_ADDRSTRLEN] = "";
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;

		if (at->addr == NULL)
			continue;
		if (at->addr->sa_family == AF_INET) {
			memcpy(&v4, at->addr, sizeof(v4));
			(void)inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
		} else if (at->addr->sa_family == AF_INET6) {
			memcpy(&v6, at->addr, sizeof(v6));
			(void)inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
		}
		if (*text != '\0')
			(void)json_array_append_new(list, json_string(text));
	}
	return list;
}

static const char *state_of(const pcap_if_t *interface)
{
	if ((interface->flags & PCAP_IF_UP) == 0)
		return "down";
	switch (interface->flags & PCAP_IF_CONNECTION_STATUS) {
	case PCAP_IF_CONNECTION_STATUS_DISCONNECTED:
		return "no link";
	default:
		return "up";
	}
}

// A positive number below sysfs; left out when unknown (-1, or unreadable while the link is down).
static void add_number(json_t *json, const char *key, const char *directory, const char *name)
{
	char text[64];
	uint64_t number;

	tl_sysfs_line(text, sizeof(text), "%s/%s", directory, name);
	if (tl_parse_uint(text, &number) && number > 0 && number <= INT64_MAX)
		(void)json_object_set_new(json, key, json_integer((json_int_t)number));
}

static json_t *interface_json(const pcap_if_t *interface)
{
	char directory[PATH_MAX];
	char queues_path[PATH_MAX + 8];
	char text[64];
	int queues = 0;
	json_t *json = json_pack("{s:s, s:s, s:o}", "name", interface->name, "state",
				 state_of(interface), "addresses", addresses_json(interface));

	(void)snprintf(directory, sizeof(directory), "/sys/class/net/%s", interface->name);
	(void)snprintf(queues_path, sizeof(queues_path), "%s/queues", directory);
	if (each_entry(queues_path, count_rx_queue, &queues))
		(void)json_object_set_new(json, "rx_queues", json_integer(queues));
	add_number(json, "speed_mbps", directory, "speed");
	add_number(json, "mtu", directory, "mtu");
	tl_sysfs_line(text, sizeof(text), "%s/address", directory);
	if (*text != '\0' && strcmp(text, "00:00:00:00:00:00") != 0)
		(void)json_object_set_new(json, "mac", json_string(text));
	return json;
}

// Also what only libpcap knows ("any"); devices that don't carry packets (usbmon, nflog) not.
static int list_interfaces(json_t *list, char *error)
{
	pcap_if_t *all = NULL;

	if (pcap_findalldevs(&all, error) != 0)
		return -EIO;
	for (const pcap_if_t *at = all; at != NULL; at = at->next)
		if (if_nametoindex(at->name) != 0 || strcmp(at->name, "any") == 0)
			(void)json_array_append_new(list, interface_json(at));
	pcap_freealldevs(all);
	return 0;
}

// ---- PCI devices ----------------------------------------------------------------------------

static void append_name(void *arg, const char *name)
{
	(void)json_array_append_new((json_t *)arg, json_string(name));
}

// A virtio device has its interface one folder below, beside its other children.
struct pci_child {
	const char *directory;
	json_t *names;
};

static void visit_pci_child(void *arg, const char *name)
{
	const struct pci_child *child = (const struct pci_child *)arg;
	char path[2 * PATH_MAX];

	if (strncmp(name, "virtio", 6) != 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s/net", child->directory, name);
	(void)each_entry(path, append_name, child->names);
}

static void visit_pci(void *arg, const char *name)
{
	char directory[PATH_MAX];
	char path[PATH_MAX + 16];
	char text[LINK_TEXT_BYTES];
	char target[PATH_MAX];
	json_t *interfaces;

	(void)snprintf(directory, sizeof(directory), PCI_PATH "/%s", name);
	tl_sysfs_line(text, sizeof(text), "%s/class", directory);
	if (strncmp(text, PCI_CLASS_NETWORK, strlen(PCI_CLASS_NETWORK)) != 0)
		return;
	json_t *json = json_pack("{s:s}", "address", name);
	tl_sysfs_line(text, sizeof(text), "%s/vendor", directory);
	(void)json_object_set_new(json, "vendor", json_string(text));
	tl_sysfs_line(text, sizeof(text), "%s/device", directory);
	(void)json_object_set_new(json, "device", json_string(text));
	(void)snprintf(path, sizeof(path), "%s/driver", directory);
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	if (len > 0) {
		target[len] = '\0';
		const char *slash = strrchr(target, '/');
		(void)json_object_set_new(json, "driver",
					  json_string(slash != NULL ? slash + 1 : target));
	}
	interfaces = json_array();
	(void)snprintf(path, sizeof(path), "%s/net", directory);
	(void)each_entry(path, append_name, interfaces);
	struct pci_child child = {.directory = directory, .names = interfaces};
	(void)each_entry(directory, visit_pci_child, &child);
	(void)json_object_set_new(json, "interfaces", interfaces);
	(void)json_array_append_new((json_t *)arg, json);
}

// Bound to a driver that hands the device to user space, or to none: EAL could take it as it is.
static const char *pci_use(const json_t *device)
{
	static const char *const user_space[] = {"vfio-pci", "uio_pci_generic", "igb_uio"};
	const char *driver = json_string_value(json_object_get(device, "driver"));

	if (driver == NULL)
		return "no driver: scripts/nic bind hands it to DPDK";
	for (size_t i = 0; i < TL_COUNT_OF(user_space); i++)
		if (strcmp(driver, user_space[i]) == 0)
			return "ready for capture.ports pci:";
	if (strcmp(driver, "mlx5_core") == 0 || strcmp(driver, "mlx4_core") == 0)
		return "ready for capture.ports pci: (shared with the kernel)";
	return "used by the kernel";
}

// ---- Output ---------------------------------------------------------------------------------

static void join(const json_t *list, char *ret, size_t size)
{
	ret[0] = '\0';
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t len = strlen(ret);

		(void)snprintf(ret + len, size - len, "%s%s", i > 0 ? " " : "",
			       json_string_value(json_array_get(list, i)));
	}
}

static void print_interfaces(const json_t *list)
{
	int width = 9;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name =
			json_string_value(json_object_get(json_array_get(list, i), "name"));
		if ((int)strlen(name) > width)
			width = (int)strlen(name);
	}
	(void)printf("%-*s  %-7s  %9s  %6s  %s\n", width, "INTERFACE", "STATE", "SPEED", "QUEUES",
		     "ADDRESSES");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *at = json_array_get(list, i);
		const json_t *speed = json_object_get(at, "speed_mbps");
		const json_t *queues = json_object_get(at, "rx_queues");
		char addresses[1024];
		char speed_text[32] = "-";
		char queues_text[32] = "-";

		join(json_object_get(at, "addresses"), addresses, sizeof(addresses));
		if (speed != NULL)
			(void)snprintf(speed_text, sizeof(speed_text), "%lldMb/s",
				       (long long)json_integer_value(speed));
		if (queues != NULL)
			(void)snprintf(queues_text, sizeof(queues_text), "%lld",
				       (long long)json_integer_value(queues));
		(void)printf("%-*s  %-7s  %9s  %6s  %s\n", width,
			     json_string_value(json_object_get(at, "name")),
			     json_string_value(json_object_get(at, "state")), speed_text,
			     queues_text, addresses);
	}
}

static void print_devices(const json_t *list)
{
	if (json_array_size(list) == 0)
		return;
	(void)printf("\n%-12s  %-16s  %-16s  %s\n", "PCI DEVICE", "DRIVER", "INTERFACES", "USE");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *at = json_array_get(list, i);
		const char *driver = json_string_value(json_object_get(at, "driver"));
		char names[LINK_TEXT_BYTES];

		join(json_object_get(at, "interfaces"), names, sizeof(names));
		(void)printf("%-12s  %-16s  %-16s  %s\n",
			     json_string_value(json_object_get(at, "address")),
			     driver != NULL ? driver : "-", *names != '\0' ? names : "-",
			     pci_use(at));
	}
}

static int run_ifaces(const void *options, const struct tl_arguments *arguments)
{
	const struct ifaces_options *given = (const struct ifaces_options *)options;
	char error[PCAP_ERRBUF_SIZE] = "";
	json_t *interfaces = json_array();
	json_t *devices = json_array();
	int status = TL_EXIT_DONE;

	(void)arguments;
	if (list_interfaces(interfaces, error) < 0) {
		status = tl_cli_error(TL_EXIT_CAPTURE, "can't list interfaces: %s", error);
	} else {
		(void)each_entry(PCI_PATH, visit_pci, devices);
		if (given->output == OUTPUT_JSON) {
			json_t *all = json_pack("{s:O, s:O}", "interfaces", interfaces,
						"pci_devices", devices);
			(void)json_dumpf(all, stdout, JSON_INDENT(2));
			(void)fputc('\n', stdout);
			json_decref(all);
		} else {
			print_interfaces(interfaces);
			print_devices(devices);
		}
	}
	json_decref(interfaces);
	json_decref(devices);
	return status;
}

static const struct tl_flag ifaces_flags[] = {
	{.name = "output",
	 .letter = 'o',
	 .type = TL_FLAG_CHOICE,
	 .offset = offsetof(struct ifaces_options, output),
	 .value = "text",
	 .choices = output_words,
	 .argument = "text|json",
	 .help = "Form of the output"},
	TL_FLAG_END,
};

const struct tl_command tl_command_ifaces = {
	.name = "ifaces",
	.summary = "List capture interfaces and DPDK devices with addresses, state and queues",
	.flags = ifaces_flags,
	.options_size = sizeof(struct ifaces_options),
	.run = run_ifaces,
};
