"""Which changes of a recipe a resumed run allows, says, and refuses by name."""

import json
from pathlib import Path

import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import parse
from grpo_plugin.recipe.resuming import check_steps_left, recipe_values, resumption, step_of, write_recipe

VALUES = {
    "base_model": "some/model",
    "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Algorithm", "Rollout")],
    "prompts": {"train": "train.jsonl", "answer_key": "answer"},
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}], "workers": 2},
    "algorithm": {"name": "dapo"},
    "rollout": {"env": {"TOKEN": "secret"}, "restarts": 1},
    "trl": {"num_generations": 8},
    "learning_rate": 1e-6,
    "seed": 1,
    "max_steps": 20,
    "save_steps": 5,
    "auto_resume_from_checkpoints": True,
    "axolotl_config_path": "recipes/mine.yaml",
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of VALUES at step 10."""
    folder = tmp_path / "checkpoint-10"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 10}))
    write_recipe(parse(VALUES), folder)
    return folder


def resumed(saved: Path, **changes: object):
    return resumption(parse(VALUES | {"output_dir": str(saved.parent)} | changes))


def test_the_checkpoint_keeps_the_recipe_without_secrets(saved: Path) -> None:
    values = recipe_values(saved)
    assert values is not None and values["rollout"] == {"restarts": 1}
    assert values["algorithm"] == {"name": "dapo"} and values["axolotl_config_path"] == str(
        Path("recipes/mine.yaml").absolute()
    )
    assert "secret" not in (saved / "recipe.yaml").read_text()
    assert recipe_values(saved.parent) is None and step_of(saved) == 10


def test_what_may_change_is_said(saved: Path) -> None:
    found = resumed(saved, max_steps=40, rollout={"restarts": 5, "env": {"TOKEN": "other"}}, wandb_project="mine")
    assert found.checkpoint == saved
    (note,) = found.notes
    assert note.startswith(
        "changed since checkpoint-10: rollout.restarts was 1 and is 5; max_steps was 20 and is 40; "
        "output_dir was not given and is '/"
    )
    assert note.endswith("; wandb_project was not given and is 'mine'"), "secrets of rollout.env are not compared"


def test_secrets_are_neither_kept_nor_compared(tmp_path: Path) -> None:
    def given(secret: str) -> dict[str, object]:
        rewards = {"functions": [{"function": "rewards.math.accuracy", "kwargs": {"api_key": secret}}]}
        return {"rewards": rewards, "rollout": {"args": ["--hf-token", secret], "url": f"http://me:{secret}@host:80"}}

    folder = tmp_path / "checkpoint-10"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 10}))
    write_recipe(parse(VALUES | given("s3cr3t") | {"output_dir": str(tmp_path)}), folder)
    assert "s3cr3t" not in (folder / "recipe.yaml").read_text()
    kept = parse(recipe_values(folder) or {})
    assert kept.rollout is not None and kept.rollout.url == "http://(hidden)@host:80"
    (note,) = resumed(folder, **given("0ther"), max_steps=40).notes
    assert note == "changed since checkpoint-10: max_steps was 20 and is 40"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 2}, r"seed 1 \(now 2\)"),
        ({"seed": None}, r"seed 1 \(now not given\)"),
        ({"base_model": "other/model"}, r"base_model 'some/model' \(now 'other/model'\)"),
        ({"learning_rate": 1e-5}, r"learning_rate 1e-06 \(now 1e-05\)"),
        ({"algorithm": {"name": "grpo"}}, r"algorithm.name 'dapo' \(now 'grpo'\)"),
        ({"algorithm": {"name": "dapo", "kl_coef": 0.1}}, r"algorithm.kl_coef not given \(now 0.1\)"),
        ({"prompts": {"train": "other.jsonl", "answer_key": "answer"}}, r"prompts.train 'train.jsonl' \(now"),
        ({"trl": {"num_generations": 4}}, r"trl.num_generations 8 \(now 4\)"),
        ({"lora_r": 8, "adapter": "lora"}, r"lora_r not given \(now 8\); adapter not given \(now 'lora'\)"),
        (
            {"rewards": {"functions": [{"function": "rewards.math.accuracy", "weight": 0.5}]}},
            r"rewards.functions \[\{'function': 'rewards.math.accuracy'\}\] \(now",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_may_not_change_is_refused_by_name(saved: Path, changes: dict[str, object], named: str) -> None:
    with pytest.raises(RecipeError, match=f"checkpoint-10 was saved with {named}") as error:
        resumed(saved, **changes)
    assert f"axolotl grpo export {saved} --out DIR" in str(error.value)


def test_other_blocks_of_a_kind_may_change(saved: Path) -> None:
    prompts = {"train": "train.jsonl", "answer_key": "answer", "validation": "test.jsonl"}
    rewards = {"functions": [{"function": "rewards.math.accuracy"}], "workers": 8}
    found = resumed(saved, prompts=prompts, rewards=rewards)
    assert "rewards.workers was 2 and is 8; prompts.validation was not given and is 'test.jsonl'" in found.notes[0]


@pytest.mark.parametrize("last", [10, 9, 1])
def test_a_run_with_no_step_left_is_refused(saved: Path, last: int) -> None:
    with pytest.raises(
        RecipeError, match=f"max_steps: the run ends at step {last}, and .*checkpoint-10 is at step 10 already"
    ):
        resumed(saved, max_steps=last)


def test_where_the_end_is_not_known_it_is_checked_later() -> None:
    for last in (None, 0, -1, 11):
        check_steps_left(10, last, "the checkpoint")
    with pytest.raises(RecipeError, match="num_epochs: the run ends at step 10, and the checkpoint is at step 10"):
        check_steps_left(10, 10, "the checkpoint", "num_epochs")


def test_a_model_alone_is_no_place_to_go_on_from(saved: Path) -> None:
    write_recipe(parse(VALUES | {"save_only_model": True}), saved)
    with pytest.raises(RecipeError, match=f"save_only_model: true; start a new run from it: base_model: {saved}"):
        resumed(saved, save_only_model=True)


def test_a_checkpoint_without_a_recipe_and_a_run_from_the_beginning_say_nothing(saved: Path, tmp_path: Path) -> None:
    (saved / "recipe.yaml").unlink()
    assert resumed(saved, seed=2).notes == []
    assert resumed(tmp_path / "new" / "checkpoint-1").checkpoint is None
