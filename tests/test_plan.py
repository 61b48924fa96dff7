"""The plan: what a study will cost on this machine, what is left of it, and its time on several nodes."""

import msgspec
import pytest
import yaml
from conftest import DEMO, STUDY
from made_up import call

from latents import config, host
from latents.cli import Problem
from latents.plain import load_yaml
from latents.record import FORMAT, ROOT, write_json
from latents.report import archive, forecast, plan, schedule
from latents.report.read import read_record
from latents.report.schedule import Job
from latents.study import Run

RATE, FLOP = 100.0, 10.0**9  # images/s and operations of an image of the made-up machine


def machine(study, **changes):
    """What latents.machine would write of a machine that makes 100 images/s of every method on CIFAR-10."""
    runs = [*study.runs(), *study.reference_classifiers().values()]
    trained = {f"{run.dataset}/{run.method}": run.base not in ("pca", "random") for run in runs}
    return {
        "processor": "A CPU",
        "device": "cpu",
        "threads": 1,
        "precision": "float32",
        "rates": {
            f"cifar10/{method}": {"float32": RATE, "bfloat16": 2 * RATE} for method in study.trained_methods
        },
        "operations": {kind: 1000 * FLOP * there for kind, there in trained.items()},
        "images": {kind: 1000 * there for kind, there in trained.items()},
    } | changes


def test_a_training_takes_its_operations_at_the_speed_of_its_method(tmp_path):
    study = msgspec.structs.replace(config.read(ROOT / STUDY), precision="float32")
    seconds = forecast.forecast(study, machine(study), tmp_path)
    start = forecast.START
    for run, expected in (
        (Run("cifar10", "guided", 1), start + 1000 / RATE),
        (Run("mnist", "guided", 5), start + 1000 / RATE),  # not timed on MNIST: as on CIFAR-10
        (Run("mnist", "reference-classifier", 8001), start + 1000 / RATE),
        (Run("mnist", "pca", 1), start),
    ):
        assert seconds[Job("train", run)] == pytest.approx(expected)
    heavy = machine(study)
    heavy["operations"]["mnist/guided"] *= 3
    assert forecast.forecast(study, heavy, tmp_path)[
        Job("train", Run("mnist", "guided", 1))
    ] == pytest.approx(start + 3000 / RATE)
    fast = forecast.forecast(msgspec.structs.replace(study, precision="bfloat16"), machine(study), tmp_path)
    assert fast[Job("train", Run("cifar10", "guided", 1))] == pytest.approx(start + 1000 / (2 * RATE))


def test_an_evaluation_takes_as_long_as_recorded_its_convolutions_as_much_longer_as_training_here(tmp_path):
    study = config.read(ROOT / STUDY)
    run = Run("cifar10", "guided", 1)
    timing = {"format": FORMAT, "seconds": 60.0}
    # the committed run made a training of 1000 images in 5 seconds, this machine takes 10
    write_json(tmp_path / f"timing/{run}.train.json", timing | {"parts": {"training": 5.0, "preparing": 1.0}})
    write_json(tmp_path / f"timing/{run}.evaluate.json", timing | {"parts": {"encode": 40.0, "probe": 20.0}})
    write_json(tmp_path / f"train/{run}.json", {"format": FORMAT, "train_flops": 1000 * FLOP})
    here = machine(study, precision="float32")
    for precision, times in (("float32", 2), ("bfloat16", 1)):
        found = forecast.speeds(study, here | {"precision": precision})
        assert forecast.slower(found, tmp_path) == pytest.approx(times)
    seconds = forecast.forecast(study, here, tmp_path)
    expected = pytest.approx(forecast.START + 2 * 40 + 20)  # convolutions alone are slower
    assert seconds[Job("evaluate", run)] == expected
    # what the committed run does not have takes as long as the others
    assert seconds[Job("evaluate", Run("mnist", "pca", 1))] == expected


def test_an_evaluation_of_a_first_seed_has_the_epochs_of_all_its_decoders(tmp_path):
    study, run = config.read(ROOT / STUDY), Run("cifar10", "guided", 2)
    study = msgspec.structs.replace(study, precision="float32")
    timing = {"format": FORMAT, "seconds": 60.0, "parts": {"train decoder": 10.0, "probe": 20.0}}
    write_json(tmp_path / f"timing/{run}.evaluate.json", timing)
    epochs = study.decoder.epochs_curve
    assert study.decoder.optimisation.epochs == 1 and epochs
    seconds = forecast.on_cpu(study, 1.0, tmp_path)
    assert seconds[run] == pytest.approx(30)
    assert seconds[Run("cifar10", "guided", 1)] == pytest.approx(20 + 10 * (1 + sum(epochs)))


def test_the_progress_counts_operations_that_are_done_and_hours_that_are_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where nothing is archived
    study = config.read(ROOT / STUDY)
    here = machine(study)
    runs = [*study.runs(), *study.reference_classifiers().values()]
    trained = [run for run in runs if here["images"][f"{run.dataset}/{run.method}"]]
    before = forecast.progress(study, here, tmp_path, cores=2)
    assert before.startswith("0 % of the training is done, about ")
    for run in trained[: len(trained) // 2]:
        write_json(tmp_path / f"train/{run}.json", {"format": FORMAT})
    half = forecast.progress(study, here, tmp_path, cores=2)
    assert half.startswith(
        f"{100 * (len(trained) // 2) / len(trained):.0f} % of the training is done, about "
    )
    hours = [float(line.split()[-4]) for line in (before, half)]
    assert 0 < hours[1] < hours[0]
    for run in runs:
        write_json(tmp_path / f"train/{run}.json", {"format": FORMAT})
    for run in study.runs():
        write_json(tmp_path / f"records/{run}.json", {"format": FORMAT})
    assert (
        forecast.progress(study, here, tmp_path, 2)
        == "100 % of the training is done, about 0.0 hours are left"
    )


def test_what_is_left_takes_as_much_longer_as_what_was_done_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = config.read(ROOT / STUDY)
    here, results = machine(study), tmp_path / "results"
    one, other, archived = (Run("cifar10", method, 1) for method in ("guided", "vae", "supcon"))
    monkeypatch.setattr(archive, "taken", lambda *_: ([archived], []))
    seconds = {Job(step, run): 10.0 for step in ("train", "evaluate") for run in (one, other, archived)}
    seconds |= {Job("train", Run("mnist", "guided", 1)): 10.0}
    timing = {"format": FORMAT, "parts": {}}
    write_json(results / f"timing/{one}.train.json", timing | {"seconds": 15.0})
    write_json(results / f"timing/{archived}.train.json", timing | {"seconds": 1000.0})
    found = forecast.corrected(study, here, seconds, results)
    assert found == seconds | {Job("train", run): 15.0 for run in (one, other, archived)}
    write_json(results / f"timing/{other}.train.json", timing | {"seconds": 25.0})
    assert forecast.corrected(study, here, seconds, results)[Job("train", archived)] == 20.0
    assert forecast.corrected(study, machine(study, device="NVIDIA X"), seconds, results) == seconds


def test_what_is_archived_counts_as_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = config.read(ROOT / STUDY)
    here, one = machine(study), Run("mnist", "guided", 1)
    monkeypatch.setattr(
        archive, "taken", lambda study, folder: ([one], []) if str(folder) == "archive/study" else ([], [])
    )
    assert forecast.done(study, here, tmp_path) == {Job("train", one), Job("evaluate", one)}


def test_where_no_method_was_timed_the_forecast_says_so():
    study = config.read(ROOT / STUDY)
    with pytest.raises(Problem, match="no method of the study was timed"):
        forecast.forecast(study, machine(study, rates={}), ROOT / "reference")


@pytest.mark.parametrize(("device", "at_once"), [("cpu", 4), ("NVIDIA H100", forecast.ON_GPU)])
def test_as_many_jobs_run_at_once_as_cores_and_memory_allow_and_on_a_gpu_three(device, at_once, monkeypatch):
    monkeypatch.setattr(host, "memory", lambda: 64e9)
    study = msgspec.structs.replace(config.read(ROOT / STUDY), threads=2)
    assert forecast.workers(study, machine(study, device=device), cores=8) == at_once
    assert forecast.workers(study, machine(study, device=device), cores=1) == 1
    monkeypatch.setattr(host, "memory", lambda: 8.6e9)  # 8 GiB
    assert forecast.workers(study, machine(study, device=device), cores=8) == 2
    monkeypatch.setattr(host, "memory", lambda: 2e9)
    assert forecast.workers(study, machine(study, device=device), cores=8) == 1


def gpu_record(path, name="nvidia-x"):
    """The record of a GPU: an evaluation takes 7 s, three jobs at once take 2.5 times as long as one."""
    whole = {"seconds": {"training": 50.0, "evaluation, probe": 4.0, "evaluation, load": 3.0}}
    jobs = {
        "1": {"seconds": 30.0, "parts": [{"training": 20.0, "preparing": 1.0}]},
        "3": {"seconds": 75.0, "parts": []},
    }
    found = {"format": FORMAT, "device": name, "guided": whole, "contrastive": whole, "jobs": jobs}
    write_json(path / f"bench/{name}.json", found)


def test_a_gpu_is_forecast_by_its_own_record_else_by_the_first(tmp_path):
    for name in ("nvidia-x", "nvidia-y"):
        gpu_record(tmp_path, name)
    assert forecast.gpu_of(tmp_path, "nvidia-y")["device"] == "nvidia-y"
    assert forecast.gpu_of(tmp_path, "another")["device"] == "nvidia-x"


def test_on_a_gpu_jobs_start_and_evaluations_take_as_long_as_recorded_and_slow_each_other_down(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(host, "memory", lambda: 64e9)
    study = config.read(ROOT / STUDY)
    write_json(tmp_path / "bench/cpu.json", {"format": FORMAT, "workflow": {"paper": {"median": 0.0}}})
    gpu_record(tmp_path)
    here = machine(study, device="NVIDIA X")
    seconds = forecast.forecast(study, here, tmp_path)
    assert seconds[Job("train", Run("cifar10", "guided", 1))] == pytest.approx(10 + 1000 / RATE)
    assert seconds[Job("evaluate", Run("mnist", "pca", 1))] == pytest.approx(10 + 7)
    some = [(Job("train", Run("mnist", "guided", seed)), 3600.0) for seed in range(1, 7)]
    hours = [forecast.elapsed(study, here, tmp_path, some, cores * study.threads) for cores in (1, 2, 3, 9)]
    assert hours == pytest.approx([6, 3 * 1.75, 2 * 2.5, 2 * 2.5])
    without = forecast.elapsed(study, machine(study), tmp_path, some, 3 * study.threads)
    assert without == pytest.approx(2)


def test_the_plan_for_another_machine_takes_its_flops_per_second_and_this_studys_operations(
    tmp_path, monkeypatch
):
    study = msgspec.structs.replace(config.read(ROOT / STUDY), precision="float32")
    mine = machine(study)
    twice = {kind: 2 * one for kind, one in mine["operations"].items()}
    monkeypatch.setattr("latents.machine.work", lambda _: {"operations": twice, "images": mine["images"]})
    write_json(tmp_path / "machine.json", {"format": FORMAT} | mine)
    found = plan.another(study, tmp_path / "machine.json")
    assert forecast.speeds(study, found) == pytest.approx(forecast.speeds(study, mine))
    assert found["operations"] == twice
    assert found["rates"]["cifar10/guided"]["bfloat16"] == pytest.approx(RATE)
    speed = {study.study: {"cifar10/guided/seed1": {"flops_per_second": 7 * FLOP}}}  # of this study itself
    write_json(tmp_path / "machine.json", {"format": FORMAT} | mine | {"speed": speed})
    found = plan.another(study, tmp_path / "machine.json")
    assert forecast.speeds(study, found)["cifar10/guided"] == pytest.approx(7 * FLOP)


@pytest.mark.parametrize("study", ["config/study.yaml", "reference/study.yaml"])
def test_on_the_gpu_of_the_committed_record_the_study_takes_less_than_an_hour(study, monkeypatch):
    monkeypatch.setattr(host, "memory", lambda: 64e9)
    read, found = config.read(ROOT / study), sorted((ROOT / "reference/bench").glob("nvidia-*.json"))
    here = read_record(found[0], forecast.Machine)
    seconds = forecast.forecast(read, here, ROOT / "reference")
    hours = forecast.elapsed(read, here, ROOT / "reference", seconds.items(), forecast.ON_GPU * read.threads)
    assert 0.1 < hours < 1


def test_the_plan_prints_work_hours_memory_disk_and_download_from_the_file_of_the_machine(
    tmp_path, monkeypatch, capsys
):
    plain = load_yaml(ROOT / DEMO) | {"folder": f"{tmp_path}/"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(plain))
    study = config.read(tmp_path / "mine.yaml")
    write_json(tmp_path / "results/machine.json", {"format": FORMAT} | machine(study))
    monkeypatch.setattr(host, "memory", lambda: 64e9)
    call(plan, "--config", tmp_path / "mine.yaml", "--cores", 4, "--nodes", 2)
    printed = capsys.readouterr().out
    trainings = sum(run.base not in ("pca", "random") for run in study.runs()) + len(study.datasets)
    assert f"work      {1000 * FLOP * trainings / 1e15:.3g} PFLOP of training" in printed
    assert "with 4 jobs at once, " in printed and "longest job: " in printed
    assert "forecast for A CPU, cpu, 1 threads, float32" in printed
    assert "14.0 GB for 4 jobs at once" in printed
    assert all(f"\n{name:10}" in printed for name in ("jobs", "work", "hours", "memory", "disk", "download"))


def test_the_plan_keeps_the_precision_of_a_study_that_was_begun_and_times_methods_that_are_new(
    tmp_path, monkeypatch
):
    study = msgspec.structs.replace(config.read(ROOT / STUDY), study="begun")
    made = {"format": FORMAT} | machine(study, threads=study.threads)
    monkeypatch.setattr("latents.machine.describe", lambda *_: made)
    monkeypatch.setattr("latents.machine.choice", lambda *_: "float32")
    monkeypatch.chdir(tmp_path)
    first = tmp_path / "archive/begun/machine.json"
    write_json(first, made | {"precision": "bfloat16"})
    assert plan.machine_of(study, tmp_path / "machine.json", 2)["precision"] == "bfloat16"
    first.unlink()
    write_json(tmp_path / "machine.json", made | {"precision": "bfloat16", "operations": {}})
    again = plan.machine_of(study, tmp_path / "machine.json", 2)
    assert again["precision"] == "bfloat16" and again["operations"] == made["operations"]
    write_json(tmp_path / "machine.json", made | {"threads": 7, "rates": {}})  # of jobs with other threads
    assert plan.machine_of(study, tmp_path / "machine.json", 2)["rates"] == made["rates"]


def test_the_plan_on_nodes_tells_hours_gains_and_the_critical_path(tmp_path):
    study = config.read(ROOT / STUDY)
    write_json(tmp_path / "bench/cpu.json", {"format": FORMAT, "workflow": {"paper": {"median": 3600.0}}})
    jobs = [Job("train", Run("mnist", "guided", seed)) for seed in (1, 2)]
    *table, path = schedule.on_nodes(study, tmp_path, dict(zip(jobs, (7200.0, 3600.0), strict=True)), 2)
    assert [line.split() for line in table[1:]] == [
        ["1", "4.00", "1.0", "100", "%"],
        ["2", "3.00", "1.3", "67", "%"],
    ]
    assert path == "the critical path is 3.00 hours: more than 2 nodes gain nothing"


def test_the_critical_path_of_a_recorded_study_begins_with_the_classifier_that_every_evaluation_needs(
    tmp_path,
):
    study = config.read(ROOT / STUDY)
    run, classifier = Run("mnist", "pca", 1), study.reference_classifiers()["mnist"]
    write_json(tmp_path / "bench/cpu.json", {"format": FORMAT, "workflow": {"paper": {"median": 1.0}}})
    for one in (*study.runs(), *study.reference_classifiers().values()):
        for step in ("train", "evaluate"):
            spent = {("train", classifier): 50.0, ("evaluate", run): 7.0}.get((step, one), 0.0)
            write_json(tmp_path / f"timing/{one}.{step}.json", {"format": FORMAT, "seconds": spent})
    jobs = schedule.graph(study, tmp_path, schedule.recorded(study, tmp_path))
    assert max(schedule.below(jobs).values()) == schedule.makespan(jobs, len(jobs)) == 50 + 7 + 1


def test_jobs_on_nodes_wait_for_what_they_need_and_gain_until_the_critical_path():
    a, b, c, d, e = (Job("step", Run(name, "", 0)) for name in "abcde")
    # a and b are free; c needs both, d needs a; e ends all
    graph = {a: (3.0, []), b: (1.0, []), c: (2.0, [a, b]), d: (4.0, [a]), e: (1.0, [a, b, c, d])}
    assert max(schedule.below(graph).values()) == 3 + 4 + 1
    assert [schedule.makespan(graph, n) for n in (1, 2, 3)] == [11, 8, 8]
    equal = {Job("step", Run(str(k), "", 0)): (1.0, []) for k in range(10)}
    assert [schedule.makespan(equal, n) for n in (1, 3, 5, 20)] == [10, 4, 2, 1]


def test_on_nodes_fine_tuning_waits_for_the_training_that_it_starts_from():
    study = config.read(ROOT / STUDY)
    runs = [Run("cifar10", method, 1) for method in ("guided.finetuned.1pct", "contrastive", "guided")]
    tuned, start, other = (Job("train", run) for run in runs)
    jobs = schedule.graph(study, ROOT / "reference", {tuned: 1.0, start: 7.0, other: 2.0})
    assert jobs[tuned] == (1.0, [start]) and jobs[start] == (7.0, []) and jobs[other] == (2.0, [])
    end, _ = jobs[schedule.END]
    assert max(schedule.below(jobs).values()) == schedule.makespan(jobs, 9) == 8.0 + end


def test_the_plan_on_nodes_ends_at_the_critical_path():
    study = config.read(ROOT / "reference/study.yaml")
    seconds = forecast.forecast(study, machine(study), ROOT / "reference")
    jobs = schedule.graph(study, ROOT / "reference", seconds)
    assert len(jobs) == len(seconds) + len(study.methods) * len(study.datasets) + 1
    assert schedule.makespan(jobs, 1) == pytest.approx(sum(spent for spent, _ in jobs.values()))
    spans = [schedule.makespan(jobs, n) for n in (1, 2, 8, len(jobs))]
    assert spans == sorted(spans, reverse=True)
    assert spans[-1] == pytest.approx(max(schedule.below(jobs).values()))
    lines = schedule.on_nodes(study, ROOT / "reference", seconds, 8)
    assert [line.split()[0] for line in lines[1:-1]] == ["1", "2", "4", "8"]
    assert "the critical path is" in lines[-1]
