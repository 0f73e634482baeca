#include "support.h"

#include <math.h>

#include "base/philox.h"

/* The known answers of the Random123 distribution (kat_vectors, philox4x32 10). */
static void known_answers(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], expected[4];
  } vectors[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
      {{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
       {0xffffffffu, 0xffffffffu},
       {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
      {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
       {0xa4093822u, 0x299f31d0u},
       {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
  };
  for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
    uint32_t out[4];
    qds_philox4x32(vectors[v].counter, vectors[v].key, out);
    assert_memory_equal(out, vectors[v].expected, sizeof out);
  }
}

/* Every bit of seed, stream and index matters: each single flip gives another number. */
static void every_argument_bit_counts(void **state) {
  (void)state;
  const double base = qds_random_uniform(7, 8, 9);
  for (int bit = 0; bit < 64; bit++) {
    const uint64_t flip = (uint64_t)1 << bit;
    assert_true(qds_random_uniform(7 ^ flip, 8, 9) != base);
    assert_true(qds_random_uniform(7, 8 ^ flip, 9) != base);
    assert_true(qds_random_uniform(7, 8, 9 ^ flip) != base);
  }
}

/* Values do not depend on what was drawn before: the first word of the known answer, as a fraction. */
static void uniform_has_53_bits(void **state) {
  (void)state;
  const uint64_t bits = 0xe169c58d6627e8d5u;
  assert_true(qds_random_uniform(0, 0, 0) == ldexp((double)(bits >> 11), -53));
  double smallest = 1;
  for (uint64_t i = 0; i < 10000; i++) {
    const double u = qds_random_uniform(1, 2, i);
    assert_true(u >= 0 && u < 1);
    const double low = ldexp(u, 32) - floor(ldexp(u, 32)); /* the bits behind the first 32 */
    if (low > 0 && low < smallest) smallest = low;
  }
  assert_true(smallest < 1e-2);
}

/* Moments within five standard errors of their expectation. The numbers are fixed, so this cannot flicker. */
static void moments(void **state) {
  (void)state;
  enum { N = 200000 };
  const double root = sqrt(N);
  double u1 = 0, u2 = 0, g1 = 0, g2 = 0, g3 = 0, g4 = 0, lag = 0, previous = 0;
  for (uint64_t i = 0; i < N; i++) {
    const double u = qds_random_uniform(42, 0, i) - 0.5, g = qds_random_normal(42, 1, i);
    assert_true(isfinite(g));
    u1 += u, u2 += u * u;
    g1 += g, g2 += g * g, g3 += g * g * g, g4 += g * g * g * g;
    lag += g * previous;
    previous = g;
  }
  assert_true(fabs(u1 / N) < 5 * sqrt(1. / 12) / root);
  assert_true(fabs(u2 / N - 1. / 12) < 5 * sqrt(1. / 180) / root);
  assert_true(fabs(g1 / N) < 5 * 1 / root);
  assert_true(fabs(g2 / N - 1) < 5 * sqrt(2) / root);
  assert_true(fabs(g3 / N) < 5 * sqrt(15) / root);
  assert_true(fabs(g4 / N - 3) < 5 * sqrt(96) / root);
  assert_true(fabs(lag / N) < 5 * 1 / root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_answers),
      cmocka_unit_test(every_argument_bit_counts),
      cmocka_unit_test(uniform_has_53_bits),
      cmocka_unit_test(moments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
