/* The C library's memory behind the allocator interface: for the records of the pools that the accounted
 * memory itself comes from. It counts nothing; everything else takes memory from the heap. */
#ifndef QDS_MEM_SYSTEM_ALLOCATOR_H
#define QDS_MEM_SYSTEM_ALLOCATOR_H

#include "base/allocator.h"

qds_allocator *qds_system_allocator(void);

#endif
