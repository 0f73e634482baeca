/* Finding and loading back ends. */
#ifndef QDS_PAR_PLUGIN_H
#define QDS_PAR_PLUGIN_H

#include "mem/accelerator.h"

/* One candidate: a plugin file, or one that is not there. */
typedef struct {
  char name[32];              /* "cuda" */
  char path[4096];            /* of the file; "" when there is none */
  int devices;                /* 0: none can be used */
  char reason[1024];          /* why not; "" when devices > 0 */
  const qds_backend *backend; /* NULL when the file could not be loaded */
  void *library;              /* dlopen's handle */
} qds_plugin;

/* The back ends that this library knows of, in the order in which `auto` tries them. */
enum { QDS_PLUGINS = 2 };

/* Looks for qdsim_NAME.so in QDSIM_PLUGIN_DIR, or, where that is not set, in the folder qdsim beside
 * libqdsim; never in the current directory. Loads it and asks it for devices; says in `plugin` why it is of
 * no use when it is not. */
void qds_plugin_load(const char *name, qds_plugin *plugin);
/* The name of candidate `index`, below QDS_PLUGINS. */
const char *qds_plugin_name(int index);
/* No accelerator of it is open. */
void qds_plugin_unload(qds_plugin *plugin);

#endif
