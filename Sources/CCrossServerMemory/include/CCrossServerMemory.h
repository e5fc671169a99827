#ifndef C_CROSS_SERVER_MEMORY_H
#define C_CROSS_SERVER_MEMORY_H

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

// Swift's module of the C library does not have malloc.h. Other allocators return memory by themselves.
static inline void CCrossServerMemory_trim(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

#endif
