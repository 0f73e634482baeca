/* Arrays and DLPack: who keeps whom alive, in either order, what borrowers may do, and what is refused. */
#include "buffers.h"

#include "mem/array.h"
#include "qdsim/text.h"

static const qds_array_form form = {.element = QDS_ELEMENT_FLOAT, .bits = 64, .axes = 2, .shape = {3, 4}};

static qds_array *make(qds_context *ctx) {
  qds_array *array;
  assert_ok(qds_array_create(ctx, &form, QDS_MEM_ADAPTIVE, "psi", &array));
  return array;
}

/* --- borrowers --------------------------------------------------------------------------------------------
 */

static void borrowers_share_a_bracket(qds_context *ctx) {
  qds_array *array = make(ctx);
  qds_array_info info;
  qds_buffer_info b;
  void *first, *second, *reader;
  assert_fails(qds_array_borrow(array, QDS_PLACE_HOST, 0, &first), QDS_ERROR_ARGUMENT,
               "nothing was ever written");
  assert_null(first);
  assert_ok(qds_array_borrow(array, QDS_PLACE_HOST, 1, &first));
  assert_ok(qds_array_borrow(array, QDS_PLACE_HOST, 1, &second));
  assert_ok(qds_array_borrow(array, QDS_PLACE_HOST, 0, &reader));
  assert_ptr_equal(first, second);
  assert_ptr_equal(first, reader);
  qds_array_get_info(array, &info);
  assert_int_equal(info.bytes, 96);
  qds_buffer_get_info(info.buffer, &b);
  assert_int_equal(b.writers, 1);
  assert_int_equal(b.references[QDS_OWNER_PYTHON], 1);
  assert_int_equal(b.references[QDS_OWNER_LIBRARY], 0);
  assert_fails(qds_array_borrow(array, QDS_PLACE_DEVICE, 0, &second), QDS_ERROR_ARGUMENT, "acquired");
  for (int i = 0; i < 3; i++) qds_array_return(array, QDS_PLACE_HOST);
  qds_buffer_get_info(info.buffer, &b);
  assert_int_equal(b.writers, 0);
  assert_ok(qds_array_borrow(array, QDS_PLACE_HOST, 0, &first));
  assert_ok(qds_array_borrow(array, QDS_PLACE_DEVICE, 0, &second)); /* readers on both sides */
  assert_fails(qds_array_borrow(array, QDS_PLACE_HOST, 1, &reader), QDS_ERROR_ARGUMENT, "1 borrowers");
  qds_array_return(array, QDS_PLACE_HOST);
  qds_array_return(array, QDS_PLACE_DEVICE);
  qds_array_drop(array);
  assert_int_equal(statistics_of(ctx).buffers, 0);
}

static void copies_cross_places(qds_context *ctx) {
  qds_array *from = make(ctx), *to = make(ctx);
  double *x;
  assert_ok(qds_array_borrow(from, QDS_PLACE_HOST, 1, (void **)&x));
  for (int i = 0; i < 12; i++) x[i] = i;
  assert_ok(qds_array_copy(to, from)); /* while it is borrowed */
  qds_array_return(from, QDS_PLACE_HOST);
  assert_ok(qds_array_borrow(to, QDS_PLACE_DEVICE, 1, (void **)&x)); /* a writer finds what was there */
  qds_array_return(to, QDS_PLACE_DEVICE);
  assert_ok(qds_array_borrow(to, QDS_PLACE_HOST, 0, (void **)&x));
  for (int i = 0; i < 12; i++) assert_true(x[i] == i);
  qds_array_return(to, QDS_PLACE_HOST);
  qds_array *less;
  qds_array_form one = {.element = QDS_ELEMENT_BOOL, .bits = 8};
  assert_ok(qds_array_create(ctx, &one, QDS_MEM_CPU_ONLY, "one", &less));
  assert_fails(qds_array_copy(less, from), QDS_ERROR_ARGUMENT, "96 bytes do not fill 1 bytes");
  qds_array_drop(less);
  qds_array_drop(from);
  qds_array_drop(to);
}

/* Fault 64: products of extents that overflow. */
static void forms_are_checked(qds_context *ctx) {
  static const struct {
    qds_array_form form;
    const char *text;
  } wrong[] = {
      {{QDS_ELEMENT_FLOAT, 64, 2, {(int64_t)1 << 40, (int64_t)1 << 40}}, "address range"},
      {{QDS_ELEMENT_FLOAT, 64, 1, {INT64_MAX}}, "address range"},
      {{QDS_ELEMENT_FLOAT, 64, 1, {-1}}, "negative extent -1"},
      {{QDS_ELEMENT_FLOAT, 64, 65, {1}}, "65 axes"},
      {{QDS_ELEMENT_FLOAT, 128, 1, {1}}, "128 bits"},
      {{(qds_element)4, 16, 1, {1}}, "type code 4"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    qds_array *array;
    assert_fails(qds_array_create(ctx, &wrong[i].form, QDS_MEM_ADAPTIVE, "psi", &array), QDS_ERROR_ARGUMENT,
                 wrong[i].text);
    assert_null(array);
  }
  qds_array_form empty = {QDS_ELEMENT_FLOAT, 64, 3, {(int64_t)1 << 40, (int64_t)1 << 40, 0}};
  qds_array *array;
  void *tensor;
  assert_ok(qds_array_create(ctx, &empty, QDS_MEM_ADAPTIVE, "psi", &array));
  assert_ok(qds_array_export(array, QDS_PLACE_HOST, 0, &tensor));
  assert_null(((qds_dl_managed *)tensor)->tensor.data);
  qds_dlpack_dispose(tensor, 0);
  qds_array_drop(array);
}

/* --- DLPack -----------------------------------------------------------------------------------------------
 */

static void exports_name_device_and_layout(qds_context *ctx) {
  qds_array *array = make(ctx);
  for (int place = 0; place < 2; place++) {
    qds_dl_versioned *v;
    assert_ok(qds_array_export(array, place ? QDS_PLACE_DEVICE : QDS_PLACE_HOST, QDS_DLPACK_VERSIONED,
                               (void **)&v));
    assert_int_equal(v->version.major, 1);
    assert_int_equal(v->flags, 0);
    assert_int_equal(v->tensor.axes, 2);
    assert_int_equal(v->tensor.shape[0], 3);
    assert_int_equal(v->tensor.strides[0], 4);
    assert_int_equal(v->tensor.strides[1], 1);
    assert_int_equal(v->tensor.type.code, 2);
    assert_int_equal(v->tensor.type.bits, 64);
    assert_int_equal(v->tensor.type.lanes, 1);
    const int host = !place || !has_device(ctx);
    if (host) assert_int_equal(v->tensor.device.type, QDS_DL_CPU);
    if (!host) assert_int_not_equal(v->tensor.device.type, QDS_DL_CPU);
    v->deleter(v);
  }
  void *tensor;
  assert_fails(qds_array_export(array, QDS_PLACE_HOST, QDS_DLPACK_READ_ONLY, &tensor), QDS_ERROR_ARGUMENT,
               "before version 1.0");
  assert_null(tensor);
  qds_array_drop(array);
  assert_int_equal(statistics_of(ctx).buffers, 0);
}

/* Fault 53: an export that owns nothing. The context may go before it, too. */
static void exports_outlive_array_and_context(void **state) {
  (void)state;
  const char *skipped;
  for (const char *const *device = test_devices(&skipped); *device; device++) {
    qds_context *ctx;
    qds_context_options options = QDS_CONTEXT_OPTIONS_INIT;
    options.device = *device;
    options.threads = 1;
    assert_ok(qds_context_create(&options, &ctx));
    qds_array *array = make(ctx), *looked;
    qds_dl_managed *plain, *again;
    qds_dl_versioned *versioned;
    assert_ok(qds_array_export(array, QDS_PLACE_HOST, 0, (void **)&plain));
    assert_ok(qds_array_export(array, QDS_PLACE_HOST, QDS_DLPACK_VERSIONED, (void **)&versioned));
    assert_ok(qds_array_import(ctx, versioned, 1, &looked));
    qds_array_drop(array);
    qds_context_destroy(ctx);
    ((double *)plain->tensor.data)[11] = 5;
    assert_ok(qds_array_export(looked, QDS_PLACE_HOST, 0, (void **)&again));
    qds_array_drop(looked);
    plain->deleter(plain);
    assert_true(((double *)again->tensor.data)[11] == 5);
    again->deleter(again);
  }
}

/* --- arrays of others -------------------------------------------------------------------------------------
 */

static int deleted;

static void delete_foreign(qds_dl_versioned *self) {
  (void)self;
  deleted++;
}

static double foreign_data[12];
static int64_t foreign_shape[] = {3, 4}, foreign_strides[] = {4, 1};

static qds_dl_versioned foreign(void) {
  return (qds_dl_versioned){.version = {1, 3},
                            .deleter = delete_foreign,
                            .tensor = {.data = foreign_data,
                                       .device = {QDS_DL_CPU, 0},
                                       .axes = 2,
                                       .type = {QDS_ELEMENT_FLOAT, 64, 1},
                                       .shape = foreign_shape,
                                       .strides = foreign_strides}};
}

/* Fault 52: what is never given back, and what is given back as if it were ours. */
static void imports_keep_the_owner(qds_context *ctx) {
  qds_dl_versioned x = foreign();
  x.flags = 1;
  x.tensor.byte_offset = 8;
  x.tensor.axes = 1;
  x.tensor.strides = NULL;
  qds_array *array;
  void *p;
  deleted = 0;
  assert_ok(qds_array_import(ctx, &x, 1, &array));
  assert_ok(qds_array_borrow(array, QDS_PLACE_HOST, 0, &p));
  assert_ptr_equal(p, foreign_data + 1);
  assert_fails(qds_array_borrow(array, QDS_PLACE_HOST, 1, &p), QDS_ERROR_ARGUMENT, "no writing");
  assert_fails(qds_array_borrow(array, QDS_PLACE_DEVICE, 0, &p), QDS_ERROR_UNSUPPORTED, "on the host");
  qds_array_return(array, QDS_PLACE_HOST);
  qds_array_retain(array);
  qds_array_drop(array);
  assert_int_equal(deleted, 0);
  qds_array_drop(array);
  assert_int_equal(deleted, 1);
  assert_int_equal(statistics_of(ctx).buffers, 0);
}

static void refuse(qds_context *ctx, qds_dl_versioned x, qds_status status, const char *text) {
  qds_array *array;
  assert_fails(qds_array_import(ctx, &x, 1, &array), status, text);
  assert_null(array);
}

static void imports_are_checked(qds_context *ctx) {
  int64_t gaps[] = {8, 2}, large[] = {(int64_t)1 << 40, (int64_t)1 << 40};
  qds_dl_versioned x;
  deleted = 0;
  x = foreign(), x.version.major = 2;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "version 2.3");
  x = foreign(), x.tensor.strides = gaps;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "axis 1 of 2 steps over 2 elements instead of 1");
  x = foreign(), x.tensor.type.lanes = 4;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "4 lanes");
  x = foreign(), x.tensor.type.code = 4;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "type code 4");
  x = foreign(), x.tensor.axes = 65;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "65 axes");
  x = foreign(), x.tensor.shape = large;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "address range");
  x = foreign(), x.tensor.data = NULL;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "no address");
  x = foreign(), x.tensor.device.type = 10;
  refuse(ctx, x, QDS_ERROR_ARGUMENT, "type 10");
  x = foreign(), x.tensor.device.type = QDS_DL_CUDA, x.tensor.device.number = 99;
  refuse(ctx, x, QDS_ERROR_UNSUPPORTED, "cuda:99");
  assert_int_equal(deleted, 0);
}

/* --- threads ----------------------------------------------------------------------------------------------
 */

enum { THREADS = 4, TURNS = 200 };

/* Each thread looks, hands on and gives back; the last of them ends the array. */
static void *share(void *data) {
  qds_array *array = data;
  for (int i = 0; i < TURNS; i++) {
    void *pointer, *tensor;
    assert_ok(qds_array_borrow(array, QDS_PLACE_HOST, 1, &pointer));
    assert_ok(qds_array_export(array, QDS_PLACE_HOST, i % 2 ? QDS_DLPACK_VERSIONED : 0, &tensor));
    qds_array_return(array, QDS_PLACE_HOST);
    qds_dlpack_dispose(tensor, i % 2);
  }
  qds_array_drop(array);
  return NULL;
}

static void threads_share_an_array(qds_context *ctx) {
  qds_array *array = make(ctx);
  pthread_t threads[THREADS];
  for (int i = 1; i < THREADS; i++) qds_array_retain(array);
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, share, array), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(statistics_of(ctx).buffers, 0);
}

static void buffers_are_listed(qds_context *ctx) {
  qds_array *array = make(ctx);
  char *text;
  assert_ok(qds_memory_buffers(ctx, &text));
  assert_non_null(strstr(text, "\"psi\""));
  assert_non_null(strstr(text, "test_array.c"));
  qds_text_destroy(text);
  qds_array_drop(array);
  assert_ok(qds_memory_buffers(ctx, &text));
  assert_null(strstr(text, "psi"));
  qds_text_destroy(text);
}

/* --- failures ---------------------------------------------------------------------------------------------
 */

static qds_status everything(qds_context *ctx, void *data) {
  (void)data;
  qds_dl_versioned x = foreign();
  qds_array *array = NULL, *looked = NULL;
  void *tensor = NULL;
  qds_status status = qds_array_create(ctx, &form, QDS_MEM_ADAPTIVE, "psi", &array);
  if (status == QDS_OK) status = qds_array_export(array, QDS_PLACE_HOST, 0, &tensor);
  if (status == QDS_OK) status = qds_array_import(ctx, &x, 1, &looked);
  char *text = NULL;
  if (status == QDS_OK) status = qds_memory_buffers(ctx, &text);
  qds_text_destroy(text);
  if (status == QDS_OK) {
    qds_dlpack_dispose(tensor, 0);
    tensor = NULL;
    status = qds_array_copy(array, looked);
  }
  if (tensor) qds_dlpack_dispose(tensor, 0);
  qds_array_drop(looked);
  qds_array_drop(array);
  return status;
}

static void every_allocation_may_fail(qds_context *ctx) {
  assert_ok(everything(ctx, NULL)); /* what stays: tags, spare fences */
  assert_true(fail_each_allocation(ctx, everything, NULL) >= 5);
  assert_int_equal(statistics_of(ctx).buffers, 0);
  if (has_device(ctx) && !strcmp(qds_context_device(ctx), "sim:0"))
    (void)fail_each_on_device(ctx, QDS_INJECT_ALLOCATION, 3, everything, NULL);
  assert_int_equal(statistics_of(ctx).buffers, 0);
}

#define ON_EACH(name)                                                                                        \
  static void test_##name(void **state) {                                                                    \
    (void)state;                                                                                             \
    with_context_on_each(1, name);                                                                           \
  }
ON_EACH(borrowers_share_a_bracket)
ON_EACH(copies_cross_places)
ON_EACH(forms_are_checked)
ON_EACH(exports_name_device_and_layout)
ON_EACH(imports_keep_the_owner)
ON_EACH(imports_are_checked)
ON_EACH(threads_share_an_array)
ON_EACH(buffers_are_listed)
ON_EACH(every_allocation_may_fail)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_borrowers_share_a_bracket),
      cmocka_unit_test(test_copies_cross_places),
      cmocka_unit_test(test_forms_are_checked),
      cmocka_unit_test(test_exports_name_device_and_layout),
      cmocka_unit_test(exports_outlive_array_and_context),
      cmocka_unit_test(test_imports_keep_the_owner),
      cmocka_unit_test(test_imports_are_checked),
      cmocka_unit_test(test_threads_share_an_array),
      cmocka_unit_test(test_buffers_are_listed),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
