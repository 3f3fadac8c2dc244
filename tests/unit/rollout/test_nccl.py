"""The sequence of a push over NCCL, and that nothing waits for ever, at the HTTP seam.

Server and group are stand-ins, because NCCL needs two GPUs; tests/integration/test_nccl_transfer.py runs vLLM's own.
"""

import socket
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.sync import nccl, nccl_transfer
from grpo_plugin.rollout.sync.base import SyncFailed
from grpo_plugin.rollout.sync.nccl import NcclTransport
from grpo_plugin.rollout.sync.nccl_transfer import (
    ParamMeta,
    Routes,
    Source,
    bounded,
    in_thread,
    meeting_point,
    open_transfer,
)
from tests.unit.rollout.recording import Recorded, recording


def tiny() -> Qwen2ForCausalLM:
    sizes = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    return Qwen2ForCausalLM(
        Qwen2Config(**sizes, num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=False)
    )


@dataclass
class Group:
    """What vLLM's communicator is to a trainer; when `stuck`, its peers never come."""

    stuck: bool = False
    sent: list[Tensor] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def broadcast(self, tensor: Tensor) -> None:
        if self.stuck:
            self.gone.wait(30.0)
        if not self.gone.is_set():
            self.sent.append(tensor.clone())

    def destroy(self) -> None:
        self.gone.set()


@dataclass
class PlayedTransfer:
    """A push as both of vLLM's forms drive it: the update is asked for while the tensors are broadcast."""

    routes: Routes
    source: Source
    group: Group

    def send(self) -> None:
        self.routes.start_weight_update()
        names = [meta.name for meta in self.source.metadata()]
        answer = in_thread(lambda: self.routes.update_weights({"names": names}))
        for _, tensor in self.source:
            self.group.broadcast(tensor)
        answer.result()
        self.routes.finish_weight_update()

    def abort(self) -> None:
        self.group.destroy()


@dataclass
class Groups:
    """Groups in the order they are formed; `stuck` are those of the first pushes."""

    stuck: int = 0
    formed: list[Group] = field(default_factory=list)

    def form(self, routes: Routes, source: Source, address: str, port: int, workers: int) -> PlayedTransfer:
        routes.init_weight_transfer_engine({"master_address": address, "world_size": 1 + workers})
        self.formed.append(Group(stuck=len(self.formed) < self.stuck))
        return PlayedTransfer(routes, source, self.formed[-1])


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    made = Groups()
    monkeypatch.setattr(nccl, "open_transfer", made.form)
    return made


def transport(server: Recorded, timeout: float = 10.0) -> NcclTransport:
    handle: Any = SimpleNamespace(client=Client(server.address))
    return NcclTransport(handle, Accelerator(cpu=True), timeout)


def good(path: str, body: Any) -> tuple[int, Any]:
    return 200, {"world_size": 2} if path == "/get_world_size" else {}


def test_two_pushes_meet_once_and_count_the_version_at_the_end_alone(groups: Groups) -> None:
    model = tiny()
    with recording(good) as server:
        pushing = transport(server)
        pushing.push(model, 1)
        model.lm_head.weight.data.fill_(7.0)
        pushing.push(model, 2)
    calls = [(path, version) for path, _, version in server.calls]
    push = [("/start_weight_update", "broken"), ("/update_weights", "broken")]
    assert calls == [
        ("/get_world_size", None),
        ("/init_weight_transfer_engine", None),
        *push,
        ("/finish_weight_update", "1"),
        ("/reset_prefix_cache", None),
        *push,
        ("/finish_weight_update", "2"),
        ("/reset_prefix_cache", None),
    ]
    assert server.calls[1][1]["init_info"]["world_size"] == 3
    sent, names = groups.formed[0].sent, server.calls[3][1]["update_info"]["names"]
    assert len(groups.formed) == 1
    assert len(sent) == 2 * len(names) == 2 * len(model.state_dict())
    assert torch.equal(sent[len(names) + names.index("lm_head.weight")], model.lm_head.weight)


@pytest.mark.timeout(20)
def test_a_refused_update_ends_the_broadcast_that_waits_for_it(groups: Groups) -> None:
    groups.stuck = 1

    def refusing(path: str, body: Any) -> tuple[int, Any]:
        return (
            (500, {"error": "KeyError: 'no_such'"}) if path == "/update_weights" and groups.stuck else good(path, body)
        )

    with recording(refusing) as server:
        pushing = transport(server)
        with pytest.raises(SyncFailed, match=r"version 1 of the weights: .*/update_weights.*no_such"):
            pushing.push(tiny(), 1)
        assert groups.formed[0].gone.is_set()
        assert "/finish_weight_update" not in server.paths()
        groups.stuck = 0
        pushing.push(tiny(), 2)
    assert len(groups.formed) == 2


@pytest.mark.timeout(20)
def test_a_peer_that_never_comes_ends_the_push_in_time(groups: Groups) -> None:
    groups.stuck = 1
    with recording(good) as server, pytest.raises(SyncFailed, match=r"took over 0.3 s \(rollout.request_timeout\)"):
        transport(server, timeout=0.3).push(tiny(), 1)
    assert groups.formed[0].gone.is_set()
    assert groups.formed[0].sent == []


def test_a_server_that_is_gone_is_a_failed_sync(groups: Groups) -> None:
    with recording() as server:
        pass
    with pytest.raises(SyncFailed, match="cannot be reached"):
        transport(server).push(tiny(), 1)
    assert groups.formed == []


def test_closing_leaves_the_group(groups: Groups) -> None:
    with recording(good) as server:
        pushing = transport(server)
        pushing.push(tiny(), 1)
        pushing.close()
        pushing.close()
    assert groups.formed[0].gone.is_set()


def test_the_error_of_the_work_itself_comes_back() -> None:
    def work() -> None:
        raise ValueError("NaN")

    with pytest.raises(ValueError, match="NaN"):
        bounded(work, Future(), lambda: None, 5.0)


def test_other_ranks_gather_and_ask_the_server_nothing(groups: Groups) -> None:
    NcclTransport(None, Accelerator(cpu=True), 10.0).push(tiny(), 1)
    assert groups.formed == []


def test_both_sides_meet_on_this_machine_for_a_unix_socket_and_on_the_route_to_another_host() -> None:
    address, port = meeting_point("unix:/run/x/vllm.sock")
    assert address == "127.0.0.1"
    with socket.socket() as probe:
        probe.bind((address, port))
    assert meeting_point("http://127.0.0.1:8000")[0] == "127.0.0.1"
    assert meeting_point("http://192.0.2.7:8000")[0] != "192.0.2.7"


def old_engine() -> ModuleType:
    """`nccl_engine` with the signatures of vLLM 0.23.0, which is not installed here."""
    module = ModuleType("vllm.distributed.weight_transfer.nccl_engine")

    @dataclass
    class NCCLWeightTransferInitInfo:
        master_address: str
        master_port: int
        rank_offset: int
        world_size: int

    @dataclass
    class NCCLTrainerSendWeightsArgs:
        group: Any
        src: int = 0
        post_iter_func: Any = None
        packed: bool = False
        stream: Any = None
        packed_buffer_size_bytes: int = 2**30
        packed_num_buffers: int = 2

    @dataclass
    class NCCLWeightTransferUpdateInfo:
        names: list[str]
        dtype_names: list[str]
        shapes: list[list[int]]
        packed: bool = False
        packed_buffer_size_bytes: int = 2**30
        packed_num_buffers: int = 2

    class NCCLWeightTransferEngine:
        group = Group()

        @classmethod
        def trainer_init(cls, init_info: NCCLWeightTransferInitInfo) -> Group:
            return cls.group

        @staticmethod
        def trainer_send_weights(iterator: Any, trainer_args: NCCLTrainerSendWeightsArgs) -> None:
            assert trainer_args.packed
            for _ in range(2):
                trainer_args.group.broadcast(next(iterator)[1])

    for made in (
        NCCLWeightTransferInitInfo,
        NCCLTrainerSendWeightsArgs,
        NCCLWeightTransferUpdateInfo,
        NCCLWeightTransferEngine,
    ):
        setattr(module, made.__name__, made)
    return module


def test_the_older_form_packs_both_sides_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, package = old_engine(), ModuleType("vllm.distributed.weight_transfer")
    package.nccl_engine = engine  # type: ignore[attr-defined]
    for name, module in {
        "vllm": ModuleType("vllm"),
        "vllm.distributed": ModuleType("vllm.distributed"),
        package.__name__: package,
        engine.__name__: engine,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    source = Source([ParamMeta("a", torch.bfloat16, (2, 3)), ParamMeta("b", torch.float32, (1,))])
    with recording(good) as server:
        routes = Routes(Client(server.address).post, 10.0)
        transfer = open_transfer(routes, source, "127.0.0.1", 4321, workers=4)
        routes.version = 9
        source.refill(lambda: {"a": torch.ones(2, 3, dtype=torch.bfloat16), "b": torch.zeros(1)}.items())
        transfer.send()
    init, start, update, finish = server.calls
    assert init[1] == {
        "init_info": {"master_address": "127.0.0.1", "master_port": 4321, "rank_offset": 1, "world_size": 5}
    }
    assert start == ("/start_weight_update", {}, "broken")
    assert update[1] == {
        "update_info": {
            "names": ["a", "b"],
            "dtype_names": ["bfloat16", "float32"],
            "shapes": [[2, 3], [1]],
            "packed": True,
            "packed_buffer_size_bytes": nccl_transfer.BUFFER,
            "packed_num_buffers": 2,
        }
    }
    assert finish == ("/finish_weight_update", {}, "9")
    assert [tensor.dtype for tensor in engine.NCCLWeightTransferEngine.group.sent] == [torch.bfloat16, torch.float32]
