"""The handle of a server that others run; those of our own are in test_server_process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.server import handle
from grpo_plugin.rollout.server.handle import ServerHandle
from tests.unit.rollout.fake_vllm import Answer, FakeVllm, Request

MODELS = Answer({"data": [{"id": "policy"}]})
Serve = Callable[[Callable[[Request], Answer | None]], ServerHandle]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    opened: list[tuple[FakeVllm, ServerHandle]] = []

    def run(answer: Callable[[Request], Answer | None]) -> ServerHandle:
        server = FakeVllm(tmp_path / "vllm.sock", answer)
        server.start()
        opened.append((server, ServerHandle.external(server.address, "key", timeout=10.0)))
        return opened[-1][1]

    yield run
    for server, opened_handle in opened:
        opened_handle.stop()
        server.shutdown()
        server.server_close()


def test_an_external_server_that_answers_is_ready(serve: Serve) -> None:
    external = serve(lambda request: MODELS)
    external.wait_ready(1)
    assert not external.counts_versions
    assert external.reload_method == "reload_weights", "it was started without our worker extension"


@pytest.mark.parametrize(
    ("served", "ours", "same"),
    [
        ({"id": "policy"}, "/here/policy", True),
        ({"id": "policy", "root": "/there/Qwen3-4B"}, "Qwen/Qwen3-4B", True),
        ({"id": "policy", "root": "/there/Qwen3-4B"}, "Qwen/Qwen3-8B", False),
    ],
)
def test_a_server_with_another_model_is_named_before_it_gets_any_weights(
    tmp_path: Path, served: dict[str, str], ours: str, same: bool
) -> None:
    server = FakeVllm(tmp_path / "vllm.sock", lambda request: Answer({"data": [served]}))
    server.start()
    external = ServerHandle.external(server.address, None, 10.0, ours)
    try:
        if same:
            external.wait_ready(1)
            return
        with pytest.raises(
            RolloutError, match="serves 'policy' or '/there/Qwen3-4B', and base_model is 'Qwen/Qwen3-8B'"
        ):
            external.wait_ready(1)
        assert [request.path for request in server.requests] == ["/v1/models"]
    finally:
        external.stop()
        server.shutdown()
        server.server_close()


def test_a_wrong_key_is_not_taken_for_a_server_that_is_not_there(serve: Serve) -> None:
    external = serve(lambda request: Answer({"error": "Unauthorized"}, 401))
    with pytest.raises(
        RolloutError, match=r"refused the key on /v1/models \(401: Unauthorized\); set .*GRPO_ROLLOUT_KEY"
    ):
        external.wait_ready(1)


def test_a_fault_that_passes_when_the_run_begins_is_no_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "PAUSES", (0.01, 0.01))
    answers = iter([Answer(status=500), MODELS])
    serve(lambda request: next(answers)).wait_ready(1)
    assert next(answers, None) is None


def test_a_fault_that_stays_is_told_before_the_run_begins(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "PAUSES", (0.01, 0.01))
    with pytest.raises(RolloutError, match=r"no vLLM server answers at .*500"):
        serve(lambda request: Answer(status=500)).wait_ready(1)


def test_no_server_at_the_url_is_named(tmp_path: Path) -> None:
    external = ServerHandle.external(f"unix:{tmp_path}/none.sock", None, timeout=1.0)
    with pytest.raises(RolloutError, match=r"rollout.url: no vLLM server answers at .*none.sock"):
        external.wait_ready(1)


def test_an_external_server_that_failed_is_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "PAUSES", (0.01, 0.02, 0.04))
    looks = iter([500, 500, 200])
    external = serve(lambda request: Answer(status=next(looks)))
    external.restart(1)
    assert next(looks, None) is None


def test_an_external_server_that_stays_away_ends_the_run(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handle, "PAUSES", (0.01, 0.01))
    with pytest.raises(RolloutError, match=r"has not answered for 0 s; start it again"):
        serve(lambda request: Answer(status=500)).restart(1)


def test_the_folder_for_an_external_server_is_removed(serve: Serve) -> None:
    external = serve(lambda request: MODELS)
    folder = external.run_dir
    assert folder == external.run_dir and folder.is_dir()
    external.stop()
    assert not folder.exists()
