"""The `rollout:` block: where completions come from and how weights reach it."""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from grpo_plugin.config.block import Block

# Text that YAML may read as a number.
Text = Annotated[str, Field(coerce_numbers_to_str=True), WithJsonSchema({"type": ["string", "number"]})]

# vLLM arguments that this package must know about, and the key of the recipe that sets each.
OWNED_ARGS = {
    "--uds": "rollout.host",
    "--host": "rollout.host",
    "--port": "rollout.port",
    "--api-key": "rollout.host, which makes a key by itself",
    "--model": "base_model",
    "--served-model-name": "base_model",
    "--tensor-parallel-size": "vllm.tensor_parallel_size",
    "-tp": "vllm.tensor_parallel_size",
    "--data-parallel-size": "vllm.data_parallel_size",
    "-dp": "vllm.data_parallel_size",
    "--logprobs-mode": "nothing, because the trainer needs the log-probabilities that tokens were sampled with",
    "--weight-transfer-config": "rollout.sync",
    "--enable-lora": "rollout.lora",
}


class RolloutConfig(Block):
    """Where vLLM runs, how weights reach it, and what happens when it fails."""

    gpus: Annotated[
        int | None,
        Field(ge=1, description="GPUs for vLLM, the last visible ones; by default as many as `vllm:` needs."),
    ] = None
    python: Annotated[
        str | None, Field(description="Python interpreter that has vLLM; by default the one that trains.")
    ] = None
    url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://",
            description="Address of a vLLM server that runs already; this run neither starts nor stops it.",
            json_schema_extra={"expected": "an address such as http://host:8000"},
        ),
    ] = None
    host: Annotated[
        str | None, Field(description="Address to serve on over TCP; by default a private Unix socket is used.")
    ] = None
    port: Annotated[int | None, Field(ge=1, le=65535, description="TCP port; needs `host`; by default a free one.")] = (
        None
    )
    sync: Annotated[
        Literal["auto", "nccl", "file"],
        Field(description="How weights reach vLLM: NCCL between GPUs, or a file in shared memory."),
    ] = "auto"
    lora: Annotated[
        Literal["merged", "adapter"], Field(description="With LoRA: send the merged weights, or the adapter alone.")
    ] = "merged"
    lookahead: Annotated[
        Literal[0, 1],
        Field(description="With 1, the next rollout batch is generated during the update, with weights one batch old."),
    ] = 0
    max_logp_gap: Annotated[
        float | None,
        Field(
            gt=0,
            description="Mean difference (nats) of vLLM's and the trainer's log-probabilities at which the run stops; "
            "by default 0.001 where both compute in float32, else 0.1.",
        ),
    ] = None
    canary_samples: Annotated[
        int,
        Field(ge=1, description="Completions per process whose log-probabilities are compared after each weight sync."),
    ] = 8
    restarts: Annotated[
        int, Field(ge=0, description="How often a failed server is restarted before the run stops.")
    ] = 2
    start_timeout: Annotated[float, Field(gt=0, description="Seconds until the server must be ready.")] = 900.0
    request_timeout: Annotated[
        float, Field(gt=0, description="Seconds that one batch of completions or one weight sync may take.")
    ] = 1800.0
    stop_timeout: Annotated[
        float,
        Field(gt=0, description="Seconds in which the run finishes its step and saves a checkpoint after SIGTERM."),
    ] = 300.0
    record_tokens: Annotated[
        bool,
        Field(
            description="Keep each token's id, text, log-probability and advantage in `generations/`, for the report "
            "and `replay`; about 30 bytes for each token."
        ),
    ] = False
    args: list[Text] = Field(
        default_factory=list, description="Further arguments of vLLM's server, as on its command line."
    )
    env: dict[str, Text] = Field(default_factory=dict, description="Further environment variables of the server.")

    @field_validator("args")
    @classmethod
    def _not_owned(cls, args: list[str]) -> list[str]:
        for arg in args:
            if owner := OWNED_ARGS.get(arg.partition("=")[0]):
                raise ValueError(f"{arg!r} cannot be given here; it is set by {owner}")
        return args

    @model_validator(mode="after")
    def _one_address(self) -> "RolloutConfig":
        if self.url and (self.host or self.gpus):
            raise ValueError(
                "'url' (a server that runs already) excludes 'host' and 'gpus' (a server to start); keep one of them"
            )
        if self.port and not self.host:
            raise ValueError(
                "'port' needs 'host'; add host: 127.0.0.1, or drop the port to use the private Unix socket"
            )
        return self
