"""An environment that holds a client of OpenEnv, as TRL's documentation writes them, against a real OpenEnv server."""

import socket
import threading
import time
from dataclasses import dataclass

import pytest
import uvicorn
from openenv_core.client_types import StepResult
from openenv_core.env_server import Action, Environment, Observation, State, create_fastapi_app
from openenv_core.http_env_client import HTTPEnvClient

from tests.unit.environments.chat import call
from tests.unit.environments.test_episode import END, make, play


@dataclass
class Said(Action):
    text: str = ""


@dataclass
class Heard(Observation):
    echo: str = ""


class Hall(Environment):
    """The server's side: every step is answered by an echo, which is worth its length."""

    def __init__(self):
        super().__init__()
        self._state = State(episode_id="hall", step_count=0)

    def reset(self):
        self._state.step_count = 0
        return Heard(echo="Silence.")

    def step(self, action):
        self._state.step_count += 1
        return Heard(echo=action.text * 2, reward=float(len(action.text)))

    @property
    def state(self):
        return self._state


class HallClient(HTTPEnvClient[Said, Heard]):
    def _step_payload(self, action):
        return {"text": action.text}

    def _parse_result(self, payload):
        return StepResult(Heard(echo=payload["observation"]["echo"]), payload.get("reward"), payload.get("done", False))

    def _parse_state(self, payload):
        return State(**payload)


class EchoEnvironment:
    url = ""

    def __init__(self):
        self.client = HallClient(base_url=self.url)
        self.reward = 0.0

    def reset(self, **kwargs):
        self.reward = 0.0
        return self.client.reset().observation.echo

    def echo(self, message: str) -> str:
        """
        Call into the hall.

        Args:
            message: What to call.

        Returns:
            What comes back.
        """
        result = self.client.step(Said(text=message))
        self.reward += result.reward
        return result.observation.echo

    def get_reward(self):
        return self.reward


@pytest.fixture
def hall():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_fastapi_app(Hall(), Said, Heard)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    EchoEnvironment.url = f"http://127.0.0.1:{port}"
    yield
    server.should_exit = True
    thread.join(30)


@pytest.mark.usefixtures("hall")
def test_an_environment_of_openenv_is_played_as_it_is(tmp_path):
    row = {"prompt": [{"role": "user", "content": "Call. "}], "answer": "x"}
    environments, episode = make(tmp_path, row, factory=f"{__name__}.EchoEnvironment")
    play(episode, call("echo", '{"message": "ho"}') + END, call("echo", '{"message": "hey"}') + END, "Done." + END)
    assert episode.prompt[0]["content"] == "Call. Silence."
    assert [message["content"] for message in episode.messages[1::2]] == ["hoho", "heyhey"]
    assert environments.rewards[0].function(environments=[episode.environment]) == [5.0]
    assert not episode.failures
    environments.close()
