"""How the engine answers failures. The server is a stand-in here; tests/faults kills a real one."""

import asyncio

import pytest
from accelerate import Accelerator
from torch import nn

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.failures import ServerGone, StaleWeights
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.engine import RolloutEngine
from grpo_plugin.rollout.sync.base import SyncFailed

MODEL = nn.Linear(1, 1)
SAMPLING = Sampling(max_tokens=4)


class Server:
    """In the place of handle, client and transport: fails as told, remembers what was asked."""

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

    def complete(self, prompts, *, n, sampling, version, verify_version, images):
        at = version if verify_version else "any"
        self.events.append(f"complete {list(prompts)} x{n} at {at}")
        self.fail_if_told("complete")
        return [[Completion([10 * ids[0] + i], [-0.5], "stop", version) for i in range(n)] for ids in prompts]

    async def play(self, episodes, *, sampling, version, verify_version):
        self.events.append(f"play {episodes} at {version if verify_version else 'any'}")
        self.fail_if_told("play")


def engine(server, restarts=2, **rollout):
    notes = []
    config = RolloutConfig(restarts=restarts, **rollout)
    made = RolloutEngine(Accelerator(cpu=True), config, server, lambda handle: server, notes.append)
    made.start()
    made.notes = notes
    return made


def tokens(groups):
    return [[completion.token_ids[0] for completion in group] for group in groups]


def versions(groups):
    return {completion.version for group in groups for completion in group}


def test_completions_come_in_groups_and_say_which_weights_drew_them():
    server = Server()
    rollouts = engine(server)
    assert rollouts.sync(MODEL) == 1
    groups = rollouts.generate(MODEL, [[3], [4], [5]], 2, SAMPLING)
    assert tokens(groups) == [[30, 31], [40, 41], [50, 51]]
    assert versions(groups) == {1}
    assert server.events == ["ready", "push 1", "complete [[3], [4], [5]] x2 at 1"]


def test_a_rank_without_prompts_gets_no_completions():
    assert engine(Server()).generate(MODEL, [], 2, SAMPLING) == []


@pytest.mark.parametrize("error", [ServerGone("gone"), StaleWeights("stale")])
def test_a_dead_or_stale_server_is_replaced_given_the_weights_and_asked_again(error):
    server = Server(("complete", error))
    rollouts = engine(server)
    rollouts.sync(MODEL)
    assert tokens(rollouts.generate(MODEL, [[1]], 1, SAMPLING)) == [[10]]
    assert server.events[1:] == ["push 1", "complete [[1]] x1 at 1", "restart", "push 1", "complete [[1]] x1 at 1"]
    assert rollouts.notes == [f"vLLM failed ({error}); restarting it (1 of 2)"]


@pytest.mark.parametrize("error", [ServerGone("gone"), StaleWeights("stale")])
def test_episodes_go_on_with_the_server_that_replaces_a_lost_one(error):
    server = Server(("play", error))
    rollouts = engine(server)
    rollouts.sync(MODEL)
    rollouts.play(MODEL, ["an episode"], SAMPLING, asyncio.run)
    assert server.events[1:] == ["push 1", "play ['an episode'] at 1", "restart", "push 1", "play ['an episode'] at 1"]


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
        rollouts.generate(MODEL, [[1]], 1, SAMPLING)
    assert server.events.count("restart") == 2


def test_a_restart_that_fails_to_sync_counts_too():
    server = Server(("complete", ServerGone("gone")), ("push", SyncFailed("again")))
    rollouts = engine(server, restarts=2)
    rollouts.version = 1
    rollouts.generate(MODEL, [[1]], 1, SAMPLING)
    assert server.events.count("restart") == 2


def test_no_restarts_allowed_says_so():
    server = Server(("complete", ServerGone("gone")))
    with pytest.raises(RolloutError, match=r"rollout.restarts is 0"):
        engine(server, restarts=0).generate(MODEL, [[1]], 1, SAMPLING)


def test_a_refused_request_is_no_reason_to_restart():
    server = Server(("complete", RolloutError("prompt too long")))
    with pytest.raises(RolloutError, match="prompt too long"):
        engine(server).generate(MODEL, [[1]], 1, SAMPLING)
    assert "restart" not in server.events


def test_a_server_without_a_gate_is_not_asked_for_versions():
    server = Server()
    server.counts_versions = False
    rollouts = engine(server)
    rollouts.sync(MODEL)
    rollouts.generate(MODEL, [[1]], 1, SAMPLING)
    assert server.events[-1].endswith("at any")


def test_what_was_prefetched_is_returned_and_not_asked_again():
    server = Server()
    rollouts = engine(server)
    rollouts.sync(MODEL)
    rollouts.prefetch([[1], [2]], 2, SAMPLING, None)
    assert rollouts.is_ahead
    rollouts.sync(MODEL)
    groups = rollouts.generate(MODEL, [[1], [2]], 2, SAMPLING)
    assert tokens(groups) == [[10, 11], [20, 21]]
    assert versions(groups) == {1} and rollouts.version == 2
    assert not rollouts.is_ahead
    assert server.events == ["ready", "push 1", "complete [[1], [2]] x2 at 1", "push 2"]


@pytest.mark.parametrize(
    ("prompts", "n", "sampling", "fresh"),
    [
        ([[3]], 1, SAMPLING, False),
        ([[1]], 2, SAMPLING, False),
        ([[1]], 1, Sampling(max_tokens=4, temperature=0.0), False),
        ([[1]], 1, SAMPLING, True),
    ],
    ids=["other prompts", "another number", "other sampling", "asked fresh"],
)
def test_anything_but_what_was_prefetched_is_asked_now_and_the_prefetched_is_kept(prompts, n, sampling, fresh):
    server = Server()
    rollouts = engine(server)
    rollouts.prefetch([[1]], 1, SAMPLING, None)
    rollouts.sync(MODEL)
    groups = rollouts.generate(MODEL, prompts, n, sampling, fresh=fresh)
    assert versions(groups) == {1}
    assert server.events[-1] == f"complete {prompts} x{n} at 1"
    assert versions(rollouts.generate(MODEL, [[1]], 1, SAMPLING)) == {0}


def test_a_server_that_dies_while_it_generates_ahead_is_replaced_and_asked_again():
    server = Server(("complete", ServerGone("gone")), ("complete", ServerGone("gone")))
    rollouts = engine(server)
    rollouts.sync(MODEL)
    rollouts.prefetch([[1]], 1, SAMPLING, None)
    assert tokens(rollouts.generate(MODEL, [[1]], 1, SAMPLING)) == [[10]]
    assert server.events.count("restart") == 1
    assert rollouts.notes[0].startswith("vLLM failed while it generated the next batch (gone)")


def test_an_external_server_is_asked_again_and_not_said_to_be_restarted():
    server = Server(("complete", ServerGone("gone")), ("complete", ServerGone("gone")))
    rollouts = engine(server, restarts=1, url="http://localhost:8000")
    rollouts.sync(MODEL)
    with pytest.raises(RolloutError, match=r"vLLM failed again after 1 tries \(rollout.restarts\): gone"):
        rollouts.generate(MODEL, [[1]], 1, SAMPLING)
    assert rollouts.notes == ["vLLM failed (gone); asking it again once it answers (1 of 1)"]
    assert server.events.count("push 1") == 2, "it may have lost the weights"
