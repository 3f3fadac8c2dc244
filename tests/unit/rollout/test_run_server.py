"""Whose server a training process uses: the launcher's, one of its own, or none."""

import pytest

from grpo_plugin.recipe import parse
from grpo_plugin.rollout.run_server import RunServer
from grpo_plugin.rollout.server.process import Server
from grpo_plugin.rollout.server.server_plan import ServerPlan

VALUES = {
    "base_model": "user/model",
    "plugins": ["grpo_plugin.RolloutPlugin"],
    "rollout": {},
    "trl": {"reward_funcs": ["my.reward"]},
    "axolotl_config_path": "recipe.yaml",
}


class StandIn:
    """A server that was started with a command."""

    def __init__(self, command):
        self.command = command
        self.stopped = False

    def matches(self, command):
        return (self.command.argv, self.command.settings) == (command.argv, command.settings)

    def stop(self):
        self.stopped = True


@pytest.fixture
def notes():
    return []


@pytest.fixture
def make(notes, tmp_path, monkeypatch):
    monkeypatch.setattr("grpo_plugin.rollout.run_server.make_run_dir", lambda: tmp_path / "fresh")
    monkeypatch.setattr(ServerPlan, "launch", lambda plan, run_dir, log: StandIn(plan.command(run_dir)))

    def make(**changes):
        return RunServer(parse(VALUES | changes), {"CUDA_VISIBLE_DEVICES": ""}, notes.append)

    return make


@pytest.fixture
def launchers(make, tmp_path, monkeypatch):
    """The launcher's server for the recipe as it stands in the file."""
    server = StandIn(make().plan.command(tmp_path / "vllm"))
    monkeypatch.setattr(Server, "adopt", lambda run_dir: server)
    return server


def test_the_launchers_server_is_adopted_if_it_is_the_one_wanted(make, launchers, notes, tmp_path):
    told = []
    server = make()
    server.adopt(tmp_path / "vllm", lambda: told.append(True))
    server.launch()
    assert server._server is launchers
    assert (told, notes, launchers.stopped) == ([True], [], False)


def test_options_that_change_vllm_start_another(make, launchers, notes, tmp_path):
    told = []
    server = make(base_model="user/other")
    server.adopt(tmp_path / "vllm", lambda: told.append(launchers.stopped))
    server.launch()
    assert launchers.stopped and server._server is not launchers
    assert told == [False], "the launcher is told first: it must not take the stop for a failure"
    assert notes == ["options of the command line change how vLLM must run: it is started again"]
    assert "user/other" in server._server.command.argv


def test_a_server_on_tcp_is_adopted_as_it_is(make, launchers, notes, tmp_path):
    server = make(rollout={"host": "127.0.0.1"})
    server.adopt(tmp_path / "vllm", lambda: None)
    assert server._server is launchers and notes == []


def test_a_launch_without_the_launcher(make):
    server = make()
    server.launch()
    first = server._server
    server.launch()
    assert server._server is first, "one server"


def test_no_engine_where_hugging_face_generates(make):
    assert make(trl=VALUES["trl"] | {"use_vllm": False}).make_engine(None, is_main=True) is None


@pytest.mark.parametrize(
    ("changes", "float32"),
    [
        ({}, True),
        ({"vllm": {"dtype": "auto"}}, True),
        ({"vllm": {"dtype": "bfloat16"}}, False),
        ({"rollout": {"url": "http://localhost:8000"}}, False),
    ],
)
def test_whether_the_server_computes_in_float32(make, changes, float32):
    assert make(**changes).plan.in_float32 is float32
