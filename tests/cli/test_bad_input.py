"""Every kind of bad input: status 3, the file and line, what is wrong and the nearest good word; nothing written."""

import os

import pytest

from command import GOOD

# name: (what stands in the good file, what takes its place, line of the message, fragments of the message)
MISTAKES = {
    "unknown_key": ("states: 2", "state: 2", 12, ['"state"', '"states"']),
    "own_material_with_the_name_of_walls": ("  barrier: {", "  hard_wall: {mass: 0.1, band_edge_eV: 0.2}\n  barrier: {", 5,
                                            ["materials.hard_wall", "the name hard_wall is taken", "another name"]),
    "own_material_with_the_name_of_walls_in_use": ("barrier: {mass: 0.067", "hard_wall: {mass: 0.067", 5,
                                                   ["materials.hard_wall", "the name hard_wall is taken"]),
    "control_characters_in_the_name": ("name: test device", 'name: "test \\e[31mdevice"', 1, ["name", "control character"]),
    "unknown_key_of_a_region": ("from_nm: -10", "from: -10", 8, ['"from"', '"from_nm"']),
    "unknown_key_of_an_axis": ("nodes: 121", "node: 121", 10, ['"node"', '"nodes"']),
    "unknown_material": ("material: well", "material: wel", 8, ['"wel"', '"well"']),
    "unknown_background": ("background: barrier", "background: barier", 6, ['"barier"', '"barrier"']),
    "unknown_database_material": ("material: well", "material: InGas", 8, ['"InGas"', '"InGaAs"']),
    "unknown_shape": ("shape: layer", "shape: layr", 8, ['"layr"', '"layer"']),
    "missing_axis_limit": (", to_nm: 30", "", 10, ["to_nm"]),
    "reversed_axis_limits": ("from_nm: -30, to_nm: 30", "from_nm: 30, to_nm: -30", 10, ["from_nm", "to_nm"]),
    "equal_axis_limits": ("from_nm: -30, to_nm: 30", "from_nm: 30, to_nm: 30", 10, ["from_nm", "to_nm"]),
    "missing_region_limit": (", to_nm: 10", "", 8, ["to_nm"]),
    "endless_axis": ("from_nm: -30, to_nm: 30", "from_nm: -1e300, to_nm: 30", 10, ["-1e+300", "1e+09 nm"]),
    "axis_y_alone": ("  x: {from_nm: -30, to_nm: 30, nodes: 121}", "  y: {from_nm: -30, to_nm: 30, nodes: 121}", 9,
                     ["axis x is missing"]),
    "decimal_comma": ("from_nm: -30, to_nm: 30", "from_nm: -30,5, to_nm: 30", 10, ["point"]),
    "unit_in_a_number": ("from_nm: -30, to_nm: 30", "from_nm: -30 nm, to_nm: 30", 10, ["number alone"]),
    "reversed_region_limits": ("from_nm: -10, to_nm: 10", "from_nm: 10, to_nm: -10", 8, ["from_nm", "to_nm"]),
    "missing_grid": ("  x: {from_nm: -30, to_nm: 30, nodes: 121}\n", "", 9, ["x"]),
    "axis_too_many": ("  order: 2", "  y: {from_nm: 0, to_nm: 1, nodes: 5}", 11, ["y"]),
    "region_outside_the_grid": ("from_nm: -10, to_nm: 10", "from_nm: 40, to_nm: 50", 8, ["outside"]),
    "zero_mass": ("well: {mass: 0.067", "well: {mass: 0", 4, ["mass"]),
    "negative_mass": ("well: {mass: 0.067", "well: {mass: -0.067", 4, ["mass", "-0.067"]),
    "mass_that_is_no_number": ("well: {mass: 0.067", "well: {mass: light", 4, ["mass", "light"]),
    "mass_nan": ("well: {mass: 0.067", "well: {mass: .nan", 4, ["mass"]),
    "missing_mass": ("well: {mass: 0.067, ", "well: {", 4, ["mass"]),
    "missing_band_edge": ("mass: 0.067, band_edge_eV: 0.0", "mass: 0.067", 4, ["band_edge_eV"]),
    "infinite_band_edge": ("band_edge_eV: 0.1", "band_edge_eV: .inf", 5, ["band_edge_eV"]),
    "too_few_nodes": ("nodes: 121", "nodes: 2", 10, ["nodes"]),
    "nodes_that_do_not_suit_the_order": ("nodes: 121", "nodes: 120", 10, ["nodes", "121"]),
    "negative_nodes": ("nodes: 121", "nodes: -5", 10, ["nodes", "-5"]),
    "nodes_beyond_all_memory": ("nodes: 121", "nodes: 9223372036854775807", 10, ["nodes"]),
    "unknown_order": ("order: 2", "order: 7", 11, ["order", "7"]),
    "more_states_than_unknowns": ("states: 2", "states: 120", 12, ["states", "119"]),
    "no_states": ("states: 2", "states: 0", 12, ["states"]),
    "unknown_dimension": ("dimension: 1", "dimension: 4", 2, ["dimension"]),
    "unknown_boundary": ("  order: 2", "  boundary: {x: dirichlt}", 11, ['"dirichlt"', '"dirichlet"']),
    "one_periodic_end": ("  order: 2", "  boundary: {x: [periodic, neumann]}", 11, ["periodic"]),
    "unknown_carrier": ("states: 2", "carrier: electrons", 12, ['"electrons"', '"electron"']),
    "unknown_output_field": ("plot: false", "fields: [psy]", 13, ['"psy"', '"psi"']),
    "duplicate_key": ("states: 2", "dimension: 1", 12, ["dimension"]),
    "formula_that_does_not_parse": ("states: 2", 'potential: [{formula_eV: "0.1*(x"}]', 12, ["0.1*(x"]),
    "formula_with_unknown_name": ("states: 2", 'potential: [{formula_eV: "0.1*q"}]', 12, ["q"]),
    "missing_array_file": ("states: 2", "potential: [{array_eV: nothing.npy}]", 12, ["nothing.npy"]),
    "not_yaml": ("states: 2", "states: [2", 13, []),
    "tab_for_indent": ("  order: 2", "\torder: 2", 11, []),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(qdsim, device, mistake):
    old, new, line, fragments = MISTAKES[mistake]
    assert GOOD.count(old) == 1 or old.startswith("mass"), "the good file must hold what is replaced"
    path = device(GOOD.replace(old, new, 1))
    for command in ("check", "run"):
        qdsim(command, path).assert_refused(3, f"device.yaml:{line}:", *fragments)


@pytest.mark.parametrize("formula, place", [("sqrt(x)", "x = -30 nm"), ("1/x", "x = 0 nm"), ("ln(x-20)", "x = -30 nm")])
def test_formula_that_is_no_number_somewhere(qdsim, device, formula, place):
    """Found when the potential is evaluated, before the solve."""
    path = device(GOOD.replace("states: 2", f'potential: [{{formula_eV: "{formula}"}}]'))
    qdsim("run", path).assert_refused(3, "device.yaml:12:", formula, place)


def test_good_device_is_accepted(qdsim, device):
    """The file that the mistakes are made in has none."""
    qdsim("check", device()).assert_status(0)


@pytest.mark.parametrize("key", ["name", "dimension", "background", "grid"])
def test_missing_section(qdsim, device, key):
    lines = GOOD.splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith(key))
    end = start + 1
    while end < len(lines) and lines[end].startswith(" "):
        end += 1
    outcome = qdsim("run", device("".join(lines[:start] + lines[end:])))
    if key in ("name", "dimension"):  # the file's name and the grid's axes stand in
        outcome.assert_status(0)
    else:
        outcome.assert_refused(3, "device.yaml", key)


def test_wrong_example(qdsim, device):
    """The project's example of a refused file."""
    text = """\
# Must be refused: the region's material is misspelt
name: wrong
dimension: 2
materials:
  well:   {mass: 0.067, band_edge_eV: 0.0}
background: well
grid:
  x: {from_nm: 0, to_nm: 25, nodes: 41}
  y: {from_nm: 0, to_nm: 20, nodes: 41}
regions: [{shape: box, min_nm: [5, 5], max_nm: [15, 15], material: InGas}]
states: 5
"""
    qdsim("run", device(text)).assert_refused(3, "device.yaml:10:", '"InGas"', '"InGaAs"')


# --- files that are no device ---


@pytest.mark.parametrize(
    "content",
    [b"", b"# nothing but a comment\n", b"- a\n- list\n", b"just text\n", b"\x00\x01\x02\xff\xfe", b"a: &x [*x]\n"],
    ids=["empty", "comment", "list", "text", "binary", "cyclic"],
)
def test_file_that_is_no_device(qdsim, device, content):
    qdsim("run", device(content)).assert_refused(3, "device.yaml")


def test_missing_file(qdsim):
    qdsim("run", "nothing.yaml").assert_refused(3, "nothing.yaml", "No such file")


def test_folder_for_a_file(qdsim, tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    qdsim("run", "folder.yaml").assert_refused(3, "folder.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(qdsim, device, tmp_path):
    path = device()
    (tmp_path / path).chmod(0)
    qdsim("run", path).assert_refused(3, path, "Permission denied")


def test_endless_file(qdsim):
    qdsim("run", "/dev/zero").assert_refused(3, "/dev/zero")


def test_enormous_file(qdsim, tmp_path):
    with open(tmp_path / "enormous.yaml", "wb") as file:
        file.truncate(1 << 34)
    qdsim("run", "enormous.yaml").assert_refused(3, "enormous.yaml")


def test_deeply_nested_file(qdsim, device):
    qdsim("run", device(b"[" * 1_000_000)).assert_refused(3, "device.yaml")


def array_header(shape):
    """The start of a .npy file of that shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def test_enormous_array_header(qdsim, device, tmp_path):
    """A .npy file whose header promises more than it holds."""
    (tmp_path / "v.npy").write_bytes(array_header("(9000000000000,)"))
    path = device(GOOD + "potential: [{array_eV: v.npy}]\n")
    qdsim("run", path).assert_refused(3, "v.npy")


def test_array_that_is_a_single_number(qdsim, device, tmp_path):
    (tmp_path / "v.npy").write_bytes(array_header("()") + bytes(8))
    path = device(GOOD + "potential: [{array_eV: v.npy}]\n")
    qdsim("run", path).assert_refused(3, "device.yaml:14: ", "the array is a single number, the grid's nodes (ends included) are 121")


# --- mistakes in --set ---


@pytest.mark.parametrize(
    "assignment, fragments",
    [
        ("states=many", ["--set states", "many"]),
        ("grid.x.node=5", ["--set grid.x.node", '"nodes"']),
        ("regions.7.material=well", ["regions.7"]),
        ("grid.x.nodes=120", ["--set grid.x.nodes", "121"]),
        ("states", ["states", "="]),
        ("states=[", ["states"]),
    ],
)
def test_mistake_in_set(qdsim, device, assignment, fragments):
    outcome = qdsim("run", device(), "--set", assignment)
    assert outcome.status in (2, 3)
    outcome.assert_refused(outcome.status, *fragments)
