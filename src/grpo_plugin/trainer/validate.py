"""Validation inside training: the policy answers held-out prompts, the training rewards judge them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list, gather_object

from grpo_plugin.run import Run
from grpo_plugin.scoring.aggregate import totals
from grpo_plugin.trainer.drawing import prompts_of
from grpo_plugin.trainer.multimodal import images_of
from grpo_plugin.validation.evaluation import Answer, Evaluation, Row, Scores, evaluate

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer


class Validator:
    """Judges the policy of a trainer; collective, so every rank calls it."""

    def __init__(self, trainer: "PolicyTrainer") -> None:
        self.trainer = trainer
        self.run = Run.current()
        assert self.run.prompts is not None and self.run.prompts.validation is not None
        assert self.run.recipe.validation is not None
        self.config = self.run.recipe.validation
        self.rows: list[Row] = list(self.run.prompts.validation)

    def __call__(self, step: int) -> Evaluation:
        training = self.trainer.model.training
        self.trainer.sync_policy()
        self.trainer.model.eval()
        with self.run.watch("validation"):
            temperature = self.config.temperature or self.trainer.temperature
            evaluation, judged = evaluate(step, self.rows, self._complete, self._score, self.config, temperature)
            self._keep(step, judged)
        self.trainer.model.train(training)
        self.run.record(evaluation)
        return evaluation

    def _complete(self, rows: Sequence[Row], per_prompt: int, temperature: float) -> list[list[Answer]]:
        """Every rank completes its share of the rows; all get all answers."""
        accelerator = self.trainer.accelerator
        share = -(-len(rows) // accelerator.num_processes)
        mine = rows[share * accelerator.process_index : share * (accelerator.process_index + 1)]
        ids = self.trainer.tokenize(prompts_of([dict(row) for row in mine])) if mine else []
        images = [images_of(row) for row in mine]
        drawn = self.trainer.complete(ids, per_prompt, temperature, images, self.config.top_p)
        return gather_object([[Answer(self._text(ids), ids, reason) for ids, reason in group] for group in drawn])

    def _text(self, token_ids: Sequence[int]) -> str:
        return self.trainer.processing_class.decode(token_ids, skip_special_tokens=True)

    def _score(self, rows: Sequence[Row], answers: Sequence[Answer]) -> Scores:
        """The main process judges; the others are told."""
        outcome: list[Any] = [None]
        if self.trainer.accelerator.is_main_process:
            outcome = [self._judge(rows, answers)]
        broadcast_object_list(outcome, from_process=0)
        return outcome[0]

    def _judge(self, rows: Sequence[Row], answers: Sequence[Answer]) -> Scores:
        prompts = [row["prompt"] for row in rows]
        columns = {key: [row.get(key) for row in rows] for key in rows[0] if key != "prompt"}
        chat = isinstance(prompts[0], list)
        texts = [[{"role": "assistant", "content": answer.text}] if chat else answer.text for answer in answers]
        rewards = self.run.rewards
        assert rewards is not None
        scores = rewards.score(prompts, texts, [answer.token_ids for answer in answers], columns).by_function
        functions = dict(zip(rewards.names, scores, strict=True))
        return Scores(totals=totals(scores, rewards.weights, "sum", 1), functions=functions)

    def _keep(self, step: int, judged: Any) -> None:
        if not self.trainer.accelerator.is_main_process:
            return
        prompts = [self._text(ids) for ids in self.trainer.tokenize(prompts_of([dict(row) for row in judged[0].rows]))]
        for batch in judged:
            self.run.generation_log.write(step, batch.generations(prompts, self.trainer.version), "validation")
