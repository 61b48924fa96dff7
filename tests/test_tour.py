"""The tour runs to its last cell on the demo's results, and is stored without what it prints."""

import nbformat
from nbclient import NotebookClient

from latents.record import ROOT

TOUR = ROOT / "docs/tour.ipynb"


def test_the_tour_is_stored_without_outputs():
    cells = nbformat.read(TOUR, as_version=4).cells
    assert cells
    assert all(
        not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code"
    )


def test_the_tour_runs_on_the_results_of_the_demo(demo, monkeypatch):
    folder, _ = demo
    monkeypatch.setenv("PYTHONPATH", str(folder / "src"))
    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "display_data" and "image/png" in output.data
    ]
    assert len(pictures) == 8
