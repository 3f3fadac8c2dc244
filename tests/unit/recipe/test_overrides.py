"""Overrides of our blocks on their way to the training processes; a run is in tests/integration/test_training.py."""

import pytest
from axolotl.utils.dict import DictDefault

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import overrides


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv(overrides.OVERRIDES, raising=False)


def test_each_process_lays_them_over_its_recipe():
    overrides.keep({"validation.every": 5, "validation.best": {"metric": "accuracy_greedy"}, "trl.beta": 0.1})
    earlier = {"metric": "length_mean", "mode": "min"}
    cfg = DictDefault({"validation": {"every": 20, "samples": 4, "best": earlier}, "trl": {"beta": 0.0}})
    for _ in range(2):
        overrides.apply(cfg)
    assert cfg.to_dict() == {
        "validation": {"every": 5, "samples": 4, "best": {"metric": "accuracy_greedy"}},
        "trl": {"beta": 0.0},  # Axolotl's own override has done it
    }
    assert cfg.validation.best.metric == "accuracy_greedy" and cfg.validation.best.mode is None


def test_a_later_run_has_none_of_an_earlier_one():
    overrides.keep({"rollout.lookahead": 1})
    overrides.keep({"max_steps": 3})
    cfg = DictDefault({})
    overrides.apply(cfg)
    assert cfg.to_dict() == {}


def test_what_is_no_block_is_refused():
    with pytest.raises(RecipeError, match="validation: expected keys and values, got 5"):
        overrides.overridden({"validation": 5}, {"validation.every": 2})
