"""eigenstates: exact levels, every layout of the input, and refusals that say where."""

import numpy as np
import pytest

import qdsim

HBAR2_OVER_2M0 = 0.0380998212  # eV nm^2


def box_eV(length_nm, mass, number):
    return HBAR2_OVER_2M0 / mass * (np.pi * number / length_nm) ** 2


def grid_box_eV(nodes, spacing_nm, mass, number):
    """The same on a uniform grid of order 1: the three-point formula's exact level."""
    return HBAR2_OVER_2M0 / mass * 2 * (1 - np.cos(np.pi * number / (nodes - 1))) / spacing_nm**2


def solve(*arguments, **options):
    return qdsim.eigenstates(*arguments, progress=False, **options)


def test_box_in_1d():
    x = np.linspace(0, 10, 101)
    energies, psi = solve(np.zeros(101), mass=0.067, coordinates=x, states=4, order=2)
    assert energies == pytest.approx(box_eV(10, 0.067, np.arange(1, 5)), rel=1e-5)
    assert psi.shape == (4, 101)
    assert np.abs(psi[0]) == pytest.approx(np.sqrt(0.2) * np.sin(np.pi * x / 10), abs=1e-4)


def test_box_in_3d_with_three_spacings():
    shape, spacing = (21, 25, 31), (0.5, 0.25, 0.3)
    energies, psi = solve(np.zeros(shape), mass=0.5, spacing_nm=spacing, states=5)
    levels = sorted(sum(grid_box_eV(n, h, 0.5, 1 + number) for n, h, number in zip(shape, spacing, numbers))
                    for numbers in np.ndindex(4, 4, 4))
    assert energies == pytest.approx(levels[:5], rel=1e-6)
    assert psi.shape == (5, *shape)


def test_defaults_give_six_states_of_a_free_electron():
    energies, psi = solve(np.zeros((50, 40)), spacing_nm=0.5)
    assert len(energies) == 6 and psi.shape == (6, 50, 40)
    assert energies[0] == pytest.approx(box_eV(24.5, 1, 1) + box_eV(19.5, 1, 1), rel=2e-3)


def test_psi_is_normalised_without_a_copy_and_outlives_everything():
    energies, psi = solve(np.zeros((50, 40)), spacing_nm=0.5, states=3)
    gram = np.einsum("aij,bij->ab", psi, psi) * 0.25
    assert gram == pytest.approx(np.eye(3), abs=1e-6)
    assert not psi.flags.owndata and not psi.flags.writeable and not energies.flags.writeable


def layouts(values):
    """The same values in other layouts of memory."""
    padded = np.full((values.shape[0] * 2, values.shape[1] + 3), 9.0)
    padded[::2, 3:] = values
    yield "Fortran order", np.asfortranarray(values)
    yield "strides", padded[::2, 3:]
    yield "negative strides", values[::-1, ::-1].copy()[::-1, ::-1]
    yield "transposed", values.T.copy().T
    yield "other byte order", values.astype(values.dtype.newbyteorder())
    yield "list", values.tolist()
    yield "read-only", np.broadcast_to(values, values.shape)
    unaligned = np.zeros(values.nbytes + 1, np.uint8)[1:].view(float).reshape(values.shape)
    unaligned[...] = values
    yield "unaligned", unaligned


def test_every_layout_gives_the_same():
    values = np.random.default_rng(5).uniform(0, 0.2, (17, 15))
    mass = np.random.default_rng(6).uniform(0.05, 0.1, (17, 15))
    expected, expected_psi = solve(values, mass=mass, spacing_nm=0.5, states=3, threads=1)
    for (name, potential), (_, masses) in zip(layouts(values), layouts(mass)):
        energies, psi = solve(potential, mass=masses, spacing_nm=0.5, states=3, threads=1)
        assert np.array_equal(energies, expected), name
        assert np.array_equal(psi, expected_psi), name


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "u2", "i4", "i8", "u8"])
def test_every_real_type(dtype):
    steps = np.arange(21) % 3
    expected, _ = solve(steps.astype(float), spacing_nm=0.5, states=2, threads=1)
    energies, _ = solve(steps.astype(dtype), spacing_nm=0.5, states=2, threads=1)
    assert np.array_equal(energies, expected)


@pytest.mark.parametrize("values", [np.zeros(21, complex), np.array(["a"] * 21), np.zeros(21, bool),
                                    np.array([None] * 21)])
def test_types_that_are_not_real(values):
    with pytest.raises(qdsim.ArgumentError, match="potential_eV: an array of .* is not an array of real numbers"):
        solve(values, spacing_nm=0.5)


def test_input_is_not_changed_and_not_kept():
    values = np.random.default_rng(7).uniform(0, 0.2, (17, 15))
    before = values.copy()
    energies, psi = solve(values, spacing_nm=0.5, states=2)
    assert np.array_equal(values, before)
    kept = psi.copy()
    values[...] = 1e9
    assert np.array_equal(psi, kept)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_not_finite_names_the_index(wrong):
    values = np.zeros((17, 15, 13))
    values[3, 4, 5] = wrong
    values[5, 0, 0] = wrong
    with pytest.raises(qdsim.ArgumentError, match=r"potential_eV\[3, 4, 5\] is -?(nan|inf) \(and 1 more\)"):
        solve(values, spacing_nm=0.5)


def test_masses():
    uniform, _ = solve(np.zeros((17, 15)), mass=0.2, spacing_nm=0.5, states=2)
    mapped, _ = solve(np.zeros((17, 15)), mass=np.full((17, 15), 0.2), spacing_nm=0.5, states=2)
    assert mapped == pytest.approx(uniform, rel=1e-8)
    heavy = np.full((17, 15), 0.2)
    heavy[4, 2] = 0
    with pytest.raises(qdsim.ArgumentError, match=r"mass\[4, 2\] is 0.0: a mass must be positive"):
        solve(np.zeros((17, 15)), mass=heavy, spacing_nm=0.5)
    with pytest.raises(qdsim.ArgumentError, match=r"mass is -1.0: it must be positive"):
        solve(np.zeros((17, 15)), mass=-1, spacing_nm=0.5)
    with pytest.raises(qdsim.ArgumentError, match=r"mass is nan"):
        solve(np.zeros((17, 15)), mass=np.nan, spacing_nm=0.5)
    with pytest.raises(qdsim.ArgumentError, match=r"mass: shape \(15, 17\) differs from potential_eV's \(17, 15\)"):
        solve(np.zeros((17, 15)), mass=np.ones((15, 17)), spacing_nm=0.5)


def test_coordinates():
    x, y = np.linspace(-4, 4, 17), np.linspace(0, 7, 15)
    values = np.random.default_rng(8).uniform(0, 0.2, (17, 15))
    by_spacing, _ = solve(values, spacing_nm=0.5, states=3)
    by_coordinates, _ = solve(values, coordinates=(x, y), states=3)
    assert by_coordinates == pytest.approx(by_spacing, rel=1e-8)
    stretched = 5 * np.linspace(-1, 1, 81) + 2 * np.linspace(-1, 1, 81) ** 3
    for one_axis in (stretched, [stretched]):
        energies, _ = solve(np.zeros(81), coordinates=one_axis, states=2)
        assert energies == pytest.approx(box_eV(14, 1, np.arange(1, 3)), rel=2e-3)


@pytest.mark.parametrize("grid, message", [
    ({}, "give the grid as spacing_nm"),
    ({"spacing_nm": 1, "coordinates": np.arange(21.0)}, "one of them"),
    ({"spacing_nm": 0}, "every spacing must be positive"),
    ({"spacing_nm": np.nan}, "spacing_nm is nan"),
    ({"spacing_nm": (1, 2)}, "2 values for 1 axes"),
    ({"coordinates": (np.arange(21.0), np.arange(21.0))}, "2 arrays for 1 axes"),
    ({"coordinates": np.arange(20.0)}, r"coordinates of x: shape \(20,\), but potential_eV has 21 nodes"),
    ({"coordinates": -np.arange(21.0)}, r"coordinates of x\[0\] is -1.0.*must ascend"),
])
def test_grids_that_make_no_sense(grid, message):
    with pytest.raises(qdsim.ArgumentError, match=message):
        solve(np.zeros(21), **grid)


def test_boundaries():
    zeros = np.zeros((21, 17))
    neumann, _ = solve(zeros, spacing_nm=0.5, boundary="neumann", states=2)
    assert neumann[0] == pytest.approx(0, abs=1e-6)
    assert neumann[1] == pytest.approx(box_eV(10, 1, 1), rel=1e-2)
    mixed = {"x": "periodic", "y": ["neumann", "dirichlet"]}
    expected, _ = solve(zeros, spacing_nm=0.5, boundary=mixed, states=3)
    assert expected[0] == pytest.approx(box_eV(16, 1, 1), rel=1e-2)
    assert expected[1:] == pytest.approx([box_eV(16, 1, 3), box_eV(16, 1, 1) + box_eV(5, 1, 1)], rel=2e-2)
    sequence, _ = solve(zeros, spacing_nm=0.5, boundary=("periodic", ("neumann", "dirichlet")), states=3)
    assert sequence == pytest.approx(expected, rel=1e-9)
    only_x, _ = solve(zeros, spacing_nm=0.5, boundary={"x": "neumann"}, states=1)
    assert only_x[0] == pytest.approx(box_eV(8, 1, 1), rel=1e-2)


@pytest.mark.parametrize("boundary, message", [
    ("periodc", "boundary of x: unknown 'periodc'; did you mean 'periodic'"),
    ({"z": "periodic"}, "boundary: unknown 'z'"),
    (["periodic"], "1 entries for 2 axes"),
    ([["periodic", "neumann"], "neumann"], "periodic at both ends or at none"),
    ([["neumann"], "neumann"], "a pair for the low and the high end"),
    ([[1, 2], "neumann"], "boundary of x: unknown 1"),
])
def test_boundaries_that_make_no_sense(boundary, message):
    with pytest.raises(qdsim.ArgumentError, match=message):
        solve(np.zeros((21, 17)), spacing_nm=0.5, boundary=boundary)


@pytest.mark.parametrize("shape", [(), (5, 5, 5, 5)])
def test_dimensions(shape):
    with pytest.raises(qdsim.ArgumentError, match=f"{len(shape)} dimensions; 1 to 3 are allowed"):
        solve(np.zeros(shape), spacing_nm=0.5)


@pytest.mark.parametrize("options", [{"states": 0}, {"states": 400}, {"order": 5}, {"order": 3},
                                     {"tolerance_eV": -1.0}])
def test_what_the_library_refuses(options):
    with pytest.raises(qdsim.Error) as caught:
        solve(np.zeros((21, 17)), spacing_nm=0.5, **options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("grid, name", [({"spacing_nm": 1e300}, "spacing_nm"), ({"spacing_nm": (1, 1e8)}, "spacing_nm"),
                                        ({"spacing_nm": 1e-300}, "spacing_nm"),
                                        ({"coordinates": (np.arange(21.0), 2e9 + np.arange(17.0))}, "coordinates")],
                         ids=["enormous", "too long", "tiny", "far away"])
def test_lengths_that_a_file_could_not_have(grid, name):
    with pytest.raises(qdsim.ArgumentError, match=f"{name} along axis .*within 1e\\+09 nm of 0, and at least 1e-06 nm apart"):
        solve(np.zeros((21, 17)), **grid)


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (5, 2)])
def test_too_few_nodes(shape):
    with pytest.raises(ValueError):
        solve(np.zeros(shape), spacing_nm=0.5, states=1)


def test_tolerance_bounds_the_residual():
    potential = np.random.default_rng(9).uniform(0, 0.2, (31, 27))
    loose, _ = solve(potential, mass=0.067, spacing_nm=0.5, states=3, tolerance_eV=1e-4)
    tight, _ = solve(potential, mass=0.067, spacing_nm=0.5, states=3, tolerance_eV=1e-9)
    assert loose == pytest.approx(tight, abs=1e-4)
