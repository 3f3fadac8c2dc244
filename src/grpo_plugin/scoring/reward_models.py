"""A Hugging Face reward model (a sequence classifier with one output) as a reward function."""

import threading
from collections.abc import Sequence
from typing import Any

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.completions import text_of


class ModelReward:
    """The score that a reward model gives to prompt and completion together.

    The model is loaded at the first call, onto this process's GPU where there is one. A conversation is rendered by the
    model's own chat template; plain text is joined.
    """

    def __init__(self, model: str) -> None:
        self.__name__ = model.rstrip("/").rpartition("/")[2]
        self._model_id = model
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def check(self) -> None:
        """Raise RewardError where there is no such model, or it has not one output."""
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self._model_id)
        except (OSError, ValueError) as error:
            first_line = str(error).partition("\n")[0]
            raise RewardError(
                f"rewards: {self._model_id!r} is no function and no readable Hugging Face model ({first_line}); "
                "write package.module.name, path/to/file.py:name, or the id or folder of a reward model."
            ) from error
        architectures = config.architectures or []
        if not any(name.endswith("ForSequenceClassification") for name in architectures) or config.num_labels != 1:
            raise RewardError(
                f"rewards: {self._model_id!r} is no reward model: it is {', '.join(architectures) or 'unknown'} with "
                f"{config.num_labels} outputs; name a sequence classifier with one output."
            )

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        batch_size: int = 8,
        max_length: int | None = None,
    ) -> list[float]:
        """The model's one logit for each of B completions; texts over `max_length` tokens are cut at their end."""
        import torch

        tokenizer, model = self._load()
        texts = [self._text(tokenizer, prompt, text) for prompt, text in zip(prompts, completions, strict=True)]
        scores: list[float] = []
        for start in range(0, len(texts), batch_size):
            inputs = tokenizer(
                texts[start : start + batch_size],
                return_tensors="pt",
                padding=True,
                truncation=max_length is not None,
                max_length=max_length,
                add_special_tokens=False,
            ).to(model.device)
            with torch.inference_mode():
                scores += model(**inputs).logits[:, 0].float().tolist()
        return scores

    @staticmethod
    def _text(tokenizer: Any, prompt: Any, completion: Any) -> str:
        if isinstance(prompt, str):
            return prompt + text_of(completion)
        answer = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
        return str(tokenizer.apply_chat_template([*prompt, *answer], tokenize=False))

    def _load(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        with self._lock:
            if self._loaded is None:
                tokenizer = AutoTokenizer.from_pretrained(self._model_id)
                model = AutoModelForSequenceClassification.from_pretrained(self._model_id, num_labels=1)
                if tokenizer.pad_token_id is None:
                    tokenizer.pad_token = tokenizer.eos_token
                model.config.pad_token_id = tokenizer.pad_token_id
                device = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
                self._loaded = tokenizer, model.to(device).eval()
            return self._loaded
