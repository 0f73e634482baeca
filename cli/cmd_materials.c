#include <math.h>
#include <stdio.h>

#include "cli.h"
#include "qdsim/dot.h"
#include "qdsim/material.h"

static const cli_syntax syntax = {
    .usage = "materials [NAME] [options]",
    .purpose =
        "Prints the material database: a table of everything in it, alloys at equal shares, or all that is\n"
        "known about the material NAME, with its source.\n",
    .ending = "examples:\n"
              "  qdsim materials\n"
              "  qdsim materials InAs --T 4.2\n"
              "  qdsim materials In0.53Ga0.47As --json\n",
    .least_operands = 0,
    .most_operands = 1,
};

/* A number, or a dash where the sources give none. */
static const char *format(char out[32], int digits, double value) {
  if (isnan(value))
    snprintf(out, 32, "-");
  else
    snprintf(out, 32, "%.*f", digits, value);
  return out;
}

static void print_table_head(double temperature_K) {
  printf(
      "Materials at %g K. Energies in eV; band edges on one scale, on which the valence edge of InSb is 0.\n"
      "Masses in electron masses: m_xy in the plane, m_z along [001].\n\n",
      temperature_K);
  printf("%46s  %-13s %-13s %-13s %7s %6s\n", "", "electron", "heavy hole", "light hole", "lattice", "eps");
  printf("%-14s %7s %-6s %7s %7s  %6s %6s %6s %6s %6s %6s %7s %6s\n", "material", "gap", "valley", "Ev", "Ec",
         "m_xy", "m_z", "m_xy", "m_z", "m_xy", "m_z", "nm", "static");
}

/* The masses in the plane and along z; dashes where the database has none. */
static qds_status print_masses(qds_context *ctx, const qds_material *m, qds_carrier carrier) {
  qds_material_band band;
  const qds_status status = qds_material_band_of(ctx, m, carrier, &band);
  if (status == QDS_ERROR_INPUT)
    printf(" %6s %6s", "-", "-");
  else if (status == QDS_OK)
    printf(" %6.4f %6.4f", band.mass[0], band.mass[2]);
  return status == QDS_ERROR_INPUT ? QDS_OK : status;
}

static qds_status print_row(qds_context *ctx, const qds_material *m) {
  char text[32];
  printf("%-14s %7.4f %-6s %7.3f %7.3f ", m->name, m->gap_eV[m->valley], qds_valley_name(m->valley),
         m->valence_edge_eV, m->conduction_edge_eV);
  for (int carrier = QDS_ELECTRON; carrier <= QDS_LIGHT_HOLE; carrier++) {
    const qds_status status = print_masses(ctx, m, (qds_carrier)carrier);
    if (status != QDS_OK) return status;
  }
  printf(" %7s", format(text, 5, m->lattice_nm));
  printf(" %6s\n", format(text, 2, m->permittivity));
  return QDS_OK;
}

/* Alloys are shown at equal shares. */
static qds_status print_entry(qds_context *ctx, const char *name, double temperature_K) {
  qds_material m;
  int alloy;
  qds_status status = qds_material_is_alloy(ctx, name, &alloy);
  if (status == QDS_OK)
    status = alloy ? qds_material_alloy(ctx, name, 0.5, temperature_K, &m)
                   : qds_material_find(ctx, name, temperature_K, &m);
  return status == QDS_OK ? print_row(ctx, &m) : status;
}

static qds_status print_table(qds_context *ctx, double temperature_K) {
  const char *name;
  qds_status status;
  print_table_head(temperature_K);
  for (size_t i = 0; (status = qds_material_name(ctx, i, &name)) == QDS_OK && name; i++)
    if ((status = print_entry(ctx, name, temperature_K)) != QDS_OK) break;
  return status;
}

static void print_line(const char *label, int digits, int count, const double *values, const char *unit) {
  char text[32];
  printf("  %-37s", label);
  for (int i = 0; i < count; i++) printf("%s%s", i ? ", " : "", format(text, digits, values[i]));
  printf("%s%s\n", *unit ? " " : "", unit);
}

static qds_status print_bands(qds_context *ctx, const qds_material *m) {
  static const char *const names[] = {"electron", "heavy hole", "light hole"};
  for (int carrier = QDS_ELECTRON; carrier <= QDS_LIGHT_HOLE; carrier++) {
    printf("  %-10s band edge %8.4f eV, mass (xy, z)", names[carrier],
           carrier == QDS_ELECTRON ? m->conduction_edge_eV : m->valence_edge_eV);
    const qds_status status = print_masses(ctx, m, (qds_carrier)carrier);
    if (status != QDS_OK) return status;
    printf(carrier == QDS_ELECTRON ? "  (%s valley)\n" : "\n", qds_valley_name(m->valley));
  }
  return QDS_OK;
}

static qds_status print_material(qds_context *ctx, const char *name, double temperature_K) {
  qds_material m;
  const char *source;
  qds_status status = qds_material_find(ctx, name, temperature_K, &m);
  if (status == QDS_OK) status = qds_material_source(ctx, name, &source);
  if (status != QDS_OK) return status;
  printf("%s at %g K\n\n", m.name, m.temperature_K);
  if ((status = print_bands(ctx, &m)) != QDS_OK) return status;
  printf("\n");
  print_line("gap to Gamma, X, L", 4, 3, m.gap_eV, "eV");
  print_line("spin-orbit splitting", 3, 1, &m.spin_orbit_eV, "eV");
  print_line("electron mass at Gamma", 4, 1, &m.gamma_mass, "m0");
  print_line("  longitudinal at X, L", 4, 2, &m.mass_longitudinal[QDS_VALLEY_X], "m0");
  print_line("  transverse at X, L", 4, 2, &m.mass_transverse[QDS_VALLEY_X], "m0");
  print_line("  density of states, one X, L valley", 4, 2, &m.mass_density[QDS_VALLEY_X], "m0");
  print_line("split-off hole mass", 3, 1, &m.split_off_mass, "m0");
  print_line("Luttinger gamma1, gamma2, gamma3", 3, 3, m.luttinger, "");
  print_line("Kane energy Ep", 2, 1, &m.kane_energy_eV, "eV");
  print_line("Kane F", 2, 1, &m.kane_f, "");
  print_line("deformation potentials ac, av, b, d", 2, 4, m.deformation_eV, "eV");
  print_line("lattice constant", 6, 1, &m.lattice_nm, "nm");
  print_line("elastic constants C11, C12, C44", 2, 3, m.elastic_GPa, "GPa");
  print_line("permittivity, static", 2, 1, &m.permittivity, "");
  print_line("permittivity, above the phonons", 2, 1, &m.permittivity_infinity, "");
  printf("\nsource: %s\n", source);
  return QDS_OK;
}

static qds_status print_json(qds_context *ctx, const char *name, double temperature_K) {
  char *text = NULL;
  const qds_status status = qds_material_json(ctx, name, temperature_K, &text);
  if (text) fputs(text, stdout);
  qds_text_destroy(text);
  return status;
}

int cmd_materials(int argc, char **argv) {
  double temperature_K = 300;
  int json = 0, operand;
  const cli_option options[] = {
      {"T", 'T', CLI_NUMBER, "KELVIN", "temperature; default: 300", &temperature_K},
      {"json", 0, CLI_FLAG, NULL, "print JSON", &json},
      {0},
  };
  cli_session session;
  int code = cli_parse(&syntax, options, argc, argv, &operand);
  if (code != CLI_CONTINUE) return code;
  code = cli_session_open(&session, &(cli_resources){.device = "cpu", .threads = 1});
  if (code != CLI_CONTINUE) return code;
  const char *name = operand < argc ? argv[operand] : NULL;
  const qds_status status = json   ? print_json(session.ctx, name, temperature_K)
                            : name ? print_material(session.ctx, name, temperature_K)
                                   : print_table(session.ctx, temperature_K);
  code = status == QDS_OK ? 0 : cli_fail(&session, status);
  cli_session_close(&session);
  return code;
}
