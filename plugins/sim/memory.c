#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
  ALIGNMENT = 256,
  PAGE = 4096,
  FRESH = 0xff, /* contents of new memory: as a double it is no number */
  GUARD = 0xa5, /* between the end of a block and that of its last 256 bytes */
};
static const size_t four_GiB = (size_t)4 << 30;
/* How much of a new block is filled; more would only cost time. */
static const size_t filled_bytes = (size_t)16 << 20;
/* Addresses per byte of memory: those of released blocks stay unused for long. */
static const size_t spread = 16;

static size_t round_up(size_t value, size_t step) {
  return (value + step - 1) / step * step;
}

qds_status sim_space_open(sim_device *device) {
  const size_t space = round_up(spread * device->memory_bytes, four_GiB);
  device->reserved_bytes = 2 * space + four_GiB;
  device->reserved =
      mmap(NULL, device->reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (device->reserved == MAP_FAILED) {
    device->reserved = NULL;
    SIM_FAIL(device, QDS_ERROR_MEMORY, "no room for %zu bytes of addresses", device->reserved_bytes);
  }
  const size_t start = (size_t)device->reserved;
  device->space = (char *)device->reserved + (round_up(start, PAGE) - start);
  device->space_end = device->space + space;
  device->shift = (ptrdiff_t)space;
  device->next_address = device->space;
  return QDS_OK;
}

void sim_space_close(sim_device *device) {
  if (device->reserved) munmap(device->reserved, device->reserved_bytes);
  free(device->blocks);
}

/* --- the table of blocks ----------------------------------------------------------------------------------
 */

/* The number of blocks that begin at or below the address. */
static size_t blocks_up_to(const sim_device *device, const void *address) {
  size_t low = 0, high = device->block_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if ((uintptr_t)device->blocks[middle].address <= (uintptr_t)address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* An address just past the end belongs to the block: loops are given such. Blocks never touch on the device,
 * and on the host a block that begins there goes first. */
sim_block *sim_block_find(sim_device *device, const void *address) {
  const size_t count = blocks_up_to(device, address);
  if (count == 0) return NULL;
  sim_block *block = &device->blocks[count - 1];
  return (uintptr_t)address <= (uintptr_t)block->address + block->bytes ? block : NULL;
}

static qds_status make_room(sim_device *device) {
  if (device->block_count < device->block_room) return QDS_OK;
  const size_t room = device->block_room ? 2 * device->block_room : 64;
  sim_block *blocks = realloc(device->blocks, room * sizeof *blocks);
  if (!blocks) SIM_FAIL(device, QDS_ERROR_MEMORY, "no room for the list of blocks");
  device->blocks = blocks;
  device->block_room = room;
  return QDS_OK;
}

static void insert(sim_device *device, sim_block block) {
  const size_t place = blocks_up_to(device, block.address);
  memmove(device->blocks + place + 1, device->blocks + place,
          (device->block_count - place) * sizeof *device->blocks);
  device->blocks[place] = block;
  device->block_count++;
}

/* --- addresses of the device ------------------------------------------------------------------------------
 */

static int on_device(const sim_device *device, const void *address) {
  return (const char *)address >= device->space && (const char *)address < device->space_end;
}

static char *find_gap_from(const sim_device *device, char *start, size_t bytes) {
  for (size_t i = blocks_up_to(device, start); i < device->block_count; i++) {
    const sim_block *block = &device->blocks[i];
    if (!on_device(device, block->address)) continue;
    if (start + bytes <= block->address) break;
    start = (char *)round_up((size_t)(block->address + block->bytes), PAGE) + PAGE;
  }
  return start + bytes <= device->space_end ? start : NULL;
}

/* Whole pages, with one before them that nobody may touch. The block ends with the last page, so that a
 * kernel that runs past it by 256 bytes dies. */
static char *take_addresses(sim_device *device, size_t bytes) {
  const size_t pages = round_up(bytes, PAGE) + PAGE;
  char *gap = find_gap_from(device, device->next_address, pages);
  if (!gap) gap = find_gap_from(device, device->space, pages);
  if (!gap) return NULL;
  if (mprotect(gap + PAGE + device->shift, pages - PAGE, PROT_READ | PROT_WRITE) != 0) return NULL;
  device->next_address = gap + pages;
  return gap + pages - round_up(bytes, ALIGNMENT);
}

static void give_addresses(const sim_block *block) {
  char *first = block->memory - (size_t)block->memory % PAGE;
  const size_t pages = round_up((size_t)(block->memory + block->bytes - first), PAGE);
  madvise(first, pages, MADV_DONTNEED);
  mprotect(first, pages, PROT_NONE);
}

/* --- taking and giving back -------------------------------------------------------------------------------
 */

static int is_limited(qds_memory_kind kind) {
  return kind == QDS_MEMORY_DEVICE || kind == QDS_MEMORY_MANAGED;
}

static void take(sim_device *device, sim_block *block) {
  const size_t whole = round_up(block->bytes, ALIGNMENT);
  if (block->kind == QDS_MEMORY_DEVICE) {
    block->address = take_addresses(device, block->bytes);
    block->memory = block->address ? block->address + device->shift : NULL;
  } else {
    block->address = block->memory = aligned_alloc(ALIGNMENT, whole);
  }
  if (!block->memory) return;
  memset(block->memory, FRESH, block->bytes < filled_bytes ? block->bytes : filled_bytes);
  memset(block->memory + block->bytes, GUARD, whole - block->bytes);
}

qds_status sim_allocate(void *state, qds_memory_kind kind, size_t bytes, void **out) {
  sim_device *device = state;
  SIM_LOCK(device);
  SIM_TRY(sim_check(device, 0, NULL, "allocate"));
  SIM_TRY(sim_refuse_while_capturing(device, "memory is allocated"));
  if (sim_injected(device, QDS_INJECT_ALLOCATION))
    SIM_FAIL(device, QDS_ERROR_MEMORY, "out of memory: %zu bytes (injected)", bytes);
  if (bytes > SIZE_MAX / 2 || (is_limited(kind) && bytes > device->memory_bytes - device->used_bytes))
    SIM_FAIL(device, QDS_ERROR_MEMORY, "out of memory: %zu bytes wanted, %zu of %zu free", bytes,
             device->memory_bytes - device->used_bytes, device->memory_bytes);
  SIM_TRY(make_room(device));
  sim_block block = {.id = device->last_id + 1, .kind = kind, .bytes = bytes ? bytes : 1};
  take(device, &block);
  if (!block.memory) SIM_FAIL(device, QDS_ERROR_MEMORY, "out of memory: %zu bytes, though free", bytes);
  device->last_id++;
  if (is_limited(kind)) device->used_bytes += block.bytes;
  insert(device, block);
  *out = block.address;
  return QDS_OK;
}

static void check_guard(sim_device *device, const sim_block *block) {
  const size_t rest = round_up(block->bytes, ALIGNMENT) - block->bytes;
  for (size_t i = 0; i < rest; i++)
    if ((unsigned char)block->memory[block->bytes + i] != GUARD) {
      sim_misuse(device, "a block of %zu bytes was written to past its end", block->bytes);
      return;
    }
}

static void remove_block(sim_device *device, sim_block *block) {
  check_guard(device, block);
  if (is_limited(block->kind)) device->used_bytes -= block->bytes;
  if (block->kind == QDS_MEMORY_DEVICE)
    give_addresses(block);
  else
    free(block->memory);
  const size_t place = (size_t)(block - device->blocks);
  device->block_count--;
  memmove(block, block + 1, (device->block_count - place) * sizeof *block);
}

void sim_release(void *state, qds_memory_kind kind, void *address) {
  sim_device *device = state;
  SIM_LOCK(device);
  sim_block *block = sim_block_find(device, address);
  if (sim_refuse_while_capturing(device, "memory is released") != QDS_OK)
    sim_misuse(device, "memory was released by a thread that captures a stream");
  if (!block || block->address != address)
    sim_misuse(device, "%p was released, but is no block of this device: released twice, or not its start",
               address);
  else if (block->released)
    sim_misuse(device, "a block of %zu bytes was released twice", block->bytes);
  else if (block->kind != kind)
    sim_misuse(device, "a block of %zu bytes was released as memory of another kind", block->bytes);
  else if (block->pending == 0)
    remove_block(device, block);
  else {
    sim_misuse(device, "a block of %zu bytes was released while %zu operations that use it were under way",
               block->bytes, block->pending);
    block->released = 1;
  }
}

qds_status sim_memory(void *state, size_t *free_bytes, size_t *total_bytes) {
  sim_device *device = state;
  SIM_LOCK(device);
  *free_bytes = device->memory_bytes - device->used_bytes;
  *total_bytes = device->memory_bytes;
  return QDS_OK;
}

/* --- what operations use ----------------------------------------------------------------------------------
 */

qds_status sim_range(sim_device *device, const char *what, const void *address, size_t bytes, char **memory,
                     sim_use *use) {
  const sim_block *block = sim_block_find(device, address);
  *memory = (char *)(uintptr_t)address;
  *use = (sim_use){0};
  if (!block || (!on_device(device, address) && (const char *)address == block->address + block->bytes)) {
    if (on_device(device, address))
      SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s: %p is device memory that was released or never allocated",
               what, address);
    return QDS_OK;
  }
  const size_t offset = (size_t)((const char *)address - block->address);
  if (block->released)
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s: the block of %zu bytes was released", what, block->bytes);
  if (bytes > block->bytes - offset)
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "%s: %zu bytes from byte %zu run past the block of %zu bytes", what,
             bytes, offset, block->bytes);
  *memory = block->memory + offset;
  *use = (sim_use){block->address, block->id};
  return QDS_OK;
}

qds_status sim_use_check(sim_device *device, const sim_use *use) {
  if (use->id == 0) return QDS_OK;
  const sim_block *block = sim_block_find(device, use->address);
  if (!block || block->id != use->id || block->released)
    SIM_FAIL(device, QDS_ERROR_INTERNAL, "the graph uses memory that was released after its capture");
  return QDS_OK;
}

void sim_use_begin(sim_device *device, const sim_use *use) {
  if (use->id) sim_block_find(device, use->address)->pending++;
}

void sim_use_end(sim_device *device, const sim_use *use) {
  if (!use->id) return;
  sim_block *block = sim_block_find(device, use->address);
  if (--block->pending == 0 && block->released) remove_block(device, block);
}
