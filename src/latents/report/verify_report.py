"""A comparison with the committed run as text, for a terminal and for a page."""

from typing import Any

from tabulate import tabulate

HEAD = ("data set", "method", "metric", "split", "published", "yours", "allowed alone", "verdict")
CUT = 60  # characters of a value that differs


def markdown(found: dict[str, Any]) -> str:
    """'Your run beside the published one', from what `verify.compare` returns."""
    of_one = f": {found['run']}" if found["run"] else ""
    short = "; ".join(found["short_of_the_next"])
    parts = [
        f"# Your run beside the published one{of_one}",
        f"Level of agreement: **{found['level']}**{f'; {short}' if short else ''}.",
        counts(found),
        table(found["numbers"]),
    ]
    for title, names in (("only in the published run", found["missing"]), ("only in yours", found["added"])):
        parts += [f"Runs {title}: {', '.join(names)}."] if names else []
    if found["differences"]:
        parts += ["Settings, data or machine that differ:", listed(map(difference, found["differences"]))]
    parts += ["What is broken:", listed(found["faults"])] if found["faults"] else []
    return "\n\n".join(parts) + "\n"


def counts(found: dict[str, Any]) -> str:
    """How many numbers have which verdict, and how many runs made the same files."""
    verdicts = found["verdicts"]
    names = [name for name in ("bitwise", "within", "shown", "off") if name != "shown" or name in verdicts]
    numbers = ", ".join(f"{verdicts.get(name, 0)} {name}" for name in names)
    alike = ", ".join(f"{key.removesuffix('_sha256')} {n}" for key, n in sorted(found["made_alike"].items()))
    total = f"{len(found['numbers'])} numbers of {found['runs']} runs"
    return f"{total}: {numbers}. Alike in that many runs: {alike}."


def table(numbers: list[dict[str, Any]]) -> str:
    """The primary metrics of methods, and whatever is off."""
    lines = []
    for one in numbers:
        if (one["primary"] and "." not in one["method"]) or one["verdict"] == "off":
            allowed = (
                "its digits" if one["allowed"] is None else f"{one['allowed']:.2g} ({one['freedom']} df)"
            )
            place = (one[key] for key in ("dataset", "method", "metric", "split"))
            lines.append((*place, *one["printed"], allowed, one["verdict"]))
    return tabulate(lines, HEAD, tablefmt="github", disable_numparse=True)


def difference(one: dict[str, Any]) -> str:
    """One thing that differs, where, and both values."""
    where = one["runs"][0] if len(one["runs"]) == 1 else f"{len(one['runs'])} runs"
    return f"{one['what']} in {where}: published {one['published'][:CUT]}, yours {one['own'][:CUT]}"


def listed(texts: Any) -> str:
    """A Markdown list."""
    return "\n".join(f"- {text}" for text in texts)
