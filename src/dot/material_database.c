#include "dot/material_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

extern const unsigned char qds_materials_yaml[];
extern const size_t qds_materials_yaml_size;

/* Where a parameter may be given. */
enum { MATERIALS = 1, ALLOYS = 2, BOTH = 3 };

typedef struct {
  const char *group, *key;
  int allowed;
} parameter_place;

static const parameter_place places[QDS_PARAMETER_COUNT] = {
#define PARAMETER_PLACE(name, group, key, allowed) {group, key, allowed},
    QDS_MATERIAL_PARAMETERS(PARAMETER_PLACE)
#undef PARAMETER_PLACE
};

enum { KEY_ROOM = QDS_PARAMETER_COUNT + 8 };

static void append_key(const char *key, const char *keys[KEY_ROOM]) {
  size_t n = 0;
  for (; keys[n]; n++)
    if (!strcmp(keys[n], key)) return;
  keys[n] = key;
}

/* Refuses groups and keys of an entry that the table does not have; `further` are keys beside the groups. */
static qds_status check_groups(const qds_yaml_node *entry, int where, const char *const *further) {
  static const char *const shift_keys[] = {"alpha_eV_per_K", "beta_K", "phonon_eV", "phonon_K"};
  const char *groups[KEY_ROOM] = {0};
  for (; *further; further++) append_key(*further, groups);
  for (int p = 0; p < QDS_PARAMETER_COUNT; p++)
    if (places[p].allowed & where) append_key(places[p].group, groups);
  QDS_TRY(qds_yaml_check_keys(entry, groups));
  for (size_t i = 0; i < qds_yaml_count(entry); i++) {
    const char *group = qds_yaml_key(entry, i), *keys[KEY_ROOM] = {0};
    for (int p = 0; p < QDS_PARAMETER_COUNT; p++)
      if ((places[p].allowed & where) && !strcmp(places[p].group, group)) append_key(places[p].key, keys);
    if (!keys[0]) continue; /* one of `further` */
    if (where == MATERIALS) append_key("source", keys);
    if (where == MATERIALS && !strncmp(group, "gap_", 4))
      for (size_t k = 0; k < sizeof shift_keys / sizeof *shift_keys; k++) append_key(shift_keys[k], keys);
    QDS_TRY(qds_yaml_check_keys(qds_yaml_item(entry, i), keys));
  }
  return QDS_OK;
}

static const qds_yaml_node *find_in_group(const qds_yaml_node *entry, const char *group, const char *key) {
  const qds_yaml_node *node = qds_yaml_find(entry, group);
  return node ? qds_yaml_find(node, key) : NULL;
}

/* The citation of a source's short name. */
static qds_status read_citation(const qds_yaml_node *sources, const qds_yaml_node *id, const char **out) {
  const char *word;
  QDS_TRY(qds_yaml_string(id, &word));
  const qds_yaml_node *text = qds_yaml_find(sources, word);
  if (!text) QDS_YAML_FAIL(id, "no source \"%s\" in the list of sources", word);
  return qds_yaml_string(text, out);
}

/* The citation of an entry, followed by those of the groups that have their own. */
static qds_status read_source(qds_allocator *allocator, const qds_yaml_node *sources,
                              const qds_yaml_node *entry, char **out) {
  const qds_yaml_node *id;
  const char *citation;
  QDS_AUTO_RELEASE char *text = NULL;
  QDS_TRY(qds_yaml_require(entry, "source", &id));
  QDS_TRY(read_citation(sources, id, &citation));
  QDS_TRY(QDS_STRDUP(allocator, citation, "materials", &text));
  for (size_t i = 0; i < qds_yaml_count(entry); i++) {
    char *longer;
    if (qds_yaml_node_kind(qds_yaml_item(entry, i)) != QDS_YAML_MAP) continue;
    if (!(id = qds_yaml_find(qds_yaml_item(entry, i), "source"))) continue;
    QDS_TRY(read_citation(sources, id, &citation));
    QDS_TRY(qds_format(allocator, &longer, "%s; %s: %s", text, qds_yaml_key(entry, i), citation));
    qds_release(text);
    text = longer;
  }
  *out = text;
  text = NULL;
  return QDS_OK;
}

static qds_status read_optional(const qds_yaml_node *entry, const char *group, const char *key, double *out) {
  const qds_yaml_node *node = find_in_group(entry, group, key);
  return node ? qds_yaml_double(node, out) : QDS_OK;
}

/* Varshni's two numbers, or the two of the coth form; a gap without any does not move. */
static qds_status read_shift(const qds_yaml_node *entry, const char *group, qds_gap_shift *out) {
  const qds_yaml_node *gap = qds_yaml_find(entry, group);
  const int varshni = find_in_group(entry, group, "alpha_eV_per_K") || find_in_group(entry, group, "beta_K");
  const int phonon = find_in_group(entry, group, "phonon_eV") || find_in_group(entry, group, "phonon_K");
  const qds_yaml_node *needed;
  *out = (qds_gap_shift){0};
  if (varshni && phonon)
    QDS_YAML_FAIL(gap, "give alpha_eV_per_K and beta_K, or phonon_eV and phonon_K, not both");
  if (varshni) {
    QDS_TRY(qds_yaml_require(gap, "alpha_eV_per_K", &needed));
    QDS_TRY(qds_yaml_double(needed, &out->alpha_eV_per_K));
    QDS_TRY(qds_yaml_require(gap, "beta_K", &needed));
    QDS_TRY(qds_yaml_double(needed, &out->beta_K));
    if (out->beta_K < 0) QDS_YAML_FAIL(needed, "beta_K must not be negative");
  } else if (phonon) {
    QDS_TRY(qds_yaml_require(gap, "phonon_eV", &needed));
    QDS_TRY(qds_yaml_double(needed, &out->phonon_eV));
    QDS_TRY(qds_yaml_require(gap, "phonon_K", &needed));
    QDS_TRY(qds_yaml_positive(needed, &out->phonon_K));
  }
  return QDS_OK;
}

/* The mass of one valley's density of states, (m_l m_t^2)^(1/3), from the ellipsoid, or from the mass of all
 * `valleys` equivalent ones together, which is larger by valleys^(2/3). */
static double one_valley(double longitudinal, double transverse, double all, double valleys) {
  if (!isnan(longitudinal)) return cbrt(longitudinal * transverse * transverse);
  return all / cbrt(valleys * valleys);
}

/* What follows from the numbers given: hole masses along [001] by the Luttinger parameters. */
static void derive(qds_material_values *v) {
  const double g1 = v->of[QDS_PARAMETER_LUTTINGER_1], g2 = v->of[QDS_PARAMETER_LUTTINGER_2];
  v->of[QDS_PARAMETER_MASS_HEAVY] = 1 / (g1 - 2 * g2);
  v->of[QDS_PARAMETER_MASS_LIGHT] = 1 / (g1 + 2 * g2);
  v->of[QDS_PARAMETER_LUTTINGER_32] = v->of[QDS_PARAMETER_LUTTINGER_3] - g2;
  v->of[QDS_PARAMETER_X_DENSITY] =
      one_valley(v->of[QDS_PARAMETER_X_LONGITUDINAL], v->of[QDS_PARAMETER_X_TRANSVERSE],
                 v->of[QDS_PARAMETER_X_DENSITY], 3);
  v->of[QDS_PARAMETER_L_DENSITY] =
      one_valley(v->of[QDS_PARAMETER_L_LONGITUDINAL], v->of[QDS_PARAMETER_L_TRANSVERSE],
                 v->of[QDS_PARAMETER_L_DENSITY], 4);
}

static int find_element(const qds_material_database *database, const char *symbol) {
  for (size_t i = 0; i < database->elements; i++)
    if (!strcmp(database->element[i].symbol, symbol)) return (int)i;
  return -1;
}

/* Enters an element, or finds it where it stands. */
static qds_status read_element(const qds_yaml_node *node, qds_sublattice sublattice,
                               qds_material_database *database, int *out) {
  const char *symbol;
  QDS_TRY(qds_yaml_string(node, &symbol));
  *out = find_element(database, symbol);
  if (*out >= 0 && database->element[*out].sublattice != sublattice)
    QDS_YAML_FAIL(node, "%s stands on another sublattice in an entry before", symbol);
  if (*out >= 0) return QDS_OK;
  if (strlen(symbol) > 2) QDS_YAML_FAIL(node, "\"%s\" is not the symbol of an element", symbol);
  *out = (int)database->elements++;
  strcpy(database->element[*out].symbol, symbol);
  database->element[*out].sublattice = sublattice;
  return QDS_OK;
}

static qds_status read_elements(const qds_yaml_node *entry, qds_material_database *database, int out[2]) {
  const qds_yaml_node *list;
  QDS_TRY(qds_yaml_require(entry, "elements", &list));
  const size_t count = qds_yaml_node_kind(list) == QDS_YAML_LIST ? qds_yaml_count(list) : 0;
  out[1] = -1;
  if (count == 1) return read_element(qds_yaml_item(list, 0), QDS_ELEMENTAL, database, &out[0]);
  if (count != 2) QDS_YAML_FAIL(list, "write [cation, anion], or [element]");
  QDS_TRY(read_element(qds_yaml_item(list, 0), QDS_CATION, database, &out[0]));
  return read_element(qds_yaml_item(list, 1), QDS_ANION, database, &out[1]);
}

static qds_status read_material(qds_allocator *allocator, const qds_yaml_node *sources, const char *name,
                                const qds_yaml_node *entry, qds_material_database *database,
                                qds_material_entry *out) {
  static const char *const further[] = {"elements", "source", NULL};
  QDS_TRY(check_groups(entry, MATERIALS, further));
  out->name = name;
  QDS_TRY(read_source(allocator, sources, entry, &out->source));
  QDS_TRY(read_elements(entry, database, out->element));
  for (int p = 0; p < QDS_PARAMETER_COUNT; p++) {
    out->values.of[p] = NAN;
    if (places[p].allowed & MATERIALS)
      QDS_TRY(read_optional(entry, places[p].group, places[p].key, &out->values.of[p]));
  }
  QDS_TRY(read_shift(entry, "gap_Gamma", &out->shift[QDS_VALLEY_GAMMA]));
  QDS_TRY(read_shift(entry, "gap_X", &out->shift[QDS_VALLEY_X]));
  QDS_TRY(read_shift(entry, "gap_L", &out->shift[QDS_VALLEY_L]));
  derive(&out->values);
  return QDS_OK;
}

static qds_status read_parent(const qds_yaml_node *node, const qds_material_database *database, int *out) {
  const char *name;
  QDS_TRY(qds_yaml_string(node, &name));
  for (size_t i = 0; i < database->materials; i++)
    if (!strcmp(database->material[i].name, name)) {
      *out = (int)i;
      return QDS_OK;
    }
  QDS_YAML_FAIL(node, "no material \"%s\" before", name);
}

static qds_status read_alloy_source(qds_allocator *allocator, const qds_yaml_node *sources,
                                    const qds_yaml_node *entry, const qds_material_database *database,
                                    qds_alloy_entry *alloy) {
  const qds_yaml_node *id;
  const char *citation;
  QDS_TRY(qds_yaml_require(entry, "source", &id));
  QDS_TRY(read_citation(sources, id, &citation));
  return qds_format(
      allocator, &alloy->source,
      "bowing parameters: %s; the rest linearly between %s and %s, whose sources stand under their names",
      citation, database->material[alloy->parent[0]].name, database->material[alloy->parent[1]].name);
}

/* The parents share one sublattice; the name lists the elements, cations first. */
static qds_status spell_alloy(const qds_yaml_node *entry, const qds_material_database *database,
                              qds_alloy_entry *alloy) {
  const qds_material_entry *a = &database->material[alloy->parent[0]],
                           *b = &database->material[alloy->parent[1]];
  char spelling[2][QDS_NAME_SIZE];
  const int same_cation = a->element[0] == b->element[0], same_anion = a->element[1] == b->element[1];
  if (same_cation == same_anion || a->element[1] < 0 || b->element[1] < 0)
    QDS_YAML_FAIL(entry, "parents must be two binaries that share one element");
  const qds_element *element = database->element, *mixed_a = &element[a->element[same_cation]];
  const qds_element *mixed_b = &element[b->element[same_cation]], *common = &element[a->element[same_anion]];
  for (int i = 0; i < 2; i++)
    snprintf(spelling[i], QDS_NAME_SIZE, "%s%s%s%s", same_cation ? common->symbol : "",
             (i ? mixed_b : mixed_a)->symbol, (i ? mixed_a : mixed_b)->symbol,
             same_anion ? common->symbol : "");
  const int form = strcmp(alloy->name, spelling[0]) != 0;
  if (strcmp(alloy->name, spelling[form]) != 0)
    QDS_YAML_FAIL(entry, "an alloy of %s and %s is called %s or %s", a->name, b->name, spelling[0],
                  spelling[1]);
  strcpy(alloy->swapped, spelling[1 - form]);
  return QDS_OK;
}

static qds_status read_alloy(qds_allocator *allocator, const qds_yaml_node *sources, const char *name,
                             const qds_yaml_node *entry, const qds_material_database *database,
                             qds_alloy_entry *out) {
  static const char *const keys[] = {"parents", "source", "bowing", NULL}, *const none[] = {NULL};
  const qds_yaml_node *parents, *bowing;
  QDS_TRY(qds_yaml_check_keys(entry, keys));
  out->name = name;
  QDS_TRY(qds_yaml_require(entry, "parents", &parents));
  if (qds_yaml_node_kind(parents) != QDS_YAML_LIST || qds_yaml_count(parents) != 2)
    QDS_YAML_FAIL(parents, "write [first, second]");
  QDS_TRY(read_parent(qds_yaml_item(parents, 0), database, &out->parent[0]));
  QDS_TRY(read_parent(qds_yaml_item(parents, 1), database, &out->parent[1]));
  QDS_TRY(spell_alloy(entry, database, out));
  QDS_TRY(read_alloy_source(allocator, sources, entry, database, out));
  QDS_TRY(qds_yaml_require(entry, "bowing", &bowing));
  QDS_TRY(check_groups(bowing, ALLOYS, none));
  for (int p = 0; p < QDS_PARAMETER_COUNT; p++) {
    const qds_yaml_node *node = find_in_group(bowing, places[p].group, places[p].key);
    double pair[2] = {0, 0};
    if (!node) continue;
    if (qds_yaml_node_kind(node) == QDS_YAML_LIST)
      QDS_TRY(qds_yaml_doubles(node, 2, pair));
    else
      QDS_TRY(qds_yaml_double(node, &pair[0]));
    out->bowing[0].of[p] = pair[0];
    out->bowing[1].of[p] = pair[1];
  }
  return QDS_OK;
}

static qds_status read_entries(qds_allocator *allocator, qds_material_database *database) {
  static const char *const keys[] = {"sources", "materials", "alloys", NULL};
  const qds_yaml_node *root = qds_yaml_root(database->yaml), *sources, *materials, *alloys;
  QDS_TRY(qds_yaml_check_keys(root, keys));
  QDS_TRY(qds_yaml_require(root, "sources", &sources));
  QDS_TRY(qds_yaml_require(root, "materials", &materials));
  QDS_TRY(qds_yaml_require(root, "alloys", &alloys));
  QDS_TRY(QDS_NEW_ZERO(allocator, qds_yaml_count(materials), "materials", &database->material));
  QDS_TRY(QDS_NEW_ZERO(allocator, qds_yaml_count(alloys), "materials", &database->alloy));
  QDS_TRY(QDS_NEW_ZERO(allocator, 2 * qds_yaml_count(materials), "materials", &database->element));
  QDS_TRY(QDS_NEW_ZERO(allocator, qds_yaml_count(materials) + 2 * qds_yaml_count(alloys) + 1, "materials",
                       &database->spellings));
  size_t spellings = 0;
  for (size_t i = 0; i < qds_yaml_count(materials); i++) {
    database->materials++; /* so that a source read before an error is released */
    QDS_TRY(read_material(allocator, sources, qds_yaml_key(materials, i), qds_yaml_item(materials, i),
                          database, &database->material[i]));
    database->spellings[spellings++] = database->material[i].name;
  }
  for (size_t i = 0; i < qds_yaml_count(alloys); i++) {
    database->alloys++;
    QDS_TRY(read_alloy(allocator, sources, qds_yaml_key(alloys, i), qds_yaml_item(alloys, i), database,
                       &database->alloy[i]));
    database->spellings[spellings++] = database->alloy[i].name;
    database->spellings[spellings++] = database->alloy[i].swapped;
  }
  return QDS_OK;
}

qds_status qds_material_database_parse(qds_allocator *allocator, const char *name, const char *text,
                                       size_t bytes, qds_material_database **out) {
  QDS_AUTO(qds_material_database) *database = NULL;
  *out = NULL;
  QDS_TRY(QDS_NEW_ZERO(allocator, 1, "materials", &database));
  QDS_TRY(qds_yaml_parse(allocator, name, text, bytes, &database->yaml));
  QDS_TRY(read_entries(allocator, database));
  *out = database;
  database = NULL;
  return QDS_OK;
}

void qds_material_database_destroy(qds_material_database *database) {
  if (!database) return;
  for (size_t i = 0; i < database->materials; i++) qds_release(database->material[i].source);
  for (size_t i = 0; i < database->alloys; i++) qds_release(database->alloy[i].source);
  qds_release(database->material);
  qds_release(database->alloy);
  qds_release(database->element);
  qds_release(database->spellings);
  qds_yaml_destroy(database->yaml);
  qds_release(database);
}

static void destroy_slot(void *database) {
  qds_material_database_destroy(database);
}

qds_status qds_material_database_get(qds_context *ctx, const qds_material_database **out) {
  qds_material_database *database = qds_context_get(ctx, QDS_SLOT_MATERIALS);
  if (!database) {
    QDS_TRY(qds_material_database_parse(qds_context_allocator(ctx), "materials.yaml",
                                        (const char *)qds_materials_yaml, qds_materials_yaml_size,
                                        &database));
    qds_context_put(ctx, QDS_SLOT_MATERIALS, database, destroy_slot);
  }
  *out = database;
  return QDS_OK;
}
