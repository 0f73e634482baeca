/* Reading the magnetic field of a device. */
#include "dot/device.h"

static const char *const gauge_words[] = {"symmetric", "landau_x", "landau_y", NULL};
static const char *const axis_names[] = {"x", "y", "z"};
/* Beyond any magnet, and well below where the numbers would lose their sense. */
static const double most_tesla = 1e4;
/* Where the potential is flat, Landau levels of hundreds of nearly equal states must be resolved. */
enum { MAX_ITERATIONS = 1000 };

/* Where the field points must be a direction that the device's orbits can turn about, and its ends must go
 * with a vector potential. */
static qds_status check_field(const qds_device *d, const qds_yaml_node *node, const qds_yaml_node *tesla) {
  for (int i = 0; i < 3; i++)
    if (!(d->tesla[i] >= -most_tesla && d->tesla[i] <= most_tesla))
      QDS_YAML_FAIL(tesla, "%g T along %s: from -%g to %g are allowed", d->tesla[i], axis_names[i],
                    most_tesla, most_tesla);
  if (d->dimension == 1)
    QDS_YAML_FAIL(node, "a device in 1 dimension has no orbits for a magnetic field; it needs 2 or 3");
  if (d->dimension == 2 && (d->tesla[0] != 0 || d->tesla[1] != 0))
    QDS_YAML_FAIL(
        tesla,
        "[%g, %g, %g]: a device in 2 dimensions lies in the plane z = 0, where only the field along "
        "z acts on the orbits; write [0, 0, %g]",
        d->tesla[0], d->tesla[1], d->tesla[2], d->tesla[2]);
  for (int user = 0; user < d->dimension; user++)
    if (d->axis[qds_device_axis(d, user)]->boundary[0] == QDS_PERIODIC)
      QDS_YAML_FAIL(
          node,
          "the ends of axis %s are periodic, which the vector potential is not; in a magnetic field "
          "dirichlet and neumann are allowed",
          axis_names[user]);
  return QDS_OK;
}

qds_status qds_device_read_magnetic_field(qds_device *d, const qds_yaml_node *root) {
  static const char *const keys[] = {"tesla", "gauge", NULL};
  const qds_yaml_node *node = qds_yaml_find(root, "magnetic_field"), *tesla, *gauge_node;
  int gauge = QDS_GAUGE_SYMMETRIC;
  if (!node) return QDS_OK;
  QDS_TRY(qds_yaml_check_keys(node, keys));
  QDS_TRY(qds_yaml_require(node, "tesla", &tesla));
  QDS_TRY(qds_yaml_doubles(tesla, 3, d->tesla));
  if ((gauge_node = qds_yaml_find(node, "gauge"))) QDS_TRY(qds_yaml_choice(gauge_node, gauge_words, &gauge));
  d->gauge = (qds_gauge)gauge;
  d->max_iterations = MAX_ITERATIONS; /* unless the file says otherwise */
  return check_field(d, node, tesla);
}
