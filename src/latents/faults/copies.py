"""A copy of the checkout, and a user's environment for it: for runs that leave nothing in this one."""

import os
import shutil
import sys
from pathlib import Path

from latents.record import ROOT

COPIED = (
    "CITATION.cff",
    "Makefile",
    "README.md",
    "Snakefile",
    "config",
    "docs",
    "figures",
    "paper",
    "profiles",
    "pyproject.toml",
    "reference",
    "requirements.lock",
    "rules",
    "src",
    "web",
)
GENERATED = {
    "figures": (".pdf", ".png"),
    "paper": ("build", "generated", "paper.pdf", "provenance.json", "arxiv.tar.gz"),
}
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


def copy_checkout(folder: Path, reference: Path = ROOT / "reference") -> Path:
    """Copy what a clone holds to a new folder, without what runs left in this checkout; returns the folder.

    Its reference/ is the folder `reference`.
    """

    def left_out(path: str, names: list[str]) -> list[str]:
        generated = GENERATED.get(os.path.relpath(path, ROOT), ("\0",))  # no name ends in a null character
        return [
            name
            for name in names
            if name in ("__pycache__", "latents.egg-info", "node_modules") or name.endswith(generated)
        ]

    folder.mkdir(parents=True)
    for name in COPIED:
        source = reference if name == "reference" else ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=left_out)
        else:
            shutil.copy(source, folder / name)
    return folder


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """The environment variables of a user who has just cloned the checkout into `folder`.

    Python imports the copy's code, and the settings of the run that calls this are removed. A change to ''
    removes a variable.
    """
    ours = ("LATENTS_", "SNAKEMAKE_", "MAKE", "MFLAGS")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    variables |= {"PYTHONPATH": f"{folder}/src"} | changes
    return {name: value for name, value in variables.items() if value}
