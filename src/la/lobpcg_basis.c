#include <float.h>
#include <math.h>
#include <string.h>

#include "la/lobpcg_internal.h"

/* Directions below this squared length, relative to what they were before their parts along others were taken
 * away, are rounding noise and are dropped. */
static const double noise = 1e-13;
/* The same for vectors that have been made orthonormal once: what is new in them keeps its length. */
static const double noise_again = 1e-2;
/* Below this an orthonormalisation through the Gram matrix has lost half of its digits. */
static const double separation_tolerance = 1e-7;
/* When less than this part of the squared length of a direction lies outside x and p, taking the rest away in
 * the small matrices alone would multiply the error of x^T p, which is taken to be zero, by the inverse of
 * its root; repeated, that grows without bound. */
static const double overlap_tolerance = 0.5;
/* Above this it has lost next to nothing. */
static const double good_separation = 1e-2;

/* c (m x n) = op(a) op(b), column-major. */
static void multiply(const qds_blas *blas, const char *ta, const char *tb, int m, int n, int k,
                     const double *a, int lda, const double *b, int ldb, double *c, int ldc) {
  const double one = 1, zero = 0;
  if (m > 0 && n > 0) blas->dgemm(ta, tb, &m, &n, &k, &one, a, &lda, b, &ldb, &zero, c, &ldc);
}

/* From the n x n Gram matrix of some vectors, coefficients (n x *rank, leading dimension n) that make them
 * orthonormal. Vectors shorter than `drop` times their squared length in `lengths` (NULL: none) are left out,
 * and so are combinations shorter than `drop` times the longest. *smallest is the least eigenvalue of the
 * Gram matrix scaled to unit diagonal. `gram` is destroyed. */
static qds_status orthonormalise(qds_context *ctx, int n, double *gram, const double *lengths, double drop,
                                 double *coefficients, int *rank, double *smallest) {
  QDS_AUTO_RELEASE double *scale = NULL, *values = NULL;
  *rank = 0;
  *smallest = 1;
  if (n == 0) return QDS_OK;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), n, "eigensolver", &scale));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), n, "eigensolver", &values));
  for (int j = 0; j < n; j++) {
    const double square = gram[j * n + j], least = fmax(lengths ? drop * lengths[j] : 0, DBL_MIN);
    scale[j] = square > least ? 1 / sqrt(square) : 0;
  }
  for (int j = 0; j < n; j++)
    for (int i = 0; i < n; i++) gram[j * n + i] *= scale[i] * scale[j];
  QDS_TRY(qds_symmetric_eigen(ctx, n, gram, values));
  *smallest = values[0];
  for (int j = n - 1; j >= 0 && values[j] > drop * values[n - 1] && values[j] > 0; j--, ++*rank)
    for (int i = 0; i < n; i++) coefficients[*rank * n + i] = scale[i] * gram[j * n + i] / sqrt(values[j]);
  return QDS_OK;
}

/* The coefficients, in terms of [x p w], of an orthonormal basis of their span: x and p as they are, then w
 * less its parts along x and p, made orthonormal. basis: d x *q. */
static qds_status orthonormal_basis(qds_context *ctx, qds_lobpcg_state *s, double drop, double *basis, int *q,
                                    int *separated) {
  const int nxp = s->m + s->np, nw = s->nw, d = nxp + nw, ld = 2 * nw;
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO_RELEASE double *gram = NULL, *coefficients = NULL, *lengths = NULL;
  QDS_TRY(QDS_NEW(allocator, nw * nw, "eigensolver", &gram));
  QDS_TRY(QDS_NEW(allocator, nw * nw, "eigensolver", &coefficients));
  QDS_TRY(QDS_NEW(allocator, nw, "eigensolver", &lengths));
  *separated = 1;
  for (int j = 0; j < nw; j++) {
    lengths[j] = s->gram[(nxp + j) * ld + j];
    for (int i = 0; i < nw; i++) {
      double sum = s->gram[(nxp + j) * ld + i];
      for (int k = 0; k < nxp; k++) sum -= s->gram[k * ld + i] * s->gram[k * ld + j];
      gram[j * nw + i] = sum;
    }
    if (!(gram[j * nw + j] > overlap_tolerance * lengths[j])) *separated = 0;
  }
  int rank = 0;
  double smallest = 1;
  QDS_TRY(orthonormalise(ctx, nw, gram, lengths, drop, coefficients, &rank, &smallest));
  if (smallest < separation_tolerance) *separated = 0;
  memset(basis, 0, sizeof(double) * (size_t)d * (size_t)(nxp + rank));
  for (int j = 0; j < nxp; j++) basis[j * d + j] = 1;
  for (int j = 0; j < rank; j++) {
    double *column = basis + (nxp + j) * d;
    memcpy(column + nxp, coefficients + j * nw, sizeof(double) * (size_t)nw);
    for (int k = 0; k < nxp; k++)
      for (int i = 0; i < nw; i++) column[k] -= s->gram[k * ld + i] * column[nxp + i];
  }
  *q = nxp + rank;
  return QDS_OK;
}

/* [x p w]^T A [x p w], d x d: x^T A x is diagonal and x^T A p is zero since the last Rayleigh-Ritz step. */
static void projected_operator(const qds_lobpcg_state *s, double *projected) {
  const int m = s->m, nxp = m + s->np, d = nxp + s->nw, ld = 2 * s->nw;
  memset(projected, 0, sizeof(double) * (size_t)d * (size_t)d);
  for (int j = 0; j < m; j++) projected[j * d + j] = s->eigenvalues[j];
  for (int j = 0; j < s->np; j++)
    for (int i = 0; i < s->np; i++) projected[(m + j) * d + m + i] = s->p_gram[j * s->np + i];
  for (int j = 0; j < d; j++)
    for (int i = 0; i < s->nw; i++) {
      const double value = s->gram[j * ld + s->nw + i];
      projected[j * d + nxp + i] = value;
      if (j < nxp) projected[(nxp + i) * d + j] = value;
    }
  for (int j = nxp; j < d; j++)
    for (int i = nxp; i < j; i++) {
      const double mean = 0.5 * (projected[j * d + i] + projected[i * d + j]);
      projected[j * d + i] = projected[i * d + j] = mean;
    }
}

/* Replaces n vectors of q numbers by *count orthonormal ones of the same span. `gram` and `coefficients` hold
 * n x n numbers. The second pass removes what rounding has left when the vectors are nearly dependent. */
static qds_status orthonormalise_small(qds_context *ctx, const qds_blas *blas, int q, int n, double *gram,
                                       double *coefficients, double *vectors, int *count) {
  QDS_AUTO_RELEASE double *old = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), (size_t)q * (size_t)n, "eigensolver", &old));
  *count = n;
  for (int pass = 0; pass < 2; pass++) {
    const int from = *count;
    double smallest;
    memcpy(old, vectors, sizeof(double) * (size_t)q * (size_t)from);
    multiply(blas, "T", "N", from, from, q, old, q, old, q, gram, from);
    QDS_TRY(
        orthonormalise(ctx, from, gram, NULL, pass ? noise_again : noise, coefficients, count, &smallest));
    multiply(blas, "N", "N", q, *count, from, old, q, coefficients, from, vectors, q);
  }
  return QDS_OK;
}

/* Directions of the next step: the active new vectors without their old part, orthogonal to all new vectors,
 * all in coordinates of the orthonormal basis (q). vectors: q x q Ritz vectors; directions: q x *count, with
 * room for m. */
static qds_status next_directions(qds_context *ctx, const qds_lobpcg_state *s, const int *active, int q,
                                  const double *vectors, double *directions, int *count) {
  const int m = s->m;
  qds_allocator *allocator = qds_context_allocator(ctx);
  QDS_AUTO_RELEASE double *overlap = NULL, *coefficients = NULL;
  QDS_TRY(QDS_NEW(allocator, (size_t)m * (size_t)m, "eigensolver", &overlap));
  QDS_TRY(QDS_NEW(allocator, (size_t)m * (size_t)m, "eigensolver", &coefficients));
  int n = 0;
  for (int j = 0; j < m; j++) {
    if (!active[j]) continue;
    double *direction = directions + q * n++;
    memset(direction, 0, sizeof(double) * (size_t)m);
    memcpy(direction + m, vectors + j * q + m, sizeof(double) * (size_t)(q - m));
  }
  for (int pass = 0; pass < 2; pass++) {
    multiply(s->blas, "T", "N", m, n, q, vectors, q, directions, q, overlap, m);
    for (int j = 0; j < n; j++)
      for (int k = 0; k < m; k++)
        for (int i = 0; i < q; i++) directions[j * q + i] -= vectors[k * q + i] * overlap[j * m + k];
  }
  return orthonormalise_small(ctx, s->blas, q, n, overlap, coefficients, directions, count);
}

/* p^T A p from the Ritz vectors v_k of the projected operator: sum over k of (p_i . v_k) ritz_k (v_k
 * . p_j). */
static qds_status update_p_gram(qds_context *ctx, qds_lobpcg_state *s, int q, const double *vectors,
                                const double *ritz, const double *directions, int count) {
  QDS_AUTO_RELEASE double *overlap = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), (size_t)q * (size_t)count, "eigensolver", &overlap));
  multiply(s->blas, "T", "N", q, count, q, vectors, q, directions, q, overlap, q);
  for (int j = 0; j < count; j++)
    for (int i = 0; i < count; i++) {
      double sum = 0;
      for (int k = 0; k < q; k++) sum += overlap[i * q + k] * ritz[k] * overlap[j * q + k];
      s->p_gram[j * count + i] = sum;
    }
  return QDS_OK;
}

qds_status qds_lobpcg_rayleigh_ritz(qds_context *ctx, qds_lobpcg_state *s, const int *active,
                                    int may_reorthogonalise, int *new_np, int *reorthogonalise) {
  const int m = s->m, nxp = m + s->np, d = nxp + s->nw;
  qds_allocator *allocator = qds_context_allocator(ctx);
  const size_t square = (size_t)d * (size_t)d;
  QDS_AUTO_RELEASE double *basis = NULL, *projected = NULL, *half = NULL, *ritz = NULL, *directions = NULL;
  QDS_TRY(QDS_NEW(allocator, square, "eigensolver", &basis));
  QDS_TRY(QDS_NEW(allocator, square, "eigensolver", &projected));
  QDS_TRY(QDS_NEW(allocator, square, "eigensolver", &half));
  QDS_TRY(QDS_NEW(allocator, d, "eigensolver", &ritz));
  QDS_TRY(QDS_NEW(allocator, (size_t)d * (size_t)m, "eigensolver", &directions));
  int q, separated;
  QDS_TRY(orthonormal_basis(ctx, s, may_reorthogonalise ? noise : noise_again, basis, &q, &separated));
  *reorthogonalise = !separated && may_reorthogonalise;
  if (*reorthogonalise) {
    *new_np = q - nxp;
    memcpy(s->combine, basis + nxp * d, sizeof(double) * (size_t)d * (size_t)*new_np);
    return QDS_OK;
  }
  projected_operator(s, projected);
  multiply(s->blas, "N", "N", d, q, d, projected, d, basis, d, half, d);
  multiply(s->blas, "T", "N", q, q, d, basis, d, half, d, projected, q);
  QDS_TRY(qds_symmetric_eigen(ctx, q, projected, ritz));
  QDS_TRY(next_directions(ctx, s, active, q, projected, directions, new_np));
  QDS_TRY(update_p_gram(ctx, s, q, projected, ritz, directions, *new_np));
  memcpy(s->eigenvalues, ritz, sizeof(double) * (size_t)m);
  multiply(s->blas, "N", "N", d, m, q, basis, d, projected, q, s->combine, d);
  multiply(s->blas, "N", "N", d, *new_np, q, basis, d, directions, q, s->combine + m * d, d);
  return QDS_OK;
}

qds_status qds_lobpcg_start_ritz(qds_context *ctx, const qds_blas *blas, int m, double *gram,
                                 double *projected, double *coefficients, double *eigenvalues, int *rank,
                                 int *separated) {
  qds_allocator *allocator = qds_context_allocator(ctx);
  const size_t square = (size_t)m * (size_t)m;
  QDS_AUTO_RELEASE double *basis = NULL, *half = NULL, *small = NULL;
  QDS_TRY(QDS_NEW(allocator, square, "eigensolver", &basis));
  QDS_TRY(QDS_NEW(allocator, square, "eigensolver", &half));
  QDS_TRY(QDS_NEW(allocator, square, "eigensolver", &small));
  double smallest;
  QDS_TRY(orthonormalise(ctx, m, gram, NULL, noise, basis, rank, &smallest));
  *separated = *rank == m && smallest > good_separation;
  multiply(blas, "N", "N", m, *rank, m, projected, m, basis, m, half, m);
  multiply(blas, "T", "N", *rank, *rank, m, basis, m, half, m, small, *rank);
  if (*rank == 0) return QDS_OK;
  QDS_TRY(qds_symmetric_eigen(ctx, *rank, small, eigenvalues));
  multiply(blas, "N", "N", m, *rank, *rank, basis, m, small, *rank, coefficients, m);
  return QDS_OK;
}
