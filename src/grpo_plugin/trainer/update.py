"""The update of one rollout batch: advantages for all of it, then a loss for every forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from grpo_plugin.algorithms import advantages as estimators
from grpo_plugin.algorithms import overlong
from grpo_plugin.algorithms.correction import sampler_weights
from grpo_plugin.algorithms.kl import AdaptiveCoefficient, kl
from grpo_plugin.algorithms.losses import policy_loss
from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.trainer import dealing, forward, liger
from grpo_plugin.trainer.sample import Sample, completion_mask, padded, rewards_of

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer


@dataclass
class Lesson:
    """A sample with what is to be learned from it.

    Attributes:
        advantages: (1,), or (T,) of its own completion.
        old_logps, ref_logps: (T,) of its own completion; None where they are not needed.
        masked: no token of it counts.
    """

    sample: Sample
    advantages: Tensor
    old_logps: Tensor | None = None
    ref_logps: Tensor | None = None
    masked: bool = False


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass of this rank.

    Attributes:
        lessons: none where this rank only keeps its peers company.
        stand_in: a sample to run in that case.
        denominator: what its optimizer step is averaged over: tokens, or completions, over all ranks.
    """

    lessons: list[Lesson]
    stand_in: Sample
    denominator: float


class Update:
    """Turns samples into lessons and lessons into losses. Collective where it runs the model."""

    def __init__(self, trainer: "PolicyTrainer", algorithm: Algorithm, differs: bool) -> None:
        self.trainer, self.algorithm = trainer, algorithm
        self.correction = algorithm.correction(differs)
        preset, config = algorithm.preset, algorithm.config
        self.kl_coef = preset.kl_coef
        self._per_token = False
        self._adaptive = (
            AdaptiveCoefficient(preset.kl_coef, config.kl_target, config.kl_horizon) if config.kl_target else None
        )

    def lessons(self, samples: list[Sample], baselines: Sequence[float] | None, reused: bool) -> list[Lesson]:
        """What every sample of the batch teaches.

        Args:
            baselines: rewards of the greedy completion of each sample's prompt, for ReMax.
            reused: more than one optimizer step is made of the batch, so that its policy is to be remembered.
        """
        kl_early = self.algorithm.kl_in_reward
        old = self.values(self.trainer.model, samples) if kl_early else {}
        ref = self._reference(samples) if kl_early else {}
        advantages = self._advantages(samples, baselines, old, ref)
        lessons = [
            Lesson(sample, values, old.get(i), ref.get(i), self._masked(sample))
            for i, (sample, values) in enumerate(zip(samples, advantages, strict=True))
        ]
        if not kl_early:
            self._remember(lessons, reused)
        return lessons

    def learning(self, lessons: Sequence[Lesson]) -> list[Lesson]:
        """Those that a forward pass is spent on: they have an advantage, or a KL to be held to."""
        return [
            lesson
            for lesson in lessons
            if lesson.sample.completion_ids
            and not lesson.masked
            and (self.algorithm.kl_in_loss or lesson.advantages.any())
        ]

    def denominator(self, lessons: Sequence[Lesson]) -> float:
        """What the loss of an optimizer step is averaged over."""
        if self.algorithm.preset.loss_average != "token":
            return float(max(1, len(lessons)))
        return float(max(1, sum(_drawn(lesson.sample) for lesson in lessons if not lesson.masked)))

    def loss(self, model: nn.Module, batch: Pass) -> Tensor:
        """The share of one pass in the loss of its optimizer step; gradients are averaged over ranks afterwards."""
        if not batch.lessons:
            stand_in = [forward.shortened(batch.stand_in)]
            logps, _ = forward.logps(self.trainer, model, stand_in, self._mask(stand_in))
            return logps.sum() * 0.0
        samples = [lesson.sample for lesson in batch.lessons]
        mask = self._mask(samples)
        if self.trainer.use_liger_kernel:
            return self._liger(model, batch, mask)
        logps, entropies, divergence = self._run(model, samples, mask)
        loss, metrics = self._loss(batch, logps, divergence, mask)
        tokens = mask.sum()
        metrics["entropy"] = torch.where(mask, entropies.detach(), 0.0).sum() / tokens.clamp(min=1)
        self.trainer.tally.add(metrics, tokens)
        return loss

    def steer(self, completions: int) -> None:
        """Move an adaptive KL coefficient after an optimizer step over so many completions."""
        if self._adaptive is None:
            return
        measured = self.trainer.tally.mean("kl")
        if measured is not None:
            self.kl_coef = self._adaptive.update(measured, completions)

    def state(self) -> dict[str, Any]:
        return {"kl_coef": self.kl_coef, "per_token": self._per_token}

    def restore(self, state: dict[str, Any]) -> None:
        self.kl_coef, self._per_token = state["kl_coef"], state["per_token"]
        if self._adaptive is not None:
            self._adaptive = replace(self._adaptive, value=self.kl_coef)

    def _run(self, model: nn.Module, samples: list[Sample], mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        if self.algorithm.kl_in_loss and self.algorithm.preset.kl_estimator == "full":
            return forward.logps_and_divergence(self.trainer, model, self.trainer.reference, samples, mask)
        return *forward.logps(self.trainer, model, samples, mask), None

    def _liger(self, model: nn.Module, batch: Pass, mask: Tensor) -> Tensor:
        lessons, width = batch.lessons, mask.shape[1]
        return liger.loss(
            self.trainer,
            model,
            [lesson.sample for lesson in lessons],
            mask,
            self._advantage_tensor(lessons, mask),
            batch.denominator / self.trainer.accelerator.num_processes,
            old_per_token_logps=_stacked([lesson.old_logps for lesson in lessons], width, mask.device),
            ref_per_token_logps=_stacked([lesson.ref_logps for lesson in lessons], width, mask.device),
        )

    def _loss(
        self, batch: Pass, logps: Tensor, divergence: Tensor | None, mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        preset, lessons, width = self.algorithm.preset, batch.lessons, mask.shape[1]
        old = _stacked([lesson.old_logps for lesson in lessons], width, mask.device)
        ref = (
            _stacked([lesson.ref_logps for lesson in lessons], width, mask.device)
            if self.algorithm.kl_in_loss
            else None
        )
        weights, seen = self._correction(lessons, logps.detach() if old is None else old, mask)
        loss, metrics = policy_loss(
            logps,
            old,
            self._advantage_tensor(lessons, mask),
            mask,
            kind=preset.loss,
            clip_low=preset.clip_low,
            clip_high=preset.clip_high,
            clip_dual=preset.clip_dual,
            average=preset.loss_average,
            denominator=batch.denominator / self.trainer.accelerator.num_processes,
            constant=self.algorithm.config.loss_constant or self.trainer.max_completion_length,
            ref_logps=ref,
            kl_coef=self.kl_coef if self.algorithm.kl_in_loss else 0.0,
            kl_estimator=preset.kl_estimator,
            kl_values=divergence,
            correction=weights,
            **preset.loss_options,
        )
        return loss, {**metrics, **seen}

    def _correction(
        self, lessons: Sequence[Lesson], logps: Tensor, mask: Tensor
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Weights for what the sampler saw otherwise; 1 where its log-probabilities are not known."""
        sampled = [lesson.sample.sampler_logps for lesson in lessons]
        if self.correction is None or all(row is None for row in sampled):
            return None, {}
        known = mask & torch.tensor([row is not None for row in sampled], device=mask.device).unsqueeze(1)
        theirs = padded([row or [] for row in sampled], mask.shape[1], mask.device)
        options = self.correction
        return sampler_weights(
            logps, theirs, known, level=options.level, mode=options.mode, low=options.low, high=options.high
        )

    def _advantages(
        self,
        samples: list[Sample],
        baselines: Sequence[float] | None,
        old: dict[int, Tensor],
        ref: dict[int, Tensor],
    ) -> list[Tensor]:
        if not samples:
            return []
        preset, config = self.algorithm.preset, self.algorithm.config
        mask = completion_mask(samples)
        options = dict(config.advantage_options)
        if "tolerance" in estimators.inputs(preset.advantage):
            options.setdefault("tolerance", config.tolerance)
        values = estimators.compute(
            preset.advantage,
            rewards=rewards_of(samples),
            group_size=self.trainer.num_generations,
            mask=mask,
            baselines=None if baselines is None else torch.tensor(baselines, dtype=torch.float64),
            rewards_per_function=torch.tensor([sample.scores for sample in samples], dtype=torch.float64),
            reward_weights=self.trainer.reward_weights.double().cpu(),
            overlong=self._overlong(samples),
            overlong_factor=config.overlong_factor,
            logps=_stacked([old.get(i) for i in range(len(samples))], mask.shape[1]) if old else None,
            ref_logps=_stacked([ref.get(i) for i in range(len(samples))], mask.shape[1]) if ref else None,
            kl_coef=self.kl_coef if ref else 0.0,
            kl_estimator=preset.kl_estimator,
            **options,
        )
        if ref:
            self._tally_divergence(samples, old, ref)
        self._per_token = values.dim() == 2
        if not self._per_token:
            return list(values.float().unsqueeze(1))
        return [row[: len(sample.completion_ids)] for row, sample in zip(values.float(), samples, strict=True)]

    def _overlong(self, samples: list[Sample]) -> Tensor | None:
        if self.algorithm.preset.overlong != "soft":
            return None
        longest = self.trainer.max_completion_length
        buffer = self.algorithm.buffer(longest)
        penalties = [overlong.soft_penalty(len(sample.completion_ids), longest, buffer) for sample in samples]
        return torch.tensor(penalties, dtype=torch.float64)

    def _tally_divergence(self, samples: list[Sample], old: dict[int, Any], ref: dict[int, Any]) -> None:
        mask, everyone = completion_mask(samples), range(len(samples))
        pair = [_stacked([rows[i] for i in everyone], mask.shape[1]) for rows in (old, ref)]
        values = kl(pair[0], pair[1], self.algorithm.preset.kl_estimator)  # type: ignore[arg-type]
        if self.trainer.accelerator.is_main_process:  # all ranks hold all samples: counted once
            self.trainer.tally.add({"kl/ref": (values * mask).sum() / mask.sum()}, mask.sum())

    def _masked(self, sample: Sample) -> bool:
        """Whether it is left out of loss and average: nothing could score it, or it was cut off and is not to count."""
        return sample.reward != sample.reward or (self.algorithm.preset.overlong == "mask" and sample.truncated)

    def _remember(self, lessons: list[Lesson], reused: bool) -> None:
        """Log-probabilities before the first step, of what will be learned from, where the loss needs them."""
        learning = self.learning(lessons)
        if not learning:
            return
        samples = [lesson.sample for lesson in learning]
        if reused:
            for index, values in self.values(self.trainer.model, samples).items():
                learning[index].old_logps = values
        if self.algorithm.kl_in_loss and self.algorithm.preset.kl_estimator != "full":
            for index, values in self._reference(samples).items():
                learning[index].ref_logps = values

    def _reference(self, samples: list[Sample]) -> dict[int, Tensor]:
        with self.trainer.as_reference():
            return self.values(self.trainer.reference, samples)

    def values(self, model: nn.Module, samples: list[Sample]) -> dict[int, Tensor]:
        """Log-probabilities of all samples on every rank; the ranks share the work."""
        if not samples:
            return {}
        with self.trainer.quiet_checkpointing():
            return self.trainer.share(lambda passes: forward.values_of(self.trainer, model, samples, passes), samples)

    def _mask(self, samples: list[Sample]) -> Tensor:
        return completion_mask(samples, self.trainer.accelerator.device)

    def _advantage_tensor(self, lessons: Sequence[Lesson], mask: Tensor) -> Tensor:
        rows = [lesson.advantages for lesson in lessons]
        if self._per_token:
            return padded(rows, mask.shape[1], mask.device)
        return torch.cat(rows).to(mask.device)


def dealt(trainer: "PolicyTrainer", update: Update, lessons: list[Lesson], number: int) -> list[list[Pass]]:
    """The passes of this rank, tick by tick, over the `number` optimizer steps of a rollout batch."""
    ticks: list[list[Pass]] = []
    for step in dealing.steps(len(lessons), number):
        of_step = [lessons[index] for index in step]
        learning = update.learning(of_step)
        denominator = update.denominator(of_step)
        shares = trainer.deal([lesson.sample for lesson in learning], trainer.args.gradient_accumulation_steps)
        for passes in shares:
            ticks.append([Pass([learning[i] for i in indices], learning[0].sample, denominator) for indices in passes])
    return ticks


def _drawn(sample: Sample) -> int:
    """Tokens that the policy drew."""
    return len(sample.completion_ids) if sample.model_mask is None else sum(sample.model_mask)


def _stacked(rows: Sequence[Tensor | None], width: int, device: torch.device | str = "cpu") -> Tensor | None:
    """(B, width), or None where nothing is known of any row."""
    if all(row is None for row in rows):
        return None
    return padded([() if row is None else row for row in rows], width, device)
