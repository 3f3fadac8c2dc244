from types import SimpleNamespace

from transformers.integrations.integration_utils import MLflowCallback

from grpo_plugin.compat import tracker_names


def test_mlflow_gets_the_names_of_the_other_trackers(monkeypatch):
    monkeypatch.setattr(MLflowCallback, "on_log", MLflowCallback.on_log)  # restored afterwards
    tracker_names.install()
    tracker_names.install()
    logged = {}
    callback = MLflowCallback.__new__(MLflowCallback)
    callback._initialized, callback._async_log, callback._auto_end_run = True, False, False
    callback._ml_flow = SimpleNamespace(
        log_metrics=lambda metrics, step: logged.update(metrics), active_run=lambda: None
    )
    state = SimpleNamespace(is_world_process_zero=True, global_step=3)
    callback.on_log(None, state, None, logs={"reward": 0.5, "eval_pass@8": 0.75, "eval_aime/maj@8": 0.5})
    assert logged == {"train/reward": 0.5, "eval/pass_8": 0.75, "eval/aime/maj_8": 0.5}
