"""How the engine answers failures. The server is a stand-in here; tests/faults kills a real one."""

import pytest
from accelerate import Accelerator
from torch import nn

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.http import Completion, ServerGone, StaleWeights
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.engine import RolloutEngine
from grpo_plugin.rollout.sync.base import SyncFailed

MODEL = nn.Linear(1, 1)
SAMPLING = Sampling(max_tokens=4)


class Server:
    """Plays host, client and updater: fails as told, remembers what was asked."""

    counts_versions = True

    def __init__(self, *failures):
        self.failures = list(failures)
        self.events = []
        self.client = self

    def fail_if_told(self, what):
        if self.failures and self.failures[0][0] == what:
            raise self.failures.pop(0)[1]

    def wait_ready(self, timeout):
        self.events.append("ready")

    def restart(self, timeout):
        self.events.append("restart")
        self.fail_if_told("restart")

    def stop(self):
        self.events.append("stop")

    def push(self, model, version):
        self.events.append(f"push {version}")
        self.fail_if_told("push")

    def close(self):
        pass

    def complete(self, prompts, *, n, sampling, expect_version, images):
        self.events.append(f"complete {list(prompts)} x{n} at {expect_version}")
        self.fail_if_told("complete")
        return [[Completion([10 * ids[0] + i], [-0.5], "stop") for i in range(n)] for ids in prompts]


def engine(server, restarts=2):
    notes = []
    made = RolloutEngine(
        Accelerator(cpu=True), RolloutConfig(restarts=restarts), server, lambda host: server, notes.append
    )
    made.start()
    made.notes = notes
    return made


def test_prompts_that_repeat_are_sent_once_and_come_back_in_place():
    server = Server()
    rollouts = engine(server)
    rollouts.sync(MODEL)
    drawn = rollouts.generate(MODEL, [[1], [1], [2], [2]], 2, SAMPLING, None)
    assert [c.token_ids for c in drawn] == [[10], [11], [20], [21]]
    assert server.events == ["ready", "push 1", "complete [[1], [2]] x2 at 1"]


def test_complete_keeps_groups_apart():
    rollouts = engine(Server())
    groups = rollouts.complete(MODEL, [[3], [4], [5]], 2, SAMPLING, None)
    assert [[c.token_ids[0] for c in group] for group in groups] == [[30, 31], [40, 41], [50, 51]]


@pytest.mark.parametrize("error", [ServerGone("gone"), StaleWeights("stale")])
def test_a_dead_or_stale_server_is_replaced_given_the_weights_and_asked_again(error):
    server = Server(("complete", error))
    rollouts = engine(server)
    rollouts.sync(MODEL)
    assert rollouts.generate(MODEL, [[1]], 1, SAMPLING, None)[0].token_ids == [10]
    assert server.events[1:] == ["push 1", "complete [[1]] x1 at 1", "restart", "push 1", "complete [[1]] x1 at 1"]
    assert rollouts.notes == [f"vLLM failed ({error}); restarting it (1 of 2)"]


def test_a_failed_sync_restarts_the_server_before_it_generates():
    server = Server(("push", SyncFailed("half the weights")))
    rollouts = engine(server)
    rollouts.sync(MODEL)
    assert server.events == ["ready", "push 1", "restart", "push 1"]
    assert rollouts.version == 1


def test_restarts_are_counted_over_the_run_and_then_the_error_stands():
    server = Server(*[("complete", ServerGone("gone"))] * 3)
    rollouts = engine(server, restarts=2)
    rollouts.sync(MODEL)
    with pytest.raises(RolloutError, match=r"failed again after 2 restarts \(rollout.restarts\): gone"):
        rollouts.generate(MODEL, [[1]], 1, SAMPLING, None)
    assert server.events.count("restart") == 2


def test_a_restart_that_fails_to_sync_counts_too():
    server = Server(("complete", ServerGone("gone")), ("push", SyncFailed("again")))
    rollouts = engine(server, restarts=2)
    rollouts.version = 1
    rollouts.generate(MODEL, [[1]], 1, SAMPLING, None)
    assert server.events.count("restart") == 2


def test_no_restarts_allowed_says_so():
    server = Server(("complete", ServerGone("gone")))
    with pytest.raises(RolloutError, match=r"rollout.restarts is 0"):
        engine(server, restarts=0).generate(MODEL, [[1]], 1, SAMPLING, None)


def test_a_refused_request_is_no_reason_to_restart():
    server = Server(("complete", RolloutError("prompt too long")))
    with pytest.raises(RolloutError, match="prompt too long"):
        engine(server).generate(MODEL, [[1]], 1, SAMPLING, None)
    assert "restart" not in server.events


def test_a_server_without_a_gate_is_not_asked_for_versions():
    server = Server()
    server.counts_versions = False
    rollouts = engine(server)
    rollouts.sync(MODEL)
    rollouts.generate(MODEL, [[1]], 1, SAMPLING, None)
    assert server.events[-1].endswith("at None")


def test_what_was_asked_ahead_is_taken_instead_of_asked_again():
    server = Server()
    rollouts = engine(server)
    rollouts.sync(MODEL)
    rollouts.prefetch([[1], [1], [2], [2]], 2, SAMPLING, None)
    assert rollouts.is_ahead
    rollouts.sync(MODEL)
    drawn = rollouts.generate(MODEL, [[1], [1], [2], [2]], 2, SAMPLING, None)
    assert [c.token_ids for c in drawn] == [[10], [11], [20], [21]]
    assert (rollouts.version, rollouts.drawn_version, rollouts.is_ahead) == (2, 1, False)
    assert server.events == ["ready", "push 1", "complete [[1], [2]] x2 at 1", "push 2"]


def test_other_prompts_than_were_asked_ahead_are_asked_now():
    server = Server()
    rollouts = engine(server)
    rollouts.prefetch([[1]], 1, SAMPLING, None)
    (drawn,) = rollouts.generate(MODEL, [[3]], 1, SAMPLING, None)
    assert drawn.token_ids == [30]


def test_a_server_that_dies_while_it_generates_ahead_is_replaced_and_asked_again():
    server = Server(("complete", ServerGone("gone")), ("complete", ServerGone("gone")))
    rollouts = engine(server)
    rollouts.sync(MODEL)
    rollouts.prefetch([[1]], 1, SAMPLING, None)
    (drawn,) = rollouts.generate(MODEL, [[1]], 1, SAMPLING, None)
    assert drawn.token_ids == [10]
    assert server.events.count("restart") == 1
    assert rollouts.notes[0].startswith("vLLM failed while it generated ahead (gone)")
