/* Devices given as text, their levels, roots of transcendental equations and measured orders of
 * convergence. */
#ifndef QDS_TESTS_EXACT_SUPPORT_H
#define QDS_TESTS_EXACT_SUPPORT_H

#include "qdsim/dot.h"
#include "support.h"

#include "base/text.h"
#include "dot/device.h"

QDS_AUTO_DEFINE(qds_result)

/* hbar^2 / (2 m0) in eV nm^2 from the constants themselves (CODATA 2018), so that a wrong constant of the
 * library shows. */
static inline double hbar2_over_2m0(void) {
  const double hbar = 1.054571817646e-34, electron_mass = 9.1093837015e-31, charge = 1.602176634e-19;
  return hbar * hbar / (2 * electron_mass * charge) * 1e18;
}

enum { DEVICE_TEXT = 4096 };

/* Solves a device; the caller destroys the result. */
static inline qds_result *solve_text(qds_context *ctx, const char *text) {
  qds_device *device = NULL;
  qds_result *result = NULL;
  assert_ok(qds_device_parse(ctx, "dot.yaml", text, NULL, &device));
  const qds_status status = qds_device_solve(device, &result);
  qds_device_destroy(device);
  assert_ok(status);
  return result;
}

/* The `count` lowest levels of a device. */
__attribute__((format(printf, 4, 5))) static inline void levels(qds_context *ctx, int count,
                                                                double *energy_eV, const char *format, ...) {
  char text[DEVICE_TEXT];
  va_list arguments;
  va_start(arguments, format);
  assert_in_range(vsnprintf(text, sizeof text, format, arguments), 1, sizeof text - 1);
  va_end(arguments);
  QDS_AUTO(qds_result) *result = solve_text(ctx, text);
  assert_true(qds_result_states(result) >= count);
  memcpy(energy_eV, qds_result_energies_eV(result), sizeof(double) * (size_t)count);
}

typedef double (*equation)(double x, const void *parameters);

/* The root of f between two points where it has different signs, to the last digits. */
static inline double root_between(equation f, const void *parameters, double low, double high) {
  const int sign = f(low, parameters) > 0;
  assert_true(sign != (f(high, parameters) > 0));
  for (int i = 0; i < 200 && high - low > 1e-15 * fabs(high); i++) {
    const double middle = 0.5 * (low + high);
    if ((f(middle, parameters) > 0) == sign)
      low = middle;
    else
      high = middle;
  }
  return 0.5 * (low + high);
}

/* The first `count` roots of f, which has no pole, above `low`; `step` is shorter than their distances. */
static inline void first_roots(equation f, const void *parameters, double low, double high, double step,
                               int count, double *root) {
  int found = 0;
  for (double x = low; found < count && x + step <= high; x += step)
    if ((f(x, parameters) > 0) != (f(x + step, parameters) > 0))
      root[found++] = root_between(f, parameters, x, x + step);
  assert_int_equal(found, count);
}

/* The order p of errors ~ n^-p, n the intervals along an axis: the slope of the least-squares line through
 * log |error| over log n. */
static inline double fitted_order(int count, const int *intervals, const double *error) {
  double x = 0, y = 0, xx = 0, xy = 0;
  for (int i = 0; i < count; i++) {
    const double a = log(intervals[i]), b = log(fabs(error[i]));
    x += a, y += b, xx += a * a, xy += a * b;
  }
  return -(count * xy - x * y) / (count * xx - x * x);
}

/* The error of several levels at once: the length of their vector of errors. */
static inline double distance_of(int count, const double *energy, const double *exact) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += pow(energy[i] - exact[i], 2);
  return sqrt(sum);
}

/* Asserts an order of convergence and the error on the finest grid, and prints the errors when it fails. */
static inline void assert_converges(const char *what, int count, const int *intervals, const double *error,
                                    double least_order, double largest_error) {
  const double order = fitted_order(count, intervals, error);
  if (order >= least_order && fabs(error[count - 1]) <= largest_error) return;
  for (int i = 0; i < count; i++)
    print_error("%s: %d intervals: error %.6g eV\n", what, intervals[i], error[i]);
  fail_msg("%s: order %.3f, at least %.3f is wanted; error %.3g eV, at most %.3g is wanted", what, order,
           least_order, error[count - 1], largest_error);
}

#endif
