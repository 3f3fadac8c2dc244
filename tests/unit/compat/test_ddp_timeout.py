import os

from grpo_plugin.compat import ddp_timeout


def test_the_key_reaches_the_process_group_and_the_training_arguments(monkeypatch):
    monkeypatch.delenv("AXOLOTL_NCCL_TIMEOUT", raising=False)
    ddp_timeout.apply({"ddp_timeout": 7200})
    assert os.environ["AXOLOTL_NCCL_TIMEOUT"] == "7200"
    assert ddp_timeout.training_arguments({"ddp_timeout": 7200}) == {"ddp_timeout": 7200}


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("AXOLOTL_NCCL_TIMEOUT", "60")
    ddp_timeout.apply({"ddp_timeout": 7200})
    assert os.environ["AXOLOTL_NCCL_TIMEOUT"] == "60"


def test_without_the_key_nothing_changes(monkeypatch):
    monkeypatch.delenv("AXOLOTL_NCCL_TIMEOUT", raising=False)
    ddp_timeout.apply({})
    assert "AXOLOTL_NCCL_TIMEOUT" not in os.environ
    assert ddp_timeout.training_arguments({}) == {}
