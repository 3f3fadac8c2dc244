from types import SimpleNamespace

import pytest
from axolotl.utils.callbacks.swanlab import CustomSwanLabCallback
from transformers.integrations.integration_utils import MLflowCallback

from grpo_plugin.compat import tracker_names

STATE = SimpleNamespace(is_world_process_zero=True, global_step=3)
LOGS = {"reward": 0.5, "eval_pass@8": 0.75, "eval_aime/maj@8": 0.5}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    for callback in (MLflowCallback, CustomSwanLabCallback):
        monkeypatch.setattr(callback, "on_log", callback.on_log)  # restored afterwards
    tracker_names.install()
    tracker_names.install()


def test_mlflow_gets_the_names_of_the_other_trackers():
    logged = {}
    callback = MLflowCallback.__new__(MLflowCallback)
    callback._initialized, callback._async_log, callback._auto_end_run = True, False, False
    callback._ml_flow = SimpleNamespace(
        log_metrics=lambda metrics, step: logged.update(metrics), active_run=lambda: None
    )
    callback.on_log(None, STATE, None, logs=LOGS)
    assert logged == {"train/reward": 0.5, "eval/pass_8": 0.75, "eval/aime/maj_8": 0.5}


def test_swanlab_gets_the_names_of_the_other_trackers():
    logged = {}
    callback = CustomSwanLabCallback()
    callback._initialized = True
    callback.swanlab = SimpleNamespace(log=lambda metrics, step: logged.update({step: metrics}))
    callback.on_log(None, STATE, None, logs=LOGS)
    assert logged == {3: {"train/reward": 0.5, "eval/pass@8": 0.75, "eval/aime/maj@8": 0.5}}
