"""EasyR1's `worker.reward` section: `rewards:`."""

from typing import Any

from grpo_plugin.importing.draft import Draft

Functions = list[dict[str, Any]]


def rewards(draft: Draft) -> None:
    """The function, or ours where it is one of EasyR1's examples."""
    function = str(draft.source["worker.reward.reward_function"] or "")
    kwargs = dict(draft.source["worker.reward.reward_function_kwargs"] or {})
    origin = "worker.reward.reward_function"
    if not function:
        draft.leave(origin, "names no function; write one into the recipe")
    elif functions := _example(function, kwargs):
        draft.put("rewards.functions", functions, f"{origin}: {function}")
    else:
        named = function if ":" in function else f"{function}:main"
        draft.put("rewards.functions", [{"function": named} | ({"kwargs": kwargs} if kwargs else {})], origin)
    draft.put("rewards.workers", max(2, int(draft.source["worker.reward.num_cpus"])), "worker.reward.num_cpus")
    draft.leave("worker.reward.skip_special_tokens", "rewards see completions without special tokens")


def is_dapo(draft: Draft) -> bool:
    """Whether the reward is EasyR1's dapo.py, whose accuracy is ±1 in ours and has a normalised twin in theirs."""
    return str(draft.source["worker.reward.reward_function"]).endswith("examples/reward_function/dapo.py:compute_score")


def _example(function: str, kwargs: dict[str, Any]) -> Functions | None:
    path, _, name = function.rpartition(":")
    if name != "compute_score" or not any(folder in path for folder in _FOLDERS):
        return None
    example = path.rpartition("/")[2].removesuffix(".py")
    if example == "dapo":
        return [{"function": "rewards.dapo.accuracy"}, {"function": "rewards.dapo.overlong", "kwargs": kwargs}]
    if example == "android_gui":
        return [{"function": "rewards.choice.accuracy"}]
    if example in _FORMAT_WEIGHTS:
        share = float(kwargs.get("format_weight", _FORMAT_WEIGHTS[example]))
        return [
            {"function": f"rewards.{example}.accuracy", "weight": round(1 - share, 6)},
            {"function": f"rewards.{example}.format", "weight": share},
        ]
    return None


_FOLDERS = ("examples/reward_function/", "examples/score_function/")  # the second in earlier versions
_FORMAT_WEIGHTS = {"math": 0.1, "r1v": 0.5}
