"""What the study set itself to reach, beside what it reached.

    python -m latents.report.bars --bars config/bars.yaml --summary reference/summary.csv

prints a line a bar and ends with status 1 when one falls short. A second.
"""

import argparse
import sys
from pathlib import Path

from latents import config
from latents.config import Problem
from latents.report.summarize import Estimate, read_summary
from latents.settings import Strict


class Bar(Strict, frozen=True):
    """What a number is held against; `published`, if given, is to be passed by the near end of the interval over seeds."""

    at_least: float | None = None
    at_most: float | None = None
    published: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a bar is at-least or at-most")

    def holds(self, value: float | None) -> bool:
        """Of one number; one that was not reached (None) does not hold."""
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def passes(self, found: Estimate) -> bool | None:
        """Whether the near end of the interval is beyond what is published, if that is given; one seed cannot show it."""
        near = found.low if self.at_most is None else found.high
        if self.published is None:
            return None
        return near is not None and (near > self.published if self.at_most is None else near < self.published)

    def __str__(self) -> str:
        return f"at least {self.at_least:g}" if self.at_most is None else f"at most {self.at_most:g}"


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True)
    options = parser.parse_args()
    found, short = read_summary(options.summary), 0
    for name, bar in config.parse(options.bars, dict[str, Bar]).items():
        if (estimate := found.get((*name.split("/"), "test"))) is None:
            raise Problem(f"{options.bars}: {name}: not in {options.summary}; write <data set>/<row>/<metric> of what is measured on test")
        interval = "no interval" if estimate.low is None else f"{estimate.low:.4g} to {estimate.high:.4g}"
        passes = bar.passes(estimate)
        beyond = "" if bar.published is None else f"; {'' if passes else 'not shown to be '}beyond the published {bar.published}"
        holds = bar.holds(estimate.mean) and passes is not False
        short += not holds
        print(f"{name:40}{estimate.mean:9.4g}  n = {estimate.n}, {interval:18}  {bar!s:16}  {'holds' if holds else 'FALLS SHORT'}{beyond}")
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
