"""What all commands share: required options, and how bad input is reported."""

import argparse
import functools
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


class Problem(Exception):
    """Bad input: one sentence that names the file or key, what is wrong and what to do."""


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate an entry point: Problem and Ctrl-C become one line on stderr, without a traceback.

    The exit status is 1 for Problem and 130 for Ctrl-C.
    """

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except Problem as problem:
            sys.exit(f"error: {problem}")
        except KeyboardInterrupt:
            print("interrupted; the same command starts this step again", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)

    return run


def parser(doc: str | None, *names: str, paths: Sequence[str] = ()) -> argparse.ArgumentParser:
    """An argument parser whose description is a module's docstring, with required options.

    `names` are options of type str, but `seed` is an int; `paths` are options of type Path.
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        made.add_argument(f"--{name}", required=True, type=int if name == "seed" else str)
    for name in paths:
        made.add_argument(f"--{name}", required=True, type=Path)
    return made
