/* Arrays: memory with a shape and a type that other libraries look into.
 *
 * The memory is that of a buffer, or that of another library, which is kept alive as long. Whoever looks into
 * it borrows it and gives it back:
 *
 *   QDS_TRY(qds_array_create(ctx, &form, QDS_MEM_ADAPTIVE, "psi", &array));
 *   QDS_TRY(qds_array_borrow(array, QDS_PLACE_HOST, 1, &pointer));
 *   ... use bytes at pointer ...
 *   qds_array_return(array, QDS_PLACE_HOST);
 *   qds_array_drop(array);
 *
 * Those who borrow at one place share one bracket of the buffer, which is open until the last of them gives
 * back; until then the memory stays where it is. A bracket that writes serves readers too. Elements lie
 * without gaps, the last axis fastest.
 *
 * An array counts as Python's: it is no leak when it outlives its context, of which then lives on what the
 * array needs. All functions may be called from any thread and need no lock of an interpreter. */
#ifndef QDSIM_ARRAY_H
#define QDSIM_ARRAY_H

#include "qdsim/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qds_array qds_array;

enum { QDS_ARRAY_AXES = 64 };

/* The kinds of numbers, with the values that DLPack gives them. */
typedef enum {
  QDS_ELEMENT_INT = 0,
  QDS_ELEMENT_UINT = 1,
  QDS_ELEMENT_FLOAT = 2,
  QDS_ELEMENT_COMPLEX = 5, /* its bits are those of both parts */
  QDS_ELEMENT_BOOL = 6
} qds_element;

typedef struct {
  qds_element element;
  int bits; /* int and uint: 8 to 64, float: 16 to 64, complex: 64 and 128, bool: 8 */
  int axes; /* 0 to QDS_ARRAY_AXES */
  int64_t shape[QDS_ARRAY_AXES];
} qds_array_form;

/* The contents are undefined. Errors: ARGUMENT (no such type, a negative extent, more bytes than there are
 * addresses), those of qds_buffer_create. */
QDS_API qds_status qds_array_create_at(qds_context *ctx, const qds_array_form *form,
                                       qds_mem_strategy strategy, const char *tag, const char *file, int line,
                                       qds_array **out);
#define qds_array_create(ctx, form, strategy, tag, out)                                                      \
  qds_array_create_at((ctx), (form), (strategy), (tag), __FILE__, __LINE__, (out))

QDS_API void qds_array_retain(qds_array *array);
/* Gives up one reference; the last one gives the memory back. NULL is allowed. */
QDS_API void qds_array_drop(qds_array *array);

typedef struct {
  qds_array_form form;
  size_t bytes;
  qds_buffer *buffer; /* NULL: the memory of another library */
  int readonly;       /* another library allows no writing */
  qds_place home;     /* HOST or DEVICE: where it is used most, or the only place where it may be used */
} qds_array_info;
QDS_API void qds_array_get_info(const qds_array *array, qds_array_info *out);

/* A pointer for the host, or for the device, whose contents are there; it is valid until given back. writes:
 * the borrower may write. Errors: ARGUMENT (lent in a way that forbids it; read and never written),
 * UNSUPPORTED (it cannot be used there), those of qds_buffer_acquire. */
QDS_API qds_status qds_array_borrow(qds_array *array, qds_place place, int writes, void **out);
/* Work on the default stream of a GPU is waited for; work on other streams must be done. */
QDS_API void qds_array_return(qds_array *array, qds_place place);

/* Copies all elements; waits. Errors: ARGUMENT (sizes differ), those of qds_array_borrow. */
QDS_API qds_status qds_array_copy(qds_array *to, qds_array *from);

/* --- DLPack ----------------------------------------------------------------------------------------------
 */

/* DLPack's type and number of the device that an export from `place` names. */
QDS_API void qds_array_location(const qds_array *array, qds_place place, int *type, int *number);

enum {
  QDS_DLPACK_READ_ONLY = 1,
  QDS_DLPACK_IS_COPIED = 2,
  QDS_DLPACK_VERSIONED = 4 /* the struct that begins with a version; without it nothing can be read-only */
};
/* A DLManagedTensor or DLManagedTensorVersioned. It holds a reference and borrows until its deleter is
 * called, from whichever thread. Errors: ARGUMENT (read-only without a version), those of qds_array_borrow.
 */
QDS_API qds_status qds_array_export(qds_array *array, qds_place place, int flags, void **out);
/* Calls the deleter of such a struct, if it has one. */
QDS_API void qds_dlpack_dispose(void *tensor, int versioned);
/* An array over the memory of such a struct, whose deleter is called with the last reference. Waits for work
 * on the default stream of a GPU. On failure the struct stays the caller's. Errors: ARGUMENT (a version, type
 * or layout that is not known here), UNSUPPORTED (not on the context's device), MEMORY, BUDGET. */
QDS_API qds_status qds_array_import_at(qds_context *ctx, void *tensor, int versioned, const char *file,
                                       int line, qds_array **out);
#define qds_array_import(ctx, tensor, versioned, out)                                                        \
  qds_array_import_at((ctx), (tensor), (versioned), __FILE__, __LINE__, (out))

#ifdef __cplusplus
}
#endif
#endif
