#include "support.h"

#include <locale.h>

#include "base/philox.h"
#include "base/text.h"

static const char *const words[] = {"GaAs",      "InAs",     "InGaAs", "AlGaAs", "InP",           "radius_nm",
                                    "height_nm", "material", "x",      "min_nm", "temperature_K", NULL};

static void assert_nearest(const char *word, const char *expected) {
  const char *nearest = qds_nearest(word, words);
  nearest = nearest ? nearest : "none";
  if (strcmp(nearest, expected) != 0) fail_msg("%s: expected %s, got %s", word, expected, nearest);
}

static void nearest_finds_likely_slips(void **state) {
  (void)state;
  assert_nearest("InGas", "InGaAs");
  assert_nearest("gaas", "GaAs");
  assert_nearest("ALGAAS", "AlGaAs");
  assert_nearest("GaAS", "GaAs");
  assert_nearest("hieght_nm", "height_nm");
  assert_nearest("materail", "material");
  assert_nearest("matral", "material");
  assert_nearest("radius", "radius_nm");
  assert_nearest("radus", "radius_nm");
  assert_nearest("min", "min_nm");
  assert_nearest("temperature", "temperature_K");
  assert_nearest("X", "x");
}

static void nearest_is_silent_when_nothing_is_near(void **state) {
  (void)state;
  char longest[300];
  memset(longest, 'a', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  assert_nearest("", "none");
  assert_nearest("w", "none");
  assert_nearest("potential", "none");
  assert_nearest("Ge", "none");
  assert_nearest("HgTe", "none");
  assert_nearest(longest, "none");
  assert_null(qds_nearest("GaAs", (const char *const[]){NULL}));
  assert_null(qds_nearest("GaAs", (const char *const[]){longest, NULL}));
}

/* The swap costs 1 and not 2: otherwise the first of these two would win. */
static void nearest_counts_a_swap_once(void **state) {
  (void)state;
  assert_string_equal(qds_nearest("sphree", (const char *const[]){"sphreets", "sphere", NULL}), "sphere");
}

static void same_word_ignores_case_only(void **state) {
  (void)state;
  assert_true(qds_same_word("GaAs", "gAAS"));
  assert_true(qds_same_word("", ""));
  assert_false(qds_same_word("GaAs", "GaA"));
  assert_false(qds_same_word("GaA", "GaAs"));
  assert_false(qds_same_word("[", "{"));
}

static void doubles_are_read(void **state) {
  (void)state;
  static const struct {
    const char *text;
    double value;
  } good[] = {{"0", 0},       {"-1.5", -1.5},    {"+2", 2},
              {".5", 0.5},    {"5.", 5},         {"1e3", 1e3},
              {"1E-3", 1e-3}, {"1.0e+10", 1e10}, {"0.1", 0.1},
              {"1e-400", 0},  {"007", 7},        {"1.7976931348623157e308", 1.7976931348623157e308}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    double value = NAN;
    if (!qds_parse_double(good[i].text, &value)) fail_msg("%s was refused", good[i].text);
    assert_true(value == good[i].value);
  }
}

static void text_that_is_no_double_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",      " 1",   "1 ",  "nan",   "inf",  "-inf", "0x10",  "1,5",
                                    "1.5.2", "1e",   "e5",  ".",     "-",    "+-1",  "1e999", "--1",
                                    "1e+",   "1_0",  "1d3", "12 nm", "1\n",  "abc",  "1f",    "0b1",
                                    "\t1",   "1e5.", "INF", "NaN",   "1e 5", NULL};
  for (size_t i = 0; bad[i]; i++) {
    double value = NAN;
    if (qds_parse_double(bad[i], &value)) fail_msg("\"%s\" was read as %g", bad[i], value);
    assert_true(value == 0.0);
  }
}

static void integers_are_read_to_their_limits(void **state) {
  (void)state;
  static const char *const bad[] = {"",  "-", "+", "1.0", "1e3", " 1", "1 ", "0x1", "9223372036854775808",
                                    NULL};
  int64_t value;
  assert_true(qds_parse_int64("9223372036854775807", &value) && value == INT64_MAX);
  assert_true(qds_parse_int64("-9223372036854775808", &value) && value == INT64_MIN);
  assert_true(qds_parse_int64("+12", &value) && value == 12);
  assert_true(qds_parse_int64("010", &value) && value == 10);
  for (size_t i = 0; bad[i]; i++)
    if (qds_parse_int64(bad[i], &value)) fail_msg("\"%s\" was read as %lld", bad[i], (long long)value);
}

static void bytes_are_read_with_their_suffixes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t bytes;
  } good[] = {{"2GiB", 2147483648u},
              {"500 MB", 500000000u},
              {"1048576", 1048576u},
              {"1.5kib", 1536u},
              {"0", 0},
              {"1e3", 1000u},
              {"3 B", 3u},
              {"2g", 2147483648u},
              {"1TB", 1000000000000u}};
  static const char *const bad[] = {"",    "GiB",  "-1GB",           "2 XB",   "2GiBs", "1e30",
                                    "0.3", "0x10", "17179869184GiB", "2 G iB", NULL};
  size_t bytes;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    if (!qds_parse_bytes(good[i].text, &bytes)) fail_msg("%s was refused", good[i].text);
    assert_int_equal(bytes, good[i].bytes);
  }
  for (size_t i = 0; bad[i]; i++)
    if (qds_parse_bytes(bad[i], &bytes)) fail_msg("\"%s\" was read as %zu", bad[i], bytes);
}

static void bytes_are_written_for_people(void **state) {
  (void)state;
  static const struct {
    size_t bytes;
    const char *text;
  } good[] = {{0, "0 bytes"},
              {1023, "1023 bytes"},
              {1024, "1 KiB"},
              {1536, "1.5 KiB"},
              {10 << 10, "10 KiB"},
              {(size_t)5 << 30, "5 GiB"},
              {(10 << 20) - 1, "10 MiB"},
              {123456789, "118 MiB"},
              {SIZE_MAX, "16777216 TiB"}};
  char text[QDS_BYTES_TEXT];
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    qds_format_bytes(good[i].bytes, text);
    assert_string_equal(text, good[i].text);
  }
}

static void doubles_survive_being_written(void **state) {
  (void)state;
  char text[QDS_DOUBLE_TEXT];
  const uint64_t seed = 20;
  print_message("seed %llu\n", (unsigned long long)seed);
  for (uint64_t i = 0; i < 20000; i++) {
    const double exponent = 600 * qds_random_uniform(seed, 1, i) - 300;
    const double value = (qds_random_uniform(seed, 0, i) - 0.5) * pow(10, exponent);
    double back;
    qds_double_text(value, text);
    assert_true(qds_parse_double(text, &back));
    assert_true(back == value);
  }
  qds_double_text(0.1, text);
  assert_string_equal(text, "0.1");
  qds_double_text(-1.7976931348623157e308, text);
  assert_string_equal(text, "-1.7976931348623157e+308");
}

/* German and French write 0,5. */
static int set_comma_locale(void) {
  static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "de_DE", "fr_FR", NULL};
  for (size_t i = 0; names[i]; i++)
    if (setlocale(LC_ALL, names[i]) && strcmp(localeconv()->decimal_point, ",") == 0) return 1;
  return 0;
}

static void numbers_keep_their_point_under_a_comma_locale(void **state) {
  (void)state;
  char text[QDS_DOUBLE_TEXT];
  double value;
  size_t bytes;
  char size[QDS_BYTES_TEXT];
  if (!set_comma_locale()) skip();
  const int read = qds_parse_double("0.5", &value), read_comma = qds_parse_double("0,5", &(double){0});
  const int read_bytes = qds_parse_bytes("1.5KiB", &bytes);
  qds_format_bytes(1536, size);
  qds_double_text(0.25, text);
  const int untouched = strcmp(localeconv()->decimal_point, ",") == 0;
  setlocale(LC_ALL, "C");
  assert_true(read && value == 0.5);
  assert_false(read_comma);
  assert_true(read_bytes && bytes == 1536);
  assert_string_equal(size, "1.5 KiB");
  assert_string_equal(text, "0.25");
  assert_true(untouched);
}

static void utf8_is_decoded_and_junk_replaced(void **state) {
  (void)state;
  static const char good[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  static const uint32_t codes[] = {'a', 0xe9, 0x20ac, 0x1f600};
  /* stray tail, overlong, surrogate, past the last plane, cut off, never valid */
  static const char *const bad[] = {"\x80",
                                    "\xc0\xaf",
                                    "\xe0\x80\xaf",
                                    "\xed\xa0\x80",
                                    "\xf4\x90\x80\x80",
                                    "\xe2\x82",
                                    "\xff",
                                    "\xf8\x88\x80\x80\x80",
                                    NULL};
  const char *text = good;
  for (size_t i = 0; i < 4; i++) assert_int_equal(qds_utf8_next(&text), codes[i]);
  assert_int_equal(*text, 0);
  for (size_t i = 0; bad[i]; i++) {
    text = bad[i];
    while (*text) assert_int_equal(qds_utf8_next(&text), 0xfffd);
    assert_ptr_equal(text, bad[i] + strlen(bad[i]));
  }
}

static qds_status format_and_grow(qds_context *ctx, void *data) {
  QDS_AUTO_RELEASE char *formatted = NULL;
  qds_text text = {.allocator = qds_context_allocator(ctx)};
  (void)data;
  QDS_TRY(qds_format(qds_context_allocator(ctx), &formatted, "%d %s", 12, "nm"));
  assert_string_equal(formatted, "12 nm");
  for (int i = 0; i < 200; i++) qds_text_add(&text, "0123456789");
  if (text.status == QDS_OK) {
    assert_int_equal(text.length, 2000);
    assert_int_equal(strlen(text.bytes), 2000);
    assert_memory_equal(text.bytes + 1990, "0123456789", 10);
  }
  qds_release(text.bytes);
  return text.status;
}

static void run_out_of_memory(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, format_and_grow, NULL) > 5);
}

static void texts_survive_running_out_of_memory(void **state) {
  (void)state;
  with_context(1, run_out_of_memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nearest_finds_likely_slips),
      cmocka_unit_test(nearest_is_silent_when_nothing_is_near),
      cmocka_unit_test(nearest_counts_a_swap_once),
      cmocka_unit_test(same_word_ignores_case_only),
      cmocka_unit_test(doubles_are_read),
      cmocka_unit_test(text_that_is_no_double_is_refused),
      cmocka_unit_test(integers_are_read_to_their_limits),
      cmocka_unit_test(bytes_are_read_with_their_suffixes),
      cmocka_unit_test(bytes_are_written_for_people),
      cmocka_unit_test(doubles_survive_being_written),
      cmocka_unit_test(numbers_keep_their_point_under_a_comma_locale),
      cmocka_unit_test(utf8_is_decoded_and_junk_replaced),
      cmocka_unit_test(texts_survive_running_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
