"""python -m qdsim.plot FILE [-o PICTURE]: the picture of a result's files, or of a memory profile's."""

import argparse
import signal
import sys
from pathlib import Path

from . import plot


def main():
    parser = argparse.ArgumentParser(
        prog="python -m qdsim.plot",
        description="Draws a result: NAME.json, with the fields of NAME.vtkhdf where there is one; or the memory profile in "
                    "NAME.vtkhdf or NAME.memory.h5.")
    parser.add_argument("file", type=Path, metavar="FILE",
                        help="NAME.json for the result; NAME.vtkhdf or NAME.memory.h5 for the memory profile")
    parser.add_argument("-o", "--output", type=Path, metavar="PICTURE",
                        help=".png, .pdf or .svg (default: NAME.png or NAME.memory.png beside the file)")
    parser.add_argument("--states", type=int, metavar="N", help="draw the lowest N states of a result")
    arguments = parser.parse_args()
    # An exception, unlike the signal's own way to end a process, lets half a picture be taken away.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        written = plot(arguments.file, arguments.output or _beside(arguments.file), states=arguments.states)
    except ModuleNotFoundError as error:  # the command knows these words (cli/plot.c)
        sys.exit(f"No module named {error.name!r}, which a picture needs: pip install 'qdsim-native[plot]'")
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(written)


def _beside(file):
    """NAME.png is the picture of NAME.json."""
    return file.with_suffix(".memory.png" if file.suffix == ".vtkhdf" else ".png")


if __name__ == "__main__":
    main()
