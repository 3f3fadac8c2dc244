"""Tasks of reasoning-gym: does the task's own verifier accept the answer of a completion?

Reads the column `reasoning_gym` of rows that a task made (`prompts: {train: reasoning_gym:chain_sum}`): its entry.

    >>> answer_of("<think>7</think> It is <answer> 12 </answer>", "tags"), answer_of("<think>7</think> 12", "text")
    ('12', '12')

Needs the package: pip install 'grpo-plugin[reasoning-gym]'.
"""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from grpo_plugin.compat import reasoning_gym_package
from grpo_plugin.compat.reasoning_gym_package import may_evaluate
from grpo_plugin.errors import RewardError
from grpo_plugin.prompts.gold_answers import boxed
from grpo_plugin.prompts.row_errors import RowError
from grpo_plugin.prompts.task_entries import read_entry
from grpo_plugin.scoring.completions import text_of

log = logging.getLogger(__name__)

_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def warm_up() -> None:
    """Import the package before the first batch, as that takes seconds.

    Raises:
        RewardError: it cannot be imported.
    """
    try:
        reasoning_gym_package.load()
    except ImportError as error:
        raise RewardError(
            f"the package reasoning-gym cannot be imported ({error}); {reasoning_gym_package.INSTALL}."
        ) from error


def score(
    completions: Sequence[Any],
    reasoning_gym: Sequence[str | None],
    answer_in: str = "tags",
    all_or_nothing: bool = False,
    **columns: Any,
) -> list[float | None]:
    """What the task's verifier gives the answer, from 0.0 to 1.0, partial credit included; None for rows of other data.

    0.0 where there is no answer, and where the verifier fails on an answer though it accepts the entry's own.

    Args:
        answer_in: where the answer stands: `tags` (the last <answer>…</answer>), `boxed` (the last \\boxed{…}) or
            `text` (all that follows </think>).
        all_or_nothing: 1.0 where the verifier gives 1.0, else 0.0.

    Raises:
        RewardError: `answer_in` is not known, or the verifier fails on the entry's own answer.
    """
    if answer_in not in _READERS:
        raise RewardError(f"answer_in: {answer_in!r} is not known; write one of {', '.join(_READERS)}.")
    scores = [
        None if entry is None else _verified(entry, answer_of(text_of(completion), answer_in))
        for completion, entry in zip(completions, reasoning_gym, strict=True)
    ]
    return [score and float(score >= 1.0) for score in scores] if all_or_nothing else scores


def answer_of(text: str, answer_in: str) -> str | None:
    """The answer that a completion states, without white space around it; None where it states none."""
    found = _READERS[answer_in](text.rpartition("</think>")[2])
    return found.strip() if found and found.strip() else None


def _in_tags(text: str) -> str | None:
    found = _TAGS.findall(text)
    return str(found[-1]) if found else None


def _in_box(text: str) -> str | None:
    try:
        return boxed(text)
    except RowError:
        return None


_READERS: dict[str, Callable[[str], str | None]] = {"tags": _in_tags, "boxed": _in_box, "text": lambda text: text}


def _verified(text: str, answer: str | None) -> float:
    if answer is None:
        return 0.0
    name, task, entry = read_entry(text)
    if not may_evaluate(name, answer):
        return 0.0
    try:
        return float(task.score_answer(answer, entry))
    except Exception as error:  # verifiers are not made for every text that a model may write
        if entry["answer"] is not None:
            _verify_own(name, task, entry)
        log.warning("reasoning_gym:%s: its verifier failed on %.80r (%s): taken for wrong", name, answer, error)
        return 0.0


def _verify_own(name: str, task: Any, entry: dict[str, Any]) -> None:
    """Raise RewardError where the verifier fails on the entry's own answer, too: it is broken, or the entry is."""
    try:
        task.score_answer(entry["answer"], entry)
    except Exception as error:
        raise RewardError(
            f"reasoning_gym:{name}: its verifier fails on the entry's own answer ({type(error).__name__}: {error}); "
            "leave this task out."
        ) from error
