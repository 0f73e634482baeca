/* Numbers for random tests: of a seed, one after the other. */
#ifndef QDS_TESTS_RANDOM_SOURCE_H
#define QDS_TESTS_RANDOM_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/philox.h"

typedef struct {
  uint64_t seed, drawn;
} random_source;

static inline double uniform(random_source *random) {
  return qds_random_uniform(random->seed, 0, random->drawn++);
}

static inline size_t below(random_source *random, size_t bound) {
  return (size_t)(uniform(random) * (double)bound);
}

#endif
