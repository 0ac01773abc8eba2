// SPDX-License-Identifier: Apache-2.0
#include "pmd/device/pci.h"

#include "base/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PCI_DEVICES "/sys/bus/pci/devices"
#define PATH_BYTES 512u

bool tl_pci_address(const char *text, char ret[TL_PCI_ADDRESS_BYTES])
{
	unsigned int domain = 0, bus, slot, function;
	char rest;

	if (sscanf(text, "%4x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &rest) != 4) {
		domain = 0;
		if (sscanf(text, "%2x:%2x.%1x%c", &bus, &slot, &function, &rest) != 3)
			return false;
	}
	(void)snprintf(ret, TL_PCI_ADDRESS_BYTES, "%04x:%02x:%02x.%x", domain & 0xffff, bus & 0xff,
		       slot & 0xff, function & 0xf);
	return true;
}

static void driver_of(const char *device, char *ret, uint32_t size)
{
	char path[PATH_BYTES];
	char target[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%.400s/driver", device);
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = '\0';
	const char *slash = strrchr(target, '/');
	(void)snprintf(ret, size, "%.60s", slash != NULL ? slash + 1 : target);
}

// The first entry of a folder that begins with `prefix`; false when there is none.
static bool first_entry(const char *folder, const char *prefix, char *ret, uint32_t size)
{
	DIR *entries = opendir(folder);
	const struct dirent *entry;
	bool is_found = false;

	while (entries != NULL && !is_found && (entry = readdir(entries)) != NULL) {
		is_found = entry->d_name[0] != '.' &&
			   strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
		if (is_found)
			(void)snprintf(ret, size, "%.60s", entry->d_name);
	}
	if (entries != NULL)
		(void)closedir(entries);
	return is_found;
}

// Of a virtio card the interface stands one device below.
static void interface_of(const char *device, char *ret, uint32_t size)
{
	char path[PATH_BYTES];
	char child[64];

	*ret = '\0';
	(void)snprintf(path, sizeof(path), "%.400s/net", device);
	if (first_entry(path, "", ret, size) || !first_entry(device, "virtio", child, sizeof(child)))
		return;
	(void)snprintf(path, sizeof(path), "%.400s/%.60s/net", device, child);
	(void)first_entry(path, "", ret, size);
}

static bool is_network_card(const char *device)
{
	char class[16];

	tl_sysfs_line(class, sizeof(class), "%s/class", device);
	return strncmp(class, "0x02", 4) == 0;
}

int tl_pci_check(const char *address, char *error, uint32_t error_size)
{
	// Drivers that hand a device to user space, and those that share it.
	static const char *const good[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core",
					   "mlx5_core"};
	char device[PATH_BYTES];
	char driver[64];
	char interface[64];

	(void)snprintf(device, sizeof(device), PCI_DEVICES "/%s", address);
	if (access(device, F_OK) < 0) {
		(void)snprintf(error, error_size, "there is no PCI device %s: tapline ifaces lists "
			       "those that are network cards", address);
		return -ENODEV;
	}
	if (!is_network_card(device)) {
		(void)snprintf(error, error_size, "PCI device %s is no network card: tapline ifaces "
			       "lists those that are", address);
		return -ENODEV;
	}
	driver_of(device, driver, sizeof(driver));
	for (uint32_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strcmp(driver, good[i]) == 0)
			return 0;
	if (*driver == '\0') {
		(void)snprintf(error, error_size, "%s has no driver: scripts/nic bind %s (tapline-nic where "
			       "it is installed) hands it to DPDK", address, address);
		return -ENODEV;
	}
	interface_of(device, interface, sizeof(interface));
	(void)snprintf(error, error_size, "%s is used by the kernel (driver %s%s%s): capture on the "
		       "interface, or hand the card to DPDK: scripts/nic bind %s (tapline-nic where it is "
		       "installed)", address, driver,
		       *interface != '\0' ? ", interface " : "", interface, address);
	return -EBUSY;
}
