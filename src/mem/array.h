/* Arrays below the context, and what array.c shares with dlpack.c. What concerns a single array is public
 * (qdsim/array.h). */
#ifndef QDS_MEM_ARRAY_H
#define QDS_MEM_ARRAY_H

#include <pthread.h>
#include <stdatomic.h>

#include "mem/buffer.h"
#include "mem/dlpack.h"
#include "qdsim/array.h"

/* Those who borrow at one place. */
typedef struct {
  size_t borrowers;
  int writes;
  void *pointer;
} qds_array_side;

struct qds_array {
  atomic_size_t references;
  qds_buffer_manager *manager;
  /* Of Python. Beside memory of another library it is empty, and keeps what the array needs of its context.
   */
  qds_buffer *buffer;
  void *foreign; /* the struct of another library; NULL: the memory is the buffer's */
  int versioned;
  qds_dl_tensor tensor; /* of the other library */
  int readonly;
  qds_array_form form;
  size_t bytes;
  pthread_mutex_t lock; /* guards the sides */
  qds_array_side sides[QDS_PLACES];
};

qds_status qds_array_new(qds_buffer_manager *manager, const qds_array_form *form, qds_mem_strategy strategy,
                         const char *tag, const char *file, int line, qds_array **out);
qds_status qds_array_wrap(qds_buffer_manager *manager, void *tensor, int versioned, const char *file,
                          int line, qds_array **out);

/* Memory for a record; buffers are moved out of its way. qds_release gives it back. */
qds_status qds_array_record(qds_buffer_manager *manager, size_t bytes, void **out);
/* The bytes of all elements. */
qds_status qds_array_measure(const qds_array_form *form, size_t *bytes);
/* Waits for what other libraries have enqueued on the default stream of the manager's GPU, if it is one. */
qds_status qds_array_wait(qds_buffer_manager *manager);

#endif
