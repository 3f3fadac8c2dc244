"""Which steps a report takes of a log that is too large for it."""

from pathlib import Path

from grpo_plugin.console.report.sampling import LogFile, choose, log_files
from grpo_plugin.rollout.generation_log import GenerationLog
from tests.unit.rollout.test_generation_log import batch


def log_of(split, steps, rows=10, size=1000):
    return [LogFile(Path(f"{split}-{step}"), split, step, rows, size) for step in steps]


def steps(chosen, split="train"):
    return [file.step for file in chosen.files if file.split == split]


def test_a_log_that_fits_is_taken_whole():
    files = log_of("train", range(1, 5)) + log_of("validation", [0, 4])
    chosen = choose(files, rows=60, size=10_000)
    assert chosen.files == files
    assert chosen.sentence == "All 60 completions of the run."


def test_too_many_rows_leave_evenly_spaced_steps_with_the_first_and_the_last():
    chosen = choose(log_of("train", range(1, 11)), rows=40, size=10**9)
    assert steps(chosen) == [1, 4, 7, 10]
    assert chosen.sentence == (
        "40 of the run's 100 completions: those of 4 of 10 steps and validations, evenly spaced. All of them are in "
        "generations/."
    )


def test_long_texts_count_as_well():
    assert steps(choose(log_of("train", range(1, 11), size=1000), rows=10**6, size=3500)) == [1, 5, 10]


def test_sets_of_a_validation_stay_together():
    files = log_of("aime", range(1, 11)) + log_of("amc", range(1, 11))
    chosen = choose(files, rows=80, size=10**9)
    assert steps(chosen, "aime") == steps(chosen, "amc") == [1, 4, 7, 10]


def test_training_and_validation_have_half_each_and_what_the_other_leaves():
    files = log_of("train", range(1, 101)) + log_of("validation", range(0, 100, 10))
    chosen = choose(files, rows=500, size=10**9)
    assert len(steps(chosen, "validation")) == 10, "100 of its 250"
    assert len(steps(chosen)) == 40, "400 are left"
    both = choose(log_of("train", range(1, 101)) + log_of("validation", range(1, 101)), rows=500, size=10**9)
    assert len(steps(both)) == len(steps(both, "validation")) == 25


def test_parts_of_a_step_stay_together_and_a_large_step_is_taken_whole():
    files = log_of("train", [1, 1, 2, 2, 3, 3])
    assert steps(choose(files, rows=40, size=10**9)) == [1, 1, 3, 3]
    assert steps(choose(log_of("train", [1, 2], rows=500), rows=10, size=10**9)) == [1, 2]
    assert choose([], rows=10, size=10).sentence == "All 0 completions of the run."


def test_files_are_read_from_their_names_and_ends(tmp_path):
    log = GenerationLog(tmp_path)
    log.write(12, batch(("a", "b")))
    GenerationLog(tmp_path / "validation").write(3, batch(("c",)), split="amc-23")
    files = log_files([tmp_path, tmp_path / "validation", tmp_path / "none"])
    assert [(file.split, file.step, file.rows) for file in files] == [("train", 12, 2), ("amc-23", 3, 1)]
    assert all(file.bytes > 0 for file in files)
