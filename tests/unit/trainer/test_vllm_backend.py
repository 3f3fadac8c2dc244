"""The trainer's view of vLLM: weights are sent once for each step, and versions go on after a resume."""

from types import SimpleNamespace

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.trainer.vllm_backend import VllmBackend


class Engine:
    """Counts syncs as RolloutEngine does."""

    version = 0
    is_ahead = False

    def sync(self, model: object) -> int:
        self.version += 1
        return self.version


def backend() -> tuple[VllmBackend, list[object]]:
    awaited: list[object] = []
    policy = SimpleNamespace(model=object(), vision=None)
    return VllmBackend(Engine(), policy, awaited.append, Stopwatch()), awaited  # type: ignore[arg-type]


def test_the_weights_of_a_step_are_sent_once():
    made, awaited = backend()
    for step in (0, 0, 1):
        made.sync_weights(step)
    assert made.version == 2 and len(awaited) == 1


def test_versions_go_on_after_a_resume_and_the_new_server_gets_the_weights():
    first, _ = backend()
    for step in range(5):
        first.sync_weights(step)
    resumed, awaited = backend()
    resumed.restore(first.state())
    resumed.sync_weights(5)
    assert resumed.version == 6 and len(awaited) == 1
