/* Anderson's acceleration of a fixed-point iteration x = g(x) (J. ACM 12 (1965) 547; Walker, Ni, SIAM J.
 * Numer. Anal. 49 (2011) 1715): the next x is the combination of the last ones whose residual g(x) - x is
 * least, plus that residual. */
#ifndef QDS_LA_ANDERSON_H
#define QDS_LA_ANDERSON_H

#include "la/block.h"

typedef struct qds_anderson qds_anderson;

/* Remembers at most `depth` steps of vectors of `rows` doubles, in memory of the stream's place (NULL: of the
 * host). Errors: MEMORY, BUDGET, those of the device. */
qds_status qds_anderson_create(qds_context *ctx, qds_stream *stream, int64_t rows, int depth,
                               qds_anderson **out);
void qds_anderson_destroy(qds_anderson *anderson);
QDS_AUTO_DEFINE(qds_anderson)

/* From x and g(x), blocks of one column, the next x, which replaces g. Affine: what all vectors share
 * (boundary values) they keep. */
qds_status qds_anderson_next(qds_anderson *anderson, const qds_block *x, qds_block *g);
/* Forgets all steps. */
void qds_anderson_reset(qds_anderson *anderson);

#endif
