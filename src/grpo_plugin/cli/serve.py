"""`axolotl grpo serve RECIPE`: the vLLM server of a recipe, without a trainer."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.recipe import Recipe, check, read
from grpo_plugin.rollout.server.endpoint import Endpoint, make_run_dir
from grpo_plugin.rollout.server.server_plan import ServerPlan, plan_server


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False))
@click.option("--model", help="Serve this model or folder instead of the recipe's base_model.")
@click.option("--host", help="Serve over TCP on this address, with a key, instead of the private socket.")
@click.option("--port", type=int, help="TCP port, with --host.")
@click.option("--num-processes", type=int, help="Trainer processes beside it; they decide which GPUs are left.")
@click.option("--dry-run", is_flag=True, help="Print the command and start nothing.")
@errors_exit_2
def serve(**options: Any) -> None:
    """Start the vLLM server that RECIPE describes and keep it until Ctrl-C."""
    checked, plan = _plan(**{key: options[key] for key in ("recipe", "model", "host", "port", "num_processes")})
    if options["dry_run"]:
        print(plan.command(Path("/run/grpo")).shell())
    else:
        _serve(checked, plan)


def _plan(
    recipe: str, model: str | None, host: str | None, port: int | None, num_processes: int | None
) -> tuple[Recipe, ServerPlan]:
    checked = check(read(recipe, {"base_model": model} if model else None))
    rollout = checked.rollout or RolloutConfig()
    if host or port:
        rollout = RolloutConfig.parse("rollout", rollout.model_dump() | {"host": host, "port": port})
    return checked, plan_server(
        checked.values, rollout, os.environ, num_processes=num_processes, trains_here=num_processes is not None
    )


def openai_address(endpoint: Endpoint) -> str:
    """The address for a client of OpenAI's API, and the key it needs."""
    if endpoint.host is None:
        return f"{endpoint.socket} (a Unix socket; http://localhost/v1 over it)"
    return f"{endpoint.address}/v1, key {endpoint.key}"


def _serve(recipe: Recipe, plan: ServerPlan) -> None:
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    log = recipe.output_dir / "vllm.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    server = plan.launch(make_run_dir(), log)
    try:
        print(f"starting vLLM; log in {log}")
        server.wait_ready(plan.rollout.start_timeout)
        print(f"ready at {openai_address(server.endpoint)}")
        while server.alive():
            time.sleep(0.5)
        print(f"error: vLLM ended; the end of its log:\n{server.log_tail()}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped")
    finally:
        server.stop()
