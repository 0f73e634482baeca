#include "support.h"

#include "base/json.h"
#include "base/yaml.h"

static qds_json *create(qds_context *ctx) {
  qds_json *json;
  assert_ok(qds_json_create(qds_context_allocator(ctx), &json));
  return json;
}

static void assert_text(qds_json *json, const char *expected) {
  const char *text;
  assert_ok(qds_json_text(json, &text));
  assert_string_equal(text, expected);
}

static void write_everything(qds_json *json) {
  qds_json_open_map(json, NULL);
  qds_json_string(json, "name", "lens");
  qds_json_int(json, "low", INT64_MIN);
  qds_json_bool(json, "converged", 7);
  qds_json_string(json, "none", NULL);
  qds_json_doubles(json, "axis_nm", 3, (const double[]){0.1, -2, 1e-300});
  qds_json_doubles(json, "empty", 0, NULL);
  qds_json_open_list(json, "states");
  qds_json_open_map(json, NULL);
  qds_json_double(json, "energy_eV", 1.0 / 3.0);
  qds_json_close_map(json);
  qds_json_int(json, NULL, 5);
  qds_json_close_list(json);
  qds_json_open_map(json, "statistics");
  qds_json_close_map(json);
  qds_json_close_map(json);
}

static void write_every_kind(qds_context *ctx) {
  QDS_AUTO(qds_json) *json = create(ctx);
  write_everything(json);
  static const char expected[] = "{\n"
                                 "  \"name\": \"lens\",\n"
                                 "  \"low\": -9223372036854775808,\n"
                                 "  \"converged\": true,\n"
                                 "  \"none\": null,\n"
                                 "  \"axis_nm\": [0.1, -2, 1e-300],\n"
                                 "  \"empty\": [],\n"
                                 "  \"states\": [\n"
                                 "    {\n"
                                 "      \"energy_eV\": 0.3333333333333333\n"
                                 "    },\n"
                                 "    5\n"
                                 "  ],\n"
                                 "  \"statistics\": {}\n"
                                 "}\n";
  assert_text(json, expected);
  assert_text(json, expected); /* asking twice changes nothing */
}

static void escape(qds_context *ctx) {
  QDS_AUTO(qds_json) *json = create(ctx);
  qds_json_open_map(json, NULL);
  qds_json_string(json, "a\"b", "back\\slash \"quote\" \n\t\r\x01\x7f /");
  qds_json_string(json, "utf8", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  qds_json_string(json, "junk", "x\xffy\xed\xa0\x80z\xe2\x82");
  qds_json_close_map(json);
  assert_text(json,
              "{\n"
              "  \"a\\\"b\": \"back\\\\slash \\\"quote\\\" \\n\\u0009\\u000d\\u0001\\u007f /\",\n"
              "  \"utf8\": \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\n"
              "  \"junk\": \"x\xef\xbf\xbdy\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"\n"
              "}\n");
}

static void refuse_what_is_no_number(qds_context *ctx) {
  const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 6; i++) {
    QDS_AUTO(qds_json) *json = create(ctx);
    const char *text;
    qds_json_open_map(json, NULL);
    if (i < 3)
      qds_json_double(json, "energy_eV", bad[i]);
    else
      qds_json_doubles(json, "energy_eV", 2, (const double[]){1, bad[i - 3]});
    qds_json_open_list(json, "after"); /* the first error sticks, whatever follows */
    qds_raise(QDS_ERROR_FILE, "elsewhere", 1, 0, "another error");
    assert_fails(qds_json_text(json, &text), QDS_ERROR_NUMERIC, "\"energy_eV\" is ");
    assert_null(text);
  }
}

typedef void (*misuse)(qds_json *json);

static void nothing(qds_json *json) {
  (void)json;
}
static void unclosed(qds_json *json) {
  qds_json_open_map(json, NULL);
}
static void key_at_top(qds_json *json) {
  qds_json_int(json, "a", 1);
}
static void two_at_top(qds_json *json) {
  qds_json_int(json, NULL, 1);
  qds_json_int(json, NULL, 2);
}
static void no_key_in_map(qds_json *json) {
  qds_json_open_map(json, NULL);
  qds_json_int(json, NULL, 1);
}
static void key_in_list(qds_json *json) {
  qds_json_open_list(json, NULL);
  qds_json_int(json, "a", 1);
}
static void wrong_end(qds_json *json) {
  qds_json_open_list(json, NULL);
  qds_json_close_map(json);
}
static void end_at_top(qds_json *json) {
  qds_json_close_list(json);
}
static void too_deep(qds_json *json) {
  for (int i = 0; i <= QDS_JSON_MAX_DEPTH; i++) qds_json_open_list(json, NULL);
}

static void refuse_misuse(qds_context *ctx) {
  static const struct {
    misuse call;
    const char *message;
  } cases[] = {{nothing, "no value"},
               {unclosed, "1 levels are not closed"},
               {key_at_top, "a key outside a map: a"},
               {two_at_top, "second"},
               {no_key_in_map, "without a key"},
               {key_in_list, "a key outside a map: a"},
               {wrong_end, "\"}\" closes"},
               {end_at_top, "\"]\" closes"},
               {too_deep, "more than 32 levels"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    QDS_AUTO(qds_json) *json = create(ctx);
    const char *text;
    cases[i].call(json);
    assert_fails(qds_json_text(json, &text), QDS_ERROR_ARGUMENT, cases[i].message);
  }
}

/* What is written must be read again by the reader of input files, which takes JSON too. */
static void read_back(qds_context *ctx) {
  QDS_AUTO(qds_json) *json = create(ctx);
  QDS_AUTO(qds_yaml) *yaml = NULL;
  const char *text, *name;
  const qds_yaml_node *node;
  double value;
  qds_json_open_map(json, NULL);
  qds_json_string(json, "n\"ame", "a\\b\"c\n\t\x01 \xc3\xa9 5");
  qds_json_double(json, "energy_eV", -1.2345678901234567e-5);
  qds_json_close_map(json);
  assert_ok(qds_json_text(json, &text));
  assert_ok(qds_yaml_parse(qds_context_allocator(ctx), "out.json", text, strlen(text), &yaml));
  assert_ok(qds_yaml_require(qds_yaml_root(yaml), "n\"ame", &node));
  assert_ok(qds_yaml_string(node, &name));
  assert_string_equal(name, "a\\b\"c\n\t\x01 \xc3\xa9 5");
  assert_ok(qds_yaml_require(qds_yaml_root(yaml), "energy_eV", &node));
  assert_ok(qds_yaml_double(node, &value));
  assert_true(value == -1.2345678901234567e-5);
}

static qds_status write_all(qds_context *ctx, void *data) {
  QDS_AUTO(qds_json) *json = NULL;
  const char *text;
  (void)data;
  QDS_TRY(qds_json_create(qds_context_allocator(ctx), &json));
  write_everything(json);
  return qds_json_text(json, &text);
}

static void run_out_of_memory(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, write_all, NULL) > 5);
}

static void every_kind_is_written(void **state) {
  (void)state;
  with_context(1, write_every_kind);
}
static void strings_are_escaped(void **state) {
  (void)state;
  with_context(1, escape);
}
static void what_is_no_number_is_refused(void **state) {
  (void)state;
  with_context(1, refuse_what_is_no_number);
}
static void misuse_is_refused(void **state) {
  (void)state;
  with_context(1, refuse_misuse);
}
static void yaml_reads_the_json(void **state) {
  (void)state;
  with_context(1, read_back);
}
static void json_survives_running_out_of_memory(void **state) {
  (void)state;
  with_context(1, run_out_of_memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_is_written),        cmocka_unit_test(strings_are_escaped),
      cmocka_unit_test(what_is_no_number_is_refused), cmocka_unit_test(misuse_is_refused),
      cmocka_unit_test(yaml_reads_the_json),          cmocka_unit_test(json_survives_running_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
