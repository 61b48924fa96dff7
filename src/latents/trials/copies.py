"""A copy of the checkout, and a user's environment in it: for runs that leave nothing in this one."""

import os
import shutil
import sys
from pathlib import Path

from latents.record import ROOT

COPIED = (
    "Makefile", "Snakefile", "README.md", "config", "figures", "paper", "profiles", "pyproject.toml", "reference", "requirements.lock", "src",
)  # fmt: skip
GENERATED = {"figures": (".pdf", ".png"), "paper": ("build", "generated", "paper.pdf")}
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


def copy_checkout(folder: Path, reference: Path = ROOT / "reference") -> Path:
    """What a clone holds, without what runs have left in this checkout; its reference/ may come from elsewhere."""

    def left_out(path: str, names: list[str]) -> list[str]:
        generated = GENERATED.get(os.path.relpath(path, ROOT), ("\0",))
        return [name for name in names if name in ("__pycache__", "latents.egg-info") or name.endswith(generated)]

    folder.mkdir(parents=True)
    for name in COPIED:
        source = reference if name == "reference" else ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=left_out)
        else:
            shutil.copy(source, folder / name)
    return folder


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """That of a user who has just cloned the checkout into folder: its code, none of this run's settings; a change to '' takes a variable away."""
    ours = ("LATENTS_", "SNAKEMAKE_", "MAKE", "MFLAGS")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"PYTHONPATH": f"{folder}/src"} | changes
    return {name: value for name, value in variables.items() if value}
