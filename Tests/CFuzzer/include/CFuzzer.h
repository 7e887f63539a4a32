// libFuzzer's driver, as compiler-rt exports it. See https://llvm.org/docs/LibFuzzer.html#using-libfuzzer-as-a-library.
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*try_one)(const uint8_t *bytes, size_t size));
