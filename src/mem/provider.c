#include "mem/provider.h"

qds_status qds_provider_check(const qds_provider *provider) {
  const qds_provider_table *table = provider->table;
  QDS_REQUIRE(table, "a memory provider without a table");
  if (table->abi != QDS_PROVIDER_ABI)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "memory provider of ABI %u, this library needs %d", table->abi,
             QDS_PROVIDER_ABI);
  if (table->size < sizeof *table)
    QDS_FAIL(QDS_ERROR_UNSUPPORTED, "memory provider with a table of %zu bytes, this library needs %zu",
             table->size, sizeof *table);
  QDS_REQUIRE(table->name && table->allocate && table->release && table->granularity,
              "memory provider \"%s\" lacks one of allocate, release and granularity",
              table->name ? table->name : "");
  QDS_REQUIRE(table->alignment >= 64 && !(table->alignment & (table->alignment - 1)),
              "memory provider \"%s\" with an alignment of %zu bytes; powers of two from 64 are allowed",
              table->name, table->alignment);
  return QDS_OK;
}

qds_status qds_provider_round(const qds_provider *provider, size_t bytes, size_t *out) {
  const size_t unit = provider->table->granularity(provider->state, bytes);
  size_t sum;
  *out = 0;
  if (__builtin_add_overflow(bytes, unit - 1, &sum) || sum > PTRDIFF_MAX)
    QDS_FAIL(QDS_ERROR_MEMORY, "out of memory: %zu bytes of %s memory pass the address range", bytes,
             provider->table->name);
  *out = sum & ~(unit - 1);
  return QDS_OK;
}

void qds_provider_close(qds_provider *provider) {
  if (provider->table && provider->table->destroy) provider->table->destroy(provider->state);
  *provider = (qds_provider){0};
}
