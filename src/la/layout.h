/* Layouts of records of equal numbers: one record after the other (array of structures) and one array for
 * each field (structure of arrays), and the ways between them.
 *
 *   records: number f of record i is at  i * fields + f
 *   arrays:  number f of record i is at  f * stride + i
 *
 * In arrays, neighbouring threads of a device read neighbouring numbers of the same field, 16 bytes each.
 * Both ways read and write every number once, between two places that the caller has; nothing else is copied
 * or allocated. Whoever has no room for both converts in parts: records from `first` on are at records +
 * first * fields and arrays + first, with the same stride and a smaller count. */
#ifndef QDS_LA_LAYOUT_H
#define QDS_LA_LAYOUT_H

#include <stdint.h>

#include "mem/stream.h"

enum { QDS_LAYOUT_ALIGNMENT = 16 }; /* bytes; of records, of arrays and of every field's array */

typedef struct {
  int64_t count;  /* of records */
  int64_t fields; /* numbers in each */
  int64_t stride; /* numbers from the start of one field's array to that of the next; count at least */
  int bytes;      /* of a number: 4 (float) or 8 (double) */
} qds_layout;

/* The layout whose arrays start at multiples of 64 bytes when the first one does. Errors: ARGUMENT (number of
 * bytes, negative count, no fields), MEMORY (sizes beyond the address range). */
qds_status qds_layout_make(int bytes, int64_t count, int64_t fields, qds_layout *out);
static inline size_t qds_layout_record_bytes(const qds_layout *layout) { /* all records */
  return (size_t)layout->count * (size_t)layout->fields * (size_t)layout->bytes;
}
static inline size_t qds_layout_array_bytes(const qds_layout *layout) { /* all arrays */
  return (size_t)layout->stride * (size_t)layout->fields * (size_t)layout->bytes;
}

/* Enqueue. Records and arrays lie in memory of the stream's place and do not overlap; numbers between count
 * and stride are left alone. Errors: ARGUMENT (alignment, overlap, a layout that contradicts itself), those
 * of the device. */
qds_status qds_layout_to_arrays(qds_stream *stream, const qds_layout *layout, const void *records,
                                void *arrays);
qds_status qds_layout_to_records(qds_stream *stream, const qds_layout *layout, const void *arrays,
                                 void *records);

#endif
