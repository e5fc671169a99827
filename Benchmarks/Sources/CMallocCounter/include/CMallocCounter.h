#ifndef CMALLOCCOUNTER_H
#define CMALLOCCOUNTER_H

#include <stddef.h>

/// How often the calling thread has allocated memory since its start. Counts with glibc only: 0 elsewhere.
size_t CMallocCounter_count(void);

#endif
