import pytest

from grpo_plugin.quickstart import plugin
from grpo_plugin.quickstart.plugin import QuickstartPlugin


@pytest.mark.parametrize(
    ("training", "rank", "expected"),
    [(True, None, ["made"]), (True, "0", ["made"]), (True, "1", ["waited"]), (False, None, []), (False, "1", [])],
)
def test_one_rank_makes_the_model_to_train_and_none_to_chat(monkeypatch, training, rank, expected):
    done = []
    monkeypatch.setattr(plugin, "is_training", lambda: training)
    monkeypatch.setattr(plugin, "ensure", lambda folder, settings: done.append("made"))
    monkeypatch.setattr(plugin, "wait_until_ready", lambda folder, settings, deadline: done.append("waited"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    QuickstartPlugin().register({"base_model": "outputs/quickstart", "quickstart": None})
    assert done == expected
