#include "dot/maps.h"

#include <pthread.h>
#include <string.h>

#include "dot/coefficient.h"
#include "dot/medium_runs.h"

struct qds_maps {
  qds_context *ctx;
  pthread_mutex_t lock;
  qds_runs volumes, middles;
  double *row_edge, *row_energy; /* of the volumes' rows: the band edge, the carrier's energy */
  double *band_edge;             /* nodes; NULL until it is made */
  unsigned char *material;       /* cells; the same */
};

/* Cells lie between the nodes; a point axis has one. */
static qds_status map_middles(const qds_device *d, qds_runs *out) {
  qds_intervals cells[3];
  for (int a = 0; a < 3; a++) {
    const qds_axis *axis = d->axis[a];
    cells[a] = axis->nodes > 1 ? (qds_intervals){axis->nodes - 1, axis->coordinates_nm}
                               : (qds_intervals){1, axis->dual_nm};
  }
  QDS_REQUIRE(d->materials <= 256, "a map holds at most 256 materials; got %d", d->materials);
  return qds_medium_middles(d->ctx, &d->medium, d->dimension, cells, out);
}

static qds_status average_edges(const qds_device *d, qds_maps *maps) {
  const qds_runs *volumes = &maps->volumes;
  const double sign = d->carrier == QDS_ELECTRON ? 1 : -1;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), volumes->rows, "result", &maps->row_edge));
  QDS_TRY(QDS_NEW(qds_context_allocator(d->ctx), volumes->rows, "result", &maps->row_energy));
  for (int64_t row = 0; row < volumes->rows; row++) {
    for (int m = 0; m < d->materials; m++)
      maps->row_edge[row] += volumes->table[row * d->materials + m] * d->material[m].band_edge_eV;
    maps->row_energy[row] = sign * maps->row_edge[row];
  }
  return QDS_OK;
}

qds_status qds_maps_create(const qds_device *d, qds_maps **out) {
  QDS_AUTO(qds_maps) *maps = NULL;
  qds_intervals nodes[3];
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(d->ctx), 1, "result", &maps));
  pthread_mutex_init(&maps->lock, NULL);
  maps->ctx = d->ctx;
  for (int a = 0; a < 3; a++) nodes[a] = qds_node_intervals(d->axis[a]);
  QDS_TRY(qds_medium_fractions(d->ctx, &d->medium, d->dimension, nodes, &maps->volumes));
  QDS_TRY(map_middles(d, &maps->middles));
  QDS_TRY(average_edges(d, maps));
  *out = maps;
  maps = NULL;
  return QDS_OK;
}

void qds_maps_destroy(qds_maps *maps) {
  if (!maps) return;
  qds_runs_clear(&maps->volumes);
  qds_runs_clear(&maps->middles);
  qds_release(maps->row_edge);
  qds_release(maps->row_energy);
  qds_release(maps->band_edge);
  qds_release(maps->material);
  pthread_mutex_destroy(&maps->lock);
  qds_release(maps);
}

const qds_runs *qds_maps_volumes(const qds_maps *maps) {
  return &maps->volumes;
}

const double *qds_maps_row_energies(const qds_maps *maps) {
  return maps->row_energy;
}

static qds_status make_band_edge(qds_maps *maps) {
  const qds_runs *v = &maps->volumes;
  QDS_TRY(QDS_NEW(qds_context_allocator(maps->ctx), v->lines * v->length, "result", &maps->band_edge));
#pragma omp parallel for num_threads(qds_context_threads(maps->ctx)) schedule(static)
  for (int64_t line = 0; line < v->lines; line++)
    qds_runs_copy(v, line, 0, v->length, maps->row_edge, maps->band_edge + line * v->length);
  return QDS_OK;
}

static void copy_materials(const qds_runs *middles, int64_t line, unsigned char *to) {
  int64_t k = 0;
  for (int64_t r = middles->start[line]; r < middles->start[line + 1]; r++) {
    memset(to + k, middles->run[r].row, (size_t)(middles->run[r].end - k));
    k = middles->run[r].end;
  }
}

static qds_status make_materials(qds_maps *maps) {
  const qds_runs *m = &maps->middles;
  QDS_TRY(QDS_NEW(qds_context_allocator(maps->ctx), m->lines * m->length, "result", &maps->material));
#pragma omp parallel for num_threads(qds_context_threads(maps->ctx)) schedule(static)
  for (int64_t line = 0; line < m->lines; line++) copy_materials(m, line, maps->material + line * m->length);
  return QDS_OK;
}

qds_status qds_maps_band_edge(qds_maps *maps, double **band_edge_eV) {
  pthread_mutex_lock(&maps->lock);
  const qds_status status = maps->band_edge ? QDS_OK : make_band_edge(maps);
  *band_edge_eV = maps->band_edge;
  pthread_mutex_unlock(&maps->lock);
  return status;
}

qds_status qds_maps_materials(qds_maps *maps, const unsigned char **materials) {
  pthread_mutex_lock(&maps->lock);
  const qds_status status = maps->material ? QDS_OK : make_materials(maps);
  *materials = maps->material;
  pthread_mutex_unlock(&maps->lock);
  return status;
}
