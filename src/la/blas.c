#include "la/blas.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIED_SIZE = 1024 };

/* A loaded library; `face` is what the callers see. `lapack` is NULL where the BLAS holds LAPACK too. */
typedef struct {
  qds_blas face;
  void *blas, *lapack;
  char library[PATH_MAX], version[256], core[64];
} blas_library;

static void blas_library_destroy(blas_library *library) {
  if (!library) return;
  if (library->lapack) dlclose(library->lapack);
  if (library->blas) dlclose(library->blas);
  qds_release(library);
}
QDS_AUTO_DEFINE(blas_library)

static void blas_slot_destroy(void *library) {
  blas_library_destroy(library);
}

/* The environment belongs to the whole process: contexts of several threads that load at once take turns. */
static pthread_mutex_t environment_lock = PTHREAD_MUTEX_INITIALIZER;

/* An environment variable that is changed until the end of a scope; name NULL: it is left alone. */
typedef struct {
  const char *name;
  char *previous; /* NULL: it was not set */
} variable_change;

static void variable_restore(variable_change *change) {
  if (!change->name) return;
  if (change->previous)
    setenv(change->name, change->previous, 1);
  else
    unsetenv(change->name);
  qds_release(change->previous);
}
#define AUTO_RESTORE __attribute__((cleanup(variable_restore)))

static qds_status variable_set(qds_context *ctx, const char *name, const char *value,
                               variable_change *change) {
  const char *previous = getenv(name);
  if (previous) QDS_TRY(QDS_STRDUP(qds_context_allocator(ctx), previous, "environment", &change->previous));
  change->name = name;
  if (setenv(name, value, 1) != 0) QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: cannot set %s", name);
  return QDS_OK;
}

/* OpenBLAS's name for the kernels that this CPU can run; NULL: leave the choice to the library. */
static const char *core_type(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512cd"))
    return "SKYLAKEX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "HASWELL";
#endif
  return NULL;
}

/* Writes the address of a function into a function pointer; returns 0 if the library lacks it. */
static int find_function(void *handle, const char *name, void *pointer) {
  void *symbol = handle ? dlsym(handle, name) : NULL;
  memcpy(pointer, &symbol, sizeof symbol);
  return symbol != NULL;
}

static int find_lapack(void *handle, qds_blas *face) {
  return find_function(handle, "dsyevd_", &face->dsyevd) && find_function(handle, "dpotrf_", &face->dpotrf) &&
         find_function(handle, "spotrf_", &face->spotrf) && find_function(handle, "spotrs_", &face->spotrs) &&
         find_function(handle, "zgbtrf_", &face->zgbtrf) && find_function(handle, "zgbtrs_", &face->zgbtrs) &&
         find_function(handle, "zgeev_", &face->zgeev);
}

/* Version and core in the library's own words, and one thread: OpenBLAS, else BLIS, else "unknown". */
static void identify(qds_context *ctx, blas_library *library) {
  char *(*openblas_text)(void);
  int (*openblas_threads)(void);
  void (*openblas_set_threads)(int);
  const char *(*blis_version)(void);
  int (*blis_query)(void);
  const char *(*blis_name)(int);
  void (*blis_set_threads)(long);
  if (find_function(library->blas, "openblas_get_num_threads", &openblas_threads) &&
      find_function(library->blas, "openblas_set_num_threads", &openblas_set_threads)) {
    /* The environment cannot have reached a library that another part of the process had loaded before. */
    if (openblas_threads() != 1)
      qds_log(ctx, QDS_LOG_INFO, "OpenBLAS was loaded with %d threads before; it is set to one now",
              openblas_threads());
    openblas_set_threads(1);
  }
  if (find_function(library->blas, "bli_thread_set_num_threads", &blis_set_threads)) blis_set_threads(1);
  if (find_function(library->blas, "openblas_get_config", &openblas_text))
    snprintf(library->version, sizeof library->version, "%s", openblas_text());
  else if (find_function(library->blas, "bli_info_get_version_str", &blis_version))
    snprintf(library->version, sizeof library->version, "BLIS %s", blis_version());
  if (find_function(library->blas, "openblas_get_corename", &openblas_text))
    snprintf(library->core, sizeof library->core, "%s", openblas_text());
  else if (find_function(library->blas, "bli_arch_query_id", &blis_query) &&
           find_function(library->blas, "bli_arch_string", &blis_name))
    snprintf(library->core, sizeof library->core, "%s", blis_name(blis_query()));
}

static void note_tried(char tried[TRIED_SIZE], const char *why) {
  const size_t used = strlen(tried);
  snprintf(tried + used, TRIED_SIZE - used, "%s%s", used ? "; " : "", why);
}

/* The reason why a library that could be opened does not serve, or NULL. */
static const char *unfit(blas_library *library) {
  qds_blas *face = &library->face;
  char *(*config)(void);
  if (!find_function(library->blas, "dgemm_", &face->dgemm) ||
      !find_function(library->blas, "sgemm_", &face->sgemm) ||
      !find_function(library->blas, "zgemv_", &face->zgemv))
    return "it has no dgemm_, sgemm_ and zgemv_";
  if (find_function(library->blas, "openblas_get_config", &config) && strstr(config(), "USE64BITINT"))
    return "it takes 64-bit integers";
  if (find_lapack(library->blas, face)) return NULL;
  library->lapack = dlopen("liblapack.so.3", RTLD_NOW | RTLD_LOCAL);
  return find_lapack(library->lapack, face) ? NULL : "it has no LAPACK and liblapack.so.3 is not there";
}

/* Opens one file; returns 0 and notes the reason if it does not serve. */
static int open_library(qds_context *ctx, const char *file, blas_library *library, char tried[TRIED_SIZE]) {
  char why[PATH_MAX + 128];
  library->blas = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library->blas) {
    note_tried(tried, dlerror());
    return 0;
  }
  const char *reason = unfit(library);
  if (reason) {
    snprintf(why, sizeof why, "%s: %s", file, reason);
    note_tried(tried, why);
    if (library->lapack) dlclose(library->lapack);
    dlclose(library->blas);
    library->blas = library->lapack = NULL;
    return 0;
  }
  struct link_map *map = NULL;
  const int mapped = dlinfo(library->blas, RTLD_DI_LINKMAP, &map) == 0;
  snprintf(library->library, sizeof library->library, "%s", mapped ? map->l_name : file);
  snprintf(library->version, sizeof library->version, "unknown");
  snprintf(library->core, sizeof library->core, "unknown");
  identify(ctx, library);
  library->face.library = library->library;
  library->face.version = library->version;
  library->face.core = library->core;
  return 1;
}

/* The path of an OpenBLAS in the folder of this library, as a bundle has it; 0 if the folder is not known. */
static int path_beside(char path[PATH_MAX]) {
  static const char name[] = "/libopenblas.so.0";
  Dl_info self;
  if (!dladdr((const void *)&environment_lock, &self) || !strchr(self.dli_fname, '/') ||
      !realpath(self.dli_fname, path))
    return 0;
  dirname(path);
  const size_t length = strlen(path);
  if (length + sizeof name > PATH_MAX) return 0;
  memcpy(path + length, name, sizeof name);
  return 1;
}

static qds_status open_first(qds_context *ctx, blas_library *library) {
  static const char *const system_libraries[] = {"libopenblas.so.0", "libblis.so.4", "libblas.so.3", NULL};
  char tried[TRIED_SIZE] = "";
  char beside[PATH_MAX];
  const char *chosen = getenv("QDSIM_BLAS");
  if (chosen && *chosen) {
    if (open_library(ctx, chosen, library, tried)) return QDS_OK;
    QDS_FAIL(
        QDS_ERROR_UNSUPPORTED,
        "QDSIM_BLAS=%s cannot be used: %s; name a BLAS library with 32-bit integers, or unset the variable",
        chosen, tried);
  }
  if (path_beside(beside) && open_library(ctx, beside, library, tried)) return QDS_OK;
  for (size_t i = 0; system_libraries[i]; i++)
    if (open_library(ctx, system_libraries[i], library, tried)) return QDS_OK;
  QDS_FAIL(QDS_ERROR_UNSUPPORTED,
           "no BLAS library found; install libopenblas0, or set QDSIM_BLAS to the path of one (tried: %s)",
           tried);
}

static qds_status open_with_environment(qds_context *ctx, blas_library *library) {
  AUTO_RESTORE variable_change core = {NULL, NULL};
  AUTO_RESTORE variable_change openblas_threads = {NULL, NULL};
  AUTO_RESTORE variable_change blis_threads = {NULL, NULL};
  if (core_type() && !getenv("OPENBLAS_CORETYPE"))
    QDS_TRY(variable_set(ctx, "OPENBLAS_CORETYPE", core_type(), &core));
  QDS_TRY(variable_set(ctx, "OPENBLAS_NUM_THREADS", "1", &openblas_threads));
  QDS_TRY(variable_set(ctx, "BLIS_NUM_THREADS", "1", &blis_threads));
  return open_first(ctx, library);
}

qds_status qds_blas_get(qds_context *ctx, const qds_blas **out) {
  *out = NULL;
  blas_library *loaded = qds_context_get(ctx, QDS_SLOT_BLAS);
  if (!loaded) {
    QDS_AUTO(blas_library) *fresh = NULL;
    QDS_TRY(QDS_NEW_ZERO(qds_context_allocator(ctx), 1, "BLAS", &fresh));
    pthread_mutex_lock(&environment_lock);
    const qds_status status = open_with_environment(ctx, fresh);
    pthread_mutex_unlock(&environment_lock);
    QDS_TRY(status);
    loaded = fresh;
    fresh = NULL;
    qds_context_put(ctx, QDS_SLOT_BLAS, loaded, blas_slot_destroy);
  }
  *out = &loaded->face;
  return QDS_OK;
}

qds_status qds_symmetric_eigen(qds_context *ctx, int n, double *a, double *eigenvalues) {
  const qds_blas *blas;
  if (n == 0) return QDS_OK;
  /* LAPACK's dsyevd wants 1 + 6 n + 2 n^2 numbers of workspace and counts them with an int. */
  QDS_REQUIRE(n > 0 && n <= 32764, "symmetric eigenproblem of order %d: 0 to 32764 are allowed", n);
  for (int64_t i = 0; i < (int64_t)n * n; i++)
    if (!isfinite(a[i]))
      QDS_FAIL(QDS_ERROR_NUMERIC,
               "symmetric eigenproblem of order %d: the matrix holds %g at row %d, column %d", n, a[i],
               (int)(i % n), (int)(i / n));
  QDS_TRY(qds_blas_get(ctx, &blas));
  int info = 0, integers = 0, numbers = -1;
  double best_numbers = 0;
  blas->dsyevd("V", "L", &n, a, &n, eigenvalues, &best_numbers, &numbers, &integers, &numbers, &info);
  if (info != 0) QDS_FAIL_NATIVE(QDS_ERROR_INTERNAL, info, "LAPACK dsyevd: argument %d refused", -info);
  numbers = (int)best_numbers;
  QDS_AUTO_RELEASE double *work = NULL;
  QDS_AUTO_RELEASE int *integer_work = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), numbers, "LAPACK workspace", &work));
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), integers, "LAPACK workspace", &integer_work));
  blas->dsyevd("V", "L", &n, a, &n, eigenvalues, work, &numbers, integer_work, &integers, &info);
  if (info != 0)
    QDS_FAIL_NATIVE(QDS_ERROR_NUMERIC, info,
                    "LAPACK dsyevd did not converge for a matrix of order %d (info %d)", n, info);
  return QDS_OK;
}

qds_status qds_complex_eigen(qds_context *ctx, int n, double complex *a, double complex *eigenvalues,
                             double complex *vectors) {
  const qds_blas *blas;
  if (n == 0) return QDS_OK;
  QDS_REQUIRE(n > 0 && n <= 32764, "complex eigenproblem of order %d: 0 to 32764 are allowed", n);
  for (int64_t i = 0; i < (int64_t)n * n; i++)
    if (!isfinite(creal(a[i])) || !isfinite(cimag(a[i])))
      QDS_FAIL(QDS_ERROR_NUMERIC,
               "complex eigenproblem of order %d: the matrix holds no number at row %d, column %d", n,
               (int)(i % n), (int)(i / n));
  QDS_TRY(qds_blas_get(ctx, &blas));
  const int one = 1, query = -1;
  int info = 0;
  double complex best = 0, none = 0;
  QDS_AUTO_RELEASE double *real_work = NULL;
  QDS_AUTO_RELEASE double complex *work = NULL;
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), 2 * n, "LAPACK workspace", &real_work));
  blas->zgeev("N", "V", &n, a, &n, eigenvalues, &none, &one, vectors, &n, &best, &query, real_work, &info);
  if (info != 0) QDS_FAIL_NATIVE(QDS_ERROR_INTERNAL, info, "LAPACK zgeev: argument %d refused", -info);
  const int room = (int)creal(best);
  QDS_TRY(QDS_NEW(qds_context_allocator(ctx), room, "LAPACK workspace", &work));
  blas->zgeev("N", "V", &n, a, &n, eigenvalues, &none, &one, vectors, &n, work, &room, real_work, &info);
  if (info != 0)
    QDS_FAIL_NATIVE(QDS_ERROR_NUMERIC, info,
                    "LAPACK zgeev did not converge for a matrix of order %d (info %d)", n, info);
  return QDS_OK;
}
