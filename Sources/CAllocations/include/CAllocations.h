// Counts what a program allocates: linked into it, these take the place of the C library's functions.
#pragma once
#include <stdint.h>

/// Calls of malloc, calloc, realloc and aligned allocation since the program began, in all threads.
uint64_t callocations_count(void);
