/* Raising and passing on errors inside the library. */
#ifndef QDS_BASE_CHECK_H
#define QDS_BASE_CHECK_H

#include "qdsim/status.h"

/* Stores the calling thread's last error and returns `status`. The message says what, where and what
 * to do. */
qds_status qds_raise(qds_status status, const char *file, int line, long native, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#define QDS_FAIL(status, ...) return qds_raise((status), __FILE__, __LINE__, 0, __VA_ARGS__)
#define QDS_FAIL_NATIVE(status, native, ...)                                                                 \
  return qds_raise((status), __FILE__, __LINE__, (long)(native), __VA_ARGS__)

/* Returns early with the status of a failing call; its message stands. */
#define QDS_TRY(call)                                                                                        \
  do {                                                                                                       \
    qds_status qds_try_status = (call);                                                                      \
    if (qds_try_status != QDS_OK) return qds_try_status;                                                     \
  } while (0)

/* Refuses a call whose arguments break the contract of its doc block. */
#define QDS_REQUIRE(condition, ...)                                                                          \
  do {                                                                                                       \
    if (!(condition)) QDS_FAIL(QDS_ERROR_ARGUMENT, __VA_ARGS__);                                             \
  } while (0)

/* QDS_AUTO(qds_x) *x = NULL; is destroyed by qds_x_destroy at the end of its scope. The type declares that
 * with QDS_AUTO_DEFINE(qds_x) after its destroy function. */
#define QDS_AUTO(type) __attribute__((cleanup(type##_auto))) type
#define QDS_AUTO_DEFINE(type)                                                                                \
  __attribute__((unused)) static inline void type##_auto(type **pointer) {                                   \
    type##_destroy(*pointer);                                                                                \
  }

#endif
