/* Communication between the processes of a parallel run.
 *
 * A communicator is a table of operations, so that a plug-in can bring one; the serial one, a single process
 * of rank 0, is built into every context. Every operation but rank and size is collective: all ranks call it,
 * in the same order and with matching arguments, each from one thread. After a failure the communicator must
 * not be used again. */
#ifndef QDS_PAR_COMMUNICATOR_H
#define QDS_PAR_COMMUNICATOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "qdsim/context.h"

typedef struct qds_communicator qds_communicator;
typedef enum { QDS_SUM, QDS_MIN, QDS_MAX } qds_reduction;

/* One side of an exchange in which rank r gets, or gives, bytes[r] bytes at data + offsets[r]. */
typedef struct {
  char *data;
  const size_t *bytes, *offsets;
} qds_parcels;

/* What a back end implements. The arguments have been checked by the functions below. */
typedef struct {
  const char *name;
  int (*rank)(const qds_communicator *self);
  int (*size)(const qds_communicator *self);
  qds_status (*barrier)(qds_communicator *self);
  qds_status (*all_reduce_double)(qds_communicator *self, qds_reduction reduction, size_t count,
                                  double *values);
  qds_status (*all_reduce_int64)(qds_communicator *self, qds_reduction reduction, size_t count,
                                 int64_t *values);
  qds_status (*broadcast)(qds_communicator *self, int root, void *data, size_t bytes);
  qds_status (*all_to_all)(qds_communicator *self, const qds_parcels *send, const qds_parcels *receive);
  void (*destroy)(qds_communicator *self);
} qds_communicator_operations;

/* Back ends put their own fields behind it. */
struct qds_communicator {
  const qds_communicator_operations *operations;
};

/* The communicator of the context, owned by it. */
qds_communicator *qds_context_communicator(qds_context *ctx);
/* Makes `out` a communicator of one process; it needs no memory and no destruction. */
void qds_communicator_make_serial(qds_communicator *out);
/* NULL is allowed. */
void qds_communicator_destroy(qds_communicator *self);

int qds_communicator_rank(const qds_communicator *self);
int qds_communicator_size(const qds_communicator *self);

/* Returns when all ranks have come here. */
qds_status qds_barrier(qds_communicator *self);
/* values[i] becomes the sum, least or greatest of all ranks' values[i], the same bits on every rank; NaN
 * anywhere gives NaN. */
qds_status qds_all_reduce_double(qds_communicator *self, qds_reduction reduction, size_t count,
                                 double *values);
/* Sums must stay in range. */
qds_status qds_all_reduce_int64(qds_communicator *self, qds_reduction reduction, size_t count,
                                int64_t *values);
/* Every rank's data becomes that of rank `root`. */
qds_status qds_broadcast(qds_communicator *self, int root, void *data, size_t bytes);
/* The parcel that rank r sends to rank s arrives as the parcel that s receives from r; their bytes must
 * agree. The two sides must not overlap. */
qds_status qds_all_to_all(qds_communicator *self, const qds_parcels *send, const qds_parcels *receive);

#endif
