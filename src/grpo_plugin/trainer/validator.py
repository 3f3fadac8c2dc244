"""Validation inside training: the policy answers sets of held-out prompts, rewards score the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from grpo_plugin.config.validation import EvaluationOptions
from grpo_plugin.environments.episode import Episode
from grpo_plugin.errors import GrpoPluginError
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.scoring import RewardSet
from grpo_plugin.scoring.aggregate import totals
from grpo_plugin.scoring.ballot import Ballot, ballot_of
from grpo_plugin.scoring.completions import text_of
from grpo_plugin.trainer.episodes import EpisodeSampler, episode_inputs, record_of
from grpo_plugin.trainer.generator import Generated, Generator, with_temperature
from grpo_plugin.trainer.micro_batches import share_of_rank
from grpo_plugin.trainer.tokenization import PromptTokenizer, reward_inputs
from grpo_plugin.validation.accuracy import Evaluation
from grpo_plugin.validation.evaluation import Answer, Judged, Row, Scores, evaluate, log_names, metric_name
from grpo_plugin.validation.votes import votes


@dataclass(frozen=True)
class HeldOutRows:
    """One set of held-out prompts: its name, its rows, how it is answered, what scores it.

    `ballot` tells the votes of maj@k apart; None where none are counted.
    """

    name: str
    rows: Sequence[Row]
    options: EvaluationOptions
    rewards: RewardSet
    ballot: Ballot | None = None


@dataclass(frozen=True)
class ScoredAnswer(Answer):
    """An episode of a held-out prompt with its score of each reward function; its tokens are those sampled."""

    scores: tuple[float | None, ...] = ()


def held_out_rows(name: str, rows: Sequence[Row], options: EvaluationOptions, rewards: RewardSet) -> HeldOutRows:
    """A set, checked.

    Raises:
        RecipeError: `validation.metric` names no reward function.
        RewardError: the metric's module cannot tell votes apart, as maj@k needs.
    """
    metric = metric_name(options.metric, rewards.names)
    ballot = ballot_of(rewards.rewards[rewards.names.index(metric)]) if options.majority_at else None
    return HeldOutRows(name, rows, options, rewards, ballot)


class Validator:
    """Evaluates the policy on held-out rows; collective, so every rank calls it."""

    def __init__(
        self,
        sets: Sequence[HeldOutRows],
        generator: Generator,
        accelerator: Accelerator,
        log: GenerationLog,
        episodes: EpisodeSampler | None = None,
    ) -> None:
        """`episodes` plays the rows as episodes, as in training."""
        self._sets, self._generator, self._accelerator, self._log = sets, generator, accelerator, log
        self._episodes = episodes

    def __call__(self, step: int) -> list[Evaluation]:
        """Evaluate the policy after `step` optimizer steps, set by set, and write its answers to the log."""
        self._generator.backend.sync_weights(step)
        return [self._evaluate(step, held_out) for held_out in self._sets]

    def log_names(self) -> list[str]:
        """The names of all metrics that a validation may log.

        Raises:
            DataError: `validation.group_by` names no column.
        """
        return [name for one in self._sets for name in log_names(one.name, one.rows, one.options, one.rewards.names)]

    def _evaluate(self, step: int, held_out: HeldOutRows) -> Evaluation:
        options, episodes = held_out.options, self._episodes

        def complete(rows: Sequence[Row], per_prompt: int, temperature: float) -> Sequence[Sequence[Answer]]:
            sampling = with_temperature(self._generator.sampling, temperature, options.top_p, options.max_tokens)
            if episodes is None:
                return self._complete(sampling, rows, per_prompt)
            return self._play(episodes, held_out, sampling, rows, per_prompt)

        def score(rows: Sequence[Row], answers: Sequence[Answer], per_prompt: int) -> Scores:
            return self._score(held_out, rows, answers, per_prompt)

        temperature = options.temperature or self._generator.sampling.temperature
        evaluation, judged = evaluate(step, held_out.rows, complete, score, options, temperature, held_out.name)
        if self._accelerator.is_main_process:
            self._write(step, judged, held_out.name)
        return evaluation

    def _complete(self, sampling: Sampling, rows: Sequence[Row], per_prompt: int) -> list[list[Answer]]:
        """Every rank completes its share of the rows; all get all answers."""
        mine = [rows[index] for index in share_of_rank(len(rows), self._accelerator)]
        groups = self._generator.generate(mine, per_prompt, sampling, fresh=True)
        return gather_object([self._answers(row, group) for row, group in zip(mine, groups, strict=True)])

    def _play(
        self, sampler: EpisodeSampler, held_out: HeldOutRows, sampling: Sampling, rows: Sequence[Row], per_prompt: int
    ) -> list[list[ScoredAnswer]]:
        """Every rank plays and scores the episodes of its share, whose environments it has; all get all answers."""
        share = sampler.share(len(rows))
        mine, labels = (
            [rows[index] for index in share],
            [f"row {index} of the set {held_out.name!r}" for index in share],
        )
        groups = sampler.play(mine, per_prompt, sampling, labels)
        repeated = [row for row in mine for _ in range(per_prompt)]
        answers = scored_answers(held_out.rewards, repeated, groups, self._generator.tokenizer)
        return gather_object([answers[at : at + per_prompt] for at in range(0, len(answers), per_prompt)])

    def _answers(self, row: Row, group: Generated) -> list[Answer]:
        ids = [one.token_ids for one in group.completions]
        tokenizer, prompt_ids = self._generator.tokenizer, group.prompt_ids
        prompt, texts = tokenizer.text(prompt_ids), tokenizer.completions(row, prompt_ids, ids)
        return [
            Answer(text, one.token_ids, one.finish_reason, prompt=prompt)
            for text, one in zip(texts, group.completions, strict=True)
        ]

    def _score(self, held_out: HeldOutRows, rows: Sequence[Row], answers: Sequence[Answer], per_prompt: int) -> Scores:
        """The main process scores; the others get its scores, or its error."""
        outcome: list[Any] = [None]
        if self._accelerator.is_main_process:
            try:
                outcome = [judge_answers(held_out, rows, answers, per_prompt)]
            except GrpoPluginError as error:
                outcome = [error]
        broadcast_object_list(outcome, from_process=0)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _write(self, step: int, judged: Sequence[Judged], name: str) -> None:
        for batch in judged:
            self._log.write(step, batch.generations(self._generator.backend.version), name)


def scored_answers(
    rewards: RewardSet, rows: Sequence[Row], groups: Sequence[Sequence[Episode]], tokenizer: PromptTokenizer
) -> list[ScoredAnswer]:
    """The scores of episodes that are over, which end here; `rows` holds the row of each."""
    episodes = [episode for group in groups for episode in group]
    if not episodes:
        return []
    inputs, ids = episode_inputs(rows, episodes, tokenizer), [episode.completion_ids for episode in episodes]
    extras = {"environments": [episode.environment for episode in episodes]}
    scores = rewards.score(inputs.prompts, inputs.completions, ids, inputs.columns, extras).by_function
    answers = [
        ScoredAnswer(
            text_of(completion),
            [token for token, sampled in zip(episode.completion_ids, episode.sampled_mask, strict=True) if sampled],
            episode.finish_reason,
            record_of(episode),
            tokenizer.text(episode.prompt_ids),
            of_answer,
        )
        for episode, completion, of_answer in zip(episodes, inputs.completions, zip(*scores, strict=True), strict=True)
    ]
    for episode in episodes:
        episode.end()
    return answers


def judge_answers(held_out: HeldOutRows, rows: Sequence[Row], answers: Sequence[Answer], per_prompt: int) -> Scores:
    """The scores of answers and, of several to each prompt, their votes; `rows` holds the row of each answer."""
    scores = _scores(held_out.rewards, rows, answers)
    return Scores(
        totals=totals(scores, held_out.rewards.weights, "sum", 1),
        functions=dict(zip(held_out.rewards.names, scores, strict=True)),
        votes=None if per_prompt == 1 else _votes(held_out.ballot, answers, per_prompt),
    )


def _scores(rewards: RewardSet, rows: Sequence[Row], answers: Sequence[Answer]) -> Sequence[Sequence[float | None]]:
    """By function, the score of each answer."""
    scored = [answer.scores for answer in answers if isinstance(answer, ScoredAnswer)]
    if scored:
        return [*zip(*scored, strict=True)]
    prompts, completions, columns = reward_inputs(rows, [answer.text for answer in answers])
    return rewards.score(prompts, completions, [answer.token_ids for answer in answers], columns).by_function


def _votes(ballot: Ballot | None, answers: Sequence[Answer], per_prompt: int) -> list[int | None] | None:
    if ballot is None:
        return None
    extracted = [ballot.answer(answer.text) for answer in answers]
    groups = [extracted[start : start + per_prompt] for start in range(0, len(extracted), per_prompt)]
    return [vote for group in groups for vote in votes(group, ballot.same)]
