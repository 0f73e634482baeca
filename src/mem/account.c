#include "mem/account.h"

#include <string.h>

void qds_account_open(qds_account *account) {
  pthread_mutex_init(&account->lock, NULL);
  account->total.tag = "total";
}

void qds_account_close(qds_account *account) {
  pthread_mutex_destroy(&account->lock);
}

/* Where the count of a row lies among the counts of all. */
static qds_account_key key_of(size_t row) {
  return (qds_account_key)(row * sizeof(qds_account_count));
}

static size_t row_of(qds_account_key key) {
  return key / sizeof(qds_account_count);
}

const char *qds_account_name(const qds_account *account, qds_account_key key) {
  return account->rows[row_of(key)].tag;
}

_Static_assert((QDS_ACCOUNT_TAGS - 1) * sizeof(qds_account_count) <= UINT16_MAX, "the largest key");

qds_account_key qds_account_find(qds_account *account, const char *tag) {
  enum { OTHERS = QDS_ACCOUNT_TAGS - 1 };
  pthread_mutex_lock(&account->lock);
  const size_t count = qds_account_get(&account->tags);
  size_t i = 0;
  while (i < count && strcmp(account->rows[i].tag, tag) != 0) i++;
  if (i >= OTHERS) i = OTHERS;
  if (i == count) {
    account->rows[i].tag = i < OTHERS ? tag : "others";
    atomic_store_explicit(&account->tags, count + 1, memory_order_release);
  }
  pthread_mutex_unlock(&account->lock);
  return key_of(i);
}

static void raise_peak(atomic_size_t *peak, size_t value) {
  size_t known = atomic_load(peak);
  while ((ptrdiff_t)known < (ptrdiff_t)value && !atomic_compare_exchange_weak(peak, &known, value)) continue;
}

_Static_assert(sizeof(size_t) == 8, "the fields of a word");
_Static_assert((QDS_ACCOUNT_QUANTUM & (QDS_ACCOUNT_QUANTUM - 1)) == 0, "bytes left from a quantum on");

static ptrdiff_t left_in(size_t word) {
  return (int32_t)(uint32_t)word;
}

/* The fields of blocks, free of what the bytes left have borrowed. */
static size_t blocks_in(size_t word) {
  return word - (size_t)left_in(word);
}

static void fold(atomic_size_t *blocks, size_t guard) {
  if (guard) atomic_store_explicit(blocks, qds_account_get(blocks) + QDS_ACCOUNT_FOLD, memory_order_release);
}

/* Writes the word with other bytes left. The order of the stores is what number_of relies on. */
static void put_in_order(qds_account_count *count, size_t left) {
  const size_t blocks = blocks_in(qds_account_get(&count->word)), guards = blocks & QDS_ACCOUNT_BLOCK_GUARDS;
  atomic_store_explicit(&count->word, (blocks ^ guards ^ guards << 1) + left, memory_order_release);
  fold(&count->taken, guards & QDS_ACCOUNT_FOLD * QDS_ACCOUNT_TAKEN);
  fold(&count->returned, guards & QDS_ACCOUNT_FOLD * QDS_ACCOUNT_RETURNED);
}

/* After `more` bytes than were counted. */
static void settle(qds_account_row *row, qds_account_count *count, ptrdiff_t more) {
  const ptrdiff_t high = (ptrdiff_t)qds_account_get(&count->high),
                  now = high - left_in(qds_account_get(&count->word)) + more,
                  highest = now > high ? now : high;
  const int told = now >= QDS_ACCOUNT_QUANTUM || highest - now >= QDS_ACCOUNT_QUANTUM;
  if (told) raise_peak(&row->peak, atomic_fetch_add(&row->bytes, (size_t)now) + (size_t)highest);
  qds_account_set(&count->high, told ? 0 : (size_t)highest);
  put_in_order(count, told ? 0 : (size_t)(highest - now));
}

static void settle_all(qds_account *account, qds_account_share *share, qds_account_key key, ptrdiff_t more) {
  settle(&account->rows[row_of(key)], qds_account_of(share, key), more);
  settle(&account->total, &share->total, more);
}

void qds_account_settle(qds_account *account, qds_account_share *share, qds_account_key key) {
  settle_all(account, share, key, 0);
}

/* Of the bytes of a block, those that a word cannot count. */
static size_t beyond_word(size_t bytes) {
  return bytes < QDS_ACCOUNT_QUANTUM ? 0 : bytes;
}

void qds_account_take_any(qds_account *account, qds_account_share *share, qds_account_key key, size_t bytes) {
  const size_t beyond = beyond_word(bytes);
  if (qds_account_take(share, key, bytes - beyond) || beyond)
    settle_all(account, share, key, (ptrdiff_t)beyond);
}

void qds_account_give_any(qds_account *account, qds_account_share *share, qds_account_key key, size_t bytes) {
  const size_t beyond = beyond_word(bytes);
  if (qds_account_give(share, key, bytes - beyond) || beyond)
    settle_all(account, share, key, -(ptrdiff_t)beyond);
}

void qds_account_return(qds_account *account, qds_account_key key, size_t bytes) {
  qds_account_row *row = &account->rows[row_of(key)];
  atomic_fetch_add(&row->returned, 1);
  atomic_fetch_sub(&row->bytes, bytes);
  atomic_fetch_sub(&account->total.bytes, bytes);
}

/* What threads at work change between two readings can make a sum of theirs negative. */
static size_t not_negative(size_t number) {
  return (ptrdiff_t)number < 0 ? 0 : number;
}

/* How many blocks a count has in the field at bit `at` of its word and in `folded`. The word is read between
 * two equal looks at what is folded, so that at most the last of its turns is not among that. */
static size_t number_of(const qds_account_count *count, const atomic_size_t *folded, int at) {
  size_t known, word, again = atomic_load_explicit(folded, memory_order_acquire);
  do {
    known = again;
    word = atomic_load_explicit(&count->word, memory_order_acquire);
    again = atomic_load_explicit(folded, memory_order_acquire);
  } while (again != known);
  const size_t field = blocks_in(word) >> at, turns = known / QDS_ACCOUNT_FOLD,
               turned = field / (2 * QDS_ACCOUNT_FOLD);
  return known + field % (2 * QDS_ACCOUNT_FOLD) + ((turns ^ turned) & 1) * QDS_ACCOUNT_FOLD;
}

/* The row with what the shares have not told. */
static qds_memory_row sum(const qds_account_row *row, size_t offset, qds_account_share_fn share_of,
                          void *shares) {
  const size_t told = atomic_load(&row->bytes);
  size_t untold = 0, high = 0, taken = 0, returned = atomic_load(&row->returned);
  char *share;
  for (size_t i = 0; (share = share_of(shares, i)) != NULL; i++) {
    const qds_account_count *count = (const qds_account_count *)(share + offset);
    const size_t highest = qds_account_get(&count->high);
    untold += highest - (size_t)left_in(qds_account_get(&count->word));
    if (highest > high) high = highest;
    taken += number_of(count, &count->taken, QDS_ACCOUNT_TAKEN_AT);
    returned += number_of(count, &count->returned, QDS_ACCOUNT_RETURNED_AT);
  }
  size_t peak = atomic_load(&row->peak);
  if ((ptrdiff_t)(told + high) > (ptrdiff_t)peak) peak = told + high;
  if ((ptrdiff_t)(told + untold) > (ptrdiff_t)peak) peak = told + untold;
  return (qds_memory_row){row->tag, not_negative(told + untold), peak, not_negative(taken - returned), taken};
}

int qds_account_tag(qds_account *account, qds_account_share_fn share_of, void *shares, size_t index,
                    qds_memory_row *out) {
  if (index >= atomic_load_explicit(&account->tags, memory_order_acquire)) return 0;
  *out = sum(&account->rows[index], offsetof(qds_account_share, tags) + index * sizeof(qds_account_count),
             share_of, shares);
  return 1;
}

void qds_account_total(qds_account *account, qds_account_share_fn share_of, void *shares,
                       qds_memory_row *out) {
  qds_memory_row row;
  *out = sum(&account->total, offsetof(qds_account_share, total), share_of, shares);
  for (size_t i = 0; qds_account_tag(account, share_of, shares, i, &row); i++) {
    out->current_blocks += row.current_blocks;
    out->total_blocks += row.total_blocks;
  }
}
