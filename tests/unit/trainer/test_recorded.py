"""Rollouts read back from a generation log."""

import pyarrow as pa
import pyarrow.parquet as parquet

from grpo_plugin.trainer.recorded import read_step


def test_scores_have_the_names_of_their_functions_also_where_their_columns_have_others(tmp_path):
    row = {"step": 1, "reward": 0.5, "finish_reason": "stop", "policy_version": 0, "tokens": 3, "reward_tokens": 0.25}
    (tmp_path / "generations").mkdir()
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "generations" / "train-0000001-000.parquet")
    [rollout] = read_step(tmp_path, 1, ["tokens"], [2.0], group_size=1, longest=8).rollouts
    assert rollout.metrics == {"tokens": 0.25} and rollout.scores == (0.25,) and rollout.reward == 0.5
