"""Scored completions: rows go to the engine, its answers to the reward functions, and all of it to every rank."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object
from trl.data_utils import is_conversational

from grpo_plugin.trainer.feed import Feed, Row
from grpo_plugin.trainer.multimodal import images_of, with_images
from grpo_plugin.trainer.sample import Sample

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer


class Drawing:
    """Draws samples for a trainer; every method is collective."""

    def __init__(self, trainer: "PolicyTrainer", feed: Feed) -> None:
        self.trainer, self.feed = trainer, feed

    def samples(self, rows: list[int]) -> list[Sample]:
        """`num_generations` scored completions of each row, side by side, on every rank."""
        trainer = self.trainer
        mine = self._share(rows)
        inputs = [dict(self.feed.row(row)) for row in mine]
        prompts = prompts_of(inputs)
        prompt_ids, completion_ids, tool_mask, completions, logps, *_ = trainer._generate(prompts)
        with trainer.watch("score"):
            scores = self._scores(inputs, prompts, completions, completion_ids)
        metrics = self._metrics(len(mine), scores)
        seconds = trainer.reward_calls.seconds if trainer.reward_calls is not None else None
        drawn = [
            Sample(
                row=mine[i],
                prompt_ids=list(prompt_ids[i]),
                completion_ids=list(completion_ids[i]),
                sampler_logps=None if logps is None else list(logps[i]),
                finish_reason=trainer.finish_reasons[i],
                scores=tuple(scores[i]),
                metrics=metrics[i],
                prompt=trainer.text(prompt_ids[i]),
                completion=trainer.text(completion_ids[i]),
                answer=None if inputs[i].get("answer") is None else str(inputs[i]["answer"]),
                version=trainer.drawn_version,
                score_seconds=seconds[i] if seconds else None,
                model_mask=None if tool_mask is None else [bool(flag) for flag in tool_mask[i]],
            )
            for i in range(len(mine))
        ]
        return self._with_rewards(gather_object(drawn))

    def ask_ahead(self, rows: list[int]) -> None:
        """Let the engine begin on the completions that `samples` will be asked for next."""
        trainer = self.trainer
        assert trainer.engine is not None
        rank, ranks = trainer.accelerator.process_index, trainer.accelerator.num_processes
        mine = rows[len(rows) * rank // ranks : len(rows) * (rank + 1) // ranks]
        ids, images = self.tokenized(mine) if mine else ([], None)
        trainer.engine.prefetch(trainer.sent(ids), trainer.num_generations, trainer.sampling, images)

    def tokenized(self, rows: list[int]) -> tuple[list[list[int]], Any]:
        """Token ids and images of the prompts of some rows."""
        ids, images, _ = self.trainer._tokenize_prompts(prompts_of([self.feed.row(row) for row in rows]))
        return ids, images

    def baselines(self, samples: list[Sample]) -> list[float]:
        """The reward of the greedy completion of each sample's prompt, once per sample (ReMax)."""
        trainer, size = self.trainer, self.trainer.num_generations
        firsts = samples[::size]
        share = -(-len(firsts) // trainer.accelerator.num_processes)
        start = share * trainer.accelerator.process_index
        mine = [firsts[index % len(firsts)] for index in range(start, start + share)]  # as many on every rank
        inputs = [dict(self.feed.row(sample.row)) for sample in mine]
        prompts = prompts_of(inputs)
        images = [images_of(row) for row in inputs]
        groups = trainer.complete([sample.prompt_ids for sample in mine], 1, 0.0, images)
        ids = [group[0][0] for group in groups]
        texts: list[Any] = [trainer.text(row) for row in ids]
        if is_conversational({"prompt": prompts[0]}):
            texts = [[{"role": "assistant", "content": text}] for text in texts]
        with trainer.watch("score"):
            scores = gather_object(self._scores(inputs, prompts, texts, ids))[: len(firsts)]
        rewards = trainer.totals(dict(zip(trainer.reward_func_names, zip(*scores, strict=True), strict=True)), 1)
        return [math.nan if reward is None else reward for reward in rewards for _ in range(size)]

    def _share(self, rows: list[int]) -> list[int]:
        """The rows of this rank's completions, each row standing for as many as it has of them here."""
        repeated = [row for row in rows for _ in range(self.trainer.num_generations)]
        process = self.trainer.accelerator
        size = len(repeated) // process.num_processes
        return repeated[process.process_index * size : (process.process_index + 1) * size]

    def _scores(
        self, inputs: list[Row], prompts: list[Any], completions: list[Any], ids: list[list[int]]
    ) -> list[list[float]]:
        """Scores of this rank's completions by every function; NaN where one abstained."""
        gathered = self.trainer._calculate_rewards(inputs, prompts, completions, ids)
        start = self.trainer.accelerator.process_index * len(inputs)
        scores: list[list[float]] = gathered[start : start + len(inputs)].tolist()
        return scores

    def _metrics(self, number: int, scores: list[list[float]]) -> list[dict[str, float]]:
        """By completion what a filter may ask for: each function's score, and the keys of the dicts it returned."""
        trainer = self.trainer
        named = [dict(zip(trainer.reward_func_names, row, strict=True)) for row in scores]
        extra = trainer.reward_calls.parts if trainer.reward_calls is not None else {}
        return [
            named[i] | {key: math.nan if (value := values[i]) is None else value for key, values in extra.items()}
            for i in range(number)
        ]

    def _with_rewards(self, samples: list[Sample]) -> list[Sample]:
        """Set the total of each sample, over whole groups."""
        columns: Sequence[Any] = list(zip(*(sample.scores for sample in samples), strict=True))
        functions = dict(zip(self.trainer.reward_func_names, columns, strict=True))
        totals = self.trainer.totals(functions, self.trainer.num_generations)
        for sample, total in zip(samples, totals, strict=True):
            sample.reward = math.nan if total is None else total
        return samples


def prompts_of(inputs: Sequence[Row]) -> list[Any]:
    """The prompts as TRL generates from them: with their images in their messages."""
    return [with_images(row["prompt"], images_of(row)) for row in inputs]
