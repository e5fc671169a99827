#ifndef C_CROSS_SERVER_ZLIB_H
#define C_CROSS_SERVER_ZLIB_H

#include <zlib.h>

// zlib declares these as macros, which Swift cannot import.

static inline int CCrossServerZlib_deflateInit2(z_streamp stream, int level, int windowBits, int memLevel) {
    return deflateInit2(stream, level, Z_DEFLATED, windowBits, memLevel, Z_DEFAULT_STRATEGY);
}

static inline int CCrossServerZlib_inflateInit2(z_streamp stream, int windowBits) {
    return inflateInit2(stream, windowBits);
}

#endif
