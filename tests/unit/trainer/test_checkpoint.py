"""Checkpoints that are whole or not there, and what they keep beside transformers' files."""

from grpo_plugin.recipe.checkpoints import UNFINISHED, checkpoints
from grpo_plugin.trainer import checkpoint
from tests.unit.trainer.rollouts import one_process, rollout


def test_the_state_comes_back(tmp_path):
    checkpoint.save(tmp_path / "checkpoint-3", {"kl_coef": 0.25, "rollouts": {"surplus": [[rollout(1.0)]]}})
    state = checkpoint.load(tmp_path / "checkpoint-3")
    assert state["kl_coef"] == 0.25
    assert state["rollouts"]["surplus"][0][0].reward == 1.0


def written(output_dir, step, text):
    folder = output_dir / UNFINISHED / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)


def test_a_checkpoint_gets_its_name_when_it_is_whole(tmp_path):
    written(tmp_path, 5, "new")
    assert checkpoints(tmp_path) == []
    checkpoint.publish("checkpoint-5", tmp_path, one_process())
    assert (tmp_path / "checkpoint-5" / "model.safetensors").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_one_of_an_earlier_run_is_replaced(tmp_path):
    for text in ("old", "new"):
        written(tmp_path, 5, text)
        checkpoint.publish("checkpoint-5", tmp_path, one_process())
    assert (tmp_path / "checkpoint-5" / "model.safetensors").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_another_machine_moves_what_lies_on_its_own_disk(tmp_path):
    written(tmp_path, 5, "new")
    checkpoint.publish("checkpoint-5", tmp_path, one_process(rank=1, ranks=2))
    assert checkpoints(tmp_path) == [], "a rank that is not the first of its machine moves nothing"
    checkpoint.publish("checkpoint-5", tmp_path, one_process(rank=8, ranks=16, local_rank=0))
    assert checkpoints(tmp_path) == [tmp_path / "checkpoint-5"]


def test_what_a_killed_save_has_left_is_removed(tmp_path):
    written(tmp_path, 5, "half")
    checkpoint.clear_unfinished(tmp_path)
    checkpoint.clear_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_trainer_has_nothing_of_ours(tmp_path):
    assert checkpoint.load(tmp_path) is None
