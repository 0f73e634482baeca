/* Runs a test on a stream of the host and of every device that is there. */
#ifndef QDS_TESTS_DEVICE_SUPPORT_H
#define QDS_TESTS_DEVICE_SUPPORT_H

#include "support.h"

#include "par/plugin.h"

typedef void (*device_body)(qds_context *ctx, qds_stream *stream);

static inline void on_accelerator(qds_context *ctx, qds_accelerator *accelerator, device_body body) {
  qds_stream stream;
  assert_ok(qds_stream_open(accelerator, qds_context_allocator(ctx), qds_context_threads(ctx), &stream));
  body(ctx, &stream);
  assert_ok(qds_stream_synchronise(&stream));
  qds_stream_close(&stream);
}

static inline void on_plugin(qds_context *ctx, int index, device_body body) {
  qds_plugin *plugin = malloc(sizeof *plugin);
  qds_accelerator *accelerator = NULL;
  qds_plugin_load(qds_plugin_name(index), plugin);
  if (plugin->devices > 0) {
    print_message("on %s\n", plugin->name);
    assert_ok(qds_accelerator_create(plugin->backend, 0, 0, qds_context_allocator(ctx), &accelerator));
    on_accelerator(ctx, accelerator, body);
    qds_accelerator_destroy(accelerator);
  }
  qds_plugin_unload(plugin);
  free(plugin);
}

static inline void on_every_place(qds_context *ctx, device_body body) {
  on_accelerator(ctx, NULL, body);
  for (int i = 0; i < QDS_PLUGINS; i++) on_plugin(ctx, i, body);
}

/* Defines test_NAME, which runs NAME(ctx, stream) everywhere in a context of two threads. */
#define DEVICE_TEST(name)                                                                                    \
  static void name##_everywhere(qds_context *ctx) {                                                          \
    on_every_place(ctx, name);                                                                               \
  }                                                                                                          \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context(2, name##_everywhere);                                                                      \
  }

#endif
