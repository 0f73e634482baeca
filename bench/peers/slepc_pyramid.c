/* Peer for a 3D dot: the device of examples/pyramid.yaml in trilinear finite elements, solved by SLEPc with
 * the options of the command line. -n N: N^3 unknowns. */
#include <slepceps.h>

static const double hbar2_over_2m0 = 0.0380998211615486, box_nm = 30.0, base_nm = 12.4, height_nm = 6.2;

typedef struct {
  PetscInt n;
  double h;
} grid;

/* The middle of the element decides; the pyramid's base lies at z = -height / 2. */
static int is_inside(const grid *g, PetscInt ex, PetscInt ey, PetscInt ez) {
  const double x = (ex + 0.5) * g->h - box_nm / 2, y = (ey + 0.5) * g->h - box_nm / 2;
  const double z = (ez + 0.5) * g->h - box_nm / 2 + height_nm / 2, half = base_nm / 2 * (1 - z / height_nm);
  return z >= 0 && z <= height_nm && PetscAbsReal(x) <= half && PetscAbsReal(y) <= half;
}

static PetscErrorCode add_element(const grid *g, PetscInt ex, PetscInt ey, PetscInt ez, Mat stiffness,
                                  Mat mass) {
  const double k[2][2] = {{1, -1}, {-1, 1}}, m[2][2] = {{1. / 3, 1. / 6}, {1. / 6, 1. / 3}};
  const int inside = is_inside(g, ex, ey, ez);
  const double kinetic = hbar2_over_2m0 / (inside ? 0.0239 : 0.0665) * g->h, edge = inside ? 0 : 0.77;
  PetscInt index[8];
  PetscScalar ke[64], me[64];
  PetscFunctionBegin;
  for (int a = 0; a < 8; a++) {
    const PetscInt x = ex - 1 + (a & 1), y = ey - 1 + ((a >> 1) & 1), z = ez - 1 + (a >> 2);
    const int outside = x < 0 || y < 0 || z < 0 || x >= g->n || y >= g->n || z >= g->n;
    index[a] = outside ? -1 : (z * g->n + y) * g->n + x;
  }
  for (int a = 0; a < 8; a++)
    for (int b = 0; b < 8; b++) {
      const int ax = a & 1, ay = (a >> 1) & 1, az = a >> 2, bx = b & 1, by = (b >> 1) & 1, bz = b >> 2;
      const double volume = g->h * g->h * g->h * m[ax][bx] * m[ay][by] * m[az][bz];
      const double slopes = k[ax][bx] * m[ay][by] * m[az][bz] + m[ax][bx] * k[ay][by] * m[az][bz] +
                            m[ax][bx] * m[ay][by] * k[az][bz];
      ke[a * 8 + b] = kinetic * slopes + edge * volume;
      me[a * 8 + b] = volume;
    }
  PetscCall(MatSetValues(stiffness, 8, index, 8, index, ke, ADD_VALUES));
  PetscCall(MatSetValues(mass, 8, index, 8, index, me, ADD_VALUES));
  PetscFunctionReturn(0);
}

static PetscErrorCode create_matrix(PetscInt rows, Mat *out) {
  PetscFunctionBegin;
  PetscCall(MatCreate(PETSC_COMM_WORLD, out));
  PetscCall(MatSetSizes(*out, PETSC_DECIDE, PETSC_DECIDE, rows, rows));
  PetscCall(MatSetType(*out, MATAIJ));
  PetscCall(MatSeqAIJSetPreallocation(*out, 27, NULL));
  PetscCall(MatMPIAIJSetPreallocation(*out, 27, NULL, 27, NULL));
  PetscCall(MatSetOption(*out, MAT_NEW_NONZERO_ALLOCATION_ERR, PETSC_FALSE));
  PetscCall(MatSetOption(*out, MAT_SYMMETRIC, PETSC_TRUE));
  PetscFunctionReturn(0);
}

static PetscErrorCode assemble(const grid *g, Mat stiffness, Mat mass) {
  PetscMPIInt rank, size;
  PetscFunctionBegin;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  const PetscInt elements = g->n + 1;
  for (PetscInt ez = elements * rank / size; ez < elements * (rank + 1) / size; ez++)
    for (PetscInt ey = 0; ey < elements; ey++)
      for (PetscInt ex = 0; ex < elements; ex++) PetscCall(add_element(g, ex, ey, ez, stiffness, mass));
  Mat matrices[2] = {stiffness, mass};
  for (int i = 0; i < 2; i++) {
    PetscCall(MatAssemblyBegin(matrices[i], MAT_FINAL_ASSEMBLY));
    PetscCall(MatAssemblyEnd(matrices[i], MAT_FINAL_ASSEMBLY));
  }
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  grid g = {100, 0};
  Mat stiffness, mass;
  EPS solver;
  PetscInt converged;
  PetscCall(SlepcInitialize(&argc, &argv, NULL, NULL));
  PetscCall(PetscOptionsGetInt(NULL, NULL, "-n", &g.n, NULL));
  g.h = box_nm / (double)(g.n + 1);
  PetscCall(create_matrix(g.n * g.n * g.n, &stiffness));
  PetscCall(create_matrix(g.n * g.n * g.n, &mass));
  PetscCall(assemble(&g, stiffness, mass));
  PetscCall(EPSCreate(PETSC_COMM_WORLD, &solver));
  PetscCall(EPSSetOperators(solver, stiffness, mass));
  PetscCall(EPSSetProblemType(solver, EPS_GHEP));
  PetscCall(EPSSetWhichEigenpairs(solver, EPS_SMALLEST_REAL));
  PetscCall(EPSSetTolerances(solver, 1e-8, 500));
  PetscCall(EPSSetFromOptions(solver));
  PetscCall(EPSSolve(solver));
  PetscCall(EPSGetConverged(solver, &converged));
  for (PetscInt i = 0; i < converged; i++) {
    PetscScalar value;
    PetscReal error;
    PetscCall(EPSGetEigenvalue(solver, i, &value, NULL));
    PetscCall(EPSComputeError(solver, i, EPS_ERROR_RELATIVE, &error));
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%.9f (%.0e) ", (double)PetscRealPart(value), (double)error));
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\n"));
  PetscCall(EPSDestroy(&solver));
  PetscCall(MatDestroy(&stiffness));
  PetscCall(MatDestroy(&mass));
  return SlepcFinalize();
}
