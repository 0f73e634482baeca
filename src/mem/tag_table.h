/* Rows of a memory account, one per tag. Used by one thread at a time. */
#ifndef QDS_MEM_TAG_TABLE_H
#define QDS_MEM_TAG_TABLE_H

#include "qdsim/context.h"

enum { QDS_TAGS = 256 };

typedef struct {
  size_t count;
  qds_memory_row rows[QDS_TAGS]; /* the last is shared by all tags that have none of their own */
} qds_tag_table;

/* The row of a tag, which is kept by address. */
int qds_tag_table_find(qds_tag_table *table, const char *tag);

static inline void qds_memory_row_add(qds_memory_row *row, size_t bytes) {
  row->current_bytes += bytes;
  row->current_blocks++;
  row->total_blocks++;
  if (row->current_bytes > row->peak_bytes) row->peak_bytes = row->current_bytes;
}

static inline void qds_memory_row_remove(qds_memory_row *row, size_t bytes) {
  row->current_bytes -= bytes;
  row->current_blocks--;
}

#endif
