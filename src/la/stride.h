/* How far apart columns lie that are gone through side by side. */
#ifndef QDS_LA_STRIDE_H
#define QDS_LA_STRIDE_H

#include <stdint.h>

/* Bytes at whose multiples columns start: a cache line of a host; on a device more, because warps that go
 * through columns which start differently within 256 bytes take up to a sixth longer (`bench_block cuda`,
 * shifted). */
enum { QDS_STRIDE_HOST_LINE = 64, QDS_STRIDE_DEVICE_LINE = 256 };

/* `numbers` with room for an odd count of lines of `line` numbers: then neighbouring columns lie in different
 * sets of a cache, and in different channels of a device's memory. At most two lines more than `numbers`. */
static inline int64_t qds_stride_of(int64_t numbers, int64_t line) {
  const int64_t lines = numbers / line + (numbers % line != 0);
  return (lines % 2 == 0 && lines > 0 ? lines + 1 : lines) * line;
}

#endif
