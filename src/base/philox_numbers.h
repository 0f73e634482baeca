/* The arithmetic of philox.h, for the CPU and for CUDA. */
#ifndef QDS_BASE_PHILOX_NUMBERS_H
#define QDS_BASE_PHILOX_NUMBERS_H

#include <math.h>
#include <stdint.h>

#include "base/portable.h"

/* The constants of the paper's section 4.3 and of its reference distribution Random123. */
QDS_PORTABLE void qds_philox_rounds(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* The seed is the key, index and stream are the counter, so every triple has a block of its own. */
QDS_PORTABLE void qds_philox_block(uint64_t seed, uint64_t stream, uint64_t index, uint64_t out[2]) {
  const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                               (uint32_t)(stream >> 32)};
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t words[4];
  qds_philox_rounds(counter, key, words);
  out[0] = words[0] | (uint64_t)words[1] << 32;
  out[1] = words[2] | (uint64_t)words[3] << 32;
}

QDS_PORTABLE double qds_philox_uniform(uint64_t bits) {
  return (double)(bits >> 11) * 0x1p-53;
}

QDS_PORTABLE double qds_philox_normal(uint64_t seed, uint64_t stream, uint64_t index) {
  uint64_t bits[2];
  qds_philox_block(seed, stream, index, bits);
  /* In (0, 1], so that the logarithm is finite. */
  const double radius = (double)((bits[0] >> 11) + 1) * 0x1p-53;
  return sqrt(-2 * log(radius)) * cos(2 * M_PI * qds_philox_uniform(bits[1]));
}

#endif
