"""A model that vLLM serves as it is, without a trainer: for the evaluation of finished models."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from accelerate import Accelerator
from transformers import GenerationConfig
from trl.data_utils import is_conversational, prepare_multimodal_messages

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.environments.episode import Completion, Episode
from grpo_plugin.environments.loading import Environments
from grpo_plugin.environments.rendering import ChatRenderer
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.length_budget import longest_completion, sequence_limit
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.sampling import FORBIDDEN, Sampling
from grpo_plugin.scoring.async_loop import wait_for
from grpo_plugin.trainer.episodes import EpisodeSampler
from grpo_plugin.trainer.generator import Generator
from grpo_plugin.trainer.terminators import terminators
from grpo_plugin.trainer.tokenization import Images, PromptTokenizer
from grpo_plugin.trainer.vision import collapsed, placeholders_of


class ServedModel:
    """The backend of a server that keeps the weights it has loaded.

    Args:
        image_token: what stands for an image in prompts, once for each part of it; None for a model without images.
    """

    version = 0
    is_ahead = False
    plays_on_main = True

    def __init__(self, client: Client, *, verify_version: bool, image_token: int | None = None) -> None:
        self._client, self._verify_version, self._image_token = client, verify_version, image_token

    def sync_weights(self, step: int) -> None:
        """Sends nothing."""

    def state(self) -> int:
        """The version."""
        return self.version

    def restore(self, state: int) -> None:
        """Changes nothing."""

    def generate(
        self, prompt_ids: list[list[int]], n: int, sampling: Sampling, images: list[Images], *, fresh: bool = False
    ) -> Sequence[Sequence[Completion]]:
        """As `Backend.generate`."""
        return self._client.complete(
            collapsed(prompt_ids, self._image_token),
            n=n,
            sampling=sampling,
            version=self.version,
            verify_version=self._verify_version,
            images=images if any(images) else None,
        )

    def play(self, episodes: Sequence[Episode], sampling: Sampling) -> None:
        """As `Backend.play`."""
        verify = self._verify_version
        wait_for(self._client.play(episodes, sampling=sampling, version=self.version, verify_version=verify), None)


def generator_of(recipe: Recipe, backend: ServedModel, processing_class: Any, config: Any) -> Generator:
    """A generator whose prompts are tokenized as in training, and whose sampling is the recipe's; args as below."""
    tokenizer = tokenizer_of(recipe, processing_class)
    return Generator(backend, tokenizer, sampling_of(recipe, processing_class, config), Stopwatch())


def episodes_of(
    recipe: Recipe,
    environments: Environments,
    generator: Generator,
    processing_class: Any,
    config: Any,
    accelerator: Accelerator,
) -> EpisodeSampler:
    """Plays episodes as in training; RecipeError where the chat template does not allow it.

    Args:
        config: transformers' configuration of the model.
    """
    kwargs = recipe.trl.get("chat_template_kwargs")
    renderer = ChatRenderer(processing_class, generator.sampling.stop_token_ids, template_kwargs=kwargs)
    rendering = environments.rendering(renderer, recipe.folder)
    elsewhere = recipe.rollout is not None and bool(recipe.rollout.url)
    limit = sequence_limit(recipe, config.to_dict(), serves=not elsewhere)
    return EpisodeSampler(environments, rendering, generator.backend, accelerator, Stopwatch(), limit)


def tokenizer_of(recipe: Recipe, processing_class: Any) -> PromptTokenizer:
    """Prompts to ids and ids to texts, as in training.

    Args:
        processing_class: the model's tokenizer, or the processor of a model that takes images.
    """
    kwargs = dict(recipe.trl.get("chat_template_kwargs") or {})
    return PromptTokenizer(
        tokenize_as_trl(processing_class, kwargs),
        processing_class,
        keep_special_tokens=recipe.rewards is not None and recipe.rewards.keep_special_tokens,
        template=kwargs,
    )


def sampling_of(recipe: Recipe, processing_class: Any, config: Any) -> Sampling:
    """The sampling of training.

    Args:
        config: transformers' configuration of the model.
    """
    trl = recipe.trl
    text_tokenizer = getattr(processing_class, "tokenizer", processing_class)
    model = SimpleNamespace(config=config, generation_config=_generation_config(config.name_or_path))
    return Sampling(
        max_tokens=longest_completion(recipe),
        temperature=float(trl.get("temperature") or 1.0),
        top_p=float(trl.get("top_p") or 1.0),
        top_k=int(trl.get("top_k") or 0),
        min_p=trl.get("min_p"),
        repetition_penalty=float(trl.get("repetition_penalty") or 1.0),
        stop_token_ids=terminators(text_tokenizer, model),
        logit_bias=dict.fromkeys(placeholders_of(config), FORBIDDEN),
        extra=dict(trl.get("generation_kwargs") or {}),
    )


def tokenize_as_trl(processing_class: Any, kwargs: Mapping[str, Any]) -> Callable[[list[Any]], Any]:
    """TRL's `_tokenize_prompts`, without a trainer: prompts of one kind to (token ids,)."""

    def tokenize(prompts: list[Any]) -> Any:
        if not is_conversational({"prompt": prompts[0]}):
            return (processing_class(text=prompts)["input_ids"],)
        if hasattr(processing_class, "image_processor"):
            prompts = [prepare_multimodal_messages(prompt) for prompt in prompts]
        tokenized = processing_class.apply_chat_template(
            conversation=prompts, add_generation_prompt=True, tokenize=True, return_dict=True, **kwargs
        )
        return (tokenized["input_ids"],)

    return tokenize


def _generation_config(model: str) -> GenerationConfig | None:
    try:
        return GenerationConfig.from_pretrained(model)
    except OSError:  # the model has none
        return None
