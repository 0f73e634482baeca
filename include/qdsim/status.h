/* Status codes and the last error.
 *
 * Every fallible function of the library returns a qds_status. On failure its results are NULL or 0 and the
 * calling thread's last error says what was wrong, where, and what to do. The list below is the only place
 * where a status is defined: enum, names, texts, exit statuses of the command and Python exceptions follow
 * it. */
#ifndef QDSIM_STATUS_H
#define QDSIM_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#define QDS_API __attribute__((visibility("default")))

/* X(code, value, exit status of the command, text) */
#define QDS_STATUS_LIST(X)                                                                                   \
  X(QDS_OK, 0, 0, "success")                                                                                 \
  X(QDS_ERROR_ARGUMENT, 1, 2, "invalid argument")                                                            \
  X(QDS_ERROR_INPUT, 2, 3, "invalid input")                                                                  \
  X(QDS_ERROR_FILE, 3, 3, "file error")                                                                      \
  X(QDS_ERROR_MEMORY, 4, 5, "out of memory")                                                                 \
  X(QDS_ERROR_BUDGET, 5, 5, "memory budget exceeded")                                                        \
  X(QDS_ERROR_CONVERGENCE, 6, 4, "not converged")                                                            \
  X(QDS_ERROR_INTERRUPTED, 7, 130, "interrupted")                                                            \
  X(QDS_ERROR_NUMERIC, 8, 4, "not a finite number")                                                          \
  X(QDS_ERROR_UNSUPPORTED, 9, 2, "not available")                                                            \
  X(QDS_ERROR_INTERNAL, 10, 1, "internal error")

typedef enum {
#define QDS_STATUS_ENUM(code, value, exit_status, text) code = value,
  QDS_STATUS_LIST(QDS_STATUS_ENUM)
#undef QDS_STATUS_ENUM
} qds_status;

/* What went wrong in the calling thread most recently. `message` is never NULL; `file` and `line` are the
 * library source that raised it; `native` is the errno, LAPACK info or HDF5 code behind it, 0 if none. */
typedef struct {
  qds_status status;
  const char *message;
  const char *file;
  int line;
  long native;
} qds_error;

/* "QDS_ERROR_INPUT"; static storage; "unknown status" for a value outside the list. */
QDS_API const char *qds_status_name(qds_status status);
/* "invalid input"; static storage. */
QDS_API const char *qds_status_text(qds_status status);
/* The exit status that the command uses for this status: 0, 1, 2, 3, 4, 5 or 130. */
QDS_API int qds_status_exit(qds_status status);
/* The calling thread's last error; valid until its next failing call. */
QDS_API const qds_error *qds_last_error(void);
/* The library's version, "0.1.0". */
QDS_API const char *qds_version(void);

#ifdef __cplusplus
}
#endif
#endif
