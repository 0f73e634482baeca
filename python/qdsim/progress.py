"""Progress of long calls: a tqdm bar, or the caller's function."""

import sys
from contextlib import contextmanager

from .errors import ArgumentError


@contextmanager
def reporting(progress):
    """Gives the function to report to, or None."""
    if callable(progress):
        yield progress
    elif progress is None and not sys.stderr.isatty() or progress is False:
        yield None
    elif progress is None or progress is True:
        try:
            from tqdm import tqdm
        except ModuleNotFoundError:
            if progress:
                raise
            yield None
            return
        with tqdm(total=1.0, leave=False, bar_format="{desc:<10} {percentage:3.0f}%|{bar}| {elapsed} {postfix}") as bar:
            yield _Bar(bar)
    else:
        raise ArgumentError(f"progress: {progress!r}; a function of (phase, fraction, detail), True, False or None "
                            "is allowed")


class _Bar:
    def __init__(self, bar):
        self._bar = bar

    def __call__(self, phase, fraction, detail):
        self._bar.set_description_str(phase, refresh=False)
        self._bar.set_postfix_str(detail, refresh=False)
        if fraction >= 0:
            self._bar.n = min(fraction, 1.0)
        self._bar.refresh()
