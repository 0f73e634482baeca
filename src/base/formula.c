#include "base/formula.h"

#include <ctype.h>
#include <math.h>
#include <muParserDLL.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* muParser keeps its error texts in one static buffer of 2048 bytes that all threads share and that a long
 * formula overflows (mupGetErrorMsg and mupGetErrorToken in 2.3.3). So only its error code and position are
 * asked for, and the texts are made here. mupEvalBulk is left alone because it starts OpenMP threads of its
 * own choosing. */

struct qds_formula {
  muParserHandle_t parser;
  size_t variables;
  double *values; /* the parser reads its variables here */
};

/* Names that every formula knows, beside muParser's own _pi and _e. */
static const char *const known_names[] = {"pi",    "e",    "sin",  "cos",   "tan",   "asin",  "acos",  "atan",
                                          "atan2", "sinh", "cosh", "tanh",  "asinh", "acosh", "atanh", "exp",
                                          "ln",    "log",  "log2", "log10", "sqrt",  "cbrt",  "abs",   "sign",
                                          "rint",  "min",  "max",  "sum",   "avg",   NULL};
enum { KNOWN_NAMES = sizeof known_names / sizeof *known_names - 1, FIRST_FUNCTION = 2 };

/* muParser's error codes (enum EErrorCodes of its C++ header muParserDef.h) in the user's words. */
static const char *const reasons[] = {
    [0] = "an operator stands where a value belongs (a power is written ^)",
    [1] = "this is not understood",
    [2] = "the formula ends too early",
    [3] = "a comma stands where none belongs",
    [4] = "a list of values stands outside a function",
    [5] = "an operator is missing before this value",
    [6] = "an operator is missing before this name",
    [7] = "a parenthesis stands where none belongs",
    [8] = "a text stands where a number belongs",
    [10] = "a text stands where a number belongs",
    [11] = "a parenthesis is missing",
    [12] = "an operator is missing before this function",
    [13] = "a text stands where a number belongs",
    [14] = "too many arguments for the function that ends",
    [15] = "too few arguments for the function that ends",
    [17] = "a text stands where a number belongs",
    [25] = "the formula is empty",
    [32] = "? stands where none belongs",
    [33] = "a conditional lacks its second half (condition ? value : other value)",
    [34] = "a colon stands where none belongs",
    [36] = "a name is too long (100 letters are allowed)",
    [37] = "the formula is too long (20000 characters are allowed)",
    [38] = "a character that cannot be printed stands in the formula",
};
enum { REASONS = sizeof reasons / sizeof *reasons, UNKNOWN_TOKEN = 1, QUOTE = 160 };

static size_t count_names(const char *const *names) {
  size_t count = 0;
  while (names && names[count]) count++;
  return count;
}

static int identifier_length(const char *text) {
  int length = 0;
  while (isalnum((unsigned char)text[length]) || text[length] == '_') length++;
  return isdigit((unsigned char)text[0]) ? 0 : length;
}

static int is_function(const char *word) {
  for (int i = FIRST_FUNCTION; i < KNOWN_NAMES; i++)
    if (strcmp(word, known_names[i]) == 0) return 1;
  return 0;
}

static qds_status fail_unknown_name(const char *text, int position, int length, const char *const *names) {
  char word[QUOTE + 1];
  if (length > QUOTE) length = QUOTE;
  memcpy(word, text + position, (size_t)length);
  word[length] = 0;
  if (is_function(word))
    QDS_FAIL(QDS_ERROR_INPUT,
             "formula \"%.*s\": the function \"%s\" at character %d lacks its arguments: %s(...)", QUOTE,
             text, word, position + 1, word);
  const char *nearest = qds_nearest(word, names);
  if (nearest)
    QDS_FAIL(QDS_ERROR_INPUT, "formula \"%.*s\": unknown name \"%s\" at character %d; did you mean \"%s\"?",
             QUOTE, text, word, position + 1, nearest);
  char list[4 * QUOTE] = "";
  for (size_t i = 0, used = 0; names[i] && used + strlen(names[i]) + 3 < sizeof list; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
  QDS_FAIL(QDS_ERROR_INPUT, "formula \"%.*s\": unknown name \"%s\" at character %d; known are %s", QUOTE,
           text, word, position + 1, list);
}

/* Raises the parser's pending error on `text`. */
static qds_status fail_parse(muParserHandle_t parser, const char *text, const char *const *names) {
  const int code = mupGetErrorCode(parser), position = mupGetErrorPos(parser);
  const int inside = position >= 0 && (size_t)position < strlen(text);
  const int length = inside ? identifier_length(text + position) : 0;
  if (code == UNKNOWN_TOKEN && length) return fail_unknown_name(text, position, length, names);
  const char *reason = code >= 0 && code < REASONS ? reasons[code] : NULL;
  if (!reason)
    QDS_FAIL_NATIVE(QDS_ERROR_INPUT, code, "formula \"%.*s\": muParser refuses it with its error %d", QUOTE,
                    text, code);
  if (!inside) QDS_FAIL_NATIVE(QDS_ERROR_INPUT, code, "formula \"%.*s\": %s", QUOTE, text, reason);
  QDS_FAIL_NATIVE(QDS_ERROR_INPUT, code, "formula \"%.*s\": %s at character %d, \"%.20s\"", QUOTE, text,
                  reason, position + 1, text + position);
}

/* muParser would take a single = for an assignment to the variable. */
static qds_status check_no_assignment(const char *text) {
  for (const char *c = text; (c = strchr(c, '=')); c++) {
    if (c[1] == '=')
      c++;
    else if (c == text || !strchr("<>!", c[-1]))
      QDS_FAIL(QDS_ERROR_INPUT,
               "formula \"%.*s\": a single = at character %d; a comparison is written ==", QUOTE, text,
               (int)(c - text) + 1);
  }
  return QDS_OK;
}

/* The names a formula may use, the user's first; NULL-terminated. */
static qds_status list_names(qds_allocator *allocator, const char *const *variables,
                             const char *const *constants, const char ***out) {
  const size_t v = count_names(variables), c = count_names(constants);
  QDS_TRY(QDS_NEW(allocator, v + c + KNOWN_NAMES + 1, "formula", out));
  for (size_t i = 0; i < v; i++) (*out)[i] = variables[i];
  for (size_t i = 0; i < c; i++) (*out)[v + i] = constants[i];
  memcpy(*out + v + c, known_names, sizeof known_names);
  return QDS_OK;
}

static qds_status check_names(const char *const *names, size_t own) {
  for (size_t i = 0; i < own; i++) {
    if (!names[i][0] || identifier_length(names[i]) != (int)strlen(names[i]))
      QDS_FAIL(QDS_ERROR_INPUT,
               "\"%.*s\" cannot be a name in a formula: letters, digits and _ are allowed, no "
               "digit first",
               QUOTE, names[i]);
    for (size_t j = i + 1; names[j]; j++)
      if (strcmp(names[i], names[j]) == 0)
        QDS_FAIL(QDS_ERROR_INPUT, "the name \"%.*s\" is taken %s; choose another", QUOTE, names[i],
                 j < own ? "twice among variables and constants" : "by the formula language");
  }
  return QDS_OK;
}

/* Names have been checked, so only the length of a name can be refused here. */
static qds_status define_names(qds_formula *formula, const char *const *variables,
                               const char *const *constants, const double *values) {
  muParserHandle_t parser = formula->parser;
  mupDefineConst(parser, "pi", M_PI);
  mupDefineConst(parser, "e", M_E);
  mupDefineFun1(parser, "cbrt", cbrt, 1);
  for (size_t i = 0; i < count_names(constants); i++) {
    mupDefineConst(parser, constants[i], values[i]);
    if (mupError(parser)) return fail_parse(parser, constants[i], known_names);
  }
  for (size_t i = 0; i < formula->variables; i++) {
    mupDefineVar(parser, variables[i], &formula->values[i]);
    if (mupError(parser)) return fail_parse(parser, variables[i], known_names);
  }
  return QDS_OK;
}

/* muParser parses at the first evaluation, so that is done here, at zero. */
static qds_status parse(qds_formula *formula, const char *text, const char *const *names) {
  int results = 0;
  mupSetExpr(formula->parser, text);
  if (mupError(formula->parser)) return fail_parse(formula->parser, text, names);
  mupEvalMulti(formula->parser, &results);
  if (mupError(formula->parser)) return fail_parse(formula->parser, text, names);
  if (results != 1)
    QDS_FAIL(QDS_ERROR_INPUT,
             "formula \"%.*s\": %d values separated by commas; one is allowed (decimals are written "
             "with a point)",
             QUOTE, text, results);
  return QDS_OK;
}

qds_status qds_formula_create(qds_allocator *allocator, const char *text, const char *const *variables,
                              const char *const *constants, const double *values, qds_formula **out) {
  QDS_AUTO(qds_formula) *formula = NULL;
  QDS_AUTO_RELEASE const char **names = NULL;
  *out = NULL;
  QDS_TRY(list_names(allocator, variables, constants, &names));
  QDS_TRY(check_names(names, count_names(variables) + count_names(constants)));
  QDS_TRY(check_no_assignment(text));
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "formula", &formula));
  formula->variables = count_names(variables);
  QDS_TRY(QDS_NEW_ZERO(allocator, formula->variables, "formula", &formula->values));
  formula->parser = mupCreate(muBASETYPE_FLOAT);
  QDS_TRY(define_names(formula, variables, constants, values));
  QDS_TRY(parse(formula, text, names));
  *out = formula;
  formula = NULL;
  return QDS_OK;
}

/* Evaluation gives NaN or infinity where it cannot give a number, so an error here is a fault of ours. */
static qds_status check_evaluation(const qds_formula *formula) {
  if (!mupError(formula->parser)) return QDS_OK;
  const int code = mupGetErrorCode(formula->parser);
  QDS_FAIL_NATIVE(QDS_ERROR_INTERNAL, code, "muParser's error %d in a formula that it had accepted", code);
}

qds_status qds_formula_evaluate(qds_formula *formula, const double *arguments, double *out) {
  if (formula->variables) memcpy(formula->values, arguments, formula->variables * sizeof *arguments);
  *out = mupEval(formula->parser);
  return check_evaluation(formula);
}

qds_status qds_formula_evaluate_row(qds_formula *formula, const double *arguments, int fastest, size_t count,
                                    const double *values, double *out) {
  QDS_REQUIRE(fastest >= 0 && (size_t)fastest < formula->variables,
              "qds_formula_evaluate_row: variable %d, the formula has %zu", fastest, formula->variables);
  memcpy(formula->values, arguments, formula->variables * sizeof *arguments);
  for (size_t i = 0; i < count; i++) {
    formula->values[fastest] = values[i];
    out[i] = mupEval(formula->parser);
  }
  return check_evaluation(formula);
}

void qds_formula_destroy(qds_formula *formula) {
  if (!formula) return;
  if (formula->parser) mupRelease(formula->parser);
  qds_release(formula->values);
  qds_release(formula);
}
