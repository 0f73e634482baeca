#include "mem/tag_table.h"

#include <string.h>

/* Equal addresses are the common case: tags are string literals. */
int qds_tag_table_find(qds_tag_table *table, const char *tag) {
  size_t i = 0;
  while (i < table->count && table->rows[i].tag != tag) i++;
  if (i < table->count) return (int)i;
  for (i = 0; i < table->count && strcmp(table->rows[i].tag, tag) != 0;) i++;
  if (i == QDS_TAGS) return QDS_TAGS - 1;
  if (i == table->count)
    table->rows[table->count++] = (qds_memory_row){.tag = i < QDS_TAGS - 1 ? tag : "others"};
  return (int)i;
}
