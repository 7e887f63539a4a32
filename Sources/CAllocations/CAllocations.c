// The C library's allocator under its other names (glibc), with a count in front.
#include "CAllocations.h"
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_uint_fast64_t count;

uint64_t callocations_count(void) { return atomic_load_explicit(&count, memory_order_relaxed); }

static void note(void) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); }

void *malloc(size_t bytes) { note(); return __libc_malloc(bytes); }
void *calloc(size_t many, size_t bytes) { note(); return __libc_calloc(many, bytes); }
void *realloc(void *old, size_t bytes) { note(); return __libc_realloc(old, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { note(); return __libc_memalign(alignment, bytes); }
int posix_memalign(void **made, size_t alignment, size_t bytes) {
    note();
    *made = __libc_memalign(alignment, bytes);
    return *made ? 0 : ENOMEM;
}
