/* Formulas such as "0.5*k*(x^2 + y^2)", evaluated by muParser.
 *
 * Known everywhere: pi, e, the functions sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh
 * exp ln log (natural, as ln) log2 log10 sqrt cbrt abs sign rint min max sum avg, the power ^, comparison, &&
 * || and the conditional (a ? b : c). Numbers have a decimal point in every locale. */
#ifndef QDS_BASE_FORMULA_H
#define QDS_BASE_FORMULA_H

#include "base/allocator.h"

typedef struct qds_formula qds_formula;

/* `variables`: names that each evaluation sets; `constants` and `values`: named numbers, copied; both lists
 * are NULL-terminated, NULL is an empty list. A formula that does not parse, or names something unknown, is
 * QDS_ERROR_INPUT with the reason, the position, and the nearest known name; so is a variable or constant
 * whose name is no name, is used twice or is one of the above. One formula may be used by one thread at a
 * time. */
qds_status qds_formula_create(qds_allocator *allocator, const char *text, const char *const *variables,
                              const char *const *constants, const double *values, qds_formula **out);
/* arguments: one number per variable, in their order. The result may be NaN or infinite: the caller says
 * where. */
qds_status qds_formula_evaluate(qds_formula *formula, const double *arguments, double *out);
/* A row of results: variable `fastest` runs through `values[count]`, the others stay at `arguments`. */
qds_status qds_formula_evaluate_row(qds_formula *formula, const double *arguments, int fastest, size_t count,
                                    const double *values, double *out);
void qds_formula_destroy(qds_formula *formula);
QDS_AUTO_DEFINE(qds_formula)

#endif
