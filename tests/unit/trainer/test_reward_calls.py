from pathlib import Path
from typing import Any

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.scoring import load
from grpo_plugin.trainer.reward_calls import RewardCalls

MODULE = """
calls = []

def parts(completions, ground_truth, trainer_state, **columns):
    calls.append(trainer_state)
    return [{"overall": float(text == gold), "tokens": 3.0} for text, gold in zip(completions, ground_truth)]

def length(completions, **columns):
    return [float(len(text)) for text in completions]
"""


def test_trl_gets_named_functions_and_every_metric(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(MODULE)
    block = {"functions": [{"function": "two.py:parts"}, {"function": "two.py:length"}], "workers": 0}
    rewards = load(RewardsConfig.parse("rewards", block), tmp_path)
    calls, metrics = RewardCalls(rewards), dict[str, float]()
    functions = calls.functions()
    given: dict[str, Any] = {"prompts": ["", ""], "completions": ["a", "xx"], "completion_ids": [[1], [1]]}
    given |= {"ground_truth": ["a", "b"], "trainer_state": 7, "log_metric": metrics.__setitem__}
    assert [function.__name__ for function in functions] == rewards.names == ["parts", "length"]
    assert [function(**given) for function in functions] == [[1.0, 0.0], [1.0, 2.0]]
    assert metrics == {"rewards/parts/tokens": 3.0}
    assert calls.parts == {"parts/tokens": [3.0, 3.0]}
    assert calls.seconds is not None and len(calls.seconds) == 2
