"""The commands that run a recipe on FlexAI (docs.flex.ai), follow it, and serve the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

AXOLOTL = "/layers/flexai_pip-install/packages/bin/axolotl"  # where FlexAI installs a requirement's programs
OUTPUT = "/output-checkpoint"  # what is written there, its checkpoint manager keeps
INPUT = "/input-checkpoint"  # where it mounts the checkpoint of --checkpoint
CHECKPOINT_ID, ENDPOINT, KEY = "CHECKPOINT_ID", "ENDPOINT_URL", "API_KEY"


@dataclass(frozen=True)
class FlexAIJob:
    """One training job.

    Attributes:
        accels: GPUs per node.
        processes: trainer processes on all nodes.
        repository: URL of a clone that FlexAI can read.
        requirements: path in that clone.
        secrets: environment variable → name of the secret at FlexAI.
        runtime: of FlexAI's; None for its default.
        checkpoint: name of a model that was pushed; None to load the recipe's from the hub.
        overrides: options of `axolotl train`.
    """

    name: str
    recipe: str
    accels: int
    processes: int
    repository: str
    requirements: str
    secrets: Mapping[str, str]
    runtime: str | None = None
    checkpoint: str | None = None
    overrides: Sequence[str] = ()

    def command(self) -> list[str]:
        """`flexai training run …`, on one node."""
        words = ["flexai", "training", "run", self.name, "--accels", str(self.accels), "--nodes", "1"]
        words += ["--repository-url", self.repository, "--requirements-path", self.requirements]
        for variable, secret in self.secrets.items():
            words += ["--secret", f"{variable}={secret}"]
        words += ["--env", "AXOLOTL_DO_NOT_TRACK=1"]
        words += ["--runtime", self.runtime] if self.runtime else []
        words += ["--checkpoint", self.checkpoint] if self.checkpoint else []
        model = [f"--base-model={INPUT}"] if self.checkpoint else []
        train = [AXOLOTL, "train", self.recipe, f"--num-processes={self.processes}", *self.overrides]
        return [*words, "--", *train, *model, f"--output-dir={OUTPUT}"]

    def follow(self) -> list[list[str]]:
        """State, logs and checkpoints of the job."""
        return [["flexai", "training", what, self.name] for what in ("inspect", "logs", "checkpoints")]

    def serve(self) -> list[list[str]]:
        """Serve a checkpoint of the job, look after the endpoint, and ask it."""
        ask = ["curl", f"{ENDPOINT}/v1/chat/completions", "-H", f"Authorization: Bearer {KEY}"]
        ask += ["-H", "Content-Type: application/json"]
        ask += ["-d", '{"model": "MODEL", "messages": [{"role": "user", "content": "What is 17 * 24?"}]}']
        return [
            ["flexai", "inference", "serve", self.name, "--checkpoint", CHECKPOINT_ID],
            ["flexai", "inference", "list"],
            *(["flexai", "inference", what, self.name] for what in ("inspect", "logs")),
            ["curl", f"{ENDPOINT}/v1/models", "-H", f"Authorization: Bearer {KEY}"],
            ask,
        ]


def prefetch(name: str, model: str, hf_secret: str) -> list[list[str]]:
    """Load a hub's model into FlexAI's storage under `name`, for --checkpoint."""
    create = ["flexai", "storage", "create", "huggingface", "--provider", "huggingface", "--hf-token-name", hf_secret]
    push = ["flexai", "checkpoint", "push", name, "--storage-provider", "huggingface", "--source-path", model]
    return [create, push]
