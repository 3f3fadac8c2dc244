"""The vLLM server of a training run: taken over from the launcher or started by the main process, and its engine."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from grpo_plugin.recipe import Recipe
from grpo_plugin.rollout.server.endpoint import make_run_dir
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.server.process import Server
from grpo_plugin.rollout.server.server_plan import plan_server

if TYPE_CHECKING:
    from accelerate import Accelerator

    from grpo_plugin.rollout.engine import RolloutEngine

URL_KEY = "GRPO_ROLLOUT_KEY"  # the environment variable with the key of the server at `rollout.url`


class RunServer:
    """One rank's access to the server; only the main process starts, adopts or reaches it.

    Args:
        environ: this process's environment; its CUDA_VISIBLE_DEVICES names the GPUs of trainer and server together, and
            LOCAL_WORLD_SIZE and GROUP_RANK are what torchrun and accelerate set.
        note: shows a sentence to the user.

    Raises:
        RecipeError: GPUs, processes and recipe do not fit.
    """

    def __init__(self, recipe: Recipe, environ: Mapping[str, str], note: Callable[[str], None]) -> None:
        assert recipe.rollout is not None
        self.recipe = recipe
        self.rollout = recipe.rollout
        self.plan = plan_server(
            recipe.values,
            recipe.rollout,
            environ,
            num_processes=int(environ.get("LOCAL_WORLD_SIZE", 1)),
            uses_vllm=recipe.uses_vllm,
            serves_here=int(environ.get("GROUP_RANK", 0)) == 0,
        )
        self.log = recipe.output_dir / "vllm.log"
        self._note = note
        self._url_key = environ.get(URL_KEY)
        self._server: Server | None = None

    def adopt(self, run_dir: Path, adopted: Callable[[], None]) -> None:
        """Take over the server that the launcher started in `run_dir`, or stop it where Axolotl's options change it.

        Args:
            adopted: called once this process watches the server.

        Raises:
            RolloutError: it has ended.
        """
        server = Server.adopt(run_dir)
        adopted()
        # On TCP each command has a port and a key of its own, so that there is nothing to compare.
        if self.rollout.host or server.matches(self.plan.command(run_dir)):
            self._server = server
        else:
            self._note("options of the command line change how vLLM must run: it is started again")
            server.stop()

    def launch(self) -> None:
        """Start a server, unless one was adopted; returns before it is ready.

        Raises:
            RolloutError: it cannot be started.
        """
        if self._server is None:
            self._server = self.plan.launch(make_run_dir(), self.log)

    def make_engine(self, accelerator: Accelerator, *, is_main: bool) -> RolloutEngine | None:
        """This rank's engine, closed at the end of the process; None when Hugging Face generates."""
        if not self.recipe.uses_vllm:
            return None
        from grpo_plugin.rollout.engine import RolloutEngine
        from grpo_plugin.rollout.sync.transport import make_transport

        engine = RolloutEngine(
            accelerator,
            self.rollout,
            self._handle() if is_main else None,
            lambda handle: make_transport(self.plan.sync, handle, accelerator, self.rollout),
            note=self._note,
        )
        atexit.register(engine.close)
        return engine

    def _handle(self) -> ServerHandle:
        if self.rollout.url:
            model, timeout = str(self.recipe.values["base_model"]), self.rollout.request_timeout
            return ServerHandle.external(self.rollout.url, self._url_key, timeout, model)
        assert self._server is not None
        return ServerHandle.of(
            self._server, lambda run_dir: self.plan.launch(run_dir, self.log), self.rollout.request_timeout
        )
