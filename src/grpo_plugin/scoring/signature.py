"""How a reward function is called, read from its parameters.

Two families are known: TRL's (`completions` and dataset columns as keywords) and the three shapes of EasyR1's
`compute_score` (`reward_inputs`, a list of dicts; `reward_input`, one dict; `prompts, responses, answers`).
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from grpo_plugin.errors import RewardError, nearest, suggestion
from grpo_plugin.scoring.completions import CompletionBatch, text_of
from grpo_plugin.scoring.side_effects import private_copy

# Columns in which EasyR1's shapes look for the gold answer: `answer` is what prompts.answer_key names, the others the
# data's own.
GOLD_COLUMNS = ("answer", "ground_truth", "solution")
GIVEN_BY_TRL = ("prompts", "completions", "completion_ids")
Kwargs = dict[str, Any]

# Columns that are costly to hand to another process.
_HEAVY = ("image", "images")
EXTRAS = ("trainer_state", "log_extra", "log_metric", "environments")


@dataclass(frozen=True)
class Signature:
    """The parameters of one reward function, sorted into what they will be filled from.

    Attributes:
        shape: a key of `SHAPES`.
        required: columns without which the function cannot be called.
        optional: columns it names and can be called without.
        takes_any: it takes every column (`**columns`), images excepted, which are given to those who name them.
        extras: objects of the trainer it names among its parameters.
    """

    shape: str
    required: frozenset[str]
    optional: frozenset[str]
    takes_any: bool
    extras: frozenset[str]

    def columns(self, available: Collection[str]) -> list[str]:
        """The available columns that this function is given."""
        if self.shape != "trl":
            return [name for name in (*GOLD_COLUMNS, "row") if name in available]
        named = self.required | self.optional
        return [name for name in available if name in named or (self.takes_any and name not in _HEAVY)]


def read(where: str, function: Callable[..., Any], kwargs: Mapping[str, Any]) -> Signature:
    """Sort the parameters of `function`, called with the recipe's `kwargs`.

    Raises:
        RewardError: it takes no completions, or a key of `kwargs` is no parameter of it.
    """
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {name: p for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    for key in kwargs:
        if key not in named and not takes_any:
            hint = suggestion(key, list(named), f"it takes {', '.join(named)}.")
            raise RewardError(f"{where}.kwargs.{key}: the function has no such parameter; {hint}")
    shape = _shape(where, function, named, takes_any)
    if shape != "trl":
        return Signature(shape, frozenset(), frozenset(), False, frozenset())
    free = {name: p for name, p in named.items() if name not in (*GIVEN_BY_TRL, *EXTRAS, *kwargs)}
    required = frozenset(name for name, p in free.items() if p.default is p.empty)
    return Signature("trl", required, frozenset(free) - required, takes_any, frozenset(EXTRAS) & frozenset(named))


def check_columns(where: str, signature: Signature, available: Collection[str]) -> None:
    """Raise RewardError where the data lacks a column that the function needs."""
    if signature.shape != "trl":
        if not any(name in available for name in GOLD_COLUMNS):
            raise RewardError(
                f"{where}: asks for one of the columns {', '.join(GOLD_COLUMNS)}, and the data has "
                f"{_listed(available)}; name the column with prompts.answer_key."
            )
        return
    for name in sorted(signature.required.difference(available)):
        golds = [column for column in GOLD_COLUMNS if column in available and name in GOLD_COLUMNS]
        close = nearest(name, available) or (golds[0] if golds else None)
        hint = f"did you mean {close!r}? Rename" if close else "rename"
        raise RewardError(
            f"{where}: asks for the column {name!r}, and the data has {_listed(available)}; {hint} the column, "
            f"set prompts.answer_key, or give {name!r} under kwargs."
        )


def call(signature: Signature, function: Callable[..., Any], batch: CompletionBatch, kwargs: Mapping[str, Any]) -> Any:
    """Call `function` on `batch` in its own shape; what it returns is not checked here (an awaitable if async).

    The lists and dicts that it gets are copies of its own: what it does to them reaches neither training nor another
    function.
    """
    return SHAPES[signature.shape](signature, function, batch, private_copy(dict(kwargs)))


def _shape(where: str, function: Callable[..., Any], named: Collection[str], takes_any: bool) -> str:
    if "completions" in named:
        return "trl"
    for shape in ("reward_inputs", "reward_input", "responses"):
        if shape in named:
            return shape
    kind = getattr(inspect.getmodule(function), "REWARD_TYPE", None)
    if kind in ("batch", "sequential"):
        return "reward_inputs" if kind == "batch" else "reward_input"
    if takes_any:
        return "trl"
    raise RewardError(
        f"{where}: the function takes ({', '.join(named)}), and a reward function takes `completions` (TRL), "
        "`reward_inputs`, `reward_input` or `responses` (EasyR1); rename its first parameter."
    )


def _call_trl(signature: Signature, function: Callable[..., Any], batch: CompletionBatch, kwargs: Kwargs) -> Any:
    names = inspect.signature(function).parameters
    takes_any = signature.takes_any
    given = {"prompts": batch.prompts, "completions": batch.completions, "completion_ids": batch.completion_ids}
    values = {name: private_copy(value) for name, value in given.items() if takes_any or name in names}
    values |= {name: private_copy(batch.columns[name]) for name in signature.columns(batch.columns)}
    values |= {name: value for name, value in batch.extras.items() if takes_any or name in signature.extras}
    return function(**(values | kwargs))


def _call_batch(_: Signature, function: Callable[..., Any], batch: CompletionBatch, kwargs: Kwargs) -> Any:
    return function(_reward_inputs(batch), **kwargs)


def _call_each(_: Signature, function: Callable[..., Any], batch: CompletionBatch, kwargs: Kwargs) -> Any:
    return [function(reward_input, **kwargs) for reward_input in _reward_inputs(batch)]


def _call_responses(_: Signature, function: Callable[..., Any], batch: CompletionBatch, kwargs: Kwargs) -> Any:
    given: dict[str, Any] = {
        "prompts": [text_of(prompt) for prompt in batch.prompts],
        "responses": [text_of(completion) for completion in batch.completions],
        "answers": _golds(batch),
    }
    names = inspect.signature(function).parameters
    return function(**({name: value for name, value in given.items() if name in names} | kwargs))


def _reward_inputs(batch: CompletionBatch) -> list[dict[str, Any]]:
    """EasyR1's rows: `response`, `response_length` in tokens, `ground_truth`."""
    return [
        {"response": text_of(completion), "response_length": len(ids), "ground_truth": gold}
        for completion, ids, gold in zip(batch.completions, batch.completion_ids, _golds(batch), strict=True)
    ]


def _golds(batch: CompletionBatch) -> list[Any]:
    """The gold answers: the first of `GOLD_COLUMNS` that there is."""
    return private_copy(list(next(batch.columns[name] for name in GOLD_COLUMNS if name in batch.columns)))


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "no columns"


SHAPES: dict[str, Callable[..., Any]] = {
    "trl": _call_trl,
    "reward_inputs": _call_batch,
    "reward_input": _call_each,
    "responses": _call_responses,
}
