"""Export a run as ONNX networks, which run without this project and without torch.

    python -m latents.export --config config/study.yaml \
        --weights checkpoints/mnist/guided/seed1.safetensors --codes results/codes/mnist/guided/seed1.npz \
        --record results/records/mnist/guided/seed1.json --machine results/machine.json --out exported

writes into the folder --out
    encoder.onnx  images float32 [n, c, h, w] in [0, 1] -> codes float32 [n, d]
    decoder.onnx  codes -> images in [0, 1]: the run's own decoder or, without one, that on its frozen codes
    probe.onnx    codes -> logits [n, classes]: the linear probe
    card.json     what they are, how accurate, and how far their outputs are from torch's
Decoder on frozen codes and probe are fitted again, as the evaluation fits them. Weights are kept in float16
(with --bits 8, in 8 bits) and computed with in float32. How to run them: docs/explorer.md.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from latents import cli, config, data, probe, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.decode import train_decoder
from latents.device import device_of, to_float
from latents.model import Model, load_model
from latents.study import Run, Study
from latents.tsne import read_codes

OPSET = 20  # the first with GELU
SMALL = 4096  # tensors with fewer numbers stay in float32: the probe too, as its large terms cancel
COMPARED = 200  # validation images on which outputs are compared with torch's
NAMES = {
    "encoder": ("images", "codes"),
    "decoder": ("codes", "images"),
    "probe": ("codes", "logits"),
}


class OwnDecoder(nn.Module):
    """The decoder of a model that has one, as a network of its own."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor) -> Tensor:
        return self.model.decode(codes)


def networks(
    study: Study, run: Run, model: Model, codes: dict[str, np.ndarray], split: data.Split
) -> dict[str, nn.Module]:
    """Encoder, decoder and probe of a run, on the CPU, in evaluation mode.

    `codes` are its codes float32 [n, d] of training and validation images.
    """
    device = device_of(study)
    parts = {name: torch.from_numpy(part).to(device) for name, part in codes.items()}
    labels = {name: torch.from_numpy(getattr(split, name).labels).to(device) for name in codes}
    if model.decodes:
        decoder = OwnDecoder(model)
    else:
        images = torch.from_numpy(split.train.images).to(device)
        decoder = train_decoder(study, run.dataset, parts["train"], images)
    classifier = probe.linear(parts, labels, study.probe, len(DATASETS[run.dataset].classes), ["val"]).network
    found = {"encoder": model.encoder, "decoder": decoder, "probe": classifier}
    return {name: network.cpu().eval() for name, network in found.items()}


def to_onnx(network: nn.Module, example: Tensor, source: str, target: str) -> onnx.ModelProto:
    """A network in evaluation mode as ONNX, for batches of any size; `example` [n, ...] is an input."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # its successor takes 20 s for an encoder, not 1, and needs two packages more
        warnings.simplefilter("ignore", DeprecationWarning)
        # images have one size, which an encoder may ask for; nothing has to be folded
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            network,
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[source],
            output_names=[target],
            dynamic_axes={source: {0: "n"}, target: {0: "n"}},
        )
    return onnx.load_model_from_string(buffer.getvalue())


def compress(model: onnx.ModelProto, bits: int) -> None:
    """Keep large weights in float16 or, with bits=8, matrices and filters in 8 bits, each row with a scale.

    Nodes in front of the others bring them back to float32, once, when a runtime loads the model.
    """
    nodes, kept = [], []
    for tensor in model.graph.initializer:
        values, name = numpy_helper.to_array(tensor), tensor.name
        if values.dtype != np.float32 or values.size < SMALL:
            kept.append(tensor)
            continue
        small, whole = f"{name}.small", name
        if bits == 8 and values.ndim > 1:
            rows = np.abs(values).max(tuple(range(1, values.ndim)), keepdims=True)
            scale = (np.maximum(rows, 1e-12) / 127).astype(np.float32)
            values, whole = np.rint(values / scale).astype(np.int8), f"{name}.whole"
            kept.append(numpy_helper.from_array(scale, f"{name}.scale"))
            nodes.append(helper.make_node("Mul", [whole, f"{name}.scale"], [name]))
        else:
            values = values.astype(np.float16)
        kept.append(numpy_helper.from_array(values, small))
        nodes.insert(0, helper.make_node("Cast", [small], [whole], to=TensorProto.FLOAT))
    nodes += model.graph.node
    for field, values in ((model.graph.initializer, kept), (model.graph.node, nodes)):
        del field[:]
        field.extend(values)


def outputs(content: bytes, values: np.ndarray) -> np.ndarray:
    """The output of an ONNX network for an input [n, ...]."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


@torch.inference_mode()
def export(
    parts: dict[str, nn.Module], images: Tensor, bits: int
) -> tuple[dict[str, bytes], dict[str, float]]:
    """The networks as the content of ONNX files, and how far their outputs are from torch's.

    Measured on images float32 [n, c, h, w]: the root mean square error of the codes, over their standard
    deviation; the largest error of a pixel, on [0, 1]; and the share of classes that are the same.
    """
    codes = parts["encoder"](images)
    inputs = {"encoder": images, "decoder": codes, "probe": codes}
    files, found, wanted = {}, {}, {}
    for name, network in parts.items():
        model = to_onnx(network, inputs[name][:2], *NAMES[name])
        compress(model, bits)
        files[f"{name}.onnx"] = model.SerializeToString(deterministic=True)
        found[name] = outputs(files[f"{name}.onnx"], inputs[name].numpy())
        wanted[name] = network(inputs[name]).numpy()
    spread = wanted["encoder"].std(0).mean()
    same = found["probe"].argmax(1) == wanted["probe"].argmax(1)
    return files, {
        "codes": float(np.sqrt(np.square(found["encoder"] - wanted["encoder"]).mean()) / spread),
        "pixels": float(np.abs(found["decoder"] - wanted["decoder"]).max()),
        "same_class": float(same.mean()),
    }


def card(study: Study, run: Run, model: Model, measured: dict[str, Any]) -> dict[str, Any]:
    """The model card, without what is known of the files."""
    spec = DATASETS[run.dataset]
    height, width, channels = spec.shape
    values = {(one["metric"], one["split"]): one["value"] for one in measured["metrics"]}
    return {
        "format": record.FORMAT,
        "run": str(run),
        "study": study.study,
        "inputs": {"shape": ["n", channels, height, width], "range": [0, 1], "type": "float32"},
        "classes": list(spec.classes if study.source == "download" else spec.stand_in.classes),
        "decoder": "its own" if model.decodes else "trained on the frozen codes",
        "data": {"name": run.dataset, "source": study.source},
        "weights_sha256": measured["weights_sha256"],
        "on_test": {name: values[name, "test"] for name in ("accuracy_linear", "mae", "psnr", "ssim")},
    }


def checked_record(options: Any, run: Run) -> dict[str, Any]:
    """The record of the run's evaluation. Raises Problem if it is of other weights or other codes."""
    measured = record.read_json(options.record)
    for name in ("weights", "codes"):
        path = getattr(options, name)
        if measured.get(f"{name}_sha256") != record.sha256(Path(path)):
            raise Problem(
                f"{path}: not the {name} of {run} that {options.record} describes; give the files of one run"
            )
    return measured


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "weights", "codes", "record", paths=("out",))
    parser.add_argument("--machine", type=Path, help="the file of latents.machine; for precision: auto")
    parser.add_argument(
        "--bits",
        type=int,
        choices=(8, 16),
        default=16,
        help="8 halves the files, as the explorer does",
    )
    options = parser.parse_args()
    study = config.settled(config.read(options.config), options.machine)
    model, run, _ = load_model(options.weights, study)
    codes = dict(zip(("train", "val"), read_codes(options.codes, "train", "val"), strict=True))
    facts = card(study, run, model, checked_record(options, run))
    split = data.load(study, run.dataset, with_test=False)
    parts = networks(study, run, model, codes, split)
    images = to_float(torch.from_numpy(split.val.images[:COMPARED]), torch.contiguous_format)
    files, errors = export(parts, images, options.bits)
    facts |= {"code": codes["train"].shape[1], "bits": options.bits, "errors": errors}
    facts["files"] = {name: {"sha256": record.sha256(one), "bytes": len(one)} for name, one in files.items()}
    for name, content in files.items():
        record.write_bytes(options.out / name, content)
    record.write_json(options.out / "card.json", facts)


if __name__ == "__main__":
    main()
