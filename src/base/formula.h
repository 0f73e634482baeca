/* Formulas such as "0.5*k*(x^2 + y^2)", evaluated by muParser.
 *
 * Known everywhere: pi, e, the functions of muParser (sin cos tan asin acos atan atan2 sinh cosh tanh exp ln log2
 * log10 sqrt cbrt abs sign rint min max sum avg), comparison, && || and the conditional (a ? b : c).
 */
#ifndef QDS_BASE_FORMULA_H
#define QDS_BASE_FORMULA_H

#include "base/allocator.h"

typedef struct qds_formula qds_formula;

/* `variables`: names that each evaluation sets; `constants` and `values`: named numbers, copied; both lists are
 * NULL-terminated. A formula that does not parse, or names something unknown, is QDS_ERROR_INPUT with muParser's
 * text, the position, and the nearest known name. One formula may be used by one thread at a time. */
qds_status qds_formula_create(qds_allocator *allocator, const char *text, const char *const *variables,
                              const char *const *constants, const double *values, qds_formula **out);
/* arguments: one number per variable, in their order. The result may be NaN or infinite: the caller says where. */
qds_status qds_formula_evaluate(qds_formula *formula, const double *arguments, double *out);
/* A row of results: variable `fastest` runs through `values[count]`, the others stay at `arguments`. */
qds_status qds_formula_evaluate_row(qds_formula *formula, const double *arguments, int fastest, size_t count,
                                    const double *values, double *out);
void qds_formula_destroy(qds_formula *formula);
QDS_AUTO_DEFINE(qds_formula)

#endif
