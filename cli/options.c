#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "qdsim/text.h"

enum { MAX_OPTIONS = 32, USAGE = 2 };

static void print_help(const cli_syntax *syntax, const cli_option *options) {
  printf("usage: qdsim %s\n\n%s\n", syntax->usage, syntax->purpose);
  for (const cli_option *o = options; o->name; o++) {
    char left[64];
    snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
             o->letter ? "," : " ", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    printf("  %-26s %s\n", left, o->help);
  }
  printf("      %-22s %s\n", "--help", "print this text");
  if (syntax->ending) printf("\n%s", syntax->ending);
}

int cli_complain(const char *command, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fprintf(stderr, "qdsim %s: %s; see qdsim %s --help\n", command, text, command);
  return USAGE;
}

static int refuse_value(const char *command, const cli_option *option, const char *given,
                        const char *allowed) {
  return cli_complain(command, "--%s %s: expected %s", option->name, given, allowed);
}

static int store(const char *command, const cli_option *option, const char *given) {
  char *end;
  errno = 0;
  switch (option->kind) {
  case CLI_FLAG:
    *(int *)option->value = 1;
    break;
  case CLI_TEXT:
    *(const char **)option->value = given;
    break;
  case CLI_LIST: {
    const char **list = option->value;
    while (*list) list++;
    list[0] = given;
    list[1] = NULL;
    break;
  }
  case CLI_COUNT: {
    const long count = strtol(given, &end, 10);
    if (end == given || *end || errno || count < 0 || count > INT_MAX)
      return refuse_value(command, option, given, "a whole number, 0 or more");
    *(int *)option->value = (int)count;
    break;
  }
  case CLI_NUMBER: {
    const double number = strtod(given, &end);
    if (end == given || *end || !isfinite(number)) return refuse_value(command, option, given, "a number");
    *(double *)option->value = number;
    break;
  }
  case CLI_BYTES:
    if (!qds_parse_bytes(given, option->value))
      return refuse_value(command, option, given, "a size such as 2GiB, 500MB or 1048576");
    break;
  }
  return CLI_CONTINUE;
}

/* getopt_long's tables from ours; the value of a long option is its index plus FIRST_LONG. */
enum { FIRST_LONG = 256, HELP = FIRST_LONG + MAX_OPTIONS };

static void fill_tables(const cli_option *options, struct option *longs, char *shorts) {
  size_t n = 0, s = 0;
  shorts[s++] = ':';
  for (; options[n].name; n++) {
    const int has_argument = options[n].kind != CLI_FLAG;
    longs[n] = (struct option){options[n].name, has_argument, NULL, FIRST_LONG + (int)n};
    if (!options[n].letter) continue;
    shorts[s++] = options[n].letter;
    if (has_argument) shorts[s++] = ':';
  }
  longs[n++] = (struct option){"help", no_argument, NULL, HELP};
  longs[n] = (struct option){0};
  shorts[s] = 0;
}

static const cli_option *find_letter(const cli_option *options, int letter) {
  while (options->name && options->letter != letter) options++;
  return options->name ? options : NULL;
}

/* An unknown or ambiguous long option, as it was given. */
static int refuse_long(const char *command, const cli_option *options, const char *given) {
  const char *names[MAX_OPTIONS + 2] = {"help"};
  char word[128];
  size_t count = 1;
  for (const cli_option *o = options; o->name; o++) names[count++] = o->name;
  snprintf(word, sizeof word, "%s", given + strspn(given, "-"));
  word[strcspn(word, "=")] = 0;
  const char *nearest = qds_nearest(word, names);
  if (!nearest) return cli_complain(command, "no option --%s", word);
  return cli_complain(command, "no option --%s (did you mean --%s?)", word, nearest);
}

/* What getopt_long could not place: `code` is '?' or ':', optopt tells which option, 0 for a long one it does
 * not know. */
static int refuse_option(const char *command, const cli_option *options, int code, const char *given) {
  if (optopt == 0) return refuse_long(command, options, given);
  const cli_option *option = optopt == HELP         ? NULL
                             : optopt >= FIRST_LONG ? &options[optopt - FIRST_LONG]
                                                    : find_letter(options, optopt);
  if (code == ':') return cli_complain(command, "--%s wants a value: %s", option->name, option->argument);
  if (optopt >= FIRST_LONG)
    return cli_complain(command, "--%s takes no value", option ? option->name : "help");
  return cli_complain(command, "no option -%c", optopt);
}

int cli_parse(const cli_syntax *syntax, const cli_option *options, int argc, char **argv, int *operand) {
  struct option longs[MAX_OPTIONS + 2];
  char shorts[2 * MAX_OPTIONS + 2];
  const char *command = argv[0];
  fill_tables(options, longs, shorts);
  optind = 0;
  opterr = 0;
  int code;
  while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
    if (code == HELP) {
      print_help(syntax, options);
      return 0;
    }
    if (code == '?' || code == ':') return refuse_option(command, options, code, argv[optind - 1]);
    const cli_option *option = code >= FIRST_LONG ? &options[code - FIRST_LONG] : find_letter(options, code);
    const int status = store(command, option, optarg);
    if (status != CLI_CONTINUE) return status;
  }
  *operand = optind;
  if (argc - optind > syntax->most_operands)
    return cli_complain(command, "unexpected argument \"%s\"", argv[optind + syntax->most_operands]);
  if (argc - optind < syntax->least_operands)
    return cli_complain(command, "no file given: qdsim %s", syntax->usage);
  return CLI_CONTINUE;
}
