/* A quantum wire along z with donors beside it, under a gate; self-consistent, so that its levels are sought
 * again and again. */
#ifndef QDS_TESTS_WIRE_H
#define QDS_TESTS_WIRE_H

#define WIRE_DEVICE                                                                                          \
  "dimension: 2\n"                                                                                           \
  "temperature_K: 77\n"                                                                                      \
  "materials: {well: {mass: 0.067, band_edge_eV: 0.0, permittivity: 12.9}, barrier: {mass: 0.09, "           \
  "band_edge_eV: 0.25, permittivity: 12.0}}\n"                                                               \
  "background: barrier\n"                                                                                    \
  "regions: [{shape: box, min_nm: [-10, -6], max_nm: [10, 6], material: well}]\n"                            \
  "doping: [{donors_cm3: 1.0e18, shape: box, min_nm: [-20, 10], max_nm: [20, 14]}]\n"                        \
  "grid: {x: {from_nm: -20, to_nm: 20, nodes: 41}, y: {from_nm: -16, to_nm: 20, nodes: 37}}\n"               \
  "electrostatics: {contacts: [{face: y+, potential_V: -0.1}]}\n"                                            \
  "self_consistent: {electrons: neutral, tolerance_V: 1.0e-7}\n"

#endif
