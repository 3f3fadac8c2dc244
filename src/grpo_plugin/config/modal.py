"""A file for `--cloud` whose provider is Modal: the machine, its image, and what is kept."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from grpo_plugin.config.block import Block

AXOLOTL_IMAGE = "axolotlai/axolotl"
A_DAY = 24 * 60 * 60  # seconds; no function of Modal runs for longer


def _name(value: Any) -> Any:
    if isinstance(value, Mapping):
        raise ValueError("a secret is never written here; export it, and name the variable alone")
    return value


class ModalVolume(Block):
    """A Modal volume, made if there is none of this name."""

    name: Annotated[str, Field(min_length=1, description="Name of the volume at Modal.")]
    mount: Annotated[str, Field(pattern=r"^/.", description="Folder of the container where its files are.")]


class ModalConfig(Block):
    """The container for a recipe at Modal; keys that Axolotl's `--cloud` has mean here what they mean there."""

    provider: Annotated[Literal["modal"], Field(description="Where the recipe runs.")] = "modal"
    gpu: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z][\w+!-]*(:[1-8])?$",
            description="Kind of GPU in Modal's words, `h200` or `h200:8`; Modal says which there are.",
            json_schema_extra={"expected": "a kind of GPU such as h200, or with a count h200:8"},
        ),
    ]
    gpu_count: Annotated[int | None, Field(ge=1, le=8, description="GPUs of the container; by default 1.")] = None
    cpu: Annotated[float, Field(gt=0, description="Processor cores.")] = 16
    memory: Annotated[int, Field(ge=1, description="Memory in GiB.")] = 128
    timeout: Annotated[int, Field(ge=1, le=A_DAY, description="Seconds after which Modal ends the run.")] = A_DAY
    docker_tag: Annotated[str, Field(description="Tag of the image axolotlai/axolotl.")] = "main-py3.11-cu128-2.9.1"
    image: Annotated[
        str | None, Field(min_length=1, description="Another image of a registry, in place of axolotlai/axolotl.")
    ] = None
    dockerfile_commands: Annotated[
        list[str], Field(default_factory=list, description="Lines of a Dockerfile that change the image.")
    ]
    env: Annotated[
        list[str | dict[str, str | int | float]],
        Field(
            default_factory=list,
            description="Environment variables: a name, whose value here is taken, or `NAME: value`.",
        ),
    ]
    secrets: Annotated[
        list[Annotated[str, BeforeValidator(_name)]],
        Field(default_factory=list, description="Names of environment variables here whose values are secret."),
    ]
    modal_secrets: Annotated[
        list[Annotated[str, BeforeValidator(_name)]],
        Field(default_factory=list, description="Names of secrets that Modal keeps."),
    ]
    volumes: Annotated[
        list[ModalVolume],
        Field(min_length=1, description="Volumes; the first holds output_dir and the caches, which outlive the run."),
    ]
    files: Annotated[
        list[str],
        Field(default_factory=list, description="More files and folders that travel, such as those that rewards read."),
    ]

    @model_validator(mode="after")
    def _check_one_count(self) -> "ModalConfig":
        if ":" in self.gpu and self.gpu_count is not None:
            raise ValueError("'gpu' and 'gpu_count' both give a count; drop one")
        return self

    @property
    def gpus(self) -> int:
        return int(self.gpu.partition(":")[2] or self.gpu_count or 1)

    @property
    def request(self) -> str:
        """The GPUs in Modal's words: `H200:8`."""
        return f"{self.gpu.partition(':')[0].upper()}:{self.gpus}"

    @property
    def base_image(self) -> str:
        return self.image or f"{AXOLOTL_IMAGE}:{self.docker_tag}"
