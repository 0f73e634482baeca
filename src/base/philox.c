#include "base/philox.h"

#include "base/philox_numbers.h"

void qds_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  qds_philox_rounds(counter, key, out);
}

double qds_random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
  uint64_t bits[2];
  qds_philox_block(seed, stream, index, bits);
  return qds_philox_uniform(bits[0]);
}

double qds_random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
  return qds_philox_normal(seed, stream, index);
}
