"""`reasoning_gym:` sources in the recipe, with and without the package."""

import pytest

from grpo_plugin.compat import reasoning_gym_package
from grpo_plugin.compat.reasoning_gym_package import may_evaluate
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import DataError, RecipeError, RewardError
from grpo_plugin.recipe.sources import Task, resolve
from grpo_plugin.scoring import load
from grpo_plugin.stats.request import request

SUMS = "reasoning_gym:chain_sum"


def parsed(**block) -> PromptsConfig:
    return PromptsConfig.parse("prompts", block)


def test_a_source_has_its_own_values_before_the_blocks_and_the_blocks_before_the_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr(reasoning_gym_package, "version", lambda: "0.1.25")
    monkeypatch.setattr("grpo_plugin.recipe.sources.is_installed", lambda: True)
    own = {"source": SUMS, "size": 3, "seed": 4, "options": {}}
    config = parsed(train=[own, "reasoning_gym:gcd"], size=2000, options={"max_terms": 3})
    tasks = [source.task for source in resolve("prompts.train", config.train, tmp_path)]
    assert tasks == [Task("chain_sum", 3, 4, {}), Task("gcd", 2000, 0, {"max_terms": 3})]
    assert [(entry.size, entry.seed, entry.options) for entry in parsed(train=SUMS).train] == [(500, 0, {})]


def test_held_out_sets_get_seeds_of_their_own():
    config = parsed(train=SUMS, size=2000, seed=1, validation={"easy": SUMS, "hard": {"sources": SUMS, "size": 20}})
    (easy,), (hard,) = (config.held_out(name).train for name in ("easy", "hard"))
    assert (easy.size, hard.size) == (2000, 20)
    assert 10**9 < easy.seed < 2**32 - 2000 and 10**9 < hard.seed < 2**32 - 2000
    assert abs(easy.seed - hard.seed) > 2000
    assert parsed(train=SUMS, validation={"source": SUMS, "seed": 501}).held_out("validation").train[0].seed == 501


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"train": "a.jsonl", "size": 3}, "prompts: 'size' is for tasks that are made, and no source is one"),
        ({"train": [{"source": "a.jsonl", "seed": 3}]}, r"prompts.train\[0\]: 'seed' is for tasks that are made"),
        ({"train": SUMS, "seed": -1}, "prompts.seed: expected a whole number of 0 or more"),
        ({"train": SUMS, "size": 0}, "prompts.size: expected a whole number from 1"),
        (
            {"train": SUMS, "size": 10, "validation": {"source": SUMS, "seed": 9}},
            "seed 9 of reasoning_gym:chain_sum in 'validation' makes rows that are trained on, whose seeds are 0 to 9; "
            "give 10 or more",
        ),
    ],
)
def test_mistakes_of_the_block(block, words):
    with pytest.raises(RecipeError, match=words):
        parsed(**block)


def test_other_options_may_have_the_same_seed():
    parsed(train=SUMS, validation={"source": SUMS, "seed": 0, "options": {"min_terms": 5}})


def test_without_the_package_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("grpo_plugin.recipe.sources.is_installed", lambda: False)
    with pytest.raises(DataError) as raised:
        resolve("prompts.train", parsed(train=SUMS).train, tmp_path)
    assert str(raised.value) == (
        "prompts.train: 'reasoning_gym:chain_sum' needs the package reasoning-gym, which is missing; pip install "
        "'grpo-plugin[reasoning-gym]'."
    )


def test_stats_of_other_data_leave_out_what_is_for_tasks(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"base_model: any\nprompts: {{train: {SUMS}, size: 5, seed: 2, options: {{min_terms: 3}}}}\n")
    other = request(recipe, ["a.jsonl"], ["any"], "train").config
    assert (other.train[0].source, other.size, other.seed, other.options) == ("a.jsonl", None, None, None)
    same = request(recipe, ["reasoning_gym:gcd"], ["any"], "train").config
    assert (same.train[0].size, same.train[0].seed) == (5, 2)


def test_the_reward_without_the_package_is_one_sentence(monkeypatch, tmp_path):
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'reasoning_gym'")

    monkeypatch.setattr(reasoning_gym_package, "load", missing)
    functions = [{"function": "rewards.reasoning_gym.score"}]
    with pytest.raises(RewardError, match=r"cannot be imported .*; pip install 'grpo-plugin\[reasoning-gym\]'"):
        load(RewardsConfig.parse("rewards", {"functions": functions, "workers": 0}), tmp_path)


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ("(3 + 4) * 5 - 2", True),
        ("x**3/3 + 2*sin(x)*exp(-x) + C", True),
        ("open('x')", False),
        ("exec(chr(97))", False),
        ("x.args", False),
        ("__import__", False),
        ("1.5*x", True),
    ],
)
def test_formulas_alone_reach_a_verifier_that_evaluates(answer, allowed):
    assert may_evaluate("countdown", answer) is allowed
    assert may_evaluate("maze", answer)
