"""What a GPU makes of the study: the results of a CPU, the same bytes every time, and how fast.

    python -m latents.bench.gpu --config config/study.yaml --large config/large.yaml \
        --small config/demo.yaml --reference reference --out results/gpu.json

measures part after part (gpu_parts.py) and writes the record after each, so that the same command goes on
where one was interrupted. It ends with status 1 where the GPU does not agree. Small trainings are those of
the third study with fewer images and epochs. It reads the data of the study, but no test split. Some six
minutes on an H200. With `--device cpu` it does the same on the processor, which takes hours with these
studies.
"""

import shutil
import subprocess
import time
import traceback
from pathlib import Path

import msgspec
import torch

from latents import cli, config, machine, record
from latents.bench.agreement import shrunk
from latents.bench.compare import say
from latents.bench.gpu_parts import JOBS, PARTS, Check, Facts
from latents.cli import Problem
from latents.device import device_of
from latents.plain import digest
from latents.study import Study


def lines(found: Facts) -> list[str]:
    """What the record says, in some lines for the terminal."""
    said = []
    for name in ("guided", "contrastive", "large_guided"):
        one = found[name]
        better, of_cpu = one["val"]["accuracy_best"], one["val_of_committed_runs"].get("accuracy_best", [])
        beside = f" (committed runs: {', '.join(f'{value:.1f}' for value in of_cpu)})" if of_cpu else ""
        seconds = one["seconds"]["training"]
        said.append(f"{name}: trained in {seconds:.1f} s; better probe on val {better:.1f} %{beside}")
    same = [one["again"] and one["resumed"] for one in found["same_bytes"].values()]
    said.append(f"same bytes again, and after a stop: {sum(same)} of {len(same)} kinds of training")
    if early := [kind for kind, one in found["same_bytes"].items() if not one["stopped"]]:
        said.append(f"ended before they could be stopped: {', '.join(early)}")
    near = [one["within"] for one in found["first_losses"].values()]
    said.append(f"first losses as on the CPU: {sum(near)} of {len(near)}")
    off = found["seeds_explain"]["off"]
    said.append(f"off by more than seeds explain: {len(off)} of {found['seeds_explain']['compared']} numbers")
    fastest = max(found["peaks"]["convolutions"].values())
    for study, kinds_of in found["speed"].items():
        for kind, one in kinds_of.items():
            share = one["flops_per_second"] / fastest
            said.append(
                f"{study} {kind}: {one['images_per_second']:.0f} images/s, {100 * share:.0f} % of the "
                f"fastest convolution, {(one['peak_gpu_bytes'] or 0) / 1e9:.2f} GB"
            )
    alone, together = (found["jobs"][str(n)]["seconds"] for n in (1, JOBS))
    said.append(f"one training job {alone:.0f} s, {JOBS} at once {together:.0f} s")
    return said


def failures(found: Facts) -> list[str]:
    """What is not as it should be; where nothing is listed, the GPU is one for the study."""
    changed = [kind for kind, one in found["same_bytes"].items() if not (one["again"] and one["resumed"])]
    other = [kind for kind, one in found["first_losses"].items() if not one["within"]]
    off = found["seeds_explain"]["off"]
    said = [f"other bytes: {', '.join(changed)}"] if changed else []
    said += [f"other first losses than on the CPU: {', '.join(other)}"] if other else []
    return said + ([f"{len(off)} numbers are off by more than seeds explain"] if off else [])


def hardware(device: torch.device) -> Facts:
    """The GPU, its driver and the libraries; on a CPU nothing."""
    if device.type == "cpu":
        return {}
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = None
    about = torch.cuda.get_device_properties(device)
    return {
        "memory_bytes": about.total_memory,
        "multiprocessors": about.multi_processor_count,
        "capability": f"{about.major}.{about.minor}",
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def begin(path: Path, studies: list[Study], device: torch.device) -> Facts:
    """The record so far, if it is of this device, source and studies, else its beginning."""
    wanted = {
        "hardware": hardware(device),
        "source_sha256": record.source_sha256(),
        "bench_sha256": record.tree_sha256([*Path(__file__).parent.glob("*.py")]),
        "studies_sha256": digest(studies),
    }
    study = studies[0]
    if path.exists():
        found = record.read_json(path)
        if all(found.get(key) == value for key, value in wanted.items()):
            return found
    found = machine.describe(study)
    return found | {"precision": machine.choice(study, found["rates"])} | wanted


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "large", "small", paths=("reference", "out"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    studies = [
        msgspec.structs.replace(config.read(path), device=options.device)
        for path in (options.config, options.large, options.small)
    ]
    study, large, small = studies
    device = device_of(study)
    found = begin(options.out, studies, device)
    record.write_json(options.out, found)
    say(f"{found['device']}: {found['precision']}")
    settled = {"precision": found["precision"]}
    check = Check(
        msgspec.structs.replace(study, **settled),
        msgspec.structs.replace(large, **settled),
        shrunk(msgspec.structs.replace(small, **settled, source=study.source)),
        device,
        options.reference,
        Path(study.checkpoints) / "gpu-check",
    )
    failed = []
    for name, part in PARTS.items():
        if name in found:
            continue
        started = time.perf_counter()
        try:
            found[name] = part(check)
        except Exception:  # the other parts are worth their time
            failed.append(name)
            traceback.print_exc()
            continue
        record.write_json(options.out, found)
        say(f"{name}: {time.perf_counter() - started:.0f} s")
    shutil.rmtree(check.folder, ignore_errors=True)
    if failed:
        raise Problem(f"{', '.join(failed)}: failed, see above; the same command tries again")
    print("\n".join([*lines(found), f"written: {options.out}"]))
    if said := failures(found):
        raise Problem("; ".join(said))


if __name__ == "__main__":
    main()
