"""The results that the study aims at, beside those that a run reached.

    python -m latents.report.targets --targets config/targets.yaml --summary reference/summary.csv

Prints one line for each target and ends with status 1 where one is missed. A method that the run does not
have is printed as not measured, and misses nothing. Takes a second.
"""

import sys
from typing import Annotated

from msgspec import Meta
from tabulate import tabulate

from latents import cli
from latents.cli import Problem
from latents.methods import METHODS
from latents.plain import parse
from latents.report.summarize import Estimate, Estimates, read_summary
from latents.settings import Strict


class Target(Strict, frozen=True):
    """A limit for a mean over seeds; the near end of its interval must lie beyond `published`, if given."""

    at_least: float | None = None
    at_most: float | None = None
    published: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a target is at-least or at-most")

    def holds(self, value: float | None) -> bool:
        """Whether a number reaches the limit; None, a number that was not measured, does not."""
        if value is None:
            return False
        above = self.at_least is None or value >= self.at_least
        below = self.at_most is None or value <= self.at_most
        return above and below

    def passes(self, found: Estimate) -> bool | None:
        """Whether the interval's near end is beyond `published`; None without it, False without interval."""
        if self.published is None:
            return None
        near = found.low if self.at_most is None else found.high
        if near is None:
            return False
        return near > self.published if self.at_most is None else near < self.published

    def __str__(self) -> str:
        return f"at least {self.at_least:g}" if self.at_most is None else f"at most {self.at_most:g}"


Targets = Annotated[dict[str, Target], Meta(min_length=1)]


def outcome(target: Target, found: Estimate) -> tuple[bool, str]:
    """Whether a number reaches its target, and that in words."""
    passes = target.passes(found)
    reached = target.holds(found.mean) and passes is not False
    beyond = ""
    if target.published is not None:
        beyond = f"; {'' if passes else 'not shown to be '}beyond the published {target.published}"
    return reached, f"{'holds' if reached else 'FALLS SHORT'}{beyond}"


def is_older(summary: Estimates, name: str) -> bool:
    """Whether a summary has nothing of a target's method, as that of a run before there was the method."""
    dataset, method, *rest = (*name.split("/"), "")
    places = {key[:2] for key in summary}
    known = method in METHODS and dataset in {place[0] for place in places} and len(rest) == 2
    return known and (dataset, method) not in places


@cli.command
def main() -> None:
    options = cli.parser(__doc__, paths=("targets", "summary")).parse_args()
    summary, lines, missed = read_summary(options.summary), [], 0
    for name, target in parse(options.targets, Targets).items():
        found = summary.get((*name.split("/"), "test"))
        if found is None and is_older(summary, name):
            lines.append((name, "", "", "", target, "not measured"))
            continue
        if found is None:
            raise Problem(
                f"{options.targets}: {name}: not in {options.summary}; "
                "write <data set>/<method>/<metric> of a number that is measured on test"
            )
        reached, words = outcome(target, found)
        missed += not reached
        interval = "no interval" if found.low is None else f"{found.low:.4g} to {found.high:.4g}"
        lines.append((name, f"{found.mean:.4g}", f"n = {found.n}", interval, target, words))
    print(tabulate(lines, tablefmt="plain", disable_numparse=True))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
