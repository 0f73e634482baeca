/* Arrays of this library for others, and those of others for this library, through DLPack. */
#include <string.h>

#include "mem/array.h"
#include "mem/buffer_internal.h"

/* --- out --------------------------------------------------------------------------------------------------
 */

typedef struct {
  qds_array *array;
  qds_place place;
  union {
    qds_dl_managed plain;
    qds_dl_versioned versioned;
  } handed;
  int64_t extents[]; /* shape, strides */
} export_record;

void qds_array_location(const qds_array *array, qds_place place, int *type, int *number) {
  const qds_accelerator *accelerator = array->manager->accelerator;
  *type = QDS_DL_CPU;
  *number = 0;
  if (array->foreign) {
    *type = array->tensor.device.type;
    *number = array->tensor.device.number;
  } else if (place == QDS_PLACE_DEVICE && accelerator) {
    /* Unified memory too: not every library knows that there are other kinds of CUDA memory. */
    *type = strcmp(accelerator->backend->name, "cuda") ? QDS_DL_EXTENSION : QDS_DL_CUDA;
    *number = accelerator->index;
  }
}

static void end_export(export_record *record) {
  qds_array *array = record->array;
  const qds_place place = record->place;
  qds_release(record);
  qds_array_return(array, place);
  qds_array_drop(array);
}

static void delete_plain(qds_dl_managed *self) {
  end_export(self->owner);
}

static void delete_versioned(qds_dl_versioned *self) {
  end_export(self->owner);
}

static qds_dl_tensor tensor_of(export_record *record, void *pointer) {
  const qds_array *array = record->array;
  const qds_array_form *form = &array->form;
  int64_t *shape = record->extents, *strides = shape + form->axes;
  int type, number;
  qds_array_location(array, record->place, &type, &number);
  int64_t stride = 1;
  for (int i = form->axes; i-- > 0;) {
    shape[i] = form->shape[i];
    strides[i] = stride;
    stride *= array->bytes ? form->shape[i] : 1;
  }
  return (qds_dl_tensor){.data = array->bytes ? pointer : NULL,
                         .device = {type, number},
                         .axes = form->axes,
                         .type = {(uint8_t)form->element, (uint8_t)form->bits, 1},
                         .shape = shape,
                         .strides = strides};
}

static void *hand_over(export_record *record, void *pointer, int flags) {
  const qds_dl_tensor tensor = tensor_of(record, pointer);
  if (!(flags & QDS_DLPACK_VERSIONED)) {
    record->handed.plain = (qds_dl_managed){tensor, record, delete_plain};
    return &record->handed.plain;
  }
  record->handed.versioned =
      (qds_dl_versioned){.version = {QDS_DL_MAJOR, QDS_DL_MINOR},
                         .owner = record,
                         .deleter = delete_versioned,
                         .flags = (uint64_t)(flags & (QDS_DLPACK_READ_ONLY | QDS_DLPACK_IS_COPIED)),
                         .tensor = tensor};
  return &record->handed.versioned;
}

qds_status qds_array_export(qds_array *array, qds_place place, int flags, void **out) {
  QDS_REQUIRE(out, "qds_array_export: out is NULL");
  *out = NULL;
  QDS_REQUIRE(array, "qds_array_export: no array");
  const int readonly = flags & QDS_DLPACK_READ_ONLY;
  QDS_REQUIRE(!readonly || flags & QDS_DLPACK_VERSIONED,
              "%s: DLPack before version 1.0 has no read-only arrays; copy it",
              qds_buffer_name(array->buffer).text);
  export_record *record;
  const size_t bytes = sizeof *record + 2 * (size_t)array->form.axes * sizeof *record->extents;
  QDS_TRY(qds_array_record(array->manager, bytes, (void **)&record));
  void *pointer;
  const qds_status status = qds_array_borrow(array, place, !readonly, &pointer);
  if (status != QDS_OK) {
    qds_release(record);
    return status;
  }
  qds_array_retain(array);
  record->array = array;
  record->place = place;
  *out = hand_over(record, pointer, flags);
  return QDS_OK;
}

void qds_dlpack_dispose(void *tensor, int versioned) {
  if (versioned) {
    qds_dl_versioned *self = tensor;
    if (self->deleter) self->deleter(self);
  } else {
    qds_dl_managed *self = tensor;
    if (self->deleter) self->deleter(self);
  }
}

/* --- in ---------------------------------------------------------------------------------------------------
 */

static qds_status check_layout(const qds_dl_tensor *tensor) {
  int64_t stride = 1;
  for (int i = tensor->axes; tensor->strides && i-- > 0;) {
    QDS_REQUIRE(tensor->shape[i] <= 1 || tensor->strides[i] == stride,
                "an array of another library is not contiguous: axis %d of %d steps over %lld elements "
                "instead of %lld; hand over a contiguous copy",
                i, tensor->axes, (long long)tensor->strides[i], (long long)stride);
    stride *= tensor->shape[i];
  }
  return QDS_OK;
}

static qds_status check_device(const qds_buffer_manager *m, const qds_dl_tensor *tensor) {
  const int type = tensor->device.type, number = tensor->device.number;
  if (type == QDS_DL_CPU || type == QDS_DL_CUDA_HOST) return QDS_OK;
  QDS_REQUIRE(type == QDS_DL_CUDA || type == QDS_DL_CUDA_MANAGED,
              "an array of another library lies on a device of DLPack's type %d; allowed are 1 (CPU), 2 "
              "(CUDA), 3 (CUDA, host) and 13 (CUDA, managed)",
              type);
  const qds_accelerator *accelerator = m->accelerator;
  if (accelerator && !strcmp(accelerator->backend->name, "cuda") && accelerator->index == number)
    return QDS_OK;
  QDS_FAIL(QDS_ERROR_UNSUPPORTED,
           "an array of another library lies on the GPU cuda:%d, which this context does not use: %s", number,
           accelerator ? "it uses another device" : m->device_reason);
}

static qds_status read_form(const qds_dl_tensor *tensor, qds_array_form *form, size_t *bytes) {
  QDS_REQUIRE(tensor->type.lanes == 1, "an array of another library has elements of %d lanes; 1 is allowed",
              tensor->type.lanes);
  QDS_REQUIRE(tensor->axes >= 0 && tensor->axes <= QDS_ARRAY_AXES,
              "an array of another library has %d axes; 0 to %d are allowed", tensor->axes, QDS_ARRAY_AXES);
  *form = (qds_array_form){
      .element = (qds_element)tensor->type.code, .bits = tensor->type.bits, .axes = tensor->axes};
  for (int i = 0; i < form->axes; i++) form->shape[i] = tensor->shape[i];
  QDS_TRY(qds_array_measure(form, bytes));
  if (*bytes) QDS_TRY(check_layout(tensor));
  QDS_REQUIRE(!*bytes || tensor->data, "an array of another library has %zu bytes and no address", *bytes);
  return QDS_OK;
}

qds_status qds_array_wrap(qds_buffer_manager *m, void *tensor, int versioned, const char *file, int line,
                          qds_array **out) {
  QDS_REQUIRE(out, "qds_array_import: out is NULL");
  *out = NULL;
  QDS_REQUIRE(tensor, "qds_array_import: no array");
  const qds_dl_versioned *whole = tensor;
  QDS_REQUIRE(!versioned || whole->version.major == QDS_DL_MAJOR,
              "an array of another library comes in version %u.%u of DLPack; version %d is known here",
              whole->version.major, whole->version.minor, QDS_DL_MAJOR);
  const qds_dl_tensor *view = versioned ? &whole->tensor : &((const qds_dl_managed *)tensor)->tensor;
  qds_array_form form;
  size_t bytes;
  QDS_TRY(read_form(view, &form, &bytes));
  QDS_TRY(check_device(m, view));
  if (view->device.type != QDS_DL_CPU) QDS_TRY(qds_array_wait(m));
  const qds_array_form nothing = {.element = QDS_ELEMENT_BOOL, .bits = 8, .axes = 1};
  qds_array *array;
  QDS_TRY(qds_array_new(m, &nothing, QDS_MEM_CPU_ONLY, "borrowed", file, line, &array));
  array->foreign = tensor;
  array->versioned = versioned;
  array->tensor = *view;
  array->readonly = versioned && whole->flags & QDS_DLPACK_READ_ONLY;
  array->form = form;
  array->bytes = bytes;
  *out = array;
  return QDS_OK;
}
