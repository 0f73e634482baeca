#include "par/plugin.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[QDS_PLUGINS] = {"cuda", "sim"};
/* From the folder of the library, or of a program that contains it, as build trees, installations and bundles
 * lay them out. */
static const char *const folders[] = {"qdsim", "lib/qdsim", "../lib/qdsim"};

const char *qds_plugin_name(int index) {
  return names[index];
}

static int try_file(const char *folder, const char *subfolder, qds_plugin *plugin) {
  const int length = snprintf(plugin->path, sizeof plugin->path, "%s/%s%sqdsim_%s.so", folder, subfolder,
                              *subfolder ? "/" : "", plugin->name);
  return length > 0 && (size_t)length < sizeof plugin->path && access(plugin->path, R_OK) == 0;
}

static void find_file(qds_plugin *plugin) {
  const char *folder = getenv("QDSIM_PLUGIN_DIR");
  if (folder && *folder) {
    if (*folder == '/' && try_file(folder, "", plugin)) return;
    snprintf(plugin->reason, sizeof plugin->reason,
             *folder == '/' ? "no qdsim_%s.so in QDSIM_PLUGIN_DIR=%s"
                            : "no qdsim_%s.so: QDSIM_PLUGIN_DIR=%s is no "
                              "absolute path",
             plugin->name, folder);
    *plugin->path = 0;
    return;
  }
  Dl_info self;
  char real[PATH_MAX];
  if (dladdr((const void *)names, &self) && self.dli_fname && realpath(self.dli_fname, real)) {
    const char *own = dirname(real);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
      if (try_file(own, folders[i], plugin)) return;
    snprintf(plugin->reason, sizeof plugin->reason,
             "not built: no qdsim/qdsim_%s.so beside the library in %s", plugin->name, own);
  } else {
    snprintf(plugin->reason, sizeof plugin->reason, "the library's own folder cannot be told");
  }
  *plugin->path = 0;
}

static void keep_reason(qds_plugin *plugin, const char *text) {
  snprintf(plugin->reason, sizeof plugin->reason, "%s", text ? text : "unknown");
}

void qds_plugin_load(const char *name, qds_plugin *plugin) {
  memset(plugin, 0, sizeof *plugin);
  snprintf(plugin->name, sizeof plugin->name, "%s", name);
  find_file(plugin);
  if (!*plugin->path) return;
  plugin->library = dlopen(plugin->path, RTLD_NOW | RTLD_LOCAL);
  if (!plugin->library) {
    keep_reason(plugin, dlerror());
    return;
  }
  qds_plugin_backend_fn offer = NULL;
  *(void **)&offer = dlsym(plugin->library, QDS_PLUGIN_SYMBOL);
  if (!offer) {
    keep_reason(plugin, "it does not export " QDS_PLUGIN_SYMBOL);
    return;
  }
  const qds_backend *backend = offer();
  if (qds_backend_check(backend) != QDS_OK) {
    keep_reason(plugin, qds_last_error()->message);
    return;
  }
  plugin->backend = backend;
  plugin->devices = backend->probe(qds_backend_host(), plugin->reason, sizeof plugin->reason);
  if (plugin->devices > 0) *plugin->reason = 0;
}

void qds_plugin_unload(qds_plugin *plugin) {
  if (plugin->library) dlclose(plugin->library);
  memset(plugin, 0, sizeof *plugin);
}
