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

/* Returns whether the change was told. */
static int settle(qds_account_row *row, qds_account_count *count) {
  const ptrdiff_t high = (ptrdiff_t)qds_account_get(&count->high),
                  now = high - (ptrdiff_t)qds_account_get(&count->left), highest = now > high ? now : high;
  const int told = now >= QDS_ACCOUNT_QUANTUM || highest - now >= QDS_ACCOUNT_QUANTUM;
  if (told) raise_peak(&row->peak, atomic_fetch_add(&row->bytes, (size_t)now) + (size_t)highest);
  qds_account_set(&count->high, told ? 0 : (size_t)highest);
  qds_account_set(&count->left, told ? 0 : (size_t)(highest - now));
  return told;
}

void qds_account_settle(qds_account *account, qds_account_share *share, qds_account_key key) {
  settle(&account->rows[row_of(key)], qds_account_of(share, key));
  if (!settle(&account->total, &share->total)) return;
  const size_t tags = atomic_load_explicit(&account->tags, memory_order_acquire);
  for (size_t i = 0; i < tags; i++) settle(&account->rows[i], &share->tags[i]);
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

/* The row with what the shares have not told. */
static qds_memory_row sum(const qds_account_row *row, size_t offset, qds_account_share_fn share_of,
                          void *shares) {
  const size_t told = atomic_load(&row->bytes);
  size_t untold = 0, high = 0, taken = 0, returned = atomic_load(&row->returned);
  char *share;
  for (size_t i = 0; (share = share_of(shares, i)) != NULL; i++) {
    const qds_account_count *count = (const qds_account_count *)(share + offset);
    const size_t highest = qds_account_get(&count->high);
    untold += highest - qds_account_get(&count->left);
    if (highest > high) high = highest;
    taken += qds_account_get(&count->taken);
    returned += qds_account_get(&count->returned);
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
