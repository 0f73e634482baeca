/* Files as the ends of a pipeline: item i is the i-th part of `chunk` bytes, the last one what remains.
 *
 *   QDS_AUTO(qds_pipeline_file) *in = NULL;
 *   QDS_TRY(qds_pipeline_file_open(allocator, "numbers.bin", chunk, &in));
 *   const qds_stage first = {QDS_STAGE_HOST, "read", qds_pipeline_read, in};
 *   ... qds_pipeline_run(pipeline, qds_pipeline_file_items(in), NULL) */
#ifndef QDS_PAR_PIPELINE_FILE_H
#define QDS_PAR_PIPELINE_FILE_H

#include "par/pipeline.h"

typedef struct qds_pipeline_file qds_pipeline_file;

/* chunk: the pipeline's item_bytes. Errors: FILE with the path and errno. */
qds_status qds_pipeline_file_open(qds_allocator *allocator, const char *path, size_t chunk,
                                  qds_pipeline_file **out);
/* For writing; what is there is overwritten. Give it the path of a qds_pending_file, which appears under its
 * final name when the run has succeeded and it is committed. */
qds_status qds_pipeline_file_create(qds_allocator *allocator, const char *path, size_t chunk,
                                    qds_pipeline_file **out);
uint64_t qds_pipeline_file_items(const qds_pipeline_file *file); /* of one that is read */
/* Flushes what was written to the disk. Errors: FILE. */
qds_status qds_pipeline_file_flush(qds_pipeline_file *file);
void qds_pipeline_file_destroy(qds_pipeline_file *file);
QDS_AUTO_DEFINE(qds_pipeline_file)

/* Stages of the host; user is the file. A file that has become shorter is QDS_ERROR_FILE. */
qds_status qds_pipeline_read(void *file, qds_pipeline_item *item, qds_stream *stream);
qds_status qds_pipeline_write(void *file, qds_pipeline_item *item, qds_stream *stream);

#endif
