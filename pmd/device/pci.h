// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of a PCI device, before DPDK touches it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TL_PCI_ADDRESS_BYTES 16u

// The address in the form of sysfs ("0000:03:00.0"; the domain 0000 may be left out). False: none.
bool tl_pci_address(const char *text, char ret[TL_PCI_ADDRESS_BYTES]);

// Whether DPDK may take the device: 0, or -ENODEV (no such device, no network card) or -EBUSY (the
// kernel uses it) with one line in `error` that says how to mend it.
int tl_pci_check(const char *address, char *error, uint32_t error_size);
