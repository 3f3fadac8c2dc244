"""A model that vLLM serves as it is, without a trainer: for the evaluation of finished models."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from transformers import GenerationConfig
from trl.data_utils import is_conversational, prepare_multimodal_messages

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.length_budget import COMPLETION
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.trainer.generator import Completion, Generator
from grpo_plugin.trainer.terminators import terminators
from grpo_plugin.trainer.tokenization import Images, PromptTokenizer


class ServedModel:
    """The backend of a server that keeps the weights it has loaded."""

    version = 0
    is_ahead = False

    def __init__(self, client: Client, *, verify_version: bool) -> None:
        self._client, self._verify_version = client, verify_version

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
            prompt_ids,
            n=n,
            sampling=sampling,
            version=self.version,
            verify_version=self._verify_version,
            images=images if any(images) else None,
        )


def generator_of(recipe: Recipe, backend: ServedModel, processing_class: Any, config: Any) -> Generator:
    """A generator whose prompts are tokenized as in training, and whose sampling is the recipe's.

    Args:
        processing_class: the model's tokenizer, or the processor of a model that takes images.
        config: transformers' configuration of the model.
    """
    trl = recipe.trl
    kwargs = dict(trl.get("chat_template_kwargs") or {})
    tokenizer = PromptTokenizer(
        tokenize_as_trl(processing_class, kwargs),
        processing_class,
        keep_special_tokens=recipe.rewards is not None and recipe.rewards.keep_special_tokens,
        template=kwargs,
    )
    text_tokenizer = getattr(processing_class, "tokenizer", processing_class)
    model = SimpleNamespace(config=config, generation_config=_generation_config(config.name_or_path))
    sampling = Sampling(
        max_tokens=int(trl.get("max_completion_length") or COMPLETION),
        temperature=float(trl.get("temperature") or 1.0),
        top_p=float(trl.get("top_p") or 1.0),
        top_k=int(trl.get("top_k") or 0),
        min_p=trl.get("min_p"),
        repetition_penalty=float(trl.get("repetition_penalty") or 1.0),
        stop_token_ids=terminators(text_tokenizer, model),
        extra=dict(trl.get("generation_kwargs") or {}),
    )
    return Generator(backend, tokenizer, sampling, Stopwatch())


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
