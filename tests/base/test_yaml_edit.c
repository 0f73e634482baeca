/* Setting values, writing trees, and texts that random changes spoiled. */
#include "support.h"

#include "base/philox.h"
#include "base/text.h"
#include "base/yaml.h"

static const char device[] = "# a dot\n"
                             "name: lens dot\n"
                             "materials:\n"
                             "  Al0.3Ga0.7As: {mass: 0.0919, band_edge_eV: 0.26}\n"
                             "  \"GaAs\": &gaas {mass: 0.067, band_edge_eV: 0.0}\n"
                             "  copy: *gaas\n"
                             "background: GaAs\n"
                             "regions:\n"
                             "  - {shape: layer, axis: z, from_nm: -0.6, to_nm: 0, material: InAs}\n"
                             "  - shape: dome\n"
                             "    base_center_nm: [0, 0, 0]\n"
                             "potential:\n"
                             "  - formula_eV: \"0.5*k*(x^2 + y^2)\"   # nm\n"
                             "    parameters: {k: 3.5e-4}\n"
                             "text: |\n"
                             "  two\n"
                             "  lines: 'and' \"quotes\"\n"
                             "grid: {x: {from_nm: -20, to_nm: 20, nodes: 101}, order: 2}\n"
                             "output:\n";

static qds_yaml *parse(qds_context *ctx, const char *text) {
  qds_yaml *yaml = NULL;
  assert_ok(qds_yaml_parse(qds_context_allocator(ctx), "dot.yaml", text, strlen(text), &yaml));
  return yaml;
}

static void assert_written(const qds_yaml *yaml, const char *expected) {
  char *text;
  assert_ok(qds_yaml_write(yaml, &text));
  assert_string_equal(text, expected);
  qds_release(text);
}

/* Sets one value in a small document and compares what is written then. */
static void assert_set(qds_context *ctx, const char *before, const char *assignment, const char *after) {
  QDS_AUTO(qds_yaml) *yaml = parse(ctx, before);
  assert_ok(qds_yaml_set(yaml, assignment));
  assert_written(yaml, after);
}

static void set_values(qds_context *ctx) {
  assert_set(ctx, "a: 1\nb: 2\n", "a=5", "a: 5\nb: 2\n");
  assert_set(ctx, "a: {b: {c: 1}}", "a.b.c=[1, 2]", "a:\n  b: {c: [1, 2]}\n");
  assert_set(ctx, "r: [{a: 1}, {a: 2}]", "r.1.a=3", "r:\n  - {a: 1}\n  - {a: 3}\n");
  assert_set(ctx, "r: [{a: 1}, {a: 2}]", "r[1].a=3", "r:\n  - {a: 1}\n  - {a: 3}\n");
  assert_set(ctx, "r: [1]", "r.1=2", "r: [1, 2]\n");
  assert_set(ctx, "r: [1, 2]", "r[0]=x=y", "r: [\"x=y\", 2]\n");
  assert_set(ctx, "a: 1", "b.c.d=2", "a: 1\nb:\n  c: {d: 2}\n");
  assert_set(ctx, "a: 1", "r.0.x=2", "a: 1\nr:\n  - {x: 2}\n");
  assert_set(ctx, "a:\n", "a.b=2", "a: {b: 2}\n");
  assert_set(ctx, "a: 1", "a=", "a: null\n");
  assert_set(ctx, "a: 1", "a={b: c}", "a: {b: c}\n");
  assert_set(ctx, "a: 1", "b=\"5\"", "a: 1\nb: \"5\"\n");
  assert_set(ctx, "m: {Al0.3Ga0.7As: {mass: 1}, Al0: 2}", "m.Al0.3Ga0.7As.mass=2",
             "m:\n  Al0.3Ga0.7As: {mass: 2}\n  Al0: 2\n");
}

static void refuse_set(qds_context *ctx, const char *assignment, qds_status status, const char *message) {
  QDS_AUTO(qds_yaml) *yaml = parse(ctx, "a: 1\nr: [{b: 1}]\n");
  assert_fails(qds_yaml_set(yaml, assignment), status, message);
  assert_written(yaml, "a: 1\nr:\n  - {b: 1}\n");
}

static void refuse_settings(qds_context *ctx) {
  refuse_set(ctx, "a", QDS_ERROR_ARGUMENT, "--set a: expected PATH=VALUE");
  refuse_set(ctx, "=5", QDS_ERROR_ARGUMENT, "expected PATH=VALUE");
  refuse_set(ctx, "", QDS_ERROR_ARGUMENT, "expected PATH=VALUE");
  refuse_set(ctx, "b..c=1", QDS_ERROR_ARGUMENT, "--set b..c: the path is not well formed");
  refuse_set(ctx, ".a=1", QDS_ERROR_ARGUMENT, "not well formed");
  refuse_set(ctx, "n.m.=1", QDS_ERROR_ARGUMENT, "not well formed");
  refuse_set(ctx, "a.b=1", QDS_ERROR_INPUT,
             "dot.yaml:1: a: --set a.b: a single value stands here, it has no \"b\"");
  refuse_set(ctx, "r.2.b=1", QDS_ERROR_INPUT,
             "dot.yaml:2: r: --set r.2.b: \"2\" is no index of this list (allowed: 0 "
             "to 1, which appends)");
  refuse_set(ctx, "r.x=1", QDS_ERROR_INPUT, "\"x\" is no index");
  refuse_set(ctx, "r.-1=1", QDS_ERROR_INPUT, "\"-1\" is no index");
  refuse_set(ctx, "r.99999999999999999999999=1", QDS_ERROR_INPUT, "is no index");
  refuse_set(ctx, "n.m=[1, 2", QDS_ERROR_INPUT, "--set n.m: not valid YAML");
  refuse_set(ctx, "n.m={a: 1, a: 2}", QDS_ERROR_INPUT, "--set n.m: n.m.a: the key \"a\" stands there twice");
  refuse_set(ctx, "n.m=*x", QDS_ERROR_INPUT, "--set n.m: no anchor");
}

static void name_settings(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = parse(ctx, "grid: {x: {nodes: 3}}\nregions: [{a: 1}]\n");
  double value;
  assert_ok(qds_yaml_set(yaml, "grid.x.nodes=many"));
  assert_ok(qds_yaml_set(yaml, "regions.0={radius_nm: big}"));
  const qds_yaml_node *root = qds_yaml_root(yaml);
  const qds_yaml_node *nodes = qds_yaml_find(qds_yaml_find(qds_yaml_find(root, "grid"), "x"), "nodes");
  const qds_yaml_node *radius = qds_yaml_item(qds_yaml_item(qds_yaml_find(root, "regions"), 0), 0);
  assert_int_equal(qds_yaml_line(nodes), 0);
  assert_fails(qds_yaml_double(nodes, &value), QDS_ERROR_INPUT,
               "--set grid.x.nodes: expected a finite number, found \"many\"");
  assert_fails(qds_yaml_double(radius, &value), QDS_ERROR_INPUT,
               "--set regions.0: regions[0].radius_nm: expected a finite number, found \"big\"");
}

static void write_like_a_user(qds_context *ctx) {
  QDS_AUTO(qds_yaml) *yaml = parse(ctx, device);
  assert_written(yaml, "name: lens dot\n"
                       "materials:\n"
                       "  Al0.3Ga0.7As: {mass: 0.0919, band_edge_eV: 0.26}\n"
                       "  GaAs: {mass: 0.067, band_edge_eV: 0.0}\n"
                       "  copy: {mass: 0.067, band_edge_eV: 0.0}\n"
                       "background: GaAs\n"
                       "regions:\n"
                       "  - {shape: layer, axis: z, from_nm: -0.6, to_nm: 0, material: InAs}\n"
                       "  - {shape: dome, base_center_nm: [0, 0, 0]}\n"
                       "potential:\n"
                       "  - {formula_eV: 0.5*k*(x^2 + y^2), parameters: {k: 3.5e-4}}\n"
                       "text: \"two\\nlines: 'and' \\\"quotes\\\"\\n\"\n"
                       "grid:\n"
                       "  x: {from_nm: -20, to_nm: 20, nodes: 101}\n"
                       "  order: 2\n"
                       "output: null\n");
}

static void assert_same_tree(const qds_yaml_node *a, const qds_yaml_node *b) {
  assert_int_equal(qds_yaml_node_kind(a), qds_yaml_node_kind(b));
  assert_int_equal(qds_yaml_count(a), qds_yaml_count(b));
  if (qds_yaml_text(a)) {
    double x, y;
    int p, q;
    assert_string_equal(qds_yaml_text(a), qds_yaml_text(b));
    assert_int_equal(qds_yaml_double(a, &x), qds_yaml_double(b, &y)); /* quotes that matter were kept */
    assert_int_equal(qds_yaml_bool(a, &p), qds_yaml_bool(b, &q));
  }
  for (size_t i = 0; i < qds_yaml_count(a); i++) {
    if (qds_yaml_key(a, i)) assert_string_equal(qds_yaml_key(a, i), qds_yaml_key(b, i));
    assert_same_tree(qds_yaml_item(a, i), qds_yaml_item(b, i));
  }
}

/* Writes a document, reads what was written, and compares the trees. */
static void assert_round_trip(qds_context *ctx, const qds_yaml *yaml) {
  QDS_AUTO_RELEASE char *text = NULL;
  QDS_AUTO(qds_yaml) *again = NULL;
  assert_ok(qds_yaml_write(yaml, &text));
  if (qds_yaml_parse(qds_context_allocator(ctx), "written", text, strlen(text), &again))
    fail_msg("%s in\n%s", qds_last_error()->message, text);
  assert_same_tree(qds_yaml_root(yaml), qds_yaml_root(again));
}

static void write_what_reads_back(qds_context *ctx) {
  static const char *const texts[] = {
      device,
      "5",
      "~",
      "[]",
      "{}",
      "- - - 1\n    - 2\n  - {a: [], b: {}}\n- []\n",
      "a: \"5\"\nb: 'true'\nc: \"null\"\nd: \"\"\ne: '~'\nf: \"1e3\"\n\"7\": x\n\"null\": y\n\"a: b\": z\n",
      "a: \" x\"\nb: \"x \"\nc: \"a  b\"\nd: \"a: b\"\ne: \"a #b\"\nf: \"-\"\ng: \"- a\"\nh: \"---\"\ni: "
      "\"@x\"\nj: '*a'\n",
      "a: \"\\e\\x7f\\x85\\u2028\\uFEFF\\uFFFF\\U0001F600\\u00e9\\t\\r\\n\\\\\\\"\"\n\"\\u2028k\\x01\": 1\n",
      "a: [-1, +2, .5, -.5, ., .., ..., -, 0x1, =, <, \"?\", \":\", \"x:\", \"#\"]\n",
      "long: [aaaaaaaaaaaaaaaaaaaaaaaaaaa, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, [bbbbbbbbbbbbbbbbbbbbbbbbbbbbb, "
      "cccccccccc, "
      "{k: [ddddddddddddddddddddddddd, eeeeeeeeeeeeeeeeeeeeeeeeeeeee, fffffffffffffffffffffffff, "
      "ggggggggggggggg]}]]\n",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    QDS_AUTO(qds_yaml) *yaml = parse(ctx, texts[i]);
    assert_round_trip(ctx, yaml);
  }
}

static size_t draw(uint64_t seed, uint64_t stream, uint64_t *index, size_t below) {
  return (size_t)(qds_random_uniform(seed, stream, (*index)++) * (double)below);
}

/* One random change: another byte, a piece cut out, a piece repeated, or a word of YAML's grammar put in. */
static size_t mutate(uint64_t seed, uint64_t stream, uint64_t *index, char *text, size_t length,
                     size_t room) {
  static const char *const grammar[] = {
      "\n", "\n  ", "- ",           ": ",    "? ",          "[",    "]",   "{",    "}",
      ",",  "&a ",  "*a ",          "*gaas", "!!str ",      "! ",   "|\n", ">-\n", "\"",
      "'",  "#",    "---\n",        "...\n", "%YAML 1.1\n", "<<: ", "\t",  "\\x",  "~",
      "@",  "`",    "\xef\xbb\xbf", "\xff",  "\xc3",        "\x85"};
  char piece[32];
  size_t at = draw(seed, stream, index, length + 1), count = draw(seed, stream, index, sizeof piece);
  if (count > length - at) count = length - at;
  switch (draw(seed, stream, index, 4)) {
  case 0:
    if (at < length) text[at] = (char)draw(seed, stream, index, 256);
    return length;
  case 1:
    memmove(text + at, text + at + count, length - at - count);
    return length - count;
  case 2:
    memcpy(piece, text + at, count);
    break;
  default: {
    const char *word = grammar[draw(seed, stream, index, sizeof grammar / sizeof *grammar)];
    count = strlen(word);
    memcpy(piece, word, count);
  }
  }
  if (length + count > room) return length;
  at = draw(seed, stream, index, length + 1);
  memmove(text + at + count, text + at, length - at);
  memcpy(text + at, piece, count);
  return length + count;
}

/* Spoiled texts are either refused with a message, or read into a tree that survives writing. */
static void spoil(qds_context *ctx) {
  enum { ROOM = 4096, ROUNDS = 6000 };
  const uint64_t seed = 4711;
  int accepted = 0;
  print_message("seed %llu\n", (unsigned long long)seed);
  for (uint64_t round = 0; round < ROUNDS; round++) {
    /* An own block of the exact size, so that the sanitizer sees a read past the end. */
    QDS_AUTO_RELEASE char *exact = NULL;
    QDS_AUTO(qds_yaml) *yaml = NULL;
    char text[ROOM];
    uint64_t index = 0;
    size_t length = strlen(device);
    memcpy(text, device, length);
    for (size_t n = 1 + draw(seed, round, &index, 3); n > 0; n--)
      length = mutate(seed, round, &index, text, length, ROOM);
    assert_ok(QDS_NEW(qds_context_allocator(ctx), length, "test", &exact));
    memcpy(exact, text, length);
    const qds_status status = qds_yaml_parse(qds_context_allocator(ctx), "spoiled", exact, length, &yaml);
    if (status != QDS_OK) {
      assert_int_equal(status, QDS_ERROR_INPUT);
      assert_true(strncmp(qds_last_error()->message, "spoiled:", 8) == 0);
      continue;
    }
    accepted++;
    assert_round_trip(ctx, yaml);
    text[length < ROOM ? length : ROOM - 1] = '\0';
    (void)qds_yaml_set(yaml, text + draw(seed, round, &index, length)); /* an assignment as odd as the text */
    assert_round_trip(ctx, yaml);
  }
  print_message("%d of %d texts accepted\n", accepted, ROUNDS);
  assert_in_range(accepted, ROUNDS / 10, ROUNDS - ROUNDS / 10); /* else the changes test nothing */
}

static qds_status set_and_write(qds_context *ctx, void *data) {
  QDS_AUTO(qds_yaml) *yaml = NULL;
  QDS_AUTO_RELEASE char *text = NULL;
  (void)data;
  QDS_TRY(qds_yaml_parse(qds_context_allocator(ctx), "dot.yaml", device, strlen(device), &yaml));
  QDS_TRY(qds_yaml_set(yaml, "regions.2.shape=box"));
  QDS_TRY(qds_yaml_set(yaml, "a.b.c=[1, 2]"));
  return qds_yaml_write(yaml, &text);
}

/* An assignment that runs out of memory leaves the tree as it was. */
static void set_without_memory(qds_context *ctx) {
  char assignment[20000];
  memset(assignment, '7', sizeof assignment - 1);
  memcpy(assignment, "b.c=", 4);
  assignment[sizeof assignment - 1] = '\0';
  QDS_AUTO(qds_yaml) *yaml = parse(ctx, "a: 1\n");
  qds_status status = QDS_ERROR_MEMORY;
  int failures = 0;
  for (; status; failures++) {
    qds_context_fail_allocation(ctx, (uint64_t)failures + 1);
    status = qds_yaml_set(yaml, assignment);
    qds_context_fail_allocation(ctx, 0);
    if (status) assert_written(yaml, "a: 1\n");
  }
  assert_true(failures > 1);
  assert_int_equal(qds_yaml_count(qds_yaml_root(yaml)), 2);
}

static void run_out_of_memory(qds_context *ctx) {
  assert_true(fail_each_allocation(ctx, set_and_write, NULL) > 5);
  set_without_memory(ctx);
}

#define CONTEXT_TEST(name, body)                                                                             \
  static void name(void **state) {                                                                           \
    (void)state;                                                                                             \
    with_context(1, body);                                                                                   \
  }
CONTEXT_TEST(values_are_set, set_values)
CONTEXT_TEST(bad_settings_are_refused_and_change_nothing, refuse_settings)
CONTEXT_TEST(messages_name_the_setting, name_settings)
CONTEXT_TEST(trees_are_written_as_a_user_would, write_like_a_user)
CONTEXT_TEST(what_is_written_reads_back, write_what_reads_back)
CONTEXT_TEST(spoiled_texts_crash_nothing, spoil)
CONTEXT_TEST(edits_survive_running_out_of_memory, run_out_of_memory)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_are_set),
      cmocka_unit_test(bad_settings_are_refused_and_change_nothing),
      cmocka_unit_test(messages_name_the_setting),
      cmocka_unit_test(trees_are_written_as_a_user_would),
      cmocka_unit_test(what_is_written_reads_back),
      cmocka_unit_test(spoiled_texts_crash_nothing),
      cmocka_unit_test(edits_survive_running_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
