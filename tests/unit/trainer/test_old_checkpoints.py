"""`save_total_limit` counts the last checkpoints; the best one is kept beside them."""

from types import SimpleNamespace

import pytest

from grpo_plugin.trainer.trainer import PolicyTrainer


@pytest.mark.parametrize(
    ("best", "left"),
    [(None, [30, 40]), (20, [20, 30, 40]), (0, [30, 40]), (40, [20, 30, 40])],
    ids=["none yet", "an old one", "before training", "the last"],
)
def test_the_last_ones_and_the_best_stay(tmp_path, best, left):
    for step in (10, 20, 30, 40):
        (tmp_path / f"checkpoint-{step}").mkdir()
    # The plugin has made the limit of 2 one more.
    trainer = SimpleNamespace(args=SimpleNamespace(save_total_limit=3), best=SimpleNamespace(step=best))
    PolicyTrainer._remove_old_checkpoints(trainer, tmp_path)
    assert sorted(int(path.name.removeprefix("checkpoint-")) for path in tmp_path.iterdir()) == left


def test_without_a_best_the_limit_is_as_given(tmp_path):
    for step in (10, 20, 30):
        (tmp_path / f"checkpoint-{step}").mkdir()
    PolicyTrainer._remove_old_checkpoints(
        SimpleNamespace(args=SimpleNamespace(save_total_limit=1), best=None), tmp_path
    )
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-30"]
