"""ONNX networks give what torch gives, in files of the promised size, with a card that says so."""

import functools
import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import shipped_study
from onnx import numpy_helper
from tiny import Runs, floats

from latents import data, explorer, export, record
from latents.datasets import DATASETS
from latents.decode import StandardisedDecoder
from latents.encode import encode, npz
from latents.methods import METHODS
from latents.model import build
from latents.networks import Decoder
from latents.settings import CODE_SIZE
from latents.study import Run


def codes_of(runs: Runs, method: str, dataset: str = "mnist"):
    """The model of a tiny run, its data and its codes."""
    model = runs.trained(method, 1, dataset).model.eval()
    split = data.load(runs.study, dataset, with_test=False)
    codes = {
        name: encode(model.encoder, torch.from_numpy(getattr(split, name).images), "float32").numpy()
        for name in ("train", "val")
    }
    return model, split, codes


@functools.cache
def exported(runs: Runs, method: str, dataset: str = "mnist", bits: int = 16):
    """The networks of a tiny run, and their ONNX files with the errors; tests must not change them."""
    model, split, codes = codes_of(runs, method, dataset)
    parts = export.networks(runs.study, Run(dataset, method, 1), model, codes, split)
    return parts, *export.export(parts, floats(dataset), bits)


ALIKE = ("random", "contrastive", "supcon")  # their networks are as guided's


@pytest.mark.parametrize(
    ("method", "dataset"),
    [*((method, "mnist") for method in METHODS if method not in ALIKE), ("guided", "cifar10")],
)
def test_onnx_gives_what_torch_gives(runs: Runs, method: str, dataset: str):
    parts, files, errors = exported(runs, method, dataset)
    # these networks are hardly trained: their codes are all alike; split and joint take away what they share
    factor = 20 if method in ("split", "joint") else 1
    images = floats(dataset, n=5, seed=9)  # others, and another number, than the files were made with
    with torch.inference_mode():
        codes = parts["encoder"](images)
        wanted = {"encoder": codes, "decoder": parts["decoder"](codes), "probe": parts["probe"](codes)}
    for name, inputs in (("encoder", images), ("decoder", codes), ("probe", codes)):
        found = export.outputs(files[f"{name}.onnx"], inputs.numpy())
        scale = 1 if name == "decoder" else wanted[name].std().item()
        # a few pixels of a hardly trained decoder are very sensitive
        apart = np.abs(found - wanted[name].numpy()) / scale
        assert np.quantile(apart, 0.99) < 5e-3 * factor
    assert errors["codes"] < 2e-2 * factor
    # 60 images leave directions of a code of 128 without variance, and the decoder of both magnifies what
    # half precision makes of them; their outputs were compared above
    if method not in ("split", "joint"):
        assert errors["pixels"] < 0.2
    assert errors["same_class"] == 1


def test_networks_in_8_bits_are_half_as_large_and_still_near(runs: Runs):
    _, whole, _ = exported(runs, "pca")
    _, small, errors = exported(runs, "pca", bits=8)
    for name in ("encoder.onnx", "decoder.onnx"):
        assert len(small[name]) < 0.6 * len(whole[name])
    assert small["probe.onnx"] == whole["probe.onnx"]
    assert 1e-4 < errors["codes"] < 0.02
    assert 1e-4 < errors["pixels"] < 0.02


def test_the_explorer_of_the_whole_study_stays_below_40_mb_a_data_set():
    study, shape = shipped_study(), DATASETS["cifar10"].shape
    example = torch.zeros(2, shape[2], *shape[:2])
    codes = torch.randn(9, CODE_SIZE, generator=torch.Generator().manual_seed(1))
    on_frozen = StandardisedDecoder(Decoder(shape, study.decoder.channels, linear_path=True))
    total = explorer.IMAGES * example[0].numel()  # as if no image could be compressed
    sizes = {}  # by name and shape of the weights, which methods share
    for method in study.methods:
        model = build(study, Run("cifar10", method, 1)).eval()
        decoder = export.OwnDecoder(model) if model.decodes else on_frozen.eval()
        for name, network, inputs in (("encoder", model.encoder, example), ("decoder", decoder, codes[:2])):
            shapes = (name, *((key, value.shape) for key, value in network.state_dict().items()))
            if shapes not in sizes:
                made = export.to_onnx(network, inputs, *export.NAMES[name])
                export.compress(made, 8)
                sizes[shapes] = made.ByteSize()
            total += sizes[shapes]
        total += explorer.IMAGES * (CODE_SIZE + 30)  # a code, and a line of numbers in dataset.json
        total += 4 * CODE_SIZE * (CODE_SIZE + 24)  # axes and probe
    assert 25e6 < total < 40e6


def test_large_weights_are_kept_in_float16(runs: Runs):
    _, files, _ = exported(runs, "autoencoder-plus")
    for content in files.values():
        tensors = onnx.load_model_from_string(content).graph.initializer
        kept = {numpy_helper.to_array(one).dtype for one in tensors if np.prod(one.dims) >= export.SMALL}
        assert kept <= {np.dtype(np.float16)}


def test_the_errors_of_the_card_are_errors(monkeypatch):
    monkeypatch.setattr(export, "outputs", lambda content, values: np.zeros((8, 10), np.float32))
    widths = {"encoder": 28 * 28, "decoder": 10, "probe": 10}
    parts = {
        name: torch.nn.Sequential(torch.nn.Flatten(1), torch.nn.Linear(n, 10)) for name, n in widths.items()
    }
    _, errors = export.export(parts, floats("mnist"), 16)
    assert errors["codes"] > 0.1
    assert errors["pixels"] > 0.1
    assert errors["same_class"] < 1


@pytest.fixture(scope="module")
def command(runs: Runs, tmp_path_factory):
    """The arguments of the command for a tiny run, and its folder."""
    folder = tmp_path_factory.mktemp("export")
    weights = runs.weights("guided")
    content = npz(compressed=False, **codes_of(runs, "guided")[2])
    record.write_bytes(folder / "codes.npz", content)
    names = ("accuracy_linear", "mae", "psnr", "ssim")
    record.write_json(
        folder / "record.json",
        {
            "format": record.FORMAT,
            "weights_sha256": record.sha256(weights),
            "codes_sha256": record.sha256(content),
            "metrics": [{"metric": name, "split": "test", "value": 1.5, "unit": ""} for name in names],
        },
    )
    options = {
        "config": runs.config,
        "weights": weights,
        "codes": folder / "codes.npz",
        "record": folder / "record.json",
        "out": folder / "out",
    }
    return [text for name, value in options.items() for text in (f"--{name}", str(value))], folder


def test_the_command_writes_networks_that_onnxruntime_alone_runs_and_their_card(command, monkeypatch):
    arguments, folder = command
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    export.main()
    out = folder / "out"
    card = record.read_json(out / "card.json")
    for name, file in card["files"].items():
        assert file == {"sha256": record.sha256(out / name), "bytes": (out / name).stat().st_size}
    assert card["run"] == "mnist/guided/seed1"
    assert card["code"] == 128
    assert card["decoder"] == "trained on the frozen codes"
    assert card["on_test"]["accuracy_linear"] == 1.5
    images = np.zeros(card["inputs"]["shape"][1:], np.float32)[None]
    codes = onnxruntime.InferenceSession(out / "encoder.onnx").run(None, {"images": images})[0]
    (decoded,) = onnxruntime.InferenceSession(out / "decoder.onnx").run(None, {"codes": codes})
    (logits,) = onnxruntime.InferenceSession(out / "probe.onnx").run(None, {"codes": codes})
    assert codes.shape == (1, 128)
    assert decoded.shape == images.shape
    assert logits.shape == (1, len(card["classes"]))


def test_files_of_different_runs_are_refused_by_name(command, monkeypatch):
    arguments, folder = command
    measured = json.loads((folder / "record.json").read_text())
    del measured["sha256"]
    record.write_json(folder / "other.json", measured | {"codes_sha256": "0"})
    other = [one.replace("record.json", "other.json").replace("/out", "/none") for one in arguments]
    monkeypatch.setattr(sys, "argv", ["export", *other])
    with pytest.raises(SystemExit, match=r"codes\.npz: not the codes of mnist/guided/seed1 that"):
        export.main()
    assert not (folder / "none").exists()
