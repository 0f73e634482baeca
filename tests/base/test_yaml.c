/* Reading YAML and typed access to it; setting and writing stand in test_yaml_edit.c. */
#include "support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/yaml.h"

static qds_status parse(qds_context *ctx, const char *text, qds_yaml **out) {
  return qds_yaml_parse(qds_context_allocator(ctx), "dot.yaml", text, strlen(text), out);
}

/* The document must be refused with this message. */
static void assert_refused(qds_context *ctx, const char *text, const char *message) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  assert_fails(parse(ctx, text, &yaml), QDS_ERROR_INPUT, message);
  assert_null(yaml);
}

static const qds_yaml_node *find(const qds_yaml_node *node, const char *key) {
  const qds_yaml_node *found = NULL;
  assert_ok(qds_yaml_require(node, key, &found));
  return found;
}

static void read_tree(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  assert_ok(parse(ctx,
                  "# comment\n"
                  "name: lens dot\n"
                  "\n"
                  "grid:\n"
                  "  x: {from_nm: -20,\n"
                  "      nodes: 101}\n"
                  "regions:\n"
                  "  - shape: dome\n"
                  "    material:\n"
                  "      InAs\n"
                  "  - [1, 2.5]\n"
                  "empty:\n"
                  "tilde: ~\n"
                  "quoted: \"\"\n"
                  "y: no\n",
                  &yaml));
  const qds_yaml_node *root = qds_yaml_root(yaml), *regions = find(root, "regions");
  assert_int_equal(qds_yaml_node_kind(root), QDS_YAML_MAP);
  assert_int_equal(qds_yaml_count(root), 7);
  assert_string_equal(qds_yaml_key(root, 6), "y");
  assert_null(qds_yaml_key(root, 7));
  assert_null(qds_yaml_item(root, 7));
  assert_string_equal(qds_yaml_text(find(root, "name")), "lens dot");
  assert_int_equal(qds_yaml_node_kind(find(root, "empty")), QDS_YAML_NULL);
  assert_int_equal(qds_yaml_node_kind(find(root, "tilde")), QDS_YAML_NULL);
  assert_int_equal(qds_yaml_node_kind(find(root, "quoted")), QDS_YAML_SCALAR);
  assert_null(qds_yaml_text(find(root, "empty")));
  assert_null(qds_yaml_text(root));
  assert_int_equal(qds_yaml_node_kind(regions), QDS_YAML_LIST);
  assert_int_equal(qds_yaml_count(regions), 2);
  assert_null(qds_yaml_key(regions, 0));
  assert_null(qds_yaml_find(root, "nodes"));
  assert_null(qds_yaml_find(regions, "shape"));
  assert_int_equal(qds_yaml_line(find(find(find(root, "grid"), "x"), "nodes")), 6);
  assert_int_equal(qds_yaml_line(find(qds_yaml_item(regions, 0), "material")),
                   9); /* of the key, not the value */
  assert_int_equal(qds_yaml_line(qds_yaml_item(regions, 1)), 11);
  assert_int_equal(qds_yaml_count(find(root, "name")), 0);
}

static void read_json(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  const char *name;
  double x[2];
  assert_ok(parse(ctx, "{\n\t\"name\": \"a\\/b \\u00e9\",\n\t\"x\": [1e-3, -2]\n}\n", &yaml));
  assert_ok(qds_yaml_string(find(qds_yaml_root(yaml), "name"), &name));
  assert_string_equal(name, "a/b \xc3\xa9");
  assert_ok(qds_yaml_doubles(find(qds_yaml_root(yaml), "x"), 2, x));
  assert_true(x[0] == 1e-3 && x[1] == -2);
}

static void expand_aliases(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  double value;
  assert_ok(parse(ctx,
                  "a: &axis {from_nm: 0,\n"
                  "  nodes: many}\n"
                  "b: {x: *axis, y: *axis}\n"
                  "c: &axis 5\n"
                  "d: *axis\n",
                  &yaml));
  const qds_yaml_node *root = qds_yaml_root(yaml), *y = find(find(root, "b"), "y");
  assert_ok(qds_yaml_double(find(y, "from_nm"), &value));
  assert_ok(qds_yaml_double(find(root, "d"), &value)); /* the latest anchor of a name counts */
  assert_true(value == 5);
  assert_int_equal(qds_yaml_line(y), 3);
  /* The path of the use, the line of the text. */
  assert_fails(qds_yaml_double(find(y, "nodes"), &value), QDS_ERROR_INPUT,
               "dot.yaml:2: b.y.nodes: expected a finite number, found \"many\"");
}

static void refuse_bad_yaml(qds_context *ctx) {
  assert_refused(ctx, "", "dot.yaml: the file is empty");
  assert_refused(ctx, "# only a comment\n\n", "dot.yaml: the file is empty");
  assert_refused(ctx, "a: [1, 2\nb: 3",
                 "dot.yaml:2: not valid YAML: did not find expected ',' or ']' (while parsing a flow "
                 "sequence, line 1)");
  assert_refused(ctx, "a:\n\tb: 1",
                 "dot.yaml:2: not valid YAML: found character that cannot start any token");
  assert_refused(ctx, "a:\n\tb: 1", "spaces, not tabs");
  assert_refused(ctx, "a: b: c", "dot.yaml:1: not valid YAML: mapping values are not allowed");
  assert_refused(ctx, "a: \"b", "dot.yaml:1: not valid YAML: found unexpected end of stream");
  assert_refused(ctx, "a: 1\n---\nb: 2\n", "dot.yaml:2: a second document starts here");
  assert_refused(ctx, "a: 1\nb: 2\na: 3\n", "dot.yaml:3: a: the key \"a\" stands in line 1 already");
  assert_refused(ctx, "r:\n- {a: 1, a: 2}\n", "dot.yaml:2: r[0].a: the key \"a\" stands in line 2 already");
  assert_refused(ctx, "a: &x [1, *x]", "dot.yaml:1: a[1]: the alias \"*x\" stands inside its own anchor");
  assert_refused(ctx, "a: &x {b: {c: *x}}",
                 "dot.yaml:1: a.b.c: the alias \"*x\" stands inside its own anchor");
  assert_refused(ctx, "a: *x", "dot.yaml:1: a: no anchor \"&x\"");
  assert_refused(ctx, "a: !!float 3", "dot.yaml:1: a: the tag \"tag:yaml.org,2002:float\"");
  assert_refused(ctx, "a: !!python/object:os.system [x]", "is not supported");
  assert_refused(ctx, "a: \"b\\0c\"", "dot.yaml:1: a: the text contains a zero byte");
  assert_refused(ctx, "\"b\\0c\": 1", "zero byte");
  assert_refused(ctx, "? [a, b]\n: c", "a key must be a word");
  assert_refused(ctx, "b:\n  \"\": c", "dot.yaml:2: b.?: the key is missing");
  assert_refused(ctx, "a: &x {b: 1}\nc: {<<: *x}", "dot.yaml:2: c.<<: merge keys (<<) are not supported");
  assert_refused(ctx, "&k a: 1", "takes no anchor");
}

static void refuse_junk(qds_context *ctx) {
  static const char junk[] = "\x7f"
                             "ELF\x02\x01\x01\0\0\0";
  QDS_AUTO(qds_yaml) *yaml = NULL;
  assert_fails(qds_yaml_parse(qds_context_allocator(ctx), "a.out", junk, sizeof junk, &yaml), QDS_ERROR_INPUT,
               "a.out:1: not valid YAML: control characters are not allowed (byte 0)");
  assert_refused(ctx, "a: 1\nb: \xff\xfe\n",
                 "dot.yaml:2: not valid YAML: invalid leading UTF-8 octet (byte 8)");
  assert_refused(ctx, "a: 1\r\nb: 2\rc: \x1b[31m\n",
                 "dot.yaml:3: not valid YAML: control characters are not allowed (byte 14)");
  assert_refused(ctx, "\x89PNG\r\n\x1a\n", "not valid YAML");
}

/* A text of `count` copies of `piece` between `head` and `tail`. */
static char *repeat(qds_context *ctx, const char *head, const char *piece, size_t count, const char *tail) {
  qds_text text = {.allocator = qds_context_allocator(ctx)};
  qds_text_add(&text, head);
  for (size_t i = 0; i < count; i++) qds_text_add(&text, piece);
  qds_text_add(&text, tail);
  assert_ok(text.status);
  return text.bytes;
}

static void refuse_repeated(qds_context *ctx, const char *head, const char *piece, size_t count,
                            const char *message) {
  QDS_AUTO_RELEASE char *text = repeat(ctx, head, piece, count, "");
  assert_refused(ctx, text, message);
}

static void refuse_excess(qds_context *ctx) {
  refuse_repeated(ctx, "a: ", "[", 200, "nested deeper than the limit of 100 levels");
  refuse_repeated(ctx, "a: ", "[", 5000000, "nested deeper");
  refuse_repeated(ctx, "", "{a: ", 200, "nested deeper");
  refuse_repeated(ctx, "a: [", "1, ", 1000001, "more than 1000000 values");
  refuse_repeated(ctx, "a: [", "&a 1, ", 1001, "more than 1000 anchors");
  refuse_repeated(ctx, "? ", "a", 201, "the key is longer than 200 bytes");
  refuse_repeated(ctx, "", " ", (16 << 20) + 1, "16777217 bytes, the limit is 16777216");
}

/* Nine lists, each of nine aliases to the one before: 9^9 values from 400 bytes. */
static void refuse_laughs(qds_context *ctx) {
  qds_text text = {.allocator = qds_context_allocator(ctx)};
  qds_text_add(&text, "a0: &a0 lol\n");
  for (int i = 1; i < 10; i++) {
    char line[128];
    snprintf(line, sizeof line, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
             i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    qds_text_add(&text, line);
  }
  assert_ok(text.status);
  assert_refused(ctx, text.bytes, "more than 1000000 values, aliases expanded");
  qds_release(text.bytes);
  /* Aliases that make it deep rather than wide. */
  text = (qds_text){.allocator = qds_context_allocator(ctx)};
  qds_text_add(&text, "a0: &a0 [[[[[1]]]]]\n");
  for (int i = 1; i < 30; i++) {
    char line[64];
    snprintf(line, sizeof line, "a%d: &a%d [[[[[*a%d]]]]]\n", i, i, i - 1);
    qds_text_add(&text, line);
  }
  assert_ok(text.status);
  assert_refused(ctx, text.bytes, "nested deeper");
  qds_release(text.bytes);
}

static void refuse_many_keys(qds_context *ctx) {
  qds_text text = {.allocator = qds_context_allocator(ctx)};
  for (int i = 0; i <= 10000; i++) {
    char line[32];
    snprintf(line, sizeof line, "k%d: 1\n", i);
    qds_text_add(&text, line);
  }
  assert_ok(text.status);
  assert_refused(ctx, text.bytes, "dot.yaml:10001: k10000: more than 10000 keys in one map");
  qds_release(text.bytes);
}

static void read_files(qds_context *ctx) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO(qds_yaml) *yaml = NULL;
  char path[] = "/tmp/qdsim-test-yaml-XXXXXX";
  const int descriptor = mkstemp(path);
  assert_true(descriptor >= 0);
  assert_int_equal(write(descriptor, "a: 1\nb: {c: d}\n", 15), 15);
  assert_ok(qds_yaml_read(allocator, path, &yaml));
  assert_int_equal(qds_yaml_count(qds_yaml_root(yaml)), 2);
  qds_yaml_destroy(yaml);
  assert_int_equal(ftruncate(descriptor, (off_t)1 << 40), 0); /* a terabyte, most of it a hole */
  const qds_status huge = qds_yaml_read(allocator, path, &yaml);
  close(descriptor);
  unlink(path);
  assert_int_equal(huge, QDS_ERROR_FILE);
  assert_non_null(strstr(qds_last_error()->message, "it has 1099511627776 bytes, the limit is 16777216"));
  assert_fails(qds_yaml_read(allocator, path, &yaml), QDS_ERROR_FILE, "No such file");
  assert_fails(qds_yaml_read(allocator, "/dev/zero", &yaml), QDS_ERROR_FILE, "a device or a pipe");
  assert_fails(qds_yaml_read(allocator, "/tmp", &yaml), QDS_ERROR_FILE, "a folder");
  assert_int_equal(mkfifo(path, 0600), 0);
  const qds_status fifo = qds_yaml_read(allocator, path, &yaml);
  unlink(path);
  assert_int_equal(fifo, QDS_ERROR_FILE);
  assert_null(yaml);
}

static void read_types(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  assert_ok(parse(ctx, "{d: -1.5e-3, i: 201, t: True, f: off, s: 2024, q: '5', l: [1, 2, 3], c: Dome, n: }",
                  &yaml));
  const qds_yaml_node *root = qds_yaml_root(yaml);
  double d, l[3];
  int64_t i;
  int b;
  const char *s;
  assert_ok(qds_yaml_double(find(root, "d"), &d));
  assert_true(d == -1.5e-3);
  assert_ok(qds_yaml_positive(find(root, "i"), &d));
  assert_true(d == 201);
  assert_ok(qds_yaml_int64(find(root, "i"), 201, 201, &i));
  assert_int_equal(i, 201);
  assert_ok(qds_yaml_bool(find(root, "t"), &b));
  assert_int_equal(b, 1);
  assert_ok(qds_yaml_bool(find(root, "f"), &b));
  assert_int_equal(b, 0);
  assert_ok(qds_yaml_string(find(root, "s"), &s));
  assert_string_equal(s, "2024");
  assert_ok(qds_yaml_string(find(root, "q"), &s));
  assert_string_equal(s, "5");
  assert_ok(qds_yaml_doubles(find(root, "l"), 3, l));
  assert_true(l[0] == 1 && l[1] == 2 && l[2] == 3);
  assert_ok(qds_yaml_choice(find(root, "c"), (const char *const[]){"box", "Dome", NULL}, &b));
  assert_int_equal(b, 1);
  assert_ok(qds_yaml_check_keys(
      root, (const char *const[]){"d", "i", "t", "f", "s", "q", "l", "c", "n", "z", NULL}));
}

static void name_likely_slips_in_numbers(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  assert_ok(parse(ctx, "u: 10 nm\nc: 1,5\nq: \"5\"\nw: ten\nbig: 1e999\nm: {0: 1}\nn: {nodes:61}\n", &yaml));
  static const struct {
    const char *key, *message;
  } slips[] = {{"u", "found \"10 nm\"; write the number alone: the key tells its unit"},
               {"c", "found \"1,5\"; decimals are written with a point"},
               {"q", "found the quoted text \"5\"; write it without quotes"},
               {"w", "found \"ten\""},
               {"big", "found \"1e999\""}};
  const qds_yaml_node *root = qds_yaml_root(yaml);
  const char *const keys[] = {"nodes", NULL};
  double d;
  for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
    assert_fails(qds_yaml_double(find(root, slips[i].key), &d), QDS_ERROR_INPUT, slips[i].message);
    const char *message = qds_last_error()->message;
    assert_string_equal(message + strlen(message) - strlen(slips[i].message), slips[i].message);
  }
  assert_fails(qds_yaml_check_keys(find(root, "m"), keys), QDS_ERROR_INPUT,
               "unknown key \"0\"; decimals are written with a point");
  assert_fails(qds_yaml_check_keys(find(root, "n"), keys), QDS_ERROR_INPUT,
               "unknown key \"nodes:61\"; a space belongs after the colon");
}

static void refuse_types(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  assert_ok(parse(ctx,
                  "w: twelve\nq: \"5\"\nl: [1, x]\nm: {a: 1}\nn:\nneg: -1\nzero: 0\ninf: .inf\nbig: "
                  "12345678901234567890\n"
                  "real: 5.5\n",
                  &yaml));
  const qds_yaml_node *root = qds_yaml_root(yaml);
  double d = 7, l[2];
  int64_t i = 7;
  int b = 7;
  const char *s = "7";
#define REFUSED(call, message) assert_fails(call, QDS_ERROR_INPUT, message)
  REFUSED(qds_yaml_double(find(root, "w"), &d), "dot.yaml:1: w: expected a finite number, found \"twelve\"");
  REFUSED(qds_yaml_double(find(root, "q"), &d),
          "dot.yaml:2: q: expected a finite number, found the quoted text \"5\"");
  REFUSED(qds_yaml_double(find(root, "l"), &d), "found a list of 2");
  REFUSED(qds_yaml_double(find(root, "m"), &d), "found a map");
  REFUSED(qds_yaml_double(find(root, "n"), &d), "found nothing");
  REFUSED(qds_yaml_double(find(root, "inf"), &d), "expected a finite number, found \".inf\"");
  assert_true(d == 0.0);
  REFUSED(qds_yaml_positive(find(root, "neg"), &d),
          "dot.yaml:6: neg: expected a number greater than 0, found -1");
  REFUSED(qds_yaml_positive(find(root, "zero"), &d), "greater than 0, found 0");
  REFUSED(qds_yaml_int64(find(root, "neg"), 2, 1000, &i),
          "expected a whole number from 2 to 1000, found \"-1\"");
  REFUSED(qds_yaml_int64(find(root, "neg"), 0, INT64_MAX, &i),
          "expected a whole number, at least 0, found \"-1\"");
  REFUSED(qds_yaml_int64(find(root, "zero"), INT64_MIN, -1, &i),
          "expected a whole number, at most -1, found \"0\"");
  REFUSED(qds_yaml_int64(find(root, "big"), INT64_MIN, INT64_MAX, &i),
          "expected a whole number, found \"123");
  REFUSED(qds_yaml_int64(find(root, "real"), 0, 9, &i), "expected a whole number from 0 to 9, found \"5.5\"");
  assert_int_equal(i, 0);
  REFUSED(qds_yaml_bool(find(root, "w"), &b), "expected true or false, found \"twelve\"");
  REFUSED(qds_yaml_bool(find(root, "n"), &b), "expected true or false, found nothing");
  assert_int_equal(b, 0);
  REFUSED(qds_yaml_string(find(root, "m"), &s), "dot.yaml:4: m: expected text, found a map");
  assert_null(s);
  REFUSED(qds_yaml_doubles(find(root, "l"), 3, (double[3]){0}),
          "expected a list of 3 numbers, found a list of 2");
  REFUSED(qds_yaml_doubles(find(root, "l"), 1, l), "expected a list of 1 number, found a list of 2");
  REFUSED(qds_yaml_doubles(find(root, "w"), 2, l), "expected a list of 2 numbers, found \"twelve\"");
  REFUSED(qds_yaml_doubles(find(root, "l"), 2, l), "dot.yaml:3: l[1]: expected a finite number, found \"x\"");
#undef REFUSED
}

static void name_allowed_words(qds_context *ctx) {
  static const char *const shapes[] = {"box", "dome", "lens", NULL};
  static const char *const keys[] = {"shape", "radius_nm", "material", NULL};
  QDS_AUTO(qds_yaml) *yaml = NULL;
  const qds_yaml_node *value;
  int choice;
  assert_ok(parse(ctx, "regions:\n- {shape: dom,\n   radius: 5}\n- {shape: [], zzz: 1}\n- 5\n", &yaml));
  const qds_yaml_node *regions = find(qds_yaml_root(yaml), "regions");
  const qds_yaml_node *first = qds_yaml_item(regions, 0), *second = qds_yaml_item(regions, 1);
  assert_fails(
      qds_yaml_check_keys(first, keys), QDS_ERROR_INPUT,
      "dot.yaml:3: regions[0].radius: unknown key \"radius\"; did you mean \"radius_nm\"? (allowed: shape, "
      "radius_nm, material)");
  assert_fails(qds_yaml_choice(find(first, "shape"), shapes, &choice), QDS_ERROR_INPUT,
               "dot.yaml:2: regions[0].shape: unknown word \"dom\"; did you mean \"dome\"? (allowed: box, "
               "dome, lens)");
  assert_fails(qds_yaml_check_keys(second, keys), QDS_ERROR_INPUT,
               "dot.yaml:4: regions[1].zzz: unknown key \"zzz\" (allowed: shape, radius_nm, material)");
  assert_fails(qds_yaml_choice(find(second, "shape"), shapes, &choice), QDS_ERROR_INPUT,
               "regions[1].shape: expected one of the words box, dome, lens; found a list of 0");
  assert_fails(qds_yaml_require(first, "material", &value), QDS_ERROR_INPUT,
               "dot.yaml:2: regions[0]: the key \"material\" is missing");
  assert_null(value);
  assert_fails(qds_yaml_require(qds_yaml_item(regions, 2), "material", &value), QDS_ERROR_INPUT,
               "dot.yaml:5: regions[2]: expected a map with the key \"material\", found \"5\"");
  assert_fails(qds_yaml_check_keys(regions, keys), QDS_ERROR_INPUT,
               "dot.yaml:1: regions: expected a map with some of the keys shape, radius_nm, material; found "
               "a list of 3");
}

/* Long and malicious texts are clipped and made harmless in messages. */
static void keep_messages_readable(qds_context *ctx) {
  QDS_AUTO_RELEASE char *text = repeat(ctx, "a: \"\\e[31m", "x", 5000, "\"\n");
  QDS_AUTO_RELEASE char *deep = repeat(ctx, "", "{abcdefghijklmnopqrstuvwxyz: ", 90, "1 ");
  QDS_AUTO_RELEASE char *closed = repeat(ctx, deep, "}", 90, "\n");
  QDS_AUTO(qds_yaml) *yaml = NULL;
  QDS_AUTO(qds_yaml) *nested = NULL;
  double value;
  assert_ok(parse(ctx, text, &yaml));
  assert_fails(qds_yaml_double(find(qds_yaml_root(yaml), "a"), &value), QDS_ERROR_INPUT,
               "a: expected a finite number, found the quoted text \"?[31mxxx");
  assert_true(strlen(qds_last_error()->message) < 200);
  assert_refused(ctx, "\"\\e\\x9bk\": 1\n\"\\e\\x9bk\": 2",
                 "dot.yaml:2: ???k: the key \"???k\" stands in line 1");
  assert_ok(parse(ctx, closed, &nested));
  const qds_yaml_node *leaf = qds_yaml_root(nested);
  while (qds_yaml_count(leaf)) leaf = qds_yaml_item(leaf, 0);
  assert_fails(qds_yaml_raise(leaf, __FILE__, __LINE__, "wrong"), QDS_ERROR_INPUT, "klmnopqrstuvwxyz: wrong");
  assert_non_null(strstr(qds_last_error()->message, "dot.yaml:1: ..."));
}

static qds_status read_and_use(qds_context *ctx, void *data) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  QDS_TRY(parse(ctx, data, &yaml));
  return qds_yaml_check_keys(qds_yaml_root(yaml), (const char *const[]){"a", "b", "c", NULL});
}

static void run_out_of_memory(qds_context *ctx) {
  QDS_AUTO_RELEASE char *text = repeat(ctx, "a: &x [", "{k: value}, ", 2000, "]\nb: *x\nc: \"quoted\"\n");
  assert_true(fail_each_allocation(ctx, read_and_use, text) > 10);
}

#define CONTEXT_TEST(name, body)                                                                             \
  static void name(void **state) {                                                                           \
    (void)state;                                                                                             \
    with_context(1, body);                                                                                   \
  }
CONTEXT_TEST(a_tree_knows_kinds_texts_and_lines, read_tree)
CONTEXT_TEST(json_is_read, read_json)
CONTEXT_TEST(aliases_are_expanded, expand_aliases)
CONTEXT_TEST(bad_yaml_is_refused, refuse_bad_yaml)
CONTEXT_TEST(binary_junk_is_refused, refuse_junk)
CONTEXT_TEST(excess_is_refused, refuse_excess)
CONTEXT_TEST(a_billion_laughs_are_refused, refuse_laughs)
CONTEXT_TEST(too_many_keys_are_refused, refuse_many_keys)
CONTEXT_TEST(files_are_read_and_devices_refused, read_files)
CONTEXT_TEST(typed_access_reads, read_types)
CONTEXT_TEST(typed_access_refuses, refuse_types)
CONTEXT_TEST(likely_slips_in_numbers_are_named, name_likely_slips_in_numbers)
CONTEXT_TEST(messages_name_the_allowed_words, name_allowed_words)
CONTEXT_TEST(messages_stay_readable, keep_messages_readable)
CONTEXT_TEST(yaml_survives_running_out_of_memory, run_out_of_memory)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_tree_knows_kinds_texts_and_lines),
      cmocka_unit_test(json_is_read),
      cmocka_unit_test(aliases_are_expanded),
      cmocka_unit_test(bad_yaml_is_refused),
      cmocka_unit_test(binary_junk_is_refused),
      cmocka_unit_test(excess_is_refused),
      cmocka_unit_test(a_billion_laughs_are_refused),
      cmocka_unit_test(too_many_keys_are_refused),
      cmocka_unit_test(files_are_read_and_devices_refused),
      cmocka_unit_test(typed_access_reads),
      cmocka_unit_test(typed_access_refuses),
      cmocka_unit_test(likely_slips_in_numbers_are_named),
      cmocka_unit_test(messages_name_the_allowed_words),
      cmocka_unit_test(messages_stay_readable),
      cmocka_unit_test(yaml_survives_running_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
