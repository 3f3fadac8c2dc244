"""EasyR1's `worker.reward` section: `rewards:`."""

from collections.abc import Callable
from typing import Any

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.errors import RecipeError

Functions = list[dict[str, Any]]

_FUNCTION, _KWARGS = "worker.reward.reward_function", "worker.reward.reward_function_kwargs"
_FOLDERS = ("examples/reward_function/", "examples/score_function/")  # the second in earlier versions
_BARE = ("math", "r1v")  # the earliest versions named their rewards by one word


def rewards(draft: Draft) -> None:
    """The function, or ours where it is one of EasyR1's examples.

    Raises:
        RecipeError: no function, or a word that names none.
    """
    function = str(draft.source[_FUNCTION] or "")
    name = draft.source.name(_FUNCTION)
    if not function:
        raise RecipeError(f"{name}: missing; name the function that judges, path/to/file.py:function.")
    if function in _BARE:
        _note_of_early_prompts(draft)
    elif ".py" not in function:
        raise RecipeError(f"{name}: {function!r} is unknown; known: {', '.join(_BARE)}, path/to/file.py:function.")
    _put(draft, function)
    draft.drop("worker.reward.skip_special_tokens", "rewards get completions without special tokens", same_at=True)
    draft.drop("worker.reward.num_cpus", "Ray's share for one process; rewards.workers says how many processes judge")


def is_dapo(draft: Draft) -> bool:
    """Whether the reward is EasyR1's for DAPO: its accuracy is ±1 as ours is, and has a normalised twin."""
    return _example_of(str(draft.source[_FUNCTION])) in ("dapo", "math_dapo")


def _put(draft: Draft, function: str) -> None:
    kwargs = draft.source.mapping(_KWARGS)
    example = _example_of(function)
    make, taken = _EXAMPLES.get(example, (None, ()))
    if make is None:
        one = {"function": function if ":" in function else f"{function}:main"} | ({"kwargs": kwargs} if kwargs else {})
        draft.put("rewards.functions", [one], _FUNCTION, *draft.source.under(_KWARGS))
        return
    origins = [key for key in draft.source.under(_KWARGS) if key.removeprefix(f"{_KWARGS}.") in taken]
    known = {key: value for key, value in kwargs.items() if key in taken}
    draft.put("rewards.functions", make(known), _FUNCTION, *origins, note=f"; it was {function}")
    for key in draft.source.under(_KWARGS):
        if key not in origins:
            draft.drop(key, "our reward in its place takes no such argument", same_at={})


def _example_of(function: str) -> str:
    """The name of one of EasyR1's examples; "" for a function of the user's own."""
    if function in _BARE:
        return function
    path, _, name = function.rpartition(":")
    if name != "compute_score" or not any(folder in path for folder in _FOLDERS):
        return ""
    return path.rpartition("/")[2].removesuffix(".py")


def _weighted(example: str, format_weight: float) -> Callable[[dict[str, Any]], Functions]:
    def make(kwargs: dict[str, Any]) -> Functions:
        share = float(kwargs.get("format_weight", format_weight))
        return [
            {"function": f"rewards.{example}.accuracy", "weight": round(1 - share, 6)},
            {"function": f"rewards.{example}.format", "weight": share},
        ]

    return make


def _dapo(kwargs: dict[str, Any]) -> Functions:
    named = {_DAPO.get(key, key): value for key, value in kwargs.items()}
    return [{"function": "rewards.dapo.accuracy"}, {"function": "rewards.dapo.overlong", "kwargs": named}]


_DAPO = {"overlong_buffer_len": "overlong_buffer_length"}  # its name in the earlier math_dapo.py

# EasyR1's example -> (ours, the keyword arguments it takes)
_EXAMPLES: dict[str, tuple[Callable[[dict[str, Any]], Functions], tuple[str, ...]]] = {
    "math": (_weighted("math", 0.1), ("format_weight",)),
    "r1v": (_weighted("r1v", 0.5), ("format_weight",)),
    "dapo": (_dapo, ("max_response_length", "overlong_buffer_length", "overlong_penalty_factor")),
    "math_dapo": (_dapo, ("max_response_length", "overlong_buffer_len", "overlong_penalty_factor")),
    "android_gui": (lambda kwargs: [{"function": "rewards.number_game.accuracy"}], ()),
}


def _note_of_early_prompts(draft: Draft) -> None:
    if not draft.source["data.system_prompt"] and not draft.source["data.format_prompt"]:
        draft.remarks += [
            "EasyR1 of before 5 March 2025 asked for steps and a boxed answer in a system message of its own.",
            "Say so in `prompts.system` or `prompts.template` if the configuration is that old.",
        ]
