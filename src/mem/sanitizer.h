/* What pooled memory tells the address sanitizer: blocks that were given back must not be touched, and memory
 * that the system gave directly may hold the only pointer to a block of malloc. Without the sanitizer all of
 * this is nothing. */
#ifndef QDS_MEM_SANITIZER_H
#define QDS_MEM_SANITIZER_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define QDS_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define QDS_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef QDS_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
/* Untouchable bytes behind each pooled block. */
enum { QDS_REDZONE_BYTES = 64 };
/* For functions that keep records inside of free blocks. */
#define QDS_UNCHECKED __attribute__((no_sanitize("address")))
static inline void qds_forbid(const void *memory, size_t bytes) {
  ASAN_POISON_MEMORY_REGION(memory, bytes);
}
static inline void qds_permit(const void *memory, size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
}
/* Reports the memory as if it were read here. */
static inline void qds_expect_permitted(const void *memory) {
  void *frame = __builtin_frame_address(0);
  if (__asan_address_is_poisoned(memory))
    __asan_report_error(__builtin_return_address(0), frame, frame, (void *)memory, 0, 1);
}
static inline void qds_search_for_pointers(const void *memory, size_t bytes) {
  __lsan_register_root_region(memory, bytes);
}
static inline void qds_search_no_more(const void *memory, size_t bytes) {
  __lsan_unregister_root_region(memory, bytes);
}
#else
enum { QDS_REDZONE_BYTES = 0 };
#define QDS_UNCHECKED
static inline void qds_forbid(const void *memory, size_t bytes) {
  (void)memory, (void)bytes;
}
static inline void qds_permit(const void *memory, size_t bytes) {
  (void)memory, (void)bytes;
}
static inline void qds_expect_permitted(const void *memory) {
  (void)memory;
}
static inline void qds_search_for_pointers(const void *memory, size_t bytes) {
  (void)memory, (void)bytes;
}
static inline void qds_search_no_more(const void *memory, size_t bytes) {
  (void)memory, (void)bytes;
}
#endif

#endif
