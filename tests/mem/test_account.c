#include "support.h"

#include <pthread.h>

#include "base/philox.h"
#include "mem/account.h"

/* One thread's share and what it must come to. */
enum { TAGS = 5, SEED = 91 };
static const char *const names[TAGS] = {"a", "b", "c", "d", "e"};
typedef struct {
  size_t bytes, peak, taken, returned;
} expected_row;
typedef struct {
  qds_account account;
  qds_account_share share;
  qds_account_key key[TAGS];
  expected_row tag[TAGS], total;
} ledger;

static void *only_share(void *share, size_t number) {
  return number == 0 ? share : NULL;
}

static int setup(void **state) {
  ledger *l = calloc(1, sizeof *l);
  assert_non_null(*state = l);
  qds_account_open(&l->account);
  for (int i = 0; i < TAGS; i++) l->key[i] = qds_account_find(&l->account, names[i]);
  return 0;
}

static int teardown(void **state) {
  ledger *l = *state;
  qds_account_close(&l->account);
  free(l);
  return 0;
}

static void expect_taken(expected_row *row, size_t bytes) {
  row->bytes += bytes;
  row->taken++;
  if (row->peak < row->bytes) row->peak = row->bytes;
}

static void expect_returned(expected_row *row, size_t bytes) {
  row->bytes -= bytes;
  row->returned++;
}

static void take(ledger *l, int tag, size_t bytes) {
  if (bytes >= QDS_ACCOUNT_QUANTUM)
    qds_account_take_any(&l->account, &l->share, l->key[tag], bytes);
  else if (qds_account_take(&l->share, l->key[tag], bytes))
    qds_account_settle(&l->account, &l->share, l->key[tag]);
  expect_taken(&l->tag[tag], bytes);
  expect_taken(&l->total, bytes);
}

static void give(ledger *l, int tag, size_t bytes) {
  if (bytes >= QDS_ACCOUNT_QUANTUM)
    qds_account_give_any(&l->account, &l->share, l->key[tag], bytes);
  else if (qds_account_give(&l->share, l->key[tag], bytes))
    qds_account_settle(&l->account, &l->share, l->key[tag]);
  expect_returned(&l->tag[tag], bytes);
  expect_returned(&l->total, bytes);
}

static void check_row(const qds_memory_row *row, const expected_row *expected) {
  assert_true(row->current_bytes == expected->bytes);
  assert_true(row->total_blocks == expected->taken);
  assert_true(row->current_blocks == expected->taken - expected->returned);
  assert_true(row->peak_bytes == expected->peak);
}

/* One thread's counts and peaks are exact. */
static void check(ledger *l) {
  qds_memory_row row;
  for (size_t i = 0; i < TAGS; i++) {
    assert_true(qds_account_tag(&l->account, only_share, &l->share, i, &row));
    check_row(&row, &l->tag[i]);
  }
  qds_account_total(&l->account, only_share, &l->share, &row);
  check_row(&row, &l->total);
}

/* Blocks of every size at random, small ones mostly, of which up to HELD live. */
static void counts_follow_a_model(void **state) {
  enum { ROUNDS = 400000, HELD = 300 };
  static const size_t scale[] = {16, 1000, 15000, 2 * QDS_ACCOUNT_QUANTUM, (size_t)1 << 34};
  static size_t bytes[HELD];
  static int tag[HELD], held[HELD];
  ledger *l = *state;
  memset(held, 0, sizeof held);
  print_message("seed %d\n", SEED);
  for (uint64_t i = 0; i < ROUNDS; i++) {
    const size_t at = (size_t)(HELD * qds_random_uniform(SEED, 0, i));
    const double kind = qds_random_uniform(SEED, 1, i), size = qds_random_uniform(SEED, 2, i);
    if (held[at]) {
      give(l, tag[at], bytes[at]);
    } else {
      tag[at] = (int)(TAGS * qds_random_uniform(SEED, 3, i));
      bytes[at] = (size_t)((double)scale[(int)(5 * kind * kind * kind)] * size);
      take(l, tag[at], bytes[at]);
    }
    held[at] = !held[at];
    if (i % 1000 == 0) check(l);
  }
  check(l);
}

static void blocks_of_no_bytes_count(void **state) {
  ledger *l = *state;
  for (int i = 0; i < 100000; i++) take(l, 0, 0);
  check(l);
  for (int i = 0; i < 100000; i++) give(l, 0, 0);
  check(l);
}

/* Checks about when a word is full, each time and some steps before and after. */
static void check_near_full(ledger *l, int step) {
  if ((step + 4) % (QDS_ACCOUNT_FOLD / 2) < 8) check(l);
}

/* Blocks of one size come and go in two tags in turn. */
static void words_that_are_full_move_into_the_wide_counts(void **state) {
  enum { MOST = QDS_ACCOUNT_QUANTUM - 1, STEPS = 5 * QDS_ACCOUNT_FOLD };
  static const size_t sizes[] = {0, 1, 64, MOST, MOST + 1};
  ledger *l = *state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    for (int i = 0; i < STEPS; i++) {
      take(l, i % 2, sizes[s]);
      check_near_full(l, i);
      if (i % 3 == 0) give(l, i % 2, sizes[s]);
      check_near_full(l, i);
    }
    for (int i = 0; i < STEPS; i++) {
      if (i % 3) give(l, i % 2, sizes[s]);
      check_near_full(l, i);
    }
    check(l);
  }
}

/* The largest blocks that a word counts go over from one tag to another, so that the total asks for nothing:
 * the one that falls has more than a quantum left each time, the other none. */
static void the_largest_small_blocks_go_over_to_another_tag(void **state) {
  enum { BLOCKS = 3 * QDS_ACCOUNT_FOLD, BYTES = QDS_ACCOUNT_QUANTUM - 1 };
  ledger *l = *state;
  for (int i = 0; i < BLOCKS; i++) take(l, 0, BYTES);
  for (int turn = 0; turn < 3; turn++) {
    for (int i = 0; i < BLOCKS; i++) {
      give(l, turn, BYTES);
      take(l, turn + 1, BYTES);
      if (i % 1000 == 0) check(l);
    }
    check(l);
  }
}

/* A thread takes and gives back one block many times while another reads. */
typedef struct {
  ledger *ledger;
  atomic_int at_work;
} watched;

static void *work(void *data) {
  enum { PAIRS = 200 * QDS_ACCOUNT_FOLD };
  watched *w = data;
  qds_account_share *share = &w->ledger->share;
  const qds_account_key key = w->ledger->key[0];
  for (int i = 0; i < PAIRS; i++) {
    if (qds_account_take(share, key, 100)) qds_account_settle(&w->ledger->account, share, key);
    if (qds_account_give(share, key, 100)) qds_account_settle(&w->ledger->account, share, key);
  }
  atomic_store(&w->at_work, 0);
  return NULL;
}

static void readers_see_no_block_move(void **state) {
  watched w = {*state, 1};
  pthread_t thread;
  qds_memory_row row;
  size_t seen = 0, wrong = 0;
  assert_int_equal(pthread_create(&thread, NULL, work, &w), 0);
  while (atomic_load(&w.at_work)) {
    qds_account_tag(&w.ledger->account, only_share, &w.ledger->share, 0, &row);
    wrong += row.total_blocks < seen || row.current_blocks > 1;
    seen = row.total_blocks;
  }
  pthread_join(thread, NULL);
  assert_int_equal(wrong, 0);
}

/* What one tag loses another gains, so that the total asks for nothing while the tag falls by 6 GB. */
static void a_tag_falls_far_while_the_total_stays(void **state) {
  enum { BLOCKS = 6000, BYTES = 1000000 };
  ledger *l = *state;
  for (int i = 0; i < BLOCKS; i++) take(l, 2, BYTES);
  for (int i = 0; i < BLOCKS; i++) {
    give(l, 2, BYTES);
    take(l, 3, BYTES);
  }
  check(l);
}

static void *one_of_two(void *shares, size_t number) {
  return number < 2 ? (qds_account_share *)shares + number : NULL;
}

static void take_small(ledger *l, qds_account_share *share, int tag, size_t bytes) {
  if (qds_account_take(share, l->key[tag], bytes)) qds_account_settle(&l->account, share, l->key[tag]);
}

static void give_small(ledger *l, qds_account_share *share, int tag, size_t bytes) {
  if (qds_account_give(share, l->key[tag], bytes)) qds_account_settle(&l->account, share, l->key[tag]);
}

/* Each of two threads gives back in one tag what it takes in the other, so that the total of neither asks for
 * anything. Of each tag there is at most one block at a time. */
static void peaks_of_tags_are_wrong_by_a_quantum_per_thread_at_most(void **state) {
  enum { BLOCKS = 40000, BYTES = 15000 };
  ledger *l = *state;
  qds_account_share *shares = calloc(2, sizeof *shares);
  qds_memory_row row;
  assert_non_null(shares);
  for (int i = 0; i < BLOCKS; i++) {
    take_small(l, &shares[0], 0, BYTES);
    give_small(l, &shares[1], 0, BYTES);
    take_small(l, &shares[1], 1, BYTES);
    give_small(l, &shares[0], 1, BYTES);
  }
  for (size_t i = 0; i < 2; i++) {
    assert_true(qds_account_tag(&l->account, one_of_two, shares, i, &row));
    assert_int_equal(row.current_bytes, 0);
    assert_int_equal(row.total_blocks, BLOCKS);
    assert_in_range(row.peak_bytes, BYTES, BYTES + 2 * QDS_ACCOUNT_QUANTUM);
  }
  free(shares);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(counts_follow_a_model, setup, teardown),
      cmocka_unit_test_setup_teardown(blocks_of_no_bytes_count, setup, teardown),
      cmocka_unit_test_setup_teardown(words_that_are_full_move_into_the_wide_counts, setup, teardown),
      cmocka_unit_test_setup_teardown(the_largest_small_blocks_go_over_to_another_tag, setup, teardown),
      cmocka_unit_test_setup_teardown(readers_see_no_block_move, setup, teardown),
      cmocka_unit_test_setup_teardown(a_tag_falls_far_while_the_total_stays, setup, teardown),
      cmocka_unit_test_setup_teardown(peaks_of_tags_are_wrong_by_a_quantum_per_thread_at_most, setup,
                                      teardown),
  };
  return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
