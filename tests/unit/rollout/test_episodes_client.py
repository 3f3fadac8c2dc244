"""Episodes over HTTP: the server is a mock at the socket; tokenizer, environments and tools are real."""

import asyncio
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.episode import Episode
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.errors import EpisodeError, RolloutError
from grpo_plugin.rollout.client import liveness
from grpo_plugin.rollout.client.failures import ServerGone
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.open_files import raise_limit
from grpo_plugin.rollout.client.sampling import Sampling
from tests.unit.environments.chat import call, renderer, tokenizer
from tests.unit.rollout.fake_vllm import Answer, FakeVllm, Request

END = "<|im_end|>"
SAMPLING = Sampling(max_tokens=400)


class Gated:
    """An environment whose tool waits until the test lets it go on."""

    gate = threading.Event()

    def reset(self, slow: bool = False, broken: bool = False, **row: Any) -> None:
        if broken:
            raise OSError("no licence")
        self.slow = slow

    def look(self, where: str) -> str:
        """
        Look.

        Args:
            where: At what.
        """
        if self.slow:
            assert self.gate.wait(30)
        return where


@pytest.fixture
def server(tmp_path: Path) -> Iterator["Model"]:
    model = Model(tmp_path / "vllm.sock")
    yield model
    model.close()


class Model:
    """A policy that looks once and then says what it saw; `fail(request)` may answer instead."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.finals = 0
        self.fail: Any = lambda request: None
        self.start()

    def start(self) -> None:
        self.fake = FakeVllm(self.socket, self.answer)
        self.fake.start()
        self.client = Client(self.fake.address)

    def answer(self, request: Request) -> Answer | None:
        if request.path == "/v1/models":
            return Answer({"data": [{"id": "policy", "max_model_len": 1000}]})
        if request.path == "/metrics":
            return Answer('vllm:generation_tokens_total{engine="0"} 7\n')  # it makes no token, whatever is asked
        if request.path != "/v1/completions":
            return Answer()
        if (failed := self.fail(request)) is not None:
            return failed
        looked = "<tool_response>" in tokenizer().decode(request.body["prompt"])
        self.finals += looked
        text = "I saw it." if looked else call("look", '{"where": "here"}')
        ids = tokenizer()(text + END, add_special_tokens=False)["input_ids"]
        logprobs = {"token_logprobs": [-0.25] * len(ids)}
        return Answer({"choices": [{"index": 0, "token_ids": ids, "logprobs": logprobs, "finish_reason": "stop"}]})

    @property
    def asked(self) -> list[Request]:
        return [request for request in self.fake.requests if request.path == "/v1/completions"]

    def close(self) -> None:
        self.client.close()
        self.fake.shutdown()
        self.fake.server_close()
        self.socket.unlink()


def episodes(folder: Path, *rows: dict[str, Any], limits: Limits | None = None) -> list[Episode]:
    config = EnvironmentsConfig.parse("environments", {"factory": f"{__name__}.Gated"})
    environments = Environments.load(config, folder)
    rendering = environments.rendering(renderer(), folder)
    prompt = {"prompt": [{"role": "user", "content": "Look."}]}
    limits = limits or Limits(400)
    return [
        environments.episode(prompt | row, rendering, limits, f"row {number}") for number, row in enumerate(rows, 1)
    ]


def play(model: Model, played: list[Episode], sampling: Sampling = SAMPLING) -> None:
    asyncio.run(model.client.play(played, sampling=sampling, version=3))


def test_every_turn_is_asked_for_by_the_tokens_of_the_episode(server: Model, tmp_path: Path) -> None:
    [episode] = played = episodes(tmp_path, {})
    play(server, played)

    first, second = server.asked
    call_length = len(tokenizer()(call("look", '{"where": "here"}') + END)["input_ids"])
    last = len(tokenizer()("I saw it." + END)["input_ids"])
    assert first.body["prompt"] == episode.prompt_ids
    assert second.body["prompt"] == episode.token_ids[:-last], "what was written and what the tool said, unchanged"
    assert [request.body["max_tokens"] for request in (first, second)] == [
        400,
        400 - len(second.body["prompt"]) + len(first.body["prompt"]),
    ]
    assert [(request.body["n"], request.headers["x-grpo-expect-version"]) for request in (first, second)] == [
        (1, "3")
    ] * 2
    result = len(episode.completion_ids) - call_length - last
    assert episode.sampled_mask == [True] * call_length + [False] * result + [True] * last
    assert episode.logps == [-0.25] * call_length + [0.0] * result + [-0.25] * last
    assert set(episode.versions) == {3} and episode.turns == 2 and episode.tool_calls == 1 and not episode.failures


def test_a_slow_tool_holds_up_nobody(server: Model, tmp_path: Path) -> None:
    """It waits for the end of all other episodes."""
    Gated.gate.clear()
    answer = server.answer

    def open_gate(request: Request) -> Answer | None:
        answered = answer(request)
        if server.finals == 3:
            Gated.gate.set()
        return answered

    server.fake.answer = open_gate
    played = episodes(tmp_path, {"slow": True}, {}, {}, {})
    play(server, played)
    assert [episode.messages[-1]["content"] for episode in played] == ["I saw it."] * 4
    assert not any(episode.failures for episode in played)


def test_what_a_lost_server_has_answered_is_kept(server: Model, tmp_path: Path) -> None:
    """One episode has its first turn when the server fails; all go on with a new one."""
    fails = iter([None, Answer({"error": "engine dead"}, status=500)])
    server.fail = lambda request: next(fails, Answer({"error": "engine dead"}, status=500))
    played = episodes(tmp_path, {}, {})
    with pytest.raises(ServerGone, match="engine dead"):
        play(server, played)
    assert sorted(episode.turns for episode in played) == [0, 1]
    kept = next(episode for episode in played if episode.turns == 1)
    tokens = list(kept.token_ids)

    server.close()
    server.fail = lambda request: None
    server.start()
    play(server, played)
    assert [(episode.turns, episode.tool_calls) for episode in played] == [(2, 1)] * 2
    assert len(server.asked) == 3, "the turn that was there is not asked for again"
    assert kept.token_ids[: len(tokens)] == tokens


def test_a_tool_that_runs_when_the_server_is_lost_ends_first(server: Model, tmp_path: Path) -> None:
    Gated.gate.clear()

    def fail(request: Request) -> Answer | None:
        if len(server.asked) == 1:
            return None
        Gated.gate.set()
        return Answer({"error": "engine dead"}, status=500)

    slow, other = played = episodes(tmp_path, {"slow": True}, {})
    server.fail = fail
    with pytest.raises(ServerGone):
        play(server, played)
    first = max((slow, other), key=lambda episode: episode.turns)
    assert first.tool_calls == 1 and not first.failures and first.messages[-1]["role"] == "tool"


@pytest.mark.parametrize("hangs", ["tool", "server"])
def test_a_server_that_nobody_asks_need_not_make_tokens(
    hangs: str, server: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool takes longer than a server may go without a token; a server that does not answer is lost by then."""
    monkeypatch.setattr(liveness, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(liveness, "STALLED_AFTER", 0.4)
    Gated.gate.clear()
    [episode] = played = episodes(tmp_path, {"slow": True})
    timer = threading.Timer(1.5, Gated.gate.set)
    timer.start()
    if hangs == "tool":
        play(server, played)
        assert episode.turns == 2 and not episode.failures
    else:
        server.fail = lambda request: Gated.gate.wait(30) and None
        with pytest.raises(ServerGone, match="it made no token for"):
            play(server, played)
    timer.join()


def test_a_refused_request_ends_the_run(server: Model, tmp_path: Path) -> None:
    server.fail = lambda request: Answer({"error": {"message": "no such model"}}, status=400)
    with pytest.raises(RolloutError, match="no such model"):
        play(server, episodes(tmp_path, {}, {}))


def test_a_failed_reset_ends_the_run_with_its_row(server: Model, tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match=r"row 2.*no licence"):
        play(server, episodes(tmp_path, {}, {"broken": True}))


def test_episodes_of_one_prompt_differ_under_a_seed(server: Model, tmp_path: Path) -> None:
    play(server, episodes(tmp_path, {}, {}), Sampling(max_tokens=400, seed=5))
    assert sorted(request.body["seed"] for request in server.asked) == [5, 5, 6, 6]


def test_a_turn_is_as_long_as_the_server_takes_and_a_prompt_that_leaves_no_room_is_named(
    server: Model, tmp_path: Path
) -> None:
    """Of a server elsewhere, whose limit the recipe does not know: 1000 tokens."""
    [episode] = played = episodes(tmp_path, {}, limits=Limits(990))
    play(server, played)
    assert server.asked[0].body["max_tokens"] == 1000 - len(episode.prompt_ids) < 990
    long = {"prompt": [{"role": "user", "content": "Look. " * 600}], "goal": 7}
    with pytest.raises(RolloutError, match=r"max_model_len: the 1000 tokens .* after 0 turns.*the row .*Look"):
        play(server, episodes(tmp_path, long, limits=Limits(990)))


def test_requests_in_flight_are_bounded_and_a_slow_tool_takes_no_place(server: Model, tmp_path: Path) -> None:
    """One at a time, while the first episode's tool waits for the end of all others."""
    Gated.gate.clear()
    answer, active, most = server.answer, threading.Semaphore(1), []

    def one_at_a_time(request: Request) -> Answer | None:
        if request.path != "/v1/completions":
            return answer(request)
        most.append(active.acquire(blocking=False))
        answered = answer(request)
        if server.finals == 3:
            Gated.gate.set()
        active.release()
        return answered

    server.fake.answer = one_at_a_time
    played = episodes(tmp_path, {"slow": True}, {}, {}, {})
    with Client(server.fake.address, in_flight=1) as client:
        asyncio.run(client.play(played, sampling=SAMPLING, version=3))
    assert most == [True] * 8
    assert all(episode.done and not episode.failures for episode in played)


@contextmanager
def no_file_left() -> Iterator[None]:
    """This process may open no further file."""
    limits, last = resource.getrlimit(resource.RLIMIT_NOFILE), os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, limits[1]))  # the lowest free number is taken first
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(last)


def test_too_many_open_files_are_no_lost_server(server: Model, tmp_path: Path) -> None:
    async def twice() -> None:
        await server.client.play(episodes(tmp_path, {}), sampling=SAMPLING, version=3)
        played = episodes(tmp_path, {})
        with no_file_left():
            await server.client.play(played, sampling=SAMPLING, version=3)

    with pytest.raises(RolloutError, match=r"as many files open as it may \(EMFILE\).*ulimit -n") as raised:
        asyncio.run(twice())
    assert not isinstance(raised.value, ServerGone)


def test_the_limit_of_open_files_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(hard, 65536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_episode_that_was_cancelled_is_not_taken_for_one_that_is_over(server: Model, tmp_path: Path) -> None:
    """`add_turn` is a mock that raises what an async tool may let out."""
    whole, cancelled = played = episodes(tmp_path, {}, {"goal": 7})

    async def add_turn(turn: Any) -> None:
        raise asyncio.CancelledError

    cancelled.add_turn = add_turn  # type: ignore[method-assign]
    with pytest.raises(RolloutError, match=r"cancelled before its end, after 0 turns; its row is .*'goal': 7"):
        play(server, played)
    assert whole.done and not cancelled.done


def test_a_server_that_does_not_answer_in_time_is_lost_if_it_makes_no_token(
    server: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for single turns; it is replaced then, before it has made no token for as long as a server may."""
    monkeypatch.setattr(liveness, "LOOK_EVERY", 0.02)
    Gated.gate.clear()
    server.fail = lambda request: Gated.gate.wait(30) and None
    with Client(server.fake.address, timeout=1.0) as client, pytest.raises(ServerGone, match="It made no token in the"):
        asyncio.run(client.play(episodes(tmp_path, {}), sampling=SAMPLING, version=3))
    Gated.gate.set()
