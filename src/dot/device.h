/* A device: what was read from a file or arrays, checked and ready to solve. */
#ifndef QDS_DOT_DEVICE_H
#define QDS_DOT_DEVICE_H

#include "base/yaml.h"
#include "dot/average.h"
#include "la/axis.h"
#include "la/spectrum.h"
#include "qdsim/dot.h"

/* A material as the device's carrier sees it. */
typedef struct {
  char *name;
  int hard_wall;       /* the carrier cannot enter; the numbers below stand for the medium next to it */
  double band_edge_eV; /* on the electron's scale also for holes */
  double mass[3]; /* along x, y, z; NaN along an axis that the device lacks and the file says nothing of */
  double permittivity; /* relative, static; NaN: unknown */
} qds_device_material;

/* One term of the potential energy: a formula with its parameters, or an array of one number per node. */
typedef struct {
  char *formula;
  char **names; /* NULL-terminated */
  double *values;
  double *array;
  char *place; /* "dot.yaml:9: potential[0]" for messages about its values */
} qds_potential_term;

/* The faces of the grid that lie on one potential, by user axis and end. */
typedef struct {
  int is_contact[3][2];
  double potential_V[3][2];
} qds_contacts;

/* Dopants, all of them ionised, in a shape or (NULL) everywhere. */
typedef struct {
  qds_shape *shape;
  double charge_nm3; /* donors less acceptors */
} qds_doping;

/* How many electrons a self-consistent device holds. */
typedef enum {
  QDS_ELECTRONS_NEUTRAL, /* as many as neutralise the dopants */
  QDS_ELECTRONS_TOTAL,   /* a given number: per nm^2 in 1D, per nm in 2D */
  QDS_ELECTRONS_FERMI    /* as many as a given Fermi level brings */
} qds_electrons;

typedef struct {
  int wanted, self_consistent;
  qds_contacts contacts;
  qds_doping *doping;
  size_t dopings;
  qds_electrons electrons;
  double total, fermi_level_eV; /* what `electrons` gives */
  double tolerance_V;
  int max_iterations;
} qds_electrostatics;

/* The vector potential's choice: A = B x r / 2, or along x or y alone in a field along z. */
typedef enum { QDS_GAUGE_SYMMETRIC, QDS_GAUGE_LANDAU_X, QDS_GAUGE_LANDAU_Y } qds_gauge;

/* How waves leave the device; docs/open-systems.md. */
typedef enum { QDS_CLOSED, QDS_OPEN_COMPLEX_SCALING, QDS_OPEN_ABSORBING_POTENTIAL } qds_open_method;
typedef struct {
  qds_open_method method;
  int face[2];          /* whether the low and the high end of x are open */
  double from_nm;       /* complex scaling: the coordinate turns complex this far from x = 0 */
  double angle_degrees; /* by this angle */
  double width_nm;      /* absorbing potential: strength (depth / width)^power */
  double strength_eV, power;
  int aimed;
  double near_eV;          /* where aimed: the energy that the wanted states lie nearest to */
  double stable_within_eV; /* 0: the method's own test of states */
  char *place;             /* "dot.yaml:9: open" for messages */
} qds_open;

enum { QDS_FIELD_PSI = 1, QDS_FIELD_DENSITY = 2, QDS_FIELD_BAND_EDGE = 4, QDS_FIELD_MATERIAL = 8 };

struct qds_device {
  qds_context *ctx;
  char *name, *stem;   /* title; file name without folder and suffix */
  char *input;         /* the file as it was named */
  char *configuration; /* effective, YAML */
  char *folder;        /* of the file, for relative paths */
  int dimension, states;
  double temperature_K, tolerance_eV; /* tolerance 0: relative */
  qds_carrier carrier;
  qds_axis *axis[3]; /* internal axes: those that the device lacks come first, as points */
  qds_device_material *material;
  int materials;
  qds_medium medium;
  qds_medium_region *region; /* medium.count, owned */
  qds_shape **shape;         /* medium.count, owned */
  qds_potential_term *term;
  size_t terms;
  double *mass_map; /* one per node, or NULL */
  qds_electrostatics electrostatics;
  double tesla[3]; /* the magnetic field along x, y, z */
  qds_gauge gauge;
  qds_open open;
  unsigned fields; /* QDS_FIELD_ flags to write */
  int plot;
  qds_preconditioner preconditioner;
  qds_precision precision; /* of fast diagonalisation */
  int max_iterations;      /* on each grid */
};

static inline int64_t qds_device_nodes(const qds_device *d) {
  return d->axis[0]->nodes * d->axis[1]->nodes * d->axis[2]->nodes;
}
static inline int64_t qds_device_unknowns(const qds_device *d) {
  return d->axis[0]->unknowns * d->axis[1]->unknowns * d->axis[2]->unknowns;
}
/* The internal axis of user axis 0, 1, 2 = x, y, z. */
static inline int qds_device_axis(const qds_device *d, int user) {
  return user + 3 - d->dimension;
}

static inline int qds_device_has_magnetic_field(const qds_device *d) {
  return d->tesla[0] != 0 || d->tesla[1] != 0 || d->tesla[2] != 0;
}

/* Numbers in a value of psi: 1, or real and imaginary part. */
static inline int qds_device_parts(const qds_device *d) {
  return qds_device_has_magnetic_field(d) || d->open.method != QDS_CLOSED ? 2 : 1;
}

/* An empty device of a context, to be filled. */
qds_status qds_device_new(qds_context *ctx, qds_device **out);
QDS_AUTO_DEFINE(qds_device)

/* Whether the ends of an axis lie where the library computes reliably; else `why` says what is allowed. */
enum { QDS_AXIS_TEXT = 160 };
int qds_device_axis_fits(double from_nm, double to_nm, char why[QDS_AXIS_TEXT]);

/* Readers of the parts of a device file; each checks keys and values. */
qds_status qds_device_read_grid(qds_device *device, const qds_yaml_node *root);
qds_status qds_device_read_materials(qds_device *device, const qds_yaml_node *root);
qds_status qds_device_read_potential(qds_device *device, const qds_yaml_node *root);
/* Keys electrostatics, self_consistent and doping; after the materials and the magnetic field. */
qds_status qds_device_read_electrostatics(qds_device *device, const qds_yaml_node *root);
qds_status qds_device_read_magnetic_field(qds_device *device, const qds_yaml_node *root);
/* Key open; after the grid. */
qds_status qds_device_read_open(qds_device *device, const qds_yaml_node *root);
/* Gives `key` of the map at the dotted `path` ("": the top) a value in the document, unless `map`, which is
 * that map, has one; NULL: the map is not there yet. */
qds_status qds_device_fill(qds_yaml *yaml, const qds_yaml_node *map, const char *path, const char *key,
                           const char *value);
/* Puts the defaults in force into the document's map open, if it has one. */
qds_status qds_device_fill_open(const qds_device *device, qds_yaml *yaml);

/* The material named or described by a node, read on first use: its number. */
qds_status qds_device_find_material(qds_device *device, const qds_yaml_node *root, const qds_yaml_node *node,
                                    int *out);

/* The dopants' charge in e/nm^3 at all nodes, averaged over the volume around each. */
qds_status qds_device_doping(const qds_device *device, double *charge);

/* Refuses a shape that lies wholly outside the grid; `what` names it ("the region"). */
qds_status qds_device_check_inside(const qds_device *device, const qds_yaml_node *node, const char *what,
                                   const qds_shape *shape);

/* Adds all terms of the potential at all nodes, or only looks at them when potential_eV is NULL. A value that
 * is no finite number is INPUT and names the place. */
qds_status qds_device_add_potential(const qds_device *device, double *potential_eV);

#endif
