"""Numbers and tables as TeX: escaped, rounded, with half an interval's width, in booktabs tabulars whose columns are as wide as their numbers."""

from math import ceil

from latents.report.summarize import Estimate, Estimates

DECIMALS = {"mae": 4, "mae_frozen": 4, "psnr": 2, "uniformity": 2, "effective_rank": 1, "path_length": 2, "path_length_pixels": 2, "class_changes": 2}
DECIMALS |= {"class_changes_pixels": 2, "parameters": 0, "class_changes_pairs": 0, "class_changes_pixels_pairs": 0}  # others have 3
# every table opens with this and closes its brace; the widest then fit a text block of 6.3 inches at 10 pt
SMALL = r"{\footnotesize\setlength{\tabcolsep}{3pt}\sisetup{separate-uncertainty=true,table-align-uncertainty=false}"
SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"}
SPECIAL |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"\textdagger{}"}


def escape(text: str) -> str:
    """Plain text as TeX source."""
    return "".join(SPECIAL.get(character, character) for character in text)


def definitions(values: dict[str, str]) -> str:
    """Macros of TeX source by name, one \\def a line; \\csname lets a name hold digits, slashes and hyphens."""
    return "".join(rf"\expandafter\def\csname {name}\endcsname{{{value}}}" + "\n" for name, value in values.items())


def rounded(metric: str, value: float, unit: str) -> str:
    """A value as it is printed; floating-point operations in units of 10^12, with three digits."""
    if metric == "train_flops":
        tera = value / 1e12
        return f"{tera:.2f}" if tera < 10 else f"{tera:.1f}" if tera < 100 else f"{tera:.0f}"
    return f"{value:z.{1 if unit == 'percent' else DECIMALS.get(metric, 3)}f}"


def half_width(estimate: Estimate, places: int) -> str:
    """Half of an interval's width, rounded up, so that no interval is printed narrower than it is."""
    return f"{ceil(round((estimate.high - estimate.mean) * 10**places, 6)) / 10**places:.{places}f}"


def cell(found: Estimates, *key: str) -> str:
    """Mean, and half the interval's width, rounded up, where there is one; a dash where nothing was measured."""
    if key not in found:
        return "{--}"
    estimate = found[key]
    mean = rounded(key[2], estimate.mean, estimate.unit)
    if estimate.low is None:
        return mean
    return rf"{mean} \pm {half_width(estimate, len(mean.partition('.')[2]))}"


def column(cells: list[str]) -> str:
    """The S column that the numbers of these cells need; an uncertainty is counted in digits of the mean's last place."""
    numbers = [text.lstrip("-").split(r" \pm ") for text in cells if text[0] != "{"]
    whole, part = (max((len(number[0].partition(".")[place]) for number in numbers), default=1) for place in (0, 2))
    sign = "-" if any(text[0] == "-" for text in cells) else ""
    width = max((len(number[1].replace(".", "").lstrip("0")) for number in numbers if len(number) > 1), default=0)
    uncertainty = f"({width})" if width else ""
    return f"S[table-format={sign}{whole}.{part}{uncertainty}]"


def tabular(heads: list[str], groups: list[tuple[str, list[list[str]]]], over: list[tuple[str, int]] = ()) -> str:
    """A booktabs tabular: plain text in the first column, numbers in the others, a line above each named group of rows.

    `over` names spans of the number columns above the heads. Text among numbers is TeX, in braces.
    """
    rows = [row for _, group in groups for row in group]
    columns = "".join(column([row[k] for row in rows]) for k in range(1, len(heads)))
    lines = [rf"{SMALL}\begin{{tabular}}{{@{{}}l{columns}@{{}}}}", r"\toprule"]
    if over:
        ends = [1 + sum(width for _, width in over[: k + 1]) for k in range(len(over))]
        lines.append(" & ".join(["", *(rf"\multicolumn{{{width}}}{{c}}{{{title}}}" for title, width in over)]) + r" \\")
        lines.append("".join(rf"\cmidrule(lr){{{end - width + 1}-{end}}}" for end, (_, width) in zip(ends, over, strict=True)))
    lines.append(" & ".join([heads[0], *(f"{{{head}}}" for head in heads[1:])]) + r" \\")
    for title, group in groups:
        lines.append(r"\midrule")
        if title:
            lines.append(rf"\multicolumn{{{len(heads)}}}{{@{{}}l}}{{\textit{{{title}}}}} \\")
        lines += [" & ".join([escape(row[0]), *row[1:]]) + r" \\" for row in group]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", ""])
