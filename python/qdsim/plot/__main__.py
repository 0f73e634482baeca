"""python -m qdsim.plot RESULT.json [-o PICTURE]: the picture of a result's files."""

import argparse
import signal
import sys
from pathlib import Path

from . import plot


def main():
    parser = argparse.ArgumentParser(
        prog="python -m qdsim.plot",
        description="Draws a result: RESULT.json, with the fields of RESULT.vtkhdf where there is one.")
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("-o", "--output", type=Path, metavar="PICTURE",
                        help=".png, .pdf or .svg (default: RESULT.png beside the result)")
    parser.add_argument("--states", type=int, metavar="N", help="draw the lowest N states")
    arguments = parser.parse_args()
    # An exception, unlike the signal's own way to end a process, lets half a picture be taken away.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        written = plot(arguments.result, arguments.output or arguments.result.with_suffix(".png"),
                       states=arguments.states)
    except ModuleNotFoundError as error:
        sys.exit(f"a picture needs {error.name}: pip install 'qdsim-native[plot]'")
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(written)


if __name__ == "__main__":
    main()
