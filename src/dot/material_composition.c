#include "dot/material_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Fractions are written with a few digits; a third is 0.333333. */
static const double fraction_tolerance = 1e-6;

enum { MAX_TOKENS = 6, SYMBOL_SIZE = 3 };

typedef enum { NAME_READ, NAME_MALFORMED, NAME_BAD_FRACTION, NAME_UNKNOWN_ELEMENT } reading;

typedef struct {
  int element;
  double fraction; /* NaN: none was written */
} token;

typedef struct {
  int count;
  token of[MAX_TOKENS];
} token_list;

static int element_by_symbol(const qds_material_database *database, const char *symbol) {
  for (size_t i = 0; i < database->elements; i++)
    if (!strcmp(database->element[i].symbol, symbol)) return (int)i;
  return -1;
}

/* Reads one element and the fraction after it, and moves the cursor behind them. */
static reading read_token(const qds_material_database *database, const char **cursor, token *out) {
  char symbol[SYMBOL_SIZE] = "", digits[32];
  size_t length = 1;
  if (**cursor < 'A' || **cursor > 'Z') return NAME_MALFORMED;
  if ((*cursor)[1] >= 'a' && (*cursor)[1] <= 'z') length = 2;
  memcpy(symbol, *cursor, length);
  *cursor += length;
  out->element = element_by_symbol(database, symbol);
  if (out->element < 0) return NAME_UNKNOWN_ELEMENT;
  out->fraction = NAN;
  length = strspn(*cursor, "0123456789.");
  if (!length) return NAME_READ;
  if (length >= sizeof digits) return NAME_BAD_FRACTION;
  memcpy(digits, *cursor, length);
  digits[length] = '\0';
  *cursor += length;
  return qds_parse_double(digits, &out->fraction) ? NAME_READ : NAME_BAD_FRACTION;
}

static reading read_tokens(const qds_material_database *database, const char *name, token_list *out) {
  out->count = 0;
  if (!*name) return NAME_MALFORMED;
  while (*name) {
    if (out->count == MAX_TOKENS) return NAME_MALFORMED;
    const reading result = read_token(database, &name, &out->of[out->count]);
    if (result != NAME_READ) return result;
    out->count++;
  }
  return NAME_READ;
}

static const char *symbol_of(const qds_material_database *database, const token *t) {
  return database->element[t->element].symbol;
}

static qds_sublattice sublattice_of(const qds_material_database *database, const token *t) {
  return database->element[t->element].sublattice;
}

const char *qds_material_nearest_in(const qds_material_database *database, const char *name) {
  const char *nearest = qds_nearest(name, database->spellings);
  char letters[64];
  size_t n = 0;
  if (nearest) return nearest;
  for (; *name && n + 1 < sizeof letters; name++)
    if (!strchr("0123456789.", *name)) letters[n++] = *name;
  letters[n] = '\0';
  return qds_nearest(letters, database->spellings);
}

qds_status qds_material_unknown(const qds_material_database *database, const char *name) {
  const char *nearest = qds_material_nearest_in(database, name);
  if (nearest) QDS_FAIL(QDS_ERROR_INPUT, "no material \"%.80s\"; did you mean \"%s\"?", name, nearest);
  QDS_FAIL(QDS_ERROR_INPUT,
           "no material \"%.80s\"; `qdsim materials` lists those of the database, and alloys are written "
           "with their "
           "composition, such as Al0.3Ga0.7As",
           name);
}

/* The elements of a name, each once, none of them foreign. */
static qds_status read_name(const qds_material_database *database, const char *name, token_list *out) {
  switch (read_tokens(database, name, out)) {
  case NAME_UNKNOWN_ELEMENT:
    return qds_material_unknown(database, name);
  case NAME_MALFORMED:
    if (qds_material_nearest_in(database, name)) return qds_material_unknown(database, name);
    QDS_FAIL(QDS_ERROR_INPUT,
             "\"%.80s\" is not a material: write elements and fractions, such as GaAs or Al0.3Ga0.7As", name);
  case NAME_BAD_FRACTION:
    QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\": a fraction is not a number of at most 31 digits", name);
  case NAME_READ:
    break;
  }
  for (int i = 0; i < out->count; i++)
    for (int j = 0; j < i; j++)
      if (out->of[i].element == out->of[j].element)
        QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\" names %s twice", name, symbol_of(database, &out->of[i]));
  return QDS_OK;
}

/* A number as it would be written in a name, whatever the locale. */
static void write_fraction(double fraction, char out[32]) {
  snprintf(out, 32, "%.10g", fraction);
  for (; *out; out++)
    if (*out == ',') *out = '.';
}

/* Writes a name with the fraction of each mixed element. */
static qds_status write_name(const qds_material_database *database, const token_list *tokens, char *out,
                             size_t room) {
  size_t used = 0;
  for (int i = 0; i < tokens->count && used < room; i++) {
    char fraction[32] = "";
    if (!isnan(tokens->of[i].fraction)) write_fraction(tokens->of[i].fraction, fraction);
    used += (size_t)snprintf(out + used, room - used, "%s%s", symbol_of(database, &tokens->of[i]), fraction);
  }
  if (used >= room) QDS_FAIL(QDS_ERROR_INPUT, "a material's name has at most %zu characters", room - 1);
  return QDS_OK;
}

/* The tokens of one sublattice, in the order of the name. */
static int select_tokens(const qds_material_database *database, const token_list *tokens,
                         qds_sublattice sublattice, int out[MAX_TOKENS]) {
  int count = 0;
  for (int i = 0; i < tokens->count; i++)
    if (sublattice_of(database, &tokens->of[i]) == sublattice) out[count++] = i;
  return count;
}

/* An example of how to write an alloy that came without fractions: equal shares. */
static qds_status raise_no_composition(const qds_material_database *database, const char *name,
                                       token_list *tokens) {
  char example[64];
  for (int s = QDS_CATION; s <= QDS_ANION; s++) {
    int mixed[MAX_TOKENS];
    const int count = select_tokens(database, tokens, (qds_sublattice)s, mixed);
    for (int i = 0; i < count && count > 1; i++)
      tokens->of[mixed[i]].fraction = count == 2 ? 0.5 : i ? 0.3 : 1 - 0.3 * (count - 1);
  }
  QDS_TRY(write_name(database, tokens, example, sizeof example));
  if (tokens->count == 3)
    QDS_FAIL(QDS_ERROR_INPUT,
             "\"%.80s\" is an alloy and needs a composition: write it as %s, or {alloy: %.80s, x: 0.5}", name,
             example, name);
  QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\" is an alloy and needs a composition: write it as %s", name, example);
}

/* Checks the fractions of one sublattice and enters those that are not 0. */
static qds_status read_sublattice(const qds_material_database *database, const char *name, token_list *tokens,
                                  qds_sublattice sublattice, qds_composition *out) {
  int mixed[MAX_TOKENS];
  const int count = select_tokens(database, tokens, sublattice, mixed);
  double sum = 0;
  if (count == 1 && isnan(tokens->of[mixed[0]].fraction)) tokens->of[mixed[0]].fraction = 1;
  for (int i = 0; i < count; i++) {
    const token *t = &tokens->of[mixed[i]];
    if (isnan(t->fraction))
      QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\": %s has no fraction; write all of them, such as Al0.3Ga0.7As",
               name, symbol_of(database, t));
    if (t->fraction > 1)
      QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\": the fraction %g of %s is above 1", name, t->fraction,
               symbol_of(database, t));
    sum += t->fraction;
    if (t->fraction == 0) continue;
    if (out->count[sublattice] == QDS_MAX_MIXED)
      QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\" mixes more than %d elements on one sublattice", name,
               QDS_MAX_MIXED);
    out->element[sublattice][out->count[sublattice]] = t->element;
    out->fraction[sublattice][out->count[sublattice]++] = t->fraction;
  }
  if (fabs(sum - 1) > fraction_tolerance)
    QDS_FAIL(QDS_ERROR_INPUT, "\"%.80s\": the fractions of %s%s%s add to %.10g, not to 1", name,
             symbol_of(database, &tokens->of[mixed[0]]), count > 1 ? ", " : "",
             count > 1 ? symbol_of(database, &tokens->of[mixed[count - 1]]) : "", sum);
  return QDS_OK;
}

static int has_fraction(const token_list *tokens) {
  for (int i = 0; i < tokens->count; i++)
    if (!isnan(tokens->of[i].fraction)) return 1;
  return 0;
}

qds_status qds_composition_read(const qds_material_database *database, const char *name,
                                qds_composition *out) {
  token_list tokens;
  int place[MAX_TOKENS];
  *out = (qds_composition){0};
  QDS_TRY(read_name(database, name, &tokens));
  const int elemental = select_tokens(database, &tokens, QDS_ELEMENTAL, place);
  const int cations = select_tokens(database, &tokens, QDS_CATION, place);
  const int anions = select_tokens(database, &tokens, QDS_ANION, place);
  if (elemental == 1 && tokens.count == 1 && !has_fraction(&tokens)) {
    out->count[QDS_CATION] = out->count[QDS_ANION] = 1;
    out->element[QDS_CATION][0] = tokens.of[0].element;
    out->element[QDS_ANION][0] = -1;
    out->fraction[QDS_CATION][0] = out->fraction[QDS_ANION][0] = 1;
    return QDS_OK;
  }
  if (elemental || !cations || !anions) return qds_material_unknown(database, name);
  if (cations + anions > 2 && !has_fraction(&tokens)) return raise_no_composition(database, name, &tokens);
  QDS_TRY(read_sublattice(database, name, &tokens, QDS_CATION, out));
  return read_sublattice(database, name, &tokens, QDS_ANION, out);
}

qds_status qds_composition_name(const qds_material_database *database, const char *alloy, double x, char *out,
                                size_t room) {
  token_list tokens;
  int mixed[MAX_TOKENS];
  QDS_TRY(read_name(database, alloy, &tokens));
  if (has_fraction(&tokens))
    QDS_FAIL(QDS_ERROR_INPUT,
             "alloy \"%.80s\" has fractions in its name: write it as a material name, without x", alloy);
  if (tokens.count != 3 || select_tokens(database, &tokens, QDS_ELEMENTAL, mixed) > 0)
    QDS_FAIL(QDS_ERROR_INPUT,
             "\"%.80s\" is no alloy of three elements, such as InGaAs; materials without x are written as "
             "names (GaAs, "
             "In0.53Ga0.37Al0.10As)",
             alloy);
  int count = select_tokens(database, &tokens, QDS_CATION, mixed);
  if (count == 1) count = select_tokens(database, &tokens, QDS_ANION, mixed);
  if (count != 2) return qds_material_unknown(database, alloy);
  if (!(x >= 0 && x <= 1))
    QDS_FAIL(QDS_ERROR_INPUT, "alloy %.80s: the fraction x = %g of %s must lie between 0 and 1", alloy, x,
             symbol_of(database, &tokens.of[mixed[0]]));
  tokens.of[mixed[0]].fraction = x;
  tokens.of[mixed[1]].fraction = 1 - x;
  return write_name(database, &tokens, out, room);
}
