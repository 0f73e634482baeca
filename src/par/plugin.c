#include "par/plugin.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
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

/* The folder of the file that this code was loaded from, as the kernel knows it: the dynamic loader keeps the
 * name it was given, which may be relative to where the process once stood. */
static int find_own_folder(char folder[PATH_MAX]) {
  const uintptr_t here = (uintptr_t)names;
  char line[PATH_MAX + 256];
  int found = 0;
  FILE *maps = fopen("/proc/self/maps", "re");
  while (maps && !found && fgets(line, sizeof line, maps)) {
    unsigned long first, last;
    int path = 0;
    if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &first, &last, &path) != 2 || path == 0) continue;
    if (here < first || here >= last || line[path] != '/') continue;
    line[strcspn(line, "\n")] = 0;
    snprintf(folder, PATH_MAX, "%s", dirname(line + path));
    found = 1;
  }
  if (maps) fclose(maps);
  return found;
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
  char own[PATH_MAX];
  if (find_own_folder(own)) {
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
      if (try_file(own, folders[i], plugin)) return;
    snprintf(plugin->reason, sizeof plugin->reason,
             "not built: no qdsim/qdsim_%s.so beside the library in %.800s", plugin->name, own);
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
