"""The plan: what a study will cost, from what the committed run took, and its time on several nodes."""

import pytest
from conftest import STUDY

from latents import config
from latents.record import FORMAT, ROOT, write_json
from latents.report import plan, schedule
from latents.report.schedule import Job
from latents.study import Run


def test_the_plan_prints_recorded_hours_and_names_what_was_never_timed(tmp_path):
    study = config.read(ROOT / STUDY)
    unknown = ["not known: no job of these settings is in reference/timing"]
    assert plan.hours(*plan.recorded(study, tmp_path)) == unknown
    for name, seconds, settings in (("guided", 7200, {}), ("contrastive", 60, {"precision": "other"})):
        one = Run("mnist", name, 5)
        machine = {"processor": "A CPU", "device": "cpu", "threads": 2}
        entry = machine | {"config": study.training(one) | settings}
        write_json(tmp_path / f"train/{one}.json", {"format": FORMAT} | entry)
        write_json(tmp_path / f"timing/{one}.train.json", {"format": FORMAT, "seconds": seconds})
    lines = "\n".join(plan.hours(*plan.recorded(study, tmp_path)))
    hours = 2 * len(study.dataset("mnist").seeds)
    assert f"{hours}.00 ({hours}.00 train, 0.00 evaluate)" in lines
    assert "A CPU, cpu, 2 threads" in lines
    missing = lines.partition("not counted")[2]
    assert "cifar10/contrastive" in missing
    assert " more)" in missing and missing.count(",") == plan.NAMED - 1


def test_the_plan_on_nodes_says_how_many_jobs_it_covers(tmp_path):
    study = config.read(ROOT / STUDY)
    write_json(tmp_path / "bench.json", {"format": FORMAT, "workflow": {"paper": {"median": 3600.0}}})
    jobs = [Job("train", Run("mnist", "guided", seed)) for seed in (1, 2, 3)]
    seconds = dict(zip(jobs, (7200.0, 3600.0, None), strict=True))
    *table, path, left_out = schedule.on_nodes(study, tmp_path, seconds, 2)
    assert [line.split() for line in table[1:]] == [
        ["1", "4.00", "1.0", "100", "%"],
        ["2", "3.00", "1.3", "67", "%"],
    ]
    assert path == "the critical path is 3.00 hours: more than 2 nodes gain nothing"
    assert left_out == "of 2 of 3 jobs: no time is known of the others"
    unknown = ["of 0 of 3 jobs: no time is known of the others"]
    assert schedule.on_nodes(study, tmp_path, dict.fromkeys(seconds), 2) == unknown


def test_jobs_on_nodes_wait_for_what_they_need_and_gain_until_the_critical_path():
    a, b, c, d, e = (Job("step", Run(name, "", 0)) for name in "abcde")
    # a and b are free; c needs both, d needs a; e ends all
    graph = {a: (3.0, []), b: (1.0, []), c: (2.0, [a, b]), d: (4.0, [a]), e: (1.0, [a, b, c, d])}
    assert max(schedule.below(graph).values()) == 3 + 4 + 1
    assert [schedule.makespan(graph, n) for n in (1, 2, 3)] == [11, 8, 8]
    equal = {Job("step", Run(str(k), "", 0)): (1.0, []) for k in range(10)}
    assert [schedule.makespan(equal, n) for n in (1, 3, 5, 20)] == [10, 4, 2, 1]


@pytest.mark.skipif(not (ROOT / "reference/timing").exists(), reason="reference/ holds no finished run yet")
def test_the_plan_on_nodes_is_that_of_the_committed_run():
    study = config.read(ROOT / "reference/study.yaml")
    seconds, _ = plan.recorded(study, ROOT / "reference")
    jobs = schedule.graph(study, ROOT / "reference", seconds)
    assert len(jobs) == len(seconds) + len(study.methods) * len(study.datasets) + 1
    assert schedule.makespan(jobs, 1) == pytest.approx(sum(spent for spent, _ in jobs.values()))
    spans = [schedule.makespan(jobs, n) for n in (1, 2, 8, len(jobs))]
    assert spans == sorted(spans, reverse=True)
    assert spans[-1] == pytest.approx(max(schedule.below(jobs).values()))
    lines = schedule.on_nodes(study, ROOT / "reference", seconds, 8)
    assert [line.split()[0] for line in lines[1:-1]] == ["1", "2", "4", "8"]
    assert "the critical path is" in lines[-1]
