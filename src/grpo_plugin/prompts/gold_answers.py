"""Gold answers extracted from worked solutions."""

from collections.abc import Callable

from grpo_plugin.prompts.row_errors import RowError


def gsm8k(solution: str) -> str:
    """The number behind the last `####`, without thousands separators (Cobbe et al. 2021, arXiv 2110.14168)."""
    _, mark, answer = solution.rpartition("####")
    if not mark:
        raise RowError("an answer without '####' (prompts.answer_extract: gsm8k)")
    return answer.strip().replace(",", "")


def boxed(solution: str) -> str:
    r"""The content of the last `\boxed{…}`, braces matched."""
    start = solution.rfind("\\boxed{")
    depth = 0
    for position in range(start + len("\\boxed"), len(solution) if start >= 0 else 0):
        depth += {"{": 1, "}": -1}.get(solution[position], 0)
        if depth == 0:
            return solution[start + len("\\boxed{") : position].strip()
    raise RowError("an answer without a closed \\boxed{} (prompts.answer_extract: boxed)")


EXTRACTORS: dict[str, Callable[[str], str]] = {"gsm8k": gsm8k, "boxed": boxed}
