"""The `rollout:` block: where completions come from and how weights reach it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from grpo_plugin.config.base import Block


class RolloutConfig(Block):
    gpus: Annotated[
        int | None, Field(ge=1, description="GPUs for vLLM, the last visible ones; by default what `vllm:` needs.")
    ] = None
    python: Annotated[str | None, Field(description="Interpreter that has vLLM; by default the one that trains.")] = (
        None
    )
    url: Annotated[
        str | None,
        Field(pattern=r"^https?://", description="A vLLM server that runs already; never started or stopped here."),
    ] = None
    host: Annotated[
        str | None, Field(description="Serve over TCP on this address; by default over a private Unix socket.")
    ] = None
    port: Annotated[int | None, Field(ge=1, le=65535, description="TCP port, with `host`; by default a free one.")] = (
        None
    )
    sync: Annotated[
        Literal["auto", "nccl", "file"],
        Field(description="How weights travel: NCCL between GPUs, or a file in shared memory."),
    ] = "auto"
    lora: Annotated[
        Literal["merged", "adapter"], Field(description="With LoRA: send merged weights, or the adapter alone.")
    ] = "merged"
    max_logp_gap: Annotated[
        float,
        Field(gt=0, description="Mean |log-probability gap| (nats) between vLLM and the trainer that stops the run."),
    ] = 0.1
    canary_samples: Annotated[
        int, Field(ge=1, description="Completions per process whose log-probabilities are compared after each sync.")
    ] = 8
    restarts: Annotated[int, Field(ge=0, description="How often a dead server is restarted before the run stops.")] = 2
    start_timeout: Annotated[float, Field(gt=0, description="Seconds the server may take until it is ready.")] = 900.0
    request_timeout: Annotated[
        float, Field(gt=0, description="Seconds one batch of completions or one weight sync may take.")
    ] = 1800.0
    args: Annotated[list[str], Field(description="Further arguments for vLLM's server, as on its command line.")] = []
    env: Annotated[dict[str, str], Field(description="Further environment variables for the server.")] = {}

    @model_validator(mode="after")
    def _one_address(self) -> "RolloutConfig":
        if self.url and self.host:
            raise ValueError(
                "'url' (a server that runs already) and 'host' (a server to start) exclude each other; keep one"
            )
        if self.port and not self.host:
            raise ValueError(
                "'port' needs 'host'; add host: 127.0.0.1, or drop the port to use the private Unix socket"
            )
        return self
