#include "la/runs.h"

#include "base/vectorise.h"

void qds_runs_clear(qds_runs *r) {
  qds_release(r->start);
  qds_release(r->run);
  qds_release(r->table);
  *r = (qds_runs){0};
}

/* The run that holds entry k of a line. */
static int64_t find(const qds_runs *r, int64_t line, int64_t k) {
  int64_t low = r->start[line], count = r->start[line + 1] - low;
  while (count > 1) {
    const int64_t half = count / 2;
    if (r->run[low + half - 1].end <= k) {
      low += half;
      count -= half;
    } else {
      count = half;
    }
  }
  return low;
}

int32_t qds_runs_row(const qds_runs *r, int64_t line, int64_t k) {
  return r->run[find(r, line, k)].row;
}

int qds_runs_same(const qds_runs *r, int64_t line, int64_t other, const double *value) {
  const int64_t count = r->start[line + 1] - r->start[line];
  if (count != r->start[other + 1] - r->start[other]) return 0;
  for (int64_t i = 0; i < count; i++) {
    const qds_run a = r->run[r->start[line] + i], b = r->run[r->start[other] + i];
    if (a.end != b.end || (a.row != b.row && value[a.row] != value[b.row])) return 0;
  }
  return 1;
}

QDS_VECTORISE void qds_runs_copy(const qds_runs *r, int64_t line, int64_t first, int64_t last,
                                 const double *value, double *restrict to) {
  int64_t k = first;
  for (const qds_run *run = r->run + find(r, line, first); k < last; run++) {
    const int64_t end = run->end < last ? run->end : last;
    const double number = value[run->row];
    for (; k < end; k++) to[k - first] = number;
  }
}

QDS_VECTORISE void qds_runs_add(const qds_runs *r, int64_t line, int64_t first, int64_t last, double share,
                                const double *value, double *restrict to) {
  int64_t k = first;
  for (const qds_run *run = r->run + find(r, line, first); k < last; run++) {
    const int64_t end = run->end < last ? run->end : last;
    const double number = share * value[run->row];
    for (; k < end; k++) to[k - first] += number;
  }
}
