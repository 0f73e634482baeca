/* Finding cuBLAS. */
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cublas.h"

/* This plugin's own major version first: its numbers and those of cuBLAS go together. */
static const int versions[] = {CUDART_VERSION / 1000, 13, 12};
enum { VERSIONS = sizeof versions / sizeof *versions };

typedef struct {
  qds_cublas_functions *functions;
  char *tried;
  size_t tried_bytes;
} search;

static void note(const search *s, const char *text) {
  const size_t used = strlen(s->tried);
  if (!strstr(s->tried, text))
    snprintf(s->tried + used, s->tried_bytes - used, "%s%s", used ? "; " : "", text);
}

static int find(void *library, const char *name, void *pointer) {
  void *symbol = dlsym(library, name);
  memcpy(pointer, &symbol, sizeof symbol);
  return symbol != NULL;
}

/* It stays loaded, since the driver keeps functions of it. */
static int open_file(const search *s, const char *path) {
  qds_cublas_functions *f = s->functions;
  char text[PATH_MAX + 64];
  f->library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!f->library) {
    note(s, dlerror());
    return 0;
  }
  if (find(f->library, "cublasCreate_v2", &f->create) && find(f->library, "cublasDestroy_v2", &f->destroy) &&
      find(f->library, "cublasSetStream_v2", &f->set_stream) &&
      find(f->library, "cublasSetWorkspace_v2", &f->set_workspace) &&
      find(f->library, "cublasGetStatusString", &f->status_text) &&
      find(f->library, "cublasGemmStridedBatchedEx", &f->gemm)) {
    snprintf(f->path, sizeof f->path, "%s", path);
    return 1;
  }
  dlclose(f->library);
  f->library = NULL;
  snprintf(text, sizeof text, "%s: too old, it lacks functions of version 12", path);
  note(s, text);
  return 0;
}

/* Every file that FOLDER/PATTERN/libcublas.so.VERSION names. */
static int open_in(const search *s, const char *folder, const char *pattern) {
  int opened = 0;
  for (int v = 0; v < VERSIONS && !opened; v++) {
    char path[PATH_MAX];
    glob_t found = {};
    const int length = snprintf(path, sizeof path, "%s/%s/libcublas.so.%d", folder, pattern, versions[v]);
    if (length < 0 || (size_t)length >= sizeof path) return 0;
    if (glob(path, 0, NULL, &found) == 0)
      for (size_t i = 0; i < found.gl_pathc && !opened; i++) opened = open_file(s, found.gl_pathv[i]);
    globfree(&found);
  }
  return opened;
}

static int open_by_name(const search *s) {
  for (int v = 0; v < VERSIONS; v++) {
    char name[32];
    snprintf(name, sizeof name, "libcublas.so.%d", versions[v]);
    if (open_file(s, name)) return 1;
  }
  return 0;
}

static int open_in_toolkits(const search *s) {
  const char *const folders[] = {getenv("CUDA_HOME"), getenv("CUDA_PATH"), "/usr/local/cuda"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    if (!folders[i] || *folders[i] != '/') continue;
    if (open_in(s, folders[i], "lib64") || open_in(s, folders[i], "targets/x86_64-linux/lib")) return 1;
    note(s, folders[i]);
  }
  return 0;
}

/* NVIDIA's packages lie beside the one that holds this plugin, in some folder above it. */
static int open_in_packages(const search *s) {
  Dl_info self;
  char folder[PATH_MAX];
  const char *environment = getenv("VIRTUAL_ENV");
  if (dladdr((const void *)versions, &self) && self.dli_fname && realpath(self.dli_fname, folder))
    for (char *end = strrchr(folder, '/'); end; end = strrchr(folder, '/')) {
      *end = 0;
      if (open_in(s, folder, "nvidia/cu1[0-9]/lib") || open_in(s, folder, "nvidia/cublas/lib")) return 1;
    }
  if (!environment || *environment != '/') return 0;
  note(s, environment);
  return open_in(s, environment, "lib/python3*/site-packages/nvidia/cu1[0-9]/lib") ||
         open_in(s, environment, "lib/python3*/site-packages/nvidia/cublas/lib");
}

int qds_cublas_load(qds_cublas_functions *functions, char *tried, size_t tried_bytes) {
  const search s = {functions, tried, tried_bytes};
  const char *chosen = getenv("QDSIM_CUBLAS");
  *tried = 0;
  if (chosen && *chosen) return open_file(&s, chosen);
  return open_by_name(&s) || open_in_toolkits(&s) || open_in_packages(&s);
}
