#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/vectorise.h"
#include "la/multigrid_internal.h"
#include "la/multigrid_line.h"

QDS_DEFINE_LEVEL_LINE(level_line, float, 0)

/* Waking a team costs more than a cycle on fewer numbers than this. */
enum { FEWEST_SHARED_NUMBERS = 20000 };

/* One member of a team of threads; `line` is its scratch of 2 n[2] of the finest level. */
typedef struct {
  const qds_multigrid *mg;
  qds_multigrid_workspace *work;
  int rank, size;
  float *line;
} member;

static inline void meet(const member *m) {
  if (m->size > 1) qds_barrier_wait(&m->work->barrier, m->size);
}

typedef struct {
  int64_t first, last;
} range;

static range share(const member *m, int64_t count) {
  return (range){count * m->rank / m->size, count * (m->rank + 1) / m->size};
}

/* One pass over a level: the member's lines, each from `at` with `length` numbers. */
typedef struct {
  const qds_level *level;
  const qds_level_vectors *v;
  int64_t length;
  range lines;
} pass;

static pass pass_over(const member *m, int l) {
  const qds_level *level = &m->mg->level[l];
  return (pass){level, &m->work->level[l], level->n[2], share(m, level->n[0] * level->n[1])};
}

/* r = from - (A - shift) u on one line; from may be r. */
QDS_LEVEL_INLINE void residual_line(const member *m, const pass *p, int64_t line, const float *u,
                                    const float *from, float *r) {
  const int64_t at = line * p->length;
  level_line(p->level, (float)p->level->shift, line / p->level->n[1], line % p->level->n[1], u, m->line,
             NULL);
  for (int64_t k = 0; k < p->length; k++) r[at + k] = from[at + k] - m->line[k];
}

/* z = first Chebyshev step from the residual r. */
QDS_LEVEL_INLINE void smooth_first(const pass *p, int64_t line, const float *restrict r) {
  const int64_t at = line * p->length;
  const float *restrict inverse = p->level->inverse_diagonal;
  const float step = qds_first_step * p->level->rate;
  float *restrict z = p->v->z;
  for (int64_t k = at; k < at + p->length; k++) z[k] = step * r[k] * inverse[k];
}

/* The two Chebyshev steps from the residual in r, whose first direction is in z: x is set to (`fresh`) or
 * grows by both. Leaves the residual after the first step in r and the second direction in y. */
QDS_VECTORISE static void smooth_second(const member *m, int l, int fresh) {
  const pass p = pass_over(m, l);
  const float step = qds_second_step * p.level->rate;
  const float *restrict inverse = p.level->inverse_diagonal, *restrict z = p.v->z, *r = p.v->r;
  float *restrict y = p.v->y, *restrict x = p.v->x;
  for (int64_t line = p.lines.first; line < p.lines.last; line++) {
    const int64_t first = line * p.length, last = first + p.length;
    residual_line(m, &p, line, p.v->z, p.v->r, p.v->r);
    for (int64_t k = first; k < last; k++) y[k] = qds_second_memory * z[k] + step * r[k] * inverse[k];
    if (fresh)
      for (int64_t k = first; k < last; k++) x[k] = z[k] + y[k];
    else
      for (int64_t k = first; k < last; k++) x[k] += z[k] + y[k];
  }
  meet(m);
}

/* Before the coarse level: x from zero, and r = b - A x. */
QDS_VECTORISE static void smooth_before(const member *m, int l) {
  const pass p = pass_over(m, l);
  for (int64_t line = p.lines.first; line < p.lines.last; line++) {
    smooth_first(&p, line, p.v->b);
    memcpy(p.v->r + line * p.length, p.v->b + line * p.length, sizeof(float) * (size_t)p.length);
  }
  meet(m);
  smooth_second(m, l, 1);
  for (int64_t line = p.lines.first; line < p.lines.last; line++)
    residual_line(m, &p, line, p.v->y, p.v->r, p.v->r);
  meet(m);
}

/* After the coarse correction: two more Chebyshev steps. */
QDS_VECTORISE static void smooth_after(const member *m, int l) {
  const pass p = pass_over(m, l);
  for (int64_t line = p.lines.first; line < p.lines.last; line++) {
    residual_line(m, &p, line, p.v->x, p.v->b, p.v->r);
    smooth_first(&p, line, p.v->r);
  }
  meet(m);
  smooth_second(m, l, 0);
}

/* b of the next coarser level = transposed interpolation of r. */
QDS_VECTORISE static void restrict_residual(const member *m, int l) {
  const qds_level *fine = &m->mg->level[l], *coarse = &m->mg->level[l + 1];
  const qds_transfer *t0 = &fine->transfer[0], *t1 = &fine->transfer[1], *t2 = &fine->transfer[2];
  const float *r = m->work->level[l].r;
  const int64_t n = fine->n[2];
  const range lines = share(m, coarse->n[0] * coarse->n[1]);
  for (int64_t line = lines.first; line < lines.last; line++) {
    const int64_t big_i = line / coarse->n[1], big_j = line % coarse->n[1];
    float *restrict sum = m->line;
    memset(sum, 0, sizeof(float) * (size_t)n);
    for (int64_t g0 = t0->gather_start[big_i]; g0 < t0->gather_start[big_i + 1]; g0++)
      for (int64_t g1 = t1->gather_start[big_j]; g1 < t1->gather_start[big_j + 1]; g1++) {
        const float weight = t0->gather_weight[g0] * t1->gather_weight[g1];
        const float *restrict from = r + (t0->gather_at[g0] * fine->n[1] + t1->gather_at[g1]) * n;
        for (int64_t k = 0; k < n; k++) sum[k] += weight * from[k];
      }
    float *b = m->work->level[l + 1].b + line * coarse->n[2];
    for (int64_t k = 0; k < coarse->n[2]; k++) {
      float total = 0;
      for (int64_t g = t2->gather_start[k]; g < t2->gather_start[k + 1]; g++)
        total += t2->gather_weight[g] * sum[t2->gather_at[g]];
      b[k] = total;
    }
  }
  meet(m);
}

/* x += interpolation of the next coarser level's x. */
QDS_VECTORISE static void correct(const member *m, int l) {
  const qds_level *fine = &m->mg->level[l], *coarse = &m->mg->level[l + 1];
  const qds_transfer *t0 = &fine->transfer[0], *t1 = &fine->transfer[1], *t2 = &fine->transfer[2];
  const float *from = m->work->level[l + 1].x;
  const int64_t n = coarse->n[2];
  const range lines = share(m, fine->n[0] * fine->n[1]);
  for (int64_t line = lines.first; line < lines.last; line++) {
    const int64_t i = line / fine->n[1], j = line % fine->n[1];
    float *restrict sum = m->line;
    memset(sum, 0, sizeof(float) * (size_t)n);
    for (int s0 = 0; s0 < 2; s0++)
      for (int s1 = 0; s1 < 2; s1++) {
        const float weight = t0->weight[s0][i] * t1->weight[s1][j];
        if (weight == 0) continue;
        const float *restrict part = from + (t0->at[s0][i] * coarse->n[1] + t1->at[s1][j]) * n;
        for (int64_t k = 0; k < n; k++) sum[k] += weight * part[k];
      }
    float *x = m->work->level[l].x + line * fine->n[2];
    for (int64_t k = 0; k < fine->n[2]; k++)
      x[k] += t2->weight[0][k] * sum[t2->at[0][k]] + t2->weight[1][k] * sum[t2->at[1][k]];
  }
  meet(m);
}

QDS_VECTORISE static void solve_coarsest(const member *m, int l) {
  const int64_t rows = m->mg->level[l].rows;
  const qds_level_vectors *v = &m->work->level[l];
  const range mine = share(m, rows);
  for (int64_t i = mine.first; i < mine.last; i++) {
    const float *restrict row = m->mg->coarse_inverse + i * rows, *restrict b = v->b;
    float sum = 0;
    for (int64_t j = 0; j < rows; j++) sum += row[j] * b[j];
    v->x[i] = sum;
  }
  meet(m);
}

static void cycle(const member *m, int l) {
  if (l == m->mg->levels - 1) {
    solve_coarsest(m, l);
    return;
  }
  smooth_before(m, l);
  restrict_residual(m, l);
  cycle(m, l + 1);
  correct(m, l);
  smooth_after(m, l);
}

/* One column: scaled to unit size on the way into single precision, so that nothing under- or overflows, and
 * from scaled unknowns to psi and back. */
static void precondition(const member *m, int l, double size, const double *x, double *y) {
  const qds_level *level = &m->mg->level[l];
  const qds_level_vectors *v = &m->work->level[l];
  const int64_t n = level->n[2];
  const range lines = share(m, level->n[0] * level->n[1]);
  const double *root = level->root[2], *inverse_root = level->inverse_root[2],
               inverse = size > 0 ? 1 / size : 0;
  for (int64_t line = lines.first; line < lines.last; line++) {
    const double factor = inverse / qds_level_line_scale(level, line / level->n[1], line % level->n[1]);
    for (int64_t k = 0; k < n; k++) v->b[line * n + k] = (float)(x[line * n + k] * factor * inverse_root[k]);
  }
  meet(m);
  cycle(m, l);
  for (int64_t line = lines.first; line < lines.last; line++) {
    const double factor = size * qds_level_line_scale(level, line / level->n[1], line % level->n[1]);
    for (int64_t k = 0; k < n; k++) y[line * n + k] = v->x[line * n + k] * factor * root[k];
  }
  meet(m);
}

qds_status qds_multigrid_host_cycle(void *self, qds_context *ctx, const qds_block *x, qds_block *y) {
  const qds_multigrid_handle *handle = self;
  qds_multigrid *mg = handle->multigrid;
  const int columns = x->columns;
  QDS_AUTO_RELEASE double *scale = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), columns, "multigrid", &scale));
  for (int j = 0; j < columns; j++)
    scale[j] = sqrt(qds_vector_dot(ctx, x->rows, qds_block_column(x, j), qds_block_column(x, j)));
  const int worth_sharing = columns * mg->level[handle->level].rows > FEWEST_SHARED_NUMBERS;
#pragma omp parallel num_threads(mg->teams * mg->team_size) if (worth_sharing)
  {
    /* Without the threads that were asked for, the first does the whole work. */
    const int all = omp_get_num_threads() == mg->teams * mg->team_size, thread = omp_get_thread_num();
    const int teams = all ? mg->teams : 1, size = all ? mg->team_size : 1, team = thread / size;
    qds_multigrid_workspace *work = &mg->workspace[team];
    const member m = {mg, work, thread % size, size, work->line + (thread % size) * 2 * mg->level[0].n[2]};
    for (int j = team; team < teams && j < columns; j += teams)
      precondition(&m, handle->level, scale[j], qds_block_column(x, j), qds_block_column(y, j));
  }
  return QDS_OK;
}
