#include "support.h"

#include <float.h>
#include <pthread.h>

#include "base/formula.h"
#include "base/philox.h"

static const char *const xyz[] = {"x", "y", "z", NULL};
static const char *const k_omega[] = {"k", "omega_0", NULL};
static const double k_omega_values[] = {2.5, -0.75};
static const double point[] = {0.5, -1.25, 3};

static qds_status evaluate(qds_context *ctx, const char *text, double *out) {
  QDS_AUTO(qds_formula) *formula = NULL;
  QDS_TRY(qds_formula_create(qds_context_allocator(ctx), text, xyz, k_omega, k_omega_values, &formula));
  return qds_formula_evaluate(formula, point, out);
}

static void values_body(qds_context *ctx) {
  const double x = point[0], y = point[1], z = point[2], k = 2.5, omega = -0.75;
  const struct {
    const char *text;
    double expected;
  } cases[] = {
      {"0.5*k*(x^2 + y^2)", 0.5 * k * (x * x + y * y)},
      {"omega_0*z", omega * z},
      {"-x^2", -x * x},
      {"2^3^2", 512},
      {"1.5e-3 + 2.", 2.0015},
      {"pi + e", acos(-1) + exp(1)},
      {"sin(x)+cos(y)+tan(z)", sin(x) + cos(y) + tan(z)},
      {"asin(x)+acos(x)+atan(y)+atan2(y,x)", asin(x) + acos(x) + atan(y) + atan2(y, x)},
      {"sinh(x)+cosh(y)+tanh(z)", sinh(x) + cosh(y) + tanh(z)},
      {"asinh(y)+acosh(z)+atanh(x)", asinh(y) + acosh(z) + atanh(x)},
      {"exp(y)+ln(z)+log(z)+log2(z)+log10(z)", exp(y) + 2 * log(z) + log2(z) + log10(z)},
      {"sqrt(z)+cbrt(y)", sqrt(z) + cbrt(y)},
      {"abs(y)+sign(y)+rint(2.6)", -y - 1 + 3},
      {"min(x,y,z)+10*max(x,y,z)+100*sum(x,y,z)+1000*avg(x,y)",
       y + 10 * z + 100 * (x + y + z) + 500 * (x + y)},
      {"x < 1 && y < 0 ? z : -z", z},
      {"x >= 1 || y != y ? z : -z", -z},
      {"(x <= 0.5) + (x == 0.5) + (x > 0.5)", 2},
      {"x < 0 ? 1 : y < 0 ? 2 : 3", 2},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double value;
    assert_ok(evaluate(ctx, cases[i].text, &value));
    if (fabs(value - cases[i].expected) > 1e-13 * (1 + fabs(cases[i].expected)))
      fail_msg("%s = %.17g, expected %.17g", cases[i].text, value, cases[i].expected);
  }
}

static void not_numbers_body(qds_context *ctx) {
  double value;
  assert_ok(evaluate(ctx, "sqrt(y)", &value));
  assert_true(isnan(value));
  assert_ok(evaluate(ctx, "1/(x-0.5)", &value));
  assert_true(isinf(value));
}

static void refusals_body(qds_context *ctx) {
  const struct {
    const char *text, *message, *more;
  } cases[] = {
      {"0.5*kk*x^2", "unknown name \"kk\" at character 5", "did you mean \"k\"?"},
      {"omega0*x", "unknown name \"omega0\" at character 1", "did you mean \"omega_0\"?"},
      {"x + sinn(y)", "unknown name \"sinn\" at character 5", "\"sin\"?"},
      {"temperature", "unknown name \"temperature\"", "known are x, y, z, k, omega_0, pi, e, sin"},
      {"2*sin", "the function \"sin\" at character 3 lacks its arguments", "sin(...)"},
      {"sin x", "the function \"sin\" at character 1 lacks its arguments", ""},
      {"sin(x", "parenthesis is missing", "sin(x"},
      {"x)", "parenthesis stands where none belongs at character 2", ""},
      {"2*", "ends too early", "2*"},
      {"x**2", "a power is written ^", "at character 3"},
      {"5x", "operator is missing before this name at character 2", ""},
      {"x 3", "operator is missing before this value at character 3", ""},
      {"x(2)", "parenthesis stands where none belongs", ""},
      {"", "the formula is empty", ""},
      {" \t ", "the formula is empty", ""},
      {"x = 3", "single = at character 3", "=="},
      {"=", "single = at character 1", ""},
      {"0,5", "2 values separated by commas", "with a point"},
      {"min(x,y), z", "2 values separated by commas", ""},
      {"sin(x,y)", "too many arguments", "at character 8"},
      {"max()", "too few arguments", ""},
      {"x ? 1", "lacks its second half", ""},
      {"1 : 2", "colon", ""},
      {"\"abc\"", "a text stands", ""},
      {"x#2", "not understood at character 2", "#2"},
      {"x*(1,2)", "list of values", ""},
  };
  double value;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_fails(evaluate(ctx, cases[i].text, &value), QDS_ERROR_INPUT, cases[i].message);
    assert_fails(evaluate(ctx, cases[i].text, &value), QDS_ERROR_INPUT, cases[i].more);
    assert_fails(evaluate(ctx, cases[i].text, &value), QDS_ERROR_INPUT, "formula \"");
  }
}

/* Texts of every length and kind that a careless or malicious file may hold. */
static void long_and_odd_body(qds_context *ctx) {
  enum { LONG = 30000 };
  char *text = malloc(LONG + 1);
  const char letters[] = "@(y\"?x+,9";
  double value;
  for (const char *c = letters; *c; c++)
    for (size_t length = 1000; length <= LONG; length *= 30) {
      memset(text, *c, length);
      text[length] = 0;
      if (*c != '9' || length == LONG) assert_fails(evaluate(ctx, text, &value), QDS_ERROR_INPUT, "formula");
    }
  for (uint64_t i = 0; i < 5000; i++) {
    static const char alphabet[] = "xyz019.e+-*/^()<>=!&|?:,\"' _ksin\x80\n";
    const size_t length = (size_t)(20 * qds_random_uniform(1, 1, i));
    for (size_t j = 0; j < length; j++)
      text[j] = alphabet[(size_t)((sizeof alphabet - 1) * qds_random_uniform(1, 2 + i, j))];
    text[length] = 0;
    const qds_status status = evaluate(ctx, text, &value);
    assert_true(status == QDS_OK || status == QDS_ERROR_INPUT);
  }
  free(text);
}

static void names_body(qds_context *ctx) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  qds_formula *formula;
  char huge[301];
  memset(huge, 'n', 300);
  huge[300] = 0;
  const double one = 1;
  const struct {
    const char *name, *message;
  } cases[] = {{"e", "the name \"e\" is taken by the formula language"},
               {"sin", "\"sin\" is taken by"},
               {"x", "\"x\" is taken twice"},
               {"2k", "\"2k\" cannot be a name"},
               {"", "\"\" cannot be a name"},
               {"a-b", "\"a-b\" cannot be a name"},
               {huge, "too long"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *const names[] = {cases[i].name, NULL};
    assert_fails(qds_formula_create(allocator, "x", xyz, names, &one, &formula), QDS_ERROR_INPUT,
                 cases[i].message);
    assert_null(formula);
  }
  assert_ok(qds_formula_create(allocator, "1+1", NULL, NULL, NULL, &formula));
  double value;
  assert_ok(qds_formula_evaluate(formula, NULL, &value));
  assert_true(value == 2);
  qds_formula_destroy(formula);
}

static void rows_body(qds_context *ctx) {
  QDS_AUTO(qds_formula) *formula = NULL;
  assert_ok(qds_formula_create(qds_context_allocator(ctx), "x*100 + y*10 + z^2", xyz, NULL, NULL, &formula));
  const double line[] = {4, 5, 6};
  double row[3];
  for (int axis = 0; axis < 3; axis++) {
    double arguments[3] = {1, 2, 3};
    assert_ok(qds_formula_evaluate_row(formula, arguments, axis, 3, line, row));
    for (int i = 0; i < 3; i++) {
      double expected;
      arguments[axis] = line[i];
      assert_ok(qds_formula_evaluate(formula, arguments, &expected));
      assert_true(row[i] == expected);
    }
  }
  assert_fails(qds_formula_evaluate_row(formula, point, 3, 3, line, row), QDS_ERROR_ARGUMENT, "variable 3");
}

/* Random expressions are written down and worked out side by side. */
typedef struct {
  uint64_t seed, drawn;
  char text[4000];
  size_t used;
} generator;

static double draw(generator *g) {
  return qds_random_uniform(g->seed, 0, g->drawn++);
}

static void put(generator *g, const char *text) {
  g->used += (size_t)snprintf(g->text + g->used, sizeof g->text - g->used, "%s", text);
}

static double expression(generator *g, int depth) {
  const int kind = (int)(draw(g) * (depth ? 9 : 2));
  if (kind == 0) {
    const int axis = (int)(3 * draw(g));
    put(g, xyz[axis]);
    return point[axis];
  }
  if (kind == 1) {
    char number[32];
    const double value = rint(800 * draw(g)) / 64;
    snprintf(number, sizeof number, "%.17g", value);
    put(g, number);
    return value;
  }
  if (kind == 2) {
    put(g, "atan(");
    const double value = atan(expression(g, depth - 1));
    put(g, ")");
    return value;
  }
  if (kind == 3) {
    put(g, "(");
    const double a = expression(g, depth - 1);
    put(g, " < 1 ? ");
    const double b = expression(g, depth - 1);
    put(g, " : ");
    const double c = expression(g, depth - 1);
    put(g, ")");
    return a < 1 ? b : c;
  }
  static const char *const operators[] = {" + ", " - ", "*", "/", "-"};
  put(g, "(");
  const double a = expression(g, depth - 1);
  put(g, operators[kind - 4]);
  put(g, "(");
  const double b = expression(g, depth - 1);
  put(g, "))");
  return kind == 4 ? a + b : kind == 6 ? a * b : kind == 7 ? a / b : a - b;
}

static void random_body(qds_context *ctx) {
  for (uint64_t seed = 1; seed <= 2000; seed++) {
    generator g = {.seed = seed};
    double value;
    const double expected = expression(&g, 4);
    assert_true(g.used < sizeof g.text - 1);
    assert_ok(evaluate(ctx, g.text, &value));
    if (!isfinite(expected)) continue;
    if (!(fabs(value - expected) <= 1e-9 * (1 + fabs(expected))))
      fail_msg("seed %d: %s = %.17g, expected %.17g", (int)seed, g.text, value, expected);
  }
}

static qds_status create_and_evaluate(qds_context *ctx, void *data) {
  return evaluate(ctx, "0.5*k*(x^2 + y^2) + cbrt(z)", data);
}

static void out_of_memory_body(qds_context *ctx) {
  double value;
  assert_int_equal(fail_each_allocation(ctx, create_and_evaluate, &value), 3);
}

/* Formulas of different threads, good and bad, do not disturb each other. */
static void *in_a_thread(void *data) {
  const int number = *(int *)data;
  char bad[64], expected[64];
  snprintf(bad, sizeof bad, "x + unknown_%d", number);
  snprintf(expected, sizeof expected, "\"unknown_%d\" at character 5", number);
  qds_context *ctx = NULL;
  int wrong = qds_context_create(NULL, &ctx) != QDS_OK;
  for (int i = 0; i < 200 && !wrong; i++) {
    double value;
    wrong += evaluate(ctx, bad, &value) != QDS_ERROR_INPUT || !strstr(qds_last_error()->message, expected);
    wrong += evaluate(ctx, "x + cbrt(8)", &value) != QDS_OK || value != 2.5;
  }
  qds_context_destroy(ctx);
  return wrong ? data : NULL;
}

static void threads(void **state) {
  (void)state;
  pthread_t thread[4];
  int number[4];
  for (int i = 0; i < 4; i++) {
    number[i] = i;
    assert_int_equal(pthread_create(&thread[i], NULL, in_a_thread, &number[i]), 0);
  }
  for (int i = 0; i < 4; i++) {
    void *wrong;
    pthread_join(thread[i], &wrong);
    assert_null(wrong);
  }
}

static void values(void **state) {
  (void)state, with_context(1, values_body);
}
static void not_numbers(void **state) {
  (void)state, with_context(1, not_numbers_body);
}
static void refusals(void **state) {
  (void)state, with_context(1, refusals_body);
}
static void long_and_odd(void **state) {
  (void)state, with_context(1, long_and_odd_body);
}
static void names(void **state) {
  (void)state, with_context(1, names_body);
}
static void rows(void **state) {
  (void)state, with_context(1, rows_body);
}
static void random_expressions(void **state) {
  (void)state, with_context(1, random_body);
}
static void out_of_memory(void **state) {
  (void)state, with_context(1, out_of_memory_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values),
      cmocka_unit_test(not_numbers),
      cmocka_unit_test(refusals),
      cmocka_unit_test(long_and_odd),
      cmocka_unit_test(names),
      cmocka_unit_test(rows),
      cmocka_unit_test(random_expressions),
      cmocka_unit_test(out_of_memory),
      cmocka_unit_test(threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
