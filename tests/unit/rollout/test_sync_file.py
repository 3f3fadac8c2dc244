"""What is written for vLLM, where, for how long, and what every rank learns of a failure."""

import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor
from transformers import MixtralConfig, MixtralForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.sync import file
from grpo_plugin.rollout.sync import shared_folder as room
from grpo_plugin.rollout.sync.base import SyncFailed
from grpo_plugin.rollout.sync.file import FileTransport, write_shards
from grpo_plugin.rollout.sync.shared_folder import shared_folder
from tests.shared_memory import folders_of
from tests.unit.rollout.recording import Recorded, recording

SMALL: dict[str, Any] = {
    "vocab_size": 16,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": 0,
}


def tiny(tied: bool = False) -> PreTrainedModel:
    return Qwen2ForCausalLM(Qwen2Config(**SMALL, tie_word_embeddings=tied))


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("grpo-test-")
    yield folder
    assert folders_of(folder) == []


def handle(server: Recorded, run_dir: Path) -> Any:
    return SimpleNamespace(client=Client(server.address), run_dir=run_dir, reload_method="reload_weights_and_repack")


def loaded(folder: Path) -> dict[str, Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def test_vllm_finds_a_private_checkpoint_while_it_loads_and_nothing_is_left(run_dir: Path) -> None:
    seen: dict[str, Any] = {}

    def answer(path: str, body: Any) -> tuple[int, Any]:
        if path == "/collective_rpc":
            folder = Path(body["kwargs"]["weights_path"])
            modes = [stat.S_IMODE(place.stat().st_mode) for place in (folder, folder.parent)]
            seen.update(tensors=loaded(folder), place=folder, modes=modes)
        return 200, {}

    model = tiny()
    with recording(answer) as server:
        FileTransport(handle(server, run_dir), Accelerator(cpu=True), timeout=10.0).push(model, 3)
    assert server.paths() == ["/collective_rpc", "/reset_prefix_cache"]
    _, body, version = server.calls[0]
    assert (body["method"], version) == ("reload_weights_and_repack", "3")
    assert seen["place"].is_relative_to("/dev/shm") and not seen["place"].exists()
    assert seen["modes"] == [0o700, 0o700]
    expected = model.state_dict()
    assert seen["tensors"].keys() == expected.keys()
    assert all(torch.equal(seen["tensors"][name], expected[name]) for name in expected)


def test_tied_embeddings_are_sent_once(run_dir: Path) -> None:
    seen: list[str] = []

    def answer(path: str, body: Any) -> tuple[int, Any]:
        if path == "/collective_rpc":
            seen.extend(loaded(Path(body["kwargs"]["weights_path"])))
        return 200, {}

    with recording(answer) as server:
        FileTransport(handle(server, run_dir), Accelerator(cpu=True), timeout=10.0).push(tiny(tied=True), 1)
    assert "lm_head.weight" not in seen
    assert seen.count("model.embed_tokens.weight") == 1


@pytest.mark.parametrize("path", ["/collective_rpc", "/reset_prefix_cache"])
def test_a_refusal_is_a_failed_sync_and_leaves_no_file(path: str, run_dir: Path) -> None:
    def answer(asked: str, _: Any) -> tuple[int, Any]:
        return (500, {"error": "no such tensor"}) if asked == path else (200, {})

    with recording(answer) as server, pytest.raises(SyncFailed, match=r"version 2 of the weights: .*no such tensor"):
        FileTransport(handle(server, run_dir), Accelerator(cpu=True), timeout=10.0).push(tiny(), 2)


def test_a_server_that_does_not_answer_in_time_is_a_failed_sync(run_dir: Path) -> None:
    asked_to_end = threading.Event()

    def answer(_: str, __: Any) -> tuple[int, Any]:
        asked_to_end.wait(10.0)
        return 200, {}

    with recording(answer) as server:
        with pytest.raises(SyncFailed):
            FileTransport(handle(server, run_dir), Accelerator(cpu=True), timeout=0.2).push(tiny(), 1)
        asked_to_end.set()


def test_weights_that_cannot_be_written_never_reach_the_server(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "save_file", full)
    with (
        recording() as server,
        pytest.raises(RolloutError, match=r"\(\d+ bytes\).*No space left.*--shm-size") as caught,
    ):
        FileTransport(handle(server, run_dir), Accelerator(cpu=True), timeout=10.0).push(tiny(), 1)
    assert not isinstance(caught.value, SyncFailed)
    assert server.calls == []


def test_shards_are_bounded_and_hold_every_tensor_once(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(100), "b": torch.ones(100), "big": torch.full((500,), 2.0), "c": torch.full((9,), 3.0)}
    write_shards(iter(tensors.items()), tmp_path, copy=False, limit=900)
    shards = [load_file(file) for file in sorted(tmp_path.iterdir())]
    assert [list(shard) for shard in shards] == [["a", "b"], ["big"], ["c"]]
    assert all(torch.equal(loaded(tmp_path)[name], tensor) for name, tensor in tensors.items())


def test_views_that_share_memory_are_written(tmp_path: Path) -> None:
    """Experts are slices of one fused tensor in the trainer and tensors of their own in a checkpoint."""
    model = MixtralForCausalLM(MixtralConfig(**SMALL, num_local_experts=2, num_experts_per_tok=1))
    (tmp_path / "ours").mkdir()
    write_shards(file.named_tensors(model), tmp_path / "ours", copy=False)
    model.save_pretrained(tmp_path / "theirs")
    ours, theirs = loaded(tmp_path / "ours"), loaded(tmp_path / "theirs")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_changes_after_it_was_handed_over_is_copied_when_asked(tmp_path: Path) -> None:
    def gathered() -> Iterator[tuple[str, Tensor]]:
        tensor = torch.ones(4)
        yield "layer", tensor
        tensor.zero_()  # as FSDP frees a layer's storage when the next is asked for
        yield "next", torch.ones(1)

    write_shards(gathered(), tmp_path, copy=True)
    assert loaded(tmp_path)["layer"].sum() == 4


def test_too_small_a_shared_memory_is_named_and_the_run_folder_used(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "_free", lambda _: 64 * 2**20)
    with shared_folder(run_dir, "v1", needed=10**9) as folder:
        assert folder.is_relative_to(run_dir)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not (run_dir / "weights").exists()
    assert "67108864 bytes are free and the weights need 1000000000" in caplog.text
    assert "--shm-size" in caplog.text


def test_two_runs_on_one_machine_have_folders_of_their_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one" / "vllm", tmp_path / "other" / "vllm"
    with shared_folder(one, "v1", needed=1) as first:
        (first / "weights").touch()
        with shared_folder(other, "v1", needed=1) as second:
            assert first.parent != second.parent
        assert not second.exists()
        assert (first / "weights").exists()
    assert folders_of(one) == folders_of(other) == []


def test_two_runs_at_once_each_read_their_own_weights(tmp_path: Path) -> None:
    """Each loads what it is sent while the other writes and removes; both call their server's folder `vllm`."""
    wrong: list[str] = []

    def run(name: str, value: float) -> None:
        model = tiny()
        for parameter in model.parameters():
            parameter.data.fill_(value)

        def answer(path: str, body: Any) -> tuple[int, Any]:
            if path == "/collective_rpc":
                tensors = loaded(Path(body["kwargs"]["weights_path"]))
                if not tensors or any((tensor != value).any() for tensor in tensors.values()):
                    wrong.append(name)
            return 200, {}

        with recording(answer) as server:
            transport = FileTransport(handle(server, tmp_path / name / "vllm"), Accelerator(cpu=True), timeout=10.0)
            for version in range(1, 11):
                transport.push(model, version)

    runs = [threading.Thread(target=run, args=arguments) for arguments in (("one", 1.0), ("other", 2.0))]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert wrong == []
    assert folders_of(tmp_path / "one" / "vllm") == folders_of(tmp_path / "other" / "vllm") == []


def test_nobody_can_take_the_name_of_the_folder_before_it_is_made(run_dir: Path) -> None:
    """Anyone may make an entry in /dev/shm; each push has a new random name there, so none can be waiting."""
    names = set()
    for _ in range(2):
        with shared_folder(run_dir, "v1", needed=1) as folder:
            names.add(folder.parent)
            assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert len(names) == 2
