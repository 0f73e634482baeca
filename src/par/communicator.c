#include "par/communicator.h"

#include <string.h>

/* One process alone: a reduction of one value is that value. */
static int serial_rank(const qds_communicator *self) {
  (void)self;
  return 0;
}

static int serial_size(const qds_communicator *self) {
  (void)self;
  return 1;
}

static qds_status serial_barrier(qds_communicator *self) {
  (void)self;
  return QDS_OK;
}

static qds_status serial_all_reduce_double(qds_communicator *self, qds_reduction reduction, size_t count,
                                           double *values) {
  (void)self, (void)reduction, (void)count, (void)values;
  return QDS_OK;
}

static qds_status serial_all_reduce_int64(qds_communicator *self, qds_reduction reduction, size_t count,
                                          int64_t *values) {
  (void)self, (void)reduction, (void)count, (void)values;
  return QDS_OK;
}

static qds_status serial_broadcast(qds_communicator *self, int root, void *data, size_t bytes) {
  (void)self, (void)root, (void)data, (void)bytes;
  return QDS_OK;
}

static qds_status serial_all_to_all(qds_communicator *self, const qds_parcels *send,
                                    const qds_parcels *receive) {
  (void)self;
  if (send->bytes[0])
    memcpy(receive->data + receive->offsets[0], send->data + send->offsets[0], send->bytes[0]);
  return QDS_OK;
}

static void serial_destroy(qds_communicator *self) {
  (void)self;
}

static const qds_communicator_operations serial_operations = {
    .name = "serial",
    .rank = serial_rank,
    .size = serial_size,
    .barrier = serial_barrier,
    .all_reduce_double = serial_all_reduce_double,
    .all_reduce_int64 = serial_all_reduce_int64,
    .broadcast = serial_broadcast,
    .all_to_all = serial_all_to_all,
    .destroy = serial_destroy,
};

void qds_communicator_make_serial(qds_communicator *out) {
  out->operations = &serial_operations;
}

void qds_communicator_destroy(qds_communicator *self) {
  if (self) self->operations->destroy(self);
}

int qds_communicator_rank(const qds_communicator *self) {
  return self->operations->rank(self);
}
int qds_communicator_size(const qds_communicator *self) {
  return self->operations->size(self);
}
qds_status qds_barrier(qds_communicator *self) {
  return self->operations->barrier(self);
}

static qds_status check_reduction(qds_reduction reduction, size_t count, const void *values) {
  QDS_REQUIRE(reduction == QDS_SUM || reduction == QDS_MIN || reduction == QDS_MAX,
              "reduction %d: QDS_SUM, QDS_MIN and QDS_MAX are allowed", (int)reduction);
  QDS_REQUIRE(values || count == 0, "%zu values to reduce at NULL", count);
  return QDS_OK;
}

qds_status qds_all_reduce_double(qds_communicator *self, qds_reduction reduction, size_t count,
                                 double *values) {
  QDS_TRY(check_reduction(reduction, count, values));
  return self->operations->all_reduce_double(self, reduction, count, values);
}

qds_status qds_all_reduce_int64(qds_communicator *self, qds_reduction reduction, size_t count,
                                int64_t *values) {
  QDS_TRY(check_reduction(reduction, count, values));
  return self->operations->all_reduce_int64(self, reduction, count, values);
}

qds_status qds_broadcast(qds_communicator *self, int root, void *data, size_t bytes) {
  const int size = qds_communicator_size(self);
  QDS_REQUIRE(root >= 0 && root < size, "broadcast from rank %d of %d", root, size);
  QDS_REQUIRE(data || bytes == 0, "%zu bytes to broadcast at NULL", bytes);
  return self->operations->broadcast(self, root, data, bytes);
}

qds_status qds_all_to_all(qds_communicator *self, const qds_parcels *send, const qds_parcels *receive) {
  const int rank = qds_communicator_rank(self);
  QDS_REQUIRE(send->bytes[rank] == receive->bytes[rank],
              "rank %d sends %zu bytes to itself and wants to receive %zu", rank, send->bytes[rank],
              receive->bytes[rank]);
  return self->operations->all_to_all(self, send, receive);
}
