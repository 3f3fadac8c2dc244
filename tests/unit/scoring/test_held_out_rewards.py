"""Rewards of held-out sets, loaded one after the other."""

from pathlib import Path

import pytest

from grpo_plugin.config.validation import EvaluationOptions
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.held_out import load_own
from grpo_plugin.scoring.reward_set import RewardSet


def test_what_was_loaded_is_closed_where_a_later_one_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(RewardSet, "close", lambda self: closed.append(self.names))
    sets = {
        name: EvaluationOptions(reward=f"rewards.arithmetic.{function}")
        for name, function in (("a", "accuracy"), ("b", "acuracy"))
    }
    with pytest.raises(RewardError):
        load_own(sets, None, Path())
    assert [list(names) for names in closed] == [["accuracy"]]
    assert load_own({"a": sets["a"]}, None, Path()).keys() == {"a"} and len(closed) == 1
