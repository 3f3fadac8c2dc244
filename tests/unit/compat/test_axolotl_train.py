import sys
from types import SimpleNamespace

import pytest

from grpo_plugin.compat import axolotl_train


@pytest.mark.parametrize(
    ("module", "argv", "trains"),
    [
        ("axolotl.cli.train", ["train.py", "recipe.yaml"], True),  # a rank, started by accelerate with -m
        ("axolotl.cli.inference", ["inference.py", "recipe.yaml"], False),
        ("axolotl.cli.merge_lora", ["merge_lora.py", "recipe.yaml"], False),
        (None, ["/venv/bin/axolotl", "train", "recipe.yaml"], True),
        (None, ["/venv/bin/axolotl", "preprocess", "recipe.yaml"], False),
        (None, ["/venv/bin/axolotl", "inference", "train"], False),
        (None, ["/venv/bin/axolotl"], False),
        (None, ["my_program.py"], True),  # Ray's workers, or a script of the user's
    ],
)
def test_only_training_counts_as_training(monkeypatch, module, argv, trains):
    spec = SimpleNamespace(name=module) if module else None
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=spec))
    monkeypatch.setattr(sys, "argv", argv)
    assert axolotl_train.is_training() is trains


@pytest.fixture
def loads(monkeypatch):
    """The configurations for which Axolotl's own function was called."""
    import axolotl.train

    called = []

    def stock(cfg, *args, **kwargs):
        called.append((cfg.rl, args, kwargs))
        return "reference model"

    monkeypatch.setattr(axolotl.train, "setup_reference_model", stock)
    return called


def test_grpo_loads_no_second_model_and_dpo_still_does(loads):
    import axolotl.train

    axolotl_train.skip_reference_model()
    first = axolotl.train.setup_reference_model
    axolotl_train.skip_reference_model()
    assert axolotl.train.setup_reference_model is first, "applied once"
    assert first(SimpleNamespace(rl="grpo"), "tokenizer") is None
    assert first(SimpleNamespace(rl="gdpo")) is None
    assert loads == []
    assert first(SimpleNamespace(rl="dpo"), "tokenizer", key=1) == "reference model"
    assert loads == [("dpo", ("tokenizer",), {"key": 1})]


def test_axolotl_still_has_the_function_that_is_replaced():
    import inspect

    import axolotl.train

    assert "setup_reference_model(" in inspect.getsource(axolotl.train.setup_model_and_trainer)


def test_a_divided_model_is_saved_whole_unless_the_recipe_says_otherwise():
    for given, expected in ((None, "FULL_STATE_DICT"), ("SHARDED_STATE_DICT", "SHARDED_STATE_DICT")):
        cfg = {"fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT", "final_state_dict_type": given}}
        axolotl_train.save_whole_model(cfg)
        assert cfg["fsdp_config"]["final_state_dict_type"] == expected
    whole = {"base_model": "m"}
    axolotl_train.save_whole_model(whole)
    assert whole == {"base_model": "m"}
