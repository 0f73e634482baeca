/* Occupation of levels and subbands. */
#include "dot/fermi.h"

#include "base/units.h"
#include "support.h"

static const double pi = 3.14159265358979323846;

static void test_integral_values(void **state) {
  (void)state;
  /* pi^(1/2) times Dirichlet's eta(1/2) */
  assert_close(qds_fermi_minus_half(0).number, sqrt(pi) * 0.60489864342163037, 1e-15);
  for (double eta = -60; eta <= -1; eta += 3.5) { /* the series in exp(eta) */
    double sum = 0;
    for (int k = 200; k > 0; k--) sum -= (k % 2 ? -1 : 1) * exp(k * eta) / sqrt(k);
    assert_close(qds_fermi_minus_half(eta).number / (sqrt(pi) * sum), 1, 2e-15);
  }
}

/* Sommerfeld's expansion takes over where the quadrature still holds. */
static void test_integral_is_smooth(void **state) {
  (void)state;
  const qds_occupation below = qds_fermi_minus_half(50), above = qds_fermi_minus_half(50 + 1e-9);
  assert_close((above.number - below.number) / below.number, 1e-9 * below.slope / below.number, 3e-15);
  assert_close(above.slope / below.slope, 1 - 1e-9 / 100, 1e-13); /* as eta^(-1/2) */
}

static void test_slope_is_the_derivative(void **state) {
  (void)state;
  for (double eta = -30; eta < 80; eta += 0.7) {
    const double h = 1e-3;
    const double difference =
        (8 * (qds_fermi_minus_half(eta + h).number - qds_fermi_minus_half(eta - h).number) -
         qds_fermi_minus_half(eta + 2 * h).number + qds_fermi_minus_half(eta - 2 * h).number) /
        (12 * h);
    assert_close(difference / qds_fermi_minus_half(eta).slope, 1, 1e-9);
  }
}

static qds_fermi_table *table;

static int create_table(void **state) {
  (void)state;
  qds_context *ctx = NULL;
  assert_ok(qds_context_create(NULL, &ctx));
  assert_ok(qds_fermi_table_create(qds_context_allocator(ctx), &table));
  *state = ctx;
  return 0;
}

static int destroy_table(void **state) {
  qds_fermi_table_destroy(table);
  qds_context_destroy(*state);
  return 0;
}

static void test_table_agrees(void **state) {
  (void)state;
  for (double eta = -60; eta < 70; eta += 0.01237) {
    const qds_occupation exact = qds_fermi_minus_half(eta), found = qds_fermi_look_up(table, eta);
    assert_close(found.number / exact.number, 1, 1e-11);
    assert_close(found.slope / exact.slope, 1, 1e-8);
  }
}

/* Far above a band's edge at low temperature: the filled Fermi sea. 0.067 m0, 10 meV. */
static void test_degenerate_limits(void **state) {
  (void)state;
  const double mass = 0.067, energy = 0.01, kT = QDS_BOLTZMANN * 0.01;
  const double wave = sqrt(mass * energy / QDS_HBAR2_OVER_2M0); /* k_F */
  assert_close(qds_occupy(table, 1, energy, mass, kT).number, wave * wave / (2 * pi), 1e-15);
  assert_close(qds_occupy(table, 2, energy, mass, kT).number, 2 * wave / pi, 1e-6);
  assert_true(qds_occupy(table, 3, energy, mass, kT).number == 2);
  /* 2.8e11 per cm^2 for 10 meV in GaAs: the density of states is 2.8e13 per eV and cm^2 */
  assert_close(1e14 * qds_occupy(table, 1, energy, mass, kT).number, 2.798e11, 1e8);
}

static void test_dilute_limits(void **state) {
  (void)state;
  const double mass = 0.067, kT = QDS_BOLTZMANN * 300, energy = -40 * kT, factor = exp(-40);
  assert_close(qds_occupy(table, 1, energy, mass, kT).number,
               mass * kT / (2 * pi * QDS_HBAR2_OVER_2M0) * factor, 1e-15 * factor);
  assert_close(qds_occupy(table, 2, energy, mass, kT).number /
                   (sqrt(mass * kT / (pi * QDS_HBAR2_OVER_2M0)) * factor),
               1, 1e-14);
  assert_close(qds_occupy(table, 3, energy, mass, kT).number / (2 * factor), 1, 1e-14);
}

/* However cold and however far: finite, monotone, no NaN. */
static void test_no_overflow(void **state) {
  (void)state;
  for (int dimension = 1; dimension <= 3; dimension++)
    for (double kT = 1e-9; kT < 1; kT *= 10) {
      double before = -1;
      for (double energy = -1000; energy <= 1000; energy += 12.5) {
        const qds_occupation o = qds_occupy(table, dimension, energy, 1, kT);
        assert_true(isfinite(o.number) && isfinite(o.slope));
        assert_true(o.number >= before && o.slope >= 0);
        before = o.number;
      }
      assert_true(before > 0);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_integral_values),
      cmocka_unit_test(test_integral_is_smooth),
      cmocka_unit_test(test_slope_is_the_derivative),
      cmocka_unit_test(test_degenerate_limits),
      cmocka_unit_test(test_dilute_limits),
      cmocka_unit_test(test_no_overflow),
      cmocka_unit_test(test_table_agrees),
  };
  return cmocka_run_group_tests(tests, create_table, destroy_table);
}
