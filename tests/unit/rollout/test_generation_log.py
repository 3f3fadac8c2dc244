import pandas as pd
import pyarrow as pa
import pytest

from grpo_plugin.rollout.generation_log import GenerationLog, Generations, function_columns


def batch(completions=("4", "5"), functions=None, **fields):
    size = len(completions)
    values = {
        "prompts": ["2+2="] * size,
        "completions": list(completions),
        "rewards": [0.9] * size,
        "functions": {"accuracy": [1.0] * size} if functions is None else functions,
        "finish_reasons": ["stop"] * size,
        "temperature": 1.0,
        "policy_version": 3,
        **fields,
    }
    return Generations(**values)


def test_the_folder_reads_as_one_frame_whatever_is_null(tmp_path):
    log = GenerationLog(tmp_path / "generations")
    log.write(1, batch(functions={"accuracy": [1.0, None]}, advantages=[0.5, -0.5], answers=["4", "4"]))
    log.write(2, batch(functions={"accuracy": [None, None]}, rewards=[None, None], finish_reasons=[None, "length"]))
    log.write(2, batch(("6",)), split="validation")
    frame = pd.read_parquet(tmp_path / "generations").sort_values(["step", "split"], kind="stable")
    assert frame["step"].tolist() == [1, 1, 2, 2, 2]
    assert frame["split"].tolist() == ["train"] * 4 + ["validation"]
    assert frame["accuracy"].isna().tolist() == [False, True, True, True, False]
    assert frame["advantage"].tolist()[:2] == [0.5, -0.5]
    assert frame["advantage"].isna().tolist()[2:] == [True] * 3
    assert frame["policy_version"].dtype == "int64"
    assert frame["accuracy"].dtype == "float64"


def test_batches_of_one_step_are_parts(tmp_path):
    log = GenerationLog(tmp_path)
    log.write(5, batch(("a",)))
    log.write(5, batch(("b",)))
    log.write(6, batch(("c",)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "train-0000005-000.parquet",
        "train-0000005-001.parquet",
        "train-0000006-000.parquet",
    ]


def test_a_resumed_run_replaces_its_steps_and_drops_later_ones(tmp_path):
    first = GenerationLog(tmp_path)
    for step in (1, 2, 3, 4):
        first.write(step, batch((f"old {step}",)))
    first.write(2, batch(("second part",)), split="validation")
    resumed = GenerationLog(tmp_path)
    resumed.write(3, batch(("new 3",)))
    frame = pd.read_parquet(tmp_path)
    train = frame[frame["split"] == "train"].sort_values("step")
    assert train["completion"].tolist() == ["old 1", "old 2", "new 3"]
    assert frame[frame["split"] == "validation"]["completion"].tolist() == ["second part"]


@pytest.mark.parametrize(("step", "left"), [(0, []), (2, ["old 1", "old 2", "second part"])])
def test_a_run_begins_without_what_an_earlier_one_left(tmp_path, step, left):
    log = GenerationLog(tmp_path)
    for number in (1, 2, 3):
        log.write(number, batch((f"old {number}",)))
    log.write(2, batch(("second part",)), split="aime-24")
    GenerationLog(tmp_path).keep_until(step)
    kept = pd.concat(map(pd.read_parquet, tmp_path.iterdir())) if left else pd.DataFrame({"completion": []})
    assert sorted(kept["completion"]) == left
    assert len(list(tmp_path.iterdir())) == len(left)


def test_a_file_being_written_is_not_read(tmp_path):
    GenerationLog(tmp_path).write(1, batch())
    (tmp_path / ".train-0000002-000.parquet").write_bytes(b"PAR1 half a file")
    assert len(pd.read_parquet(tmp_path)) == 2


def test_reward_functions_named_like_a_column_are_prefixed(tmp_path):
    GenerationLog(tmp_path).write(7, batch(("x",), functions={"step": [0.25], "reward": [0.5], "reward_step": [0.75]}))
    row = pd.read_parquet(tmp_path).iloc[0]
    assert row["step"] == 7
    assert row["reward"] == 0.9
    assert row["reward_reward"] == 0.5
    assert row["reward_step"] == 0.75
    assert row["reward_reward_step"] == 0.25


def test_names_without_a_collision_stay():
    assert function_columns(["accuracy", "format"]) == {"accuracy": "accuracy", "format": "format"}


def test_columns_of_unequal_length_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(pa.ArrowInvalid):
        GenerationLog(tmp_path).write(1, batch(("x",), rewards=[1.0, 2.0]))
    assert list(tmp_path.iterdir()) == []


def test_what_rewards_log_beside_their_score_is_a_column(tmp_path):
    path = GenerationLog(tmp_path).write(1, batch(extra={"steps": [1, None], "reward": ["a", 2]}))
    table = pd.read_parquet(path)
    assert table["steps"].tolist()[0] == 1.0 and table["steps"].isna().tolist() == [False, True]
    assert table["extra_reward"].tolist() == ["a", "2"], "the total keeps its name"
    assert table["reward"].tolist() == [0.9, 0.9]


def test_tokens_are_lists_and_their_columns_are_no_functions(tmp_path):
    lists = {"token_texts": [["4", "!"], None], "token_logps": [[-0.5, -1.0], None]}
    path = GenerationLog(tmp_path).write(1, batch(functions={"token_logps": [1.0, 0.0]}, per_token=lists))
    table = pd.read_parquet(path)
    assert table["token_texts"][0].tolist() == ["4", "!"] and table["token_texts"][1] is None
    assert table["token_logps"][0].tolist() == [-0.5, -1.0]
    assert table["reward_token_logps"].tolist() == [1.0, 0.0]
