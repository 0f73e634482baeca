/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011). The number at (seed, stream, index) is the same on every machine and for every
 * thread count (normal ones to the rounding of the C library). Both kinds draw on the same block: a uniform
 * and a normal number of the same triple are not independent. */
#ifndef QDS_BASE_PHILOX_H
#define QDS_BASE_PHILOX_H

#include <stdint.h>

/* The raw block: counter and key words as in the paper. */
void qds_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* Uniform in [0, 1), 53 bits. */
double qds_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);
/* Standard normal, Box-Muller. */
double qds_random_normal(uint64_t seed, uint64_t stream, uint64_t index);

#endif
