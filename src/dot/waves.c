#include "dot/waves.h"

#include <pthread.h>
#include <string.h>

#include "base/vectorise.h"
#include "par/pipeline.h"

/* Pieces on their way from a device: the copies of some hide the unscaling of others. */
enum { PIECE_BYTES = 32 << 20 };

typedef struct {
  int64_t nodes, n, first;
  int periodic;
  double *scale; /* n: 1 / sqrt(mass) */
} wave_axis;

struct qds_waves {
  qds_context *ctx;
  pthread_mutex_t lock;
  wave_axis axis[3];
  int parts, states, left; /* left: states that are not on the host yet */
  int64_t rows, nodes;     /* of a part on the unknowns; of a state */
  qds_phase *phase;        /* states */
  qds_block x;             /* cleared when no state is left */
  double *psi;             /* states x nodes x parts; NULL until the first is asked for */
  char *there;             /* states */
};

/* --- life ----------------------------------------------------------------------------------------------- */

static qds_status copy_axis(qds_allocator *allocator, const qds_axis *axis, wave_axis *out) {
  *out = (wave_axis){axis->nodes, axis->unknowns, axis->first, axis->boundary[1] == QDS_PERIODIC, NULL};
  QDS_TRY(QDS_NEW(allocator, axis->unknowns, "result", &out->scale));
  memcpy(out->scale, axis->scale, sizeof *out->scale * (size_t)axis->unknowns);
  return QDS_OK;
}

qds_status qds_waves_create(qds_context *ctx, const qds_tensor_operator *t, int parts, int states,
                            const qds_phase *phases, qds_block *x, qds_waves **out) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO(qds_waves) *w = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "result", &w));
  pthread_mutex_init(&w->lock, NULL);
  w->ctx = ctx;
  w->parts = parts;
  w->states = w->left = states;
  w->rows = t->rows;
  w->nodes = 1;
  for (int a = 0; a < 3; a++) {
    w->nodes *= t->axis[a]->nodes;
    QDS_TRY(copy_axis(allocator, t->axis[a], &w->axis[a]));
  }
  QDS_TRY(QDS_NEW(allocator, states, "result", &w->phase));
  QDS_TRY(QDS_NEW_ZERO(allocator, states, "result", &w->there));
  memcpy(w->phase, phases, sizeof *phases * (size_t)states);
  w->x = *x;
  *x = (qds_block){0};
  *out = w;
  w = NULL;
  return QDS_OK;
}

void qds_waves_destroy(qds_waves *w) {
  if (!w) return;
  for (int a = 0; a < 3; a++) qds_release(w->axis[a].scale);
  qds_block_clear(&w->x);
  qds_release(w->phase);
  qds_release(w->psi);
  qds_release(w->there);
  pthread_mutex_destroy(&w->lock);
  qds_release(w);
}

/* --- from unknowns to nodes ----------------------------------------------------------------------------- */

/* The nodes of an unknown: one, or both ends of a periodic axis. */
static int nodes_of(const wave_axis *axis, int64_t unknown, int64_t node[2]) {
  node[0] = unknown + axis->first;
  node[1] = axis->nodes - 1;
  return axis->periodic && unknown == 0 ? 2 : 1;
}

QDS_VECTORISE static void unscale_real(int64_t n, const double *restrict u, double line_scale,
                                       const double *restrict scale, double sign, double *restrict psi) {
  for (int64_t k = 0; k < n; k++) psi[k] = sign * (u[k] * line_scale * scale[k]);
}

QDS_VECTORISE static void unscale_complex(int64_t n, const double *restrict re, const double *restrict im,
                                          double line_scale, const double *restrict scale, qds_phase phase,
                                          double *restrict psi) {
  for (int64_t k = 0; k < n; k++) {
    const double x = re[k] * line_scale * scale[k], y = im[k] * line_scale * scale[k];
    psi[2 * k] = phase.re * x - phase.im * y;
    psi[2 * k + 1] = phase.im * x + phase.re * y;
  }
}

/* A line of nodes from one of unknowns, whose parts are `stride` numbers apart. */
static void unscale_line(const qds_waves *w, qds_phase phase, const double *u, int64_t stride, double scale,
                         double *psi) {
  const wave_axis *z = &w->axis[2];
  const size_t node = sizeof *psi * (size_t)w->parts;
  double *inner = psi + z->first * w->parts, *last = psi + (z->nodes - 1) * w->parts;
  if (z->first > 0) memset(psi, 0, node);
  if (z->first + z->n < z->nodes) memset(last, 0, node);
  if (w->parts == 1)
    unscale_real(z->n, u, scale, z->scale, phase.re, inner);
  else
    unscale_complex(z->n, u, u + stride, scale, z->scale, phase, inner);
  if (z->periodic) memcpy(last, psi, node);
}

/* Lines of unknowns, `u` from the first of them on, to all lines of nodes that are theirs. */
static void unscale_lines(const qds_waves *w, qds_phase phase, int64_t first, int64_t last, const double *u,
                          int64_t stride, int threads, double *psi) {
  const wave_axis *x = &w->axis[0], *y = &w->axis[1], *z = &w->axis[2];
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = first; line < last; line++) {
    int64_t at_x[2], at_y[2];
    const int64_t i = line / y->n, j = line % y->n;
    const int on_x = nodes_of(x, i, at_x), on_y = nodes_of(y, j, at_y);
    for (int c = 0; c < on_x * on_y; c++)
      unscale_line(w, phase, u + (line - first) * z->n, stride, x->scale[i] * y->scale[j],
                   psi + (at_x[c / on_y] * y->nodes + at_y[c % on_y]) * z->nodes * w->parts);
  }
}

static int has_unknown(const wave_axis *axis, int64_t node) {
  return node >= axis->first && (node < axis->first + axis->n || axis->periodic);
}

/* The lines of nodes that lie at Dirichlet ends. */
static void clear_ends(const qds_waves *w, int threads, double *psi) {
  const wave_axis *x = &w->axis[0], *y = &w->axis[1];
  const int64_t length = w->axis[2].nodes * w->parts;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < x->nodes * y->nodes; line++)
    if (!has_unknown(x, line / y->nodes) || !has_unknown(y, line % y->nodes))
      memset(psi + line * length, 0, sizeof *psi * (size_t)length);
}

/* --- from the device ------------------------------------------------------------------------------------ */

typedef struct {
  const qds_waves *waves;
  const double *from; /* the state, on the device */
  double *psi;
  qds_phase phase;
  int64_t lines, piece; /* of unknowns: all, and of an item */
  int threads;
} journey;

static int64_t end_of_piece(const journey *j, const qds_pipeline_item *item) {
  const int64_t end = ((int64_t)item->index + 1) * j->piece;
  return end < j->lines ? end : j->lines;
}

/* The parts of a piece of lines, one after the other. */
static qds_status fetch_piece(void *user, qds_pipeline_item *item, qds_stream *stream) {
  const journey *j = user;
  const int64_t first = (int64_t)item->index * j->piece, n = j->waves->axis[2].n,
                count = (end_of_piece(j, item) - first) * n;
  for (int part = 0; part < j->waves->parts; part++)
    QDS_TRY(qds_stream_copy(stream, (double *)item->host + part * count,
                            j->from + part * j->waves->rows + first * n, sizeof(double) * (size_t)count));
  return QDS_OK;
}

static qds_status unscale_piece(void *user, qds_pipeline_item *item, qds_stream *stream) {
  const journey *j = user;
  (void)stream;
  const int64_t first = (int64_t)item->index * j->piece, last = end_of_piece(j, item);
  unscale_lines(j->waves, j->phase, first, last, item->host, (last - first) * j->waves->axis[2].n, j->threads,
                j->psi);
  return QDS_OK;
}

static qds_status bring_home(const qds_waves *w, int state, int threads, double *psi) {
  QDS_AUTO(qds_pipeline) *pipeline = NULL;
  const size_t line_bytes = sizeof(double) * (size_t)(w->axis[2].n * w->parts);
  journey j = {.waves = w,
               .from = qds_block_column(&w->x, state),
               .psi = psi,
               .phase = w->phase[state],
               .lines = w->axis[0].n * w->axis[1].n,
               .piece = line_bytes > PIECE_BYTES ? 1 : PIECE_BYTES / (int64_t)line_bytes,
               .threads = threads};
  if (j.piece > j.lines) j.piece = j.lines;
  const qds_stage stages[] = {{QDS_STAGE_COPY_OUT, "copy from the device", fetch_piece, &j},
                              {QDS_STAGE_HOST, "unscale", unscale_piece, &j}};
  const qds_pipeline_options options = {
      .stages = stages, .stage_count = 2, .item_bytes = (size_t)j.piece * line_bytes, .device_bytes = 1};
  QDS_TRY(qds_stream_synchronise(w->x.stream)); /* the pipeline's streams do not wait for the solver's */
  QDS_TRY(qds_pipeline_create(w->ctx, &options, &pipeline));
  return qds_pipeline_run(pipeline, (uint64_t)((j.lines + j.piece - 1) / j.piece), NULL);
}

/* --- on demand ------------------------------------------------------------------------------------------ */

static qds_status make_psi(qds_waves *w, int state) {
  const int threads = qds_context_threads(w->ctx);
  if (!w->psi)
    QDS_TRY(QDS_NEW(qds_context_allocator(w->ctx), w->states * w->nodes * w->parts, "result", &w->psi));
  double *psi = w->psi + state * w->nodes * w->parts;
  clear_ends(w, threads, psi);
  if (w->x.stream)
    QDS_TRY(bring_home(w, state, threads, psi));
  else
    unscale_lines(w, w->phase[state], 0, w->axis[0].n * w->axis[1].n, qds_block_column(&w->x, state), w->rows,
                  threads, psi);
  w->there[state] = 1;
  if (--w->left == 0) qds_block_clear(&w->x);
  return QDS_OK;
}

qds_status qds_waves_psi(qds_waves *w, int state, const double **psi) {
  *psi = NULL;
  pthread_mutex_lock(&w->lock);
  const qds_status status = w->there[state] ? QDS_OK : make_psi(w, state);
  if (status == QDS_OK) *psi = w->psi + state * w->nodes * w->parts;
  pthread_mutex_unlock(&w->lock);
  return status;
}
