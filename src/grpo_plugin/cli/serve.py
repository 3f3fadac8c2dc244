"""`axolotl grpo serve RECIPE|CHECKPOINT`: a vLLM server without a trainer, for any client of OpenAI's API."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.serving import Serving, of_target
from grpo_plugin.rollout.server.endpoint import Endpoint


@click.command()
@click.argument("target", metavar="RECIPE|CHECKPOINT", type=click.Path(exists=True, path_type=Path))
@click.option("--model", help="With RECIPE: serve this model or folder instead of the recipe's base_model.")
@click.option("--host", help="Serve over TCP on this address, with a key, instead of the private socket.")
@click.option("--port", type=int, help="TCP port, with --host.")
@click.option("--num-processes", type=int, help="Trainer processes beside it; they decide which GPUs are left.")
@click.option("--dry-run", is_flag=True, help="Print the command and start nothing.")
@errors_exit_2
def serve(target: Path, **options: Any) -> None:
    """Start the vLLM server that RECIPE describes, or of the model in CHECKPOINT, and keep it until Ctrl-C.

    CHECKPOINT is a checkpoint, or the folder of a run. What vLLM cannot load as it is (a LoRA adapter, shards) is
    exported first.
    """
    address = {key: options[key] for key in ("host", "port") if options[key]}
    serving = of_target(target, model=options["model"], num_processes=options["num_processes"], address=address)
    if options["dry_run"]:
        print(serving.plan.command(Path("/run/grpo")).shell())
    else:
        _serve(serving)


def openai_address(endpoint: Endpoint) -> str:
    """The address for a client of OpenAI's API, and the key it needs."""
    if endpoint.host is None:
        return f"{endpoint.socket} (a Unix socket; http://localhost/v1 over it)"
    return f"{endpoint.address}/v1, key {endpoint.key}"


def curl(endpoint: Endpoint, model: str) -> str:
    """A request to paste into a shell."""
    where = (
        f"--unix-socket {endpoint.socket} http://localhost"
        if endpoint.host is None
        else f"-H 'Authorization: Bearer {endpoint.key}' {endpoint.address}"
    )
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "…"}}]}}'
    return f"curl {where}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"


def _serve(serving: Serving) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"starting vLLM; log in {serving.log}")
    try:
        with serving.running() as server:
            print(f"ready at {openai_address(server.endpoint)}\nmodel {serving.model}")
            print(curl(server.endpoint, serving.model), flush=True)
            while server.alive():
                time.sleep(0.5)
            print(f"error: vLLM ended; the end of its log:\n{server.log_tail()}", file=sys.stderr)
            sys.exit(1)
    except KeyboardInterrupt:
        print("stopped")
