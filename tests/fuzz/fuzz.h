// SPDX-License-Identifier: Apache-2.0
// What a fuzz target gives to libFuzzer.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Something that must hold for any input: stops fuzzer and replay (replay.c) in every build.
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : abort())
