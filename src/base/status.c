#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 2048 };

static _Thread_local char last_message[MESSAGE_SIZE];
static _Thread_local qds_error last_error = {QDS_OK, "", "", 0, 0};

const char *qds_status_name(qds_status status) {
  switch (status) {
#define NAME_CASE(code, value, exit_status, text)                                                            \
  case code:                                                                                                 \
    return #code;
    QDS_STATUS_LIST(NAME_CASE)
#undef NAME_CASE
  }
  return "unknown status";
}

const char *qds_status_text(qds_status status) {
  switch (status) {
#define TEXT_CASE(code, value, exit_status, text)                                                            \
  case code:                                                                                                 \
    return text;
    QDS_STATUS_LIST(TEXT_CASE)
#undef TEXT_CASE
  }
  return "unknown status";
}

int qds_status_exit(qds_status status) {
  switch (status) {
#define EXIT_CASE(code, value, exit_status, text)                                                            \
  case code:                                                                                                 \
    return exit_status;
    QDS_STATUS_LIST(EXIT_CASE)
#undef EXIT_CASE
  }
  return 1;
}

const qds_error *qds_last_error(void) {
  return &last_error;
}

const char *qds_version(void) {
  return QDS_VERSION;
}

qds_status qds_raise(qds_status status, const char *file, int line, long native, const char *format, ...) {
  /* The new message may quote the old one, so it is built aside. */
  char message[MESSAGE_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  memcpy(last_message, message, sizeof message);
  last_error = (qds_error){status, last_message, file, line, native};
  return status;
}
