"""Validation inside training: the policy answers held-out prompts, the training rewards score the answers."""

from collections.abc import Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.errors import GrpoPluginError
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.scoring import RewardSet
from grpo_plugin.scoring.aggregate import totals
from grpo_plugin.trainer.generator import Generated, Generator, with_temperature
from grpo_plugin.trainer.micro_batches import share_of_rank
from grpo_plugin.trainer.tokenization import reward_inputs
from grpo_plugin.validation.evaluation import Answer, Evaluation, Judged, Row, Scores, evaluate


class Validator:
    """Evaluates the policy on held-out rows; collective, so every rank calls it."""

    def __init__(
        self,
        rows: Sequence[Row],
        config: ValidationConfig,
        generator: Generator,
        rewards: RewardSet,
        accelerator: Accelerator,
        log: GenerationLog,
    ) -> None:
        self._rows, self._config, self._generator = rows, config, generator
        self._rewards, self._accelerator, self._log = rewards, accelerator, log

    def __call__(self, step: int) -> Evaluation:
        """Evaluate the policy after `step` optimizer steps, and write its answers to the generation log."""
        self._generator.backend.sync_weights(step)
        temperature = self._config.temperature or self._generator.sampling.temperature
        evaluation, judged = evaluate(step, self._rows, self._complete, self._score, self._config, temperature)
        if self._accelerator.is_main_process:
            self._write(step, judged)
        return evaluation

    def _complete(self, rows: Sequence[Row], per_prompt: int, temperature: float) -> list[list[Answer]]:
        """Every rank completes its share of the rows; all get all answers."""
        mine = [rows[index] for index in share_of_rank(len(rows), self._accelerator)]
        sampling = with_temperature(self._generator.sampling, temperature, self._config.top_p)
        groups = self._generator.generate(mine, per_prompt, sampling, fresh=True)
        return gather_object([self._answers(row, group) for row, group in zip(mine, groups, strict=True)])

    def _answers(self, row: Row, group: Generated) -> list[Answer]:
        ids = [one.token_ids for one in group.completions]
        texts = self._generator.tokenizer.completions(row, group.prompt_ids, ids)
        return [
            Answer(text, one.token_ids, one.finish_reason) for text, one in zip(texts, group.completions, strict=True)
        ]

    def _score(self, rows: Sequence[Row], answers: Sequence[Answer]) -> Scores:
        """The main process scores; the others get its scores, or its error."""
        outcome: list[Any] = [None]
        if self._accelerator.is_main_process:
            try:
                outcome = [self._judge(rows, answers)]
            except GrpoPluginError as error:
                outcome = [error]
        broadcast_object_list(outcome, from_process=0)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _judge(self, rows: Sequence[Row], answers: Sequence[Answer]) -> Scores:
        prompts, completions, columns = reward_inputs(rows, [answer.text for answer in answers])
        ids = [answer.token_ids for answer in answers]
        scores = self._rewards.score(prompts, completions, ids, columns).by_function
        functions = dict(zip(self._rewards.names, scores, strict=True))
        return Scores(totals=totals(scores, self._rewards.weights, "sum", 1), functions=functions)

    def _write(self, step: int, judged: Sequence[Judged]) -> None:
        tokenizer = self._generator.tokenizer
        prompts = [tokenizer.text(ids) for ids in tokenizer.prompts(judged[0].rows)[0]]
        for batch in judged:
            self._log.write(step, batch.generations(prompts, self._generator.backend.version), "validation")
