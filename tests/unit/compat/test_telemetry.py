import os
import subprocess
import sys

import pytest

from grpo_plugin.compat import telemetry

NAMES = ("AXOLOTL_DO_NOT_TRACK", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}),
        ({"AXOLOTL_DO_NOT_TRACK": "0"}, {"AXOLOTL_DO_NOT_TRACK": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}),
        ({"DO_NOT_TRACK": "0"}, {"DO_NOT_TRACK": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}),
        ({"HF_HUB_DISABLE_TELEMETRY": "0"}, {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "0"}),
    ],
)
def test_telemetry_is_off_unless_the_user_has_chosen(monkeypatch, before, after):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    telemetry.turn_off()
    assert {name: os.environ[name] for name in NAMES if name in os.environ} == after
    for name in NAMES:  # monkeypatch knows nothing of what turn_off has set
        os.environ.pop(name, None)


@pytest.mark.parametrize(("call", "enabled"), [("telemetry.turn_off()", "False"), ("pass", "True")])
def test_axolotl_obeys_the_variable(call, enabled):
    code = (
        f"from grpo_plugin.compat import telemetry; {call}; from axolotl.telemetry.manager import TelemetryManager; "
        "print(TelemetryManager._check_telemetry_enabled(None))"
    )
    environ = {name: value for name, value in os.environ.items() if name not in NAMES}
    run = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == enabled, run.stderr
