"""How pictures look: colours, numbers and units."""

import numpy as np

# One colour per state, the same in every panel; told apart by colour-blind eyes too (after Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa3377", "#e69f00", "#4fa3d9", "#5b4bb5", "#8c564b")
INK = "#30343b"
FAINT = "#8a919c"
# Fills behind curves, one per material number.
_TINTS = ("#ffffff", "#e4ebf3", "#f3ead9", "#e3f0e6", "#f0e4ee", "#ece9e4", "#dfe9ea")


def applied():
    from matplotlib import rc_context

    return rc_context({
        "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "axes.edgecolor": FAINT, "axes.linewidth": 0.8,
        "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "xtick.labelsize": 8,
        "ytick.labelsize": 8, "xtick.major.width": 0.8, "ytick.major.width": 0.8, "xtick.major.size": 3,
        "ytick.major.size": 3, "figure.facecolor": "white", "legend.frameon": False, "legend.fontsize": 8,
    })


def colour(state):
    return _COLOURS[state % len(_COLOURS)]


def tint(material):
    return _TINTS[material % len(_TINTS)]


def fading(state):
    """A colour map from white to the state's colour and on to a dark shade of it."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    full = np.array(to_rgb(colour(state)))
    return LinearSegmentedColormap.from_list(f"state {state}", [(1, 1, 1), 0.55 * full + 0.45, full, 0.5 * full])


def plain(text):
    """A name of the user's as matplotlib shows it: on one line, no formula, nothing that no font has."""
    return "".join(character if character.isprintable() else " " for character in text).replace("$", r"\$")


def heading(figure, picture, shown):
    """The device's name, and in grey what was solved and what is shown."""
    name = picture.name[:1].upper() + picture.name[1:]
    nodes = " × ".join(str(n) for n in picture.nodes)
    count = len(picture.energies_eV)
    states = f"{count} state{'s' * (count > 1)}" if shown == count else f"the lowest {shown} of {count} states"
    height = figure.get_figheight()
    figure.text(0.35 / figure.get_figwidth(), 1 - 0.2 / height, plain(name), size=13, weight="bold", va="top")
    figure.text(0.35 / figure.get_figwidth(), 1 - 0.47 / height, f"{nodes} nodes, {states}", size=8.5, color=FAINT,
                va="top")


class EnergyScale:
    """eV or meV, with as many digits as tell the levels apart; `reach_eV` is what else the axis shows."""

    def __init__(self, levels_eV, reach_eV=()):
        levels = np.sort(np.asarray(levels_eV))
        self.unit, self.factor = ("meV", 1e3) if np.abs([*levels, *reach_eV]).max() < 1 else ("eV", 1.0)
        steps = np.diff(levels) * self.factor
        smallest = min(steps[steps > 1e-4 * max(np.ptp(levels) * self.factor, 1e-9)], default=1.0)
        self.digits = int(np.clip(np.ceil(1 - np.log10(smallest)), 2 if self.unit == "meV" else 4, 7))

    def __call__(self, energy_eV):
        return np.asarray(energy_eV) * self.factor

    def text(self, energy_eV):
        return f"{energy_eV * self.factor:.{self.digits}f} {self.unit}".replace("-", "−")


def groups(energies_eV):
    """Lists of neighbouring states that lie closer than can be drawn apart."""
    near = 0.004 * np.ptp(energies_eV)
    found = [[0]]
    for i in range(1, len(energies_eV)):
        if abs(energies_eV[i] - energies_eV[i - 1]) <= near:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def state_names(states):
    return f"{states[0]}" if len(states) == 1 else f"{states[0]}–{states[-1]}"


def spread_apart(positions, gap):
    """Ascending positions moved as little as needed to lie at least `gap` apart."""
    clusters = []
    for position in positions:
        clusters.append([position, 1])
        while len(clusters) > 1 and clusters[-1][0] - clusters[-2][0] < gap * (clusters[-1][1] + clusters[-2][1]) / 2:
            (low, m), (high, n) = clusters[-2], clusters.pop()
            clusters[-1] = [(low * m + high * n) / (m + n), m + n]
    return np.concatenate([middle + gap * (np.arange(n) - (n - 1) / 2) for middle, n in clusters])
