/* A memory profile as part of what others write. The profile must have been stopped. */
#ifndef QDS_PAR_MEMORY_PROFILE_H
#define QDS_PAR_MEMORY_PROFILE_H

#include "base/file.h"
#include "base/hdf5_writer.h"
#include "qdsim/memory.h"

/* Writes the group /memory_profile, laid out as qds_memory_profile_write tells, into a file that has none. */
qds_status qds_memory_profile_put(const qds_memory_profile *profile, qds_hdf5_file *file);
/* What qds_memory_profile_write does, up to the commit, which is left to the caller. */
qds_status qds_memory_profile_prepare(const qds_memory_profile *profile, const char *path,
                                      qds_pending_file **out);

#endif
