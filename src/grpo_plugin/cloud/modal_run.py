"""`axolotl train RECIPE --cloud FILE`: the job at Modal that a recipe becomes, as it is shown and as it is run."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from grpo_plugin.cloud import files
from grpo_plugin.compat import axolotl_modal
from grpo_plugin.compat.axolotl_modal import ModalJob
from grpo_plugin.config.modal import ModalConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.problems import problems
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.secrets import without_secrets
from grpo_plugin.recipe.yaml_file import read_yaml_mapping

RUN, PACKAGES = "/workspace/run", "/workspace/package"
# What an installed package brings by itself: the import hook that makes `axolotl train` start vLLM.
STARTUP = (
    "RUN python -c \"import site; open(site.getsitepackages()[0] + '/zz_grpo_plugin.pth', 'w').write("
    "'import importlib.util as u; u.find_spec(\\'grpo_plugin\\') and __import__(\\'grpo_plugin.launcher.startup\\')')\""
)


def start(
    recipe: Recipe, path: str, words: Sequence[str], *, num_processes: int | None, checks: bool, dry_run: bool
) -> int:
    """Run `axolotl train` with the recipe at Modal; returns the exit code.

    Args:
        path: the file after `--cloud`.
        words: the other arguments of `axolotl train`, without the recipe.
        checks: whether accelerate starts the trainers, whose number can then be checked.
        dry_run: print the job, and start nothing.

    Raises:
        RecipeError: the file, the number of processes, a secret or a path does not allow the run.
        GrpoPluginError: Modal refused or ended the run.
    """
    config = read(path)
    if checks:
        check_fit(recipe, config, num_processes)
    job = job_of(recipe, config, words, os.environ)
    print("\n".join(text(job)), flush=True)
    if dry_run:
        return 0
    code = axolotl_modal.run(job)
    print(f"Outputs: {' '.join(fetch(job))}")
    return code


def read(path: str) -> ModalConfig:
    """The file after `--cloud`.

    Raises:
        RecipeError: another provider than Modal, or a mistake in the file.
    """
    values = read_yaml_mapping(Path(path), "--cloud")
    if values.get("provider", "modal") == "baseten":
        raise RecipeError(
            "provider: 'baseten' is refused, because Axolotl sends it the recipe file alone, without base, templates, "
            "rewards and this package; use modal, or `axolotl grpo cloud flexai`."
        )
    return ModalConfig.parse("", values)


def check_fit(recipe: Recipe, config: ModalConfig, num_processes: int | None) -> None:
    """Check processes and batch against the GPUs of the container.

    Raises:
        RecipeError: for the first problem, in the words of `axolotl grpo plan`.
    """
    if recipe.rollout and recipe.rollout.python:
        raise RecipeError(
            f"rollout.python: {recipe.rollout.python!r} is an interpreter of this machine; in the container vLLM is "
            "beside Axolotl, so remove the key."
        )
    for problem in problems(recipe, Machine(config.gpus, num_processes)):
        raise RecipeError(f"{problem.rstrip('.')} (--cloud: gpu {config.request}).")


def job_of(recipe: Recipe, config: ModalConfig, words: Sequence[str], environ: Mapping[str, str]) -> ModalJob:
    """The job for one run.

    Raises:
        RecipeError: a secret that is not set here, or a path that means nothing in the container.
    """
    data = config.volumes[0].mount.rstrip("/")
    parts = files.needed(recipe, config.files)
    here = Path(recipe.values["axolotl_config_path"]).resolve().relative_to(Path.cwd()).as_posix()
    output = _output(recipe, config, data)
    split = words.index("--") if "--" in words else len(words)
    return ModalJob(
        name=f"grpo-{recipe.name}",
        command=("axolotl", "train", here, *words[:split], f"--output-dir={output}", *words[split:]),
        folder=RUN,
        image=config.base_image,
        dockerfile_commands=(*config.dockerfile_commands, STARTUP),
        env=_env(config, data, environ),
        mounts=(
            *((part.local, f"{PACKAGES}/{part.path}") for part in files.package_parts(recipe)),
            *((part.local, f"{RUN}/{part.path}") for part in parts),
        ),
        skips=files.stays,
        gpu=config.request,
        cpu=config.cpu,
        memory=config.memory * 1024,
        timeout=config.timeout,
        volumes={volume.mount: volume.name for volume in config.volumes},
        secrets=_secrets(config.secrets, environ),
        modal_secrets=tuple(config.modal_secrets),
    )


def _output(recipe: Recipe, config: ModalConfig, data: str) -> str:
    """output_dir in the container: on a volume, because the container's own disk is lost."""
    output = recipe.output_dir
    if not output.is_absolute() and ".." not in output.parts:
        return f"{data}/{output.as_posix()}"
    if any(PurePosixPath(output).is_relative_to(volume.mount) for volume in config.volumes):
        return str(output)
    raise RecipeError(
        f"output_dir: {str(output)!r} lies on no volume, and would be lost with the container; name a relative path, "
        f"which is put into {data}."
    )


def _env(config: ModalConfig, data: str, environ: Mapping[str, str]) -> dict[str, str]:
    env = {
        "HF_HUB_CACHE": f"{data}/huggingface-cache/hub",
        "HF_DATASETS_CACHE": f"{data}/huggingface-cache/datasets",
        "PYTHONPATH": PACKAGES,
        "PYTHONUNBUFFERED": "1",
        "AXOLOTL_DO_NOT_TRACK": "1",
    }
    for entry in config.env:
        if isinstance(entry, str):
            env |= {entry: environ[entry]} if entry in environ else {}
        else:
            env |= {name: str(value) for name, value in entry.items()}
    return env


def _secrets(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    names = list(names)
    for name in names:
        if not environ.get(name):
            raise RecipeError(f"secrets: {name} is not set here; export it, or remove it from the file of --cloud.")
    return {name: environ[name] for name in names}


def text(job: ModalJob) -> Iterator[str]:
    """The job, one fact per line; of a secret its name, also where `env` has it."""
    line = partial("{:<9} {}".format)
    gpu = f"{job.gpu}, {job.cpu:g} cores, {job.memory // 1024} GiB, at most {job.timeout} seconds"
    yield line("modal", f"{job.name} on {gpu}")
    yield line("image", job.image)
    yield from (line("", command) for command in job.dockerfile_commands)
    yield from (line("env", f"{name}={value}") for name, value in without_secrets(job.env).items())
    yield line("secrets", ", ".join([*job.secrets, *job.modal_secrets]) or "none")
    yield from (line("volume", f"{name} at {mount}") for mount, name in job.volumes.items())
    for local, remote in job.mounts:
        yield line("file" if local.is_file() else "folder", f"{remote} ({_size(files.Part(local, '').size)})")
    yield line("command", f"cd {job.folder} && {' '.join(job.command)}")


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**17 else f"{size / 2**10:.1f} KiB"


def fetch(job: ModalJob) -> list[str]:
    """The command that copies output_dir from its volume to this machine."""
    output = [word for word in job.command if word.startswith("--output-dir=")][-1].partition("=")[2]
    mount = max((mount for mount in job.volumes if PurePosixPath(output).is_relative_to(mount)), key=len)
    return ["modal", "volume", "get", job.volumes[mount], str(PurePosixPath(output).relative_to(mount)), "."]
