"""Numbers and tables as TeX: escaped, rounded, in booktabs tabulars with columns as wide as their numbers."""

from collections.abc import Sequence
from math import ceil

from latents.metrics import fixed, metric
from latents.report.summarize import Estimate, Estimates

# every table opens with this and closes its brace; the widest then fit a text block of 6.3 inches at 10 pt
SMALL = (
    r"{\footnotesize\setlength{\tabcolsep}{3pt}"
    r"\sisetup{separate-uncertainty=true,table-align-uncertainty=false,"
    r"mode=text,reset-text-series=false}"  # so that a number can be bold, whatever the fonts of formulas
)
DASH = "{--}"
BOLD = r"\bfseries "
SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"}
SPECIAL |= {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"\textdagger{}",
    "×": r"$\times$",
}

Group = tuple[str, list[list[str]]]  # its title, and its lines


def escape(text: str) -> str:
    """Plain text as TeX source."""
    return "".join(SPECIAL.get(character, character) for character in text)


def definitions(values: dict[str, str]) -> str:
    """Macros of TeX source by name, one a line; \\csname lets a name hold digits, slashes and hyphens."""
    lines = (rf"\expandafter\def\csname {name}\endcsname{{{value}}}" for name, value in values.items())
    return "".join(f"{line}\n" for line in lines)


def rounded(name: str, value: float) -> str:
    """A metric's value as it is printed; floating-point operations in units of 10^12, with three digits."""
    if name == "train_flops":
        tera = value / 1e12
        return fixed(tera, 2 if tera < 10 else 1 if tera < 100 else 0)
    return fixed(value, metric(name).decimals)


def half_width(estimate: Estimate, places: int) -> str:
    """Half of an interval's width, rounded up, so that no interval is printed narrower than it is."""
    scale = 10**places
    return f"{ceil(round((estimate.high - estimate.mean) * scale, 6)) / scale:.{places}f}"


def cell(found: Estimates, *key: str) -> str:
    """Mean ± half the interval's width where there is an interval; a dash where nothing was measured."""
    if key not in found:
        return DASH
    estimate = found[key]
    mean = rounded(key[2], estimate.mean)
    if estimate.low is None:
        return mean
    return rf"{mean} \pm {half_width(estimate, len(mean.partition('.')[2]))}"


def emphasised(rows: list[list[str]], better: Sequence[int]) -> list[list[str]]:
    """Rows of cells, the best of each column in bold, all that are printed alike.

    Best is the highest where `better` has 1 for the column, the lowest for -1, none for 0.
    """
    made = [list(row) for row in rows]
    for place, sign in enumerate(better):
        means = {
            number: sign * float(row[place].partition(r" \pm ")[0])
            for number, row in enumerate(rows)
            if sign and row[place][0] != "{"
        }
        for number, mean in means.items():
            if mean == max(means.values()):
                made[number][place] = BOLD + made[number][place]
    return made


def column(cells: list[str]) -> str:
    """The S column for these cells; an uncertainty is counted in digits of the mean's last place."""
    plain = [text.removeprefix(BOLD) for text in cells]
    numbers = [text.lstrip("-").split(r" \pm ") for text in plain if text[0] != "{"]
    parts = [number[0].partition(".") for number in numbers]
    whole, part = (max((len(found[place]) for found in parts), default=1) for place in (0, 2))
    sign = "-" if any(text[0] == "-" for text in plain) else ""
    widths = [len(number[1].replace(".", "").lstrip("0")) for number in numbers if len(number) > 1]
    uncertainty = f"({max(widths)})" if any(widths) else ""
    return f"S[table-format={sign}{whole}.{part}{uncertainty}]"


def tabular(heads: list[str], groups: list[Group], over: Sequence[tuple[str, int]] = ()) -> str:
    """A booktabs tabular: plain text in the first column, numbers in the others, a rule above each group.

    `over` names spans of the number columns above the heads. Text among numbers is TeX, in braces.
    """
    rows = [row for _, group in groups for row in group]
    columns = "".join(column([row[k] for row in rows]) for k in range(1, len(heads)))
    lines = [rf"{SMALL}\begin{{tabular}}{{@{{}}l{columns}@{{}}}}", r"\toprule"]
    if over:
        ends = [1 + sum(width for _, width in over[: k + 1]) for k in range(len(over))]
        spans = [rf"\multicolumn{{{width}}}{{c}}{{{title}}}" for title, width in over]
        rules = [
            rf"\cmidrule(lr){{{end - width + 1}-{end}}}" for end, (_, width) in zip(ends, over, strict=True)
        ]
        lines += [" & ".join(["", *spans]) + r" \\", "".join(rules)]
    lines.append(" & ".join([heads[0], *(f"{{{head}}}" for head in heads[1:])]) + r" \\")
    for title, group in groups:
        lines.append(r"\midrule")
        if title:
            lines.append(rf"\multicolumn{{{len(heads)}}}{{@{{}}l}}{{\textit{{{title}}}}} \\")
        lines += [" & ".join([escape(row[0]), *row[1:]]) + r" \\" for row in group]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", ""])
