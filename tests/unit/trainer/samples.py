"""Samples made by hand."""

from grpo_plugin.trainer.sample import Sample


def sample(reward: float = 0.0, tokens: int = 3, prompt: int = 2, row: int = 0, **changes) -> Sample:
    fields = {
        "row": row,
        "prompt_ids": list(range(1, prompt + 1)),
        "completion_ids": list(range(10, 10 + tokens)),
        "sampler_logps": None,
        "finish_reason": "stop",
        "scores": (reward,),
        "metrics": {"accuracy": reward},
        "prompt": "?",
        "completion": "!",
        "answer": None,
        "version": 0,
        "reward": reward,
    }
    return Sample(**(fields | changes))
