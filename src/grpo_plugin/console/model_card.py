"""The model card of a run: what was trained from what, by which algorithm and rewards, with which result.

Axolotl and TRL write one that names no base model where it is a folder, and GRPO whatever the algorithm was.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from grpo_plugin.algorithms.settings import Algorithm, of_recipe
from grpo_plugin.config.rewards import RewardFunction
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.length_budget import longest_completion
from grpo_plugin.validation.evaluation import Evaluation

HUB_PARTS = 2  # user/name
PACKAGES = ("grpo-plugin", "axolotl", "trl", "transformers", "torch")


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model that a run has trained.

    Attributes:
        name: of the model, as its folder or repository is called.
        step: optimizer steps done.
        evaluations: of the run, up to that step.
        versions: of the libraries that trained it, by package.
        merged: a LoRA adapter has been merged into its base model.
    """

    recipe: Recipe
    name: str
    step: int
    evaluations: Sequence[Evaluation]
    versions: Mapping[str, str]
    merged: bool = False

    def text(self) -> str:
        """The card as Markdown with the hub's metadata in front."""
        parts = [
            f"---\n{yaml.safe_dump(self._metadata(), sort_keys=False, allow_unicode=True)}---",
            f"# {self.name}",
            self._introduction(),
            table(("", ""), self._facts()),
            "## Rewards",
            "Their sum, each times its weight, is the reward of a completion.",
            table(("function", "weight"), [(_code(f.function), f"{f.weight:g}") for f in self._functions()]),
            *self._results(),
            "## How to load it",
            *self._loading(),
        ]
        return "\n\n".join(parts) + "\n"

    @property
    def _is_adapter(self) -> bool:
        return bool(self.recipe.values.get("adapter")) and not self.merged

    def _metadata(self) -> dict[str, Any]:
        base = self.recipe.values["base_model"]
        data = [source.partition("@")[0].partition(":")[0] for source in self._sources() if _on_hub(source)]
        found = {
            "base_model": base if _on_hub(base) else None,
            "base_model_relation": "adapter" if self._is_adapter else "finetune",
            "library_name": "peft" if self._is_adapter else "transformers",
            "pipeline_tag": "image-text-to-text" if self._has_images() else "text-generation",
            "datasets": list(dict.fromkeys(data)) or None,
            "tags": ["reinforcement-learning", self._algorithm_name(), "axolotl", "grpo_plugin"],
        }
        return {key: value for key, value in found.items() if value is not None}

    def _introduction(self) -> str:
        kind = "A LoRA adapter of" if self._is_adapter else "Made from"
        return (
            f"{kind} {_named(self.recipe.values['base_model'])} by {self.step} optimizer steps of reinforcement "
            f"learning with verifiable rewards ({self._algorithm_name()}), with grpo_plugin on Axolotl."
        )

    def _facts(self) -> Iterable[tuple[str, str]]:
        values, trl = self.recipe.values, self.recipe.trl
        yield "base model", _named(values["base_model"])
        yield "algorithm", _described(self._algorithm_name(), of_recipe(self.recipe.algorithm, trl))
        yield "training data", ", ".join(_named(source) for source in self._sources()) or "not named"
        yield "optimizer steps", str(self.step)
        yield "completions per prompt", str(trl.get("num_generations") or 8)
        yield "longest completion", f"{longest_completion(self.recipe)} tokens"
        yield "sampling temperature", f"{trl.get('temperature') or 1.0:g}"
        yield "learning rate", str(values.get("learning_rate"))
        if values.get("adapter"):
            yield "adapter", f"{values['adapter']}, rank {values.get('lora_r')}" + (", merged" if self.merged else "")
        yield "versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())

    def _results(self) -> list[str]:
        """The figures before and after; nothing where the run was not validated."""
        known = [evaluation for evaluation in self.evaluations if evaluation.step <= self.step]
        if not known:
            return ["## Results", "The run had no held-out prompts to evaluate on."]
        first, last = (step([evaluation.step for evaluation in known]) for step in (min, max))
        before, after = _figures(known, first), _figures(known, last)
        rows = [
            (name.removeprefix("eval_"), _figure(before.get(name)), _figure(value)) for name, value in after.items()
        ]
        sentence = (
            f"On {_prompts(known, last)} held-out prompts that were not trained on, `accuracy` being {_metric(known)}."
        )
        if first == last:
            return ["## Results", sentence, table(("", f"step {last}"), [(name, value) for name, _, value in rows])]
        return ["## Results", sentence, table(("", f"before (step {first})", f"after (step {last})"), rows)]

    def _loading(self) -> list[str]:
        if self._is_adapter:
            code = "from peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer\n\n"
            code += f'model = AutoPeftModelForCausalLM.from_pretrained("{self.name}")\n'
            serve = "vLLM serves it beside its base model (`--enable-lora`), or after `axolotl grpo export`."
        else:
            auto = "AutoModelForImageTextToText" if self._has_images() else "AutoModelForCausalLM"
            code = f'from transformers import {auto}, AutoTokenizer\n\nmodel = {auto}.from_pretrained("{self.name}")\n'
            serve = f"With vLLM: `vllm serve {self.name}`."
        code += f'tokenizer = AutoTokenizer.from_pretrained("{self.name}")'
        return [f"```python\n{code}\n```", serve]

    def _algorithm_name(self) -> str:
        return self.recipe.algorithm.name if self.recipe.algorithm else "grpo"

    def _functions(self) -> Sequence[RewardFunction]:
        return self.recipe.rewards.functions if self.recipe.rewards else ()

    def _sources(self) -> list[str]:
        return [source.source for source in self.recipe.prompts.train] if self.recipe.prompts else []

    def _has_images(self) -> bool:
        return bool(self.recipe.prompts and self.recipe.prompts.image_key)


def installed_versions() -> dict[str, str]:
    """Of the libraries that train, as far as they are installed here."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def _described(name: str, algorithm: Algorithm) -> str:
    """`dapo (arXiv 2503.14476): advantage grpo, loss ppo, clip 0.2 to 0.28, …`, with the recipe's own values."""
    preset = algorithm.preset
    parts = [f"advantage `{preset.advantage}`", f"loss `{preset.loss}`"]
    if preset.clip_low is not None or preset.clip_high is not None:
        parts.append(f"clip {preset.clip_low} to {preset.clip_high}")
    parts.append(f"averaged by {preset.loss_average}")
    parts.append(f"KL {preset.kl_coef:g} in the {preset.kl_placement}" if preset.kl_coef else "no KL")
    if preset.dynamic_sampling:
        parts.append("dynamic sampling")
    if preset.overlong != "keep":
        parts.append(f"overlong: {preset.overlong}")
    return f"{name} ({preset.source}): {', '.join(parts)}"


def _figures(evaluations: Sequence[Evaluation], step: int) -> dict[str, float]:
    return {
        name: value
        for evaluation in evaluations
        if evaluation.step == step
        for name, value in evaluation.logs().items()
    }


def _prompts(evaluations: Sequence[Evaluation], step: int) -> int:
    return sum(evaluation.overall.prompts for evaluation in evaluations if evaluation.step == step)


def _metric(evaluations: Sequence[Evaluation]) -> str:
    return " and ".join(dict.fromkeys(f"`{evaluation.metric}`" for evaluation in evaluations))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _on_hub(name: str) -> bool:
    """Whether a model or a source of rows is one of the hub's, `user/name`, and no file or folder."""
    path = str(name).partition("@")[0].partition(":")[0]
    return len(Path(path).parts) == HUB_PARTS and not path.startswith((".", "/")) and not _is_file(path)


def _is_file(path: str) -> bool:
    return Path(path).exists() or Path(path).suffix in (".jsonl", ".json", ".csv", ".parquet", ".arrow")


def _named(name: str) -> str:
    """A name of the hub as it is; of a path the last part, as the others say something of this machine alone."""
    return f"`{name}`" if _on_hub(name) else f"`{Path(str(name)).name}` (local)"


def _code(function: str) -> str:
    """`my_rewards.py:accuracy` without the folders above the file."""
    path, colon, attribute = function.rpartition(":")
    return f"`{Path(path).name}:{attribute}`" if colon else f"`{function}`"
