#include "dot/measure.h"

#include <math.h>
#include <string.h>

#include "la/axis_means.h"

enum { MOST_GROUPS = 64 }; /* of lines, which are summed one after the other */

/* Arrays in memory of the states' place, and what comes to the host of one state. */
typedef struct {
  const qds_device *d;
  const qds_tensor_operator *t;
  const qds_runs *fractions;
  qds_stream *stream;
  int parts, threads;
  int64_t lines, runs;
  qds_run_sums_arguments sums;
  qds_axis_means_arguments means;
  double *share[3], *scale[3], *along, *mean, *sum_there, *peak_there;
  int64_t *start;
  qds_run *run;
  double *sum, *peak;  /* on the host */
  double *marginal[3]; /* the probability at each plane of nodes along the axis */
  double *line;        /* lines: the probability on it; later a line of each part */
} measuring;

static void measuring_clear(measuring *m) {
  void *const there[] = {m->along, m->mean, m->sum_there, m->peak_there, m->start, m->run};
  for (size_t i = 0; i < sizeof there / sizeof *there; i++) qds_stream_release(m->stream, there[i]);
  for (int a = 0; a < 3; a++) {
    qds_stream_release(m->stream, m->share[a]);
    qds_stream_release(m->stream, m->scale[a]);
    qds_release(m->marginal[a]);
  }
  qds_release(m->sum);
  qds_release(m->peak);
  qds_release(m->line);
}

/* --- what the kernels need ------------------------------------------------------------------------------ */

static qds_status upload_axis(measuring *m, int a) {
  const qds_axis *axis = m->t->axis[a];
  QDS_AUTO_RELEASE double *share = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(m->d->ctx), axis->nodes, "result", &share));
  for (int64_t node = 0; node < axis->nodes; node++) {
    const int64_t unknown = qds_axis_unknown(axis, node);
    share[node] = unknown < 0 ? 0 : axis->weights_nm[node] / axis->mass[unknown];
  }
  QDS_TRY(QDS_STREAM_NEW(m->stream, axis->nodes, "result", &m->share[a]));
  QDS_TRY(QDS_STREAM_NEW(m->stream, axis->unknowns, "result", &m->scale[a]));
  QDS_TRY(qds_stream_copy(m->stream, m->share[a], share, sizeof *share * (size_t)axis->nodes));
  QDS_TRY(qds_stream_copy(m->stream, m->scale[a], axis->scale, sizeof *share * (size_t)axis->unknowns));
  m->sums.axis[a] = (qds_run_axis){.nodes = (int)axis->nodes,
                                   .n = (int)axis->unknowns,
                                   .first = (int)axis->first,
                                   .periodic = axis->boundary[1] == QDS_PERIODIC,
                                   .share = m->share[a],
                                   .scale = m->scale[a]};
  m->means.n[a] = (int)axis->unknowns;
  return QDS_NEW(qds_context_allocator(m->d->ctx), axis->nodes, "result", &m->marginal[a]);
}

static qds_status upload_runs(measuring *m) {
  const qds_runs *f = m->fractions;
  QDS_TRY(QDS_STREAM_NEW(m->stream, f->lines + 1, "result", &m->start));
  QDS_TRY(QDS_STREAM_NEW(m->stream, m->runs, "result", &m->run));
  QDS_TRY(qds_stream_copy(m->stream, m->start, f->start, sizeof *f->start * (size_t)(f->lines + 1)));
  QDS_TRY(qds_stream_copy(m->stream, m->run, f->run, sizeof *f->run * (size_t)m->runs));
  QDS_TRY(QDS_STREAM_NEW(m->stream, m->runs, "result", &m->sum_there));
  QDS_TRY(QDS_STREAM_NEW(m->stream, m->lines, "result", &m->peak_there));
  m->sums.start = m->start;
  m->sums.run = m->run;
  m->sums.sum = m->sum_there;
  m->sums.peak = m->peak_there;
  return QDS_OK;
}

static qds_status prepare(measuring *m) {
  qds_allocator *allocator = qds_context_allocator(m->d->ctx);
  const int64_t *n = m->t->n, room = m->parts * n[2];
  for (int a = 0; a < 3; a++) QDS_TRY(upload_axis(m, a));
  QDS_TRY(upload_runs(m));
  QDS_TRY(QDS_STREAM_NEW(m->stream, n[0] * (n[1] + n[2]), "result", &m->along));
  QDS_TRY(QDS_STREAM_NEW(m->stream, n[2], "result", &m->mean));
  m->means.source = QDS_MEANS_OF_SQUARES;
  m->means.along_last = m->along;
  m->means.along_middle = m->along + n[0] * n[1];
  m->means.mean[2] = m->mean;
  QDS_TRY(QDS_NEW(allocator, m->runs, "result", &m->sum));
  QDS_TRY(QDS_NEW(allocator, m->lines, "result", &m->peak));
  return QDS_NEW(allocator, m->lines > room ? m->lines : room, "result", &m->line);
}

/* Runs the kernels on one state and brings their numbers to the host. */
static qds_status sum_up(measuring *m, const double *u) {
  const qds_axis *z = m->t->axis[2];
  m->sums.vectors = m->means.vectors = (qds_columns){(double *)(uintptr_t)u, m->t->rows, m->parts};
  QDS_TRY(qds_stream_launch(m->stream, &qds_run_sums_kernel, &m->sums));
  QDS_TRY(qds_stream_launch(m->stream, &qds_axis_means_kernel, &m->means));
  QDS_TRY(qds_stream_fetch(m->stream, m->sum, m->sum_there, sizeof *m->sum * (size_t)m->runs));
  QDS_TRY(qds_stream_fetch(m->stream, m->peak, m->peak_there, sizeof *m->peak * (size_t)m->lines));
  QDS_TRY(qds_stream_fetch(m->stream, m->line, m->mean, sizeof *m->line * (size_t)m->t->n[2]));
  for (int64_t node = 0; node < z->nodes; node++) {
    const int64_t unknown = qds_axis_unknown(z, node);
    m->marginal[2][node] = unknown < 0 ? 0 : m->line[unknown] * (z->weights_nm[node] / z->mass[unknown]);
  }
  return QDS_OK;
}

/* --- from sums over runs -------------------------------------------------------------------------------- */

/* The probability at the planes of nodes along the first two axes, from that on each line. */
static void sum_lines(measuring *m) {
  const int64_t n0 = m->t->axis[0]->nodes, n1 = m->t->axis[1]->nodes;
  const int64_t *start = m->fractions->start;
#pragma omp parallel num_threads(m->threads)
  {
#pragma omp for schedule(static)
    for (int64_t line = 0; line < m->lines; line++) {
      m->line[line] = 0;
      for (int64_t r = start[line]; r < start[line + 1]; r++) m->line[line] += m->sum[r];
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < n0; i++) {
      m->marginal[0][i] = 0;
      for (int64_t j = 0; j < n1; j++) m->marginal[0][i] += m->line[i * n1 + j];
    }
#pragma omp for schedule(static)
    for (int64_t j = 0; j < n1; j++) {
      m->marginal[1][j] = 0;
      for (int64_t i = 0; i < n0; i++) m->marginal[1][j] += m->line[i * n1 + j];
    }
  }
}

/* The lines are cut into groups, which are added up in order, so that the threads change nothing. */
static qds_status sum_materials(const measuring *m, double *probability) {
  const qds_runs *f = m->fractions;
  const int materials = f->width;
  const int64_t groups = m->lines < MOST_GROUPS ? m->lines : MOST_GROUPS;
  QDS_AUTO_RELEASE double *parts = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(m->d->ctx), groups * materials, "result", &parts));
#pragma omp parallel for num_threads(m->threads) schedule(static)
  for (int64_t group = 0; group < groups; group++)
    for (int64_t r = f->start[m->lines * group / groups]; r < f->start[m->lines * (group + 1) / groups];
         r++) {
      const double *fraction = f->table + (int64_t)f->run[r].row * materials;
      for (int k = 0; k < materials; k++) parts[group * materials + k] += fraction[k] * m->sum[r];
    }
  memset(probability, 0, sizeof *probability * (size_t)materials);
  for (int64_t group = 0; group < groups; group++)
    for (int k = 0; k < materials; k++) probability[k] += parts[group * materials + k];
  return QDS_OK;
}

/* --- numbers of a state --------------------------------------------------------------------------------- */

/* The bilinear form, which normalises states of open devices, is no probability. */
static void normalise(const measuring *m, double *probability) {
  double sum = 0;
  for (int64_t i = 0; i < m->t->axis[0]->nodes; i++) sum += m->marginal[0][i];
  for (int k = 0; k < m->fractions->width; k++) probability[k] /= sum;
  for (int a = 0; a < 3; a++)
    for (int64_t i = 0; i < m->t->axis[a]->nodes; i++) m->marginal[a][i] /= sum;
}

/* Mean position and spread from the probability at each plane of nodes along an axis. */
static void moments_along(const qds_axis *axis, const double *marginal, double *position, double *spread) {
  double mean = 0, square = 0;
  for (int64_t i = 0; i < axis->nodes; i++) mean += marginal[i] * axis->coordinates_nm[i];
  for (int64_t i = 0; i < axis->nodes; i++) square += marginal[i] * pow(axis->coordinates_nm[i] - mean, 2);
  *position = mean;
  *spread = sqrt(square);
}

/* The first of the largest values of psi: its line is known, and comes to the host whole. */
static qds_status find_phase(measuring *m, const double *u, qds_phase *phase) {
  const qds_tensor_operator *t = m->t;
  const int64_t n = t->n[2], n1 = t->axis[1]->nodes;
  int64_t peak = 0, at = 0;
  double largest = -1;
  for (int64_t line = 1; line < m->lines; line++)
    if (m->peak[line] > m->peak[peak]) peak = line;
  const int64_t i = qds_axis_unknown(t->axis[0], peak / n1), j = qds_axis_unknown(t->axis[1], peak % n1);
  *phase = (qds_phase){1, 0};
  if (i < 0 || j < 0) return QDS_OK;
  for (int part = 0; part < m->parts; part++)
    QDS_TRY(qds_stream_fetch(m->stream, m->line + part * n, u + part * t->rows + (i * t->n[1] + j) * n,
                             sizeof *u * (size_t)n));
  const double line_scale = t->axis[0]->scale[i] * t->axis[1]->scale[j], *re = m->line, *im = m->line + n;
  for (int64_t k = 0; k < n; k++) {
    const double x = re[k] * line_scale * t->axis[2]->scale[k],
                 y = m->parts == 2 ? im[k] * line_scale * t->axis[2]->scale[k] : 0;
    if (x * x + y * y <= largest) continue;
    largest = x * x + y * y;
    at = k;
  }
  if (m->parts == 1) {
    if (re[at] < 0) phase->re = -1;
  } else if (largest > 0) {
    const double modulus = hypot(re[at], im[at]);
    *phase = (qds_phase){re[at] / modulus, -im[at] / modulus};
  }
  return QDS_OK;
}

static qds_status measure_state(measuring *m, const double *u, qds_moments *moments, double *probability,
                                qds_phase *phase) {
  const qds_device *d = m->d;
  QDS_TRY(sum_up(m, u));
  sum_lines(m);
  QDS_TRY(sum_materials(m, probability));
  *phase = (qds_phase){1, 0};
  if (d->open.method != QDS_CLOSED)
    normalise(m, probability);
  else
    QDS_TRY(find_phase(m, u, phase));
  for (int user = 0; user < d->dimension; user++) {
    const int a = qds_device_axis(d, user);
    moments_along(d->axis[a], m->marginal[a], &moments->position_nm[user], &moments->spread_nm[user]);
  }
  return QDS_OK;
}

qds_status qds_measure(const qds_device *d, const qds_tensor_operator *t, const qds_runs *fractions,
                       const qds_block *x, int states, qds_moments *moments, double *probability,
                       qds_phase *phases) {
  qds_stream host = {NULL, NULL, qds_context_allocator(d->ctx), qds_context_threads(d->ctx)};
  __attribute__((cleanup(measuring_clear))) measuring m = {.d = d,
                                                           .t = t,
                                                           .fractions = fractions,
                                                           .stream = x->stream ? x->stream : &host,
                                                           .parts = qds_device_parts(d),
                                                           .threads = qds_context_threads(d->ctx),
                                                           .lines = fractions->lines,
                                                           .runs = fractions->start[fractions->lines]};
  QDS_TRY(prepare(&m));
  for (int s = 0; s < states; s++) {
    QDS_TRY(measure_state(&m, qds_block_column(x, s), &moments[s], probability + s * fractions->width,
                          &phases[s]));
    QDS_TRY(qds_progress(d->ctx, "measure", (s + 1.0) / states, "state %d of %d", s + 1, states));
  }
  return QDS_OK;
}
