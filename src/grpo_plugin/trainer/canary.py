"""After each sync: vLLM's log-probabilities of its own tokens against the trainer's."""

from dataclasses import replace
from typing import TYPE_CHECKING

from accelerate.utils import gather_object

from grpo_plugin.rollout.logp_gap import check, logp_gap
from grpo_plugin.trainer.forward import values_of
from grpo_plugin.trainer.sample import Sample, completion_mask, padded

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer

PROBE_TOKENS = 32  # of each completion that a probe asks for


def check_gap(trainer: "PolicyTrainer", samples: list[Sample]) -> bool:
    """Compare on a few samples of the present policy, and stop if the two are too far apart. Collective.

    Returns:
        Whether there were any; if not, the next batch will tell.

    Raises:
        RolloutError: the mean gap is over `rollout.max_logp_gap`.
    """
    rollout = trainer.run_.recipe.rollout
    assert rollout is not None
    most = rollout.canary_samples * trainer.accelerator.num_processes
    fresh = [s for s in samples if s.version == trainer.version and s.sampler_logps and s.model_mask is None]
    if not fresh:
        return False
    fresh = fresh[:: max(1, len(fresh) // most)][:most]  # of as many prompts as can be
    with trainer.quiet_checkpointing():
        ours = trainer.share(lambda passes: values_of(trainer, trainer.model, fresh, passes), fresh)
    mask = completion_mask(fresh)
    theirs = padded([sample.sampler_logps or () for sample in fresh], mask.shape[1])
    gap = logp_gap(padded([ours[index] for index in range(len(fresh))], mask.shape[1]), theirs, mask)
    trainer._metrics["train"]["rollout/logp_gap"].append(gap.mean)
    trainer._metrics["train"]["rollout/logp_gap_max"].append(gap.max)
    check(gap, rollout.max_logp_gap, trainer.version)
    return True


def probe(trainer: "PolicyTrainer", rows: list[int]) -> bool:
    """Have vLLM answer a few prompts, briefly, and compare as `check_gap` does. Collective.

    Raises:
        RolloutError: as `check_gap`.
    """
    rollout, engine = trainer.run_.recipe.rollout, trainer.engine
    assert rollout is not None and engine is not None
    first = trainer.accelerator.process_index * rollout.canary_samples
    mine = rows[first : first + rollout.canary_samples]
    ids, images = trainer.drawing.tokenized(mine) if mine else ([], None)
    sampling = replace(trainer.sampling, max_tokens=min(trainer.max_completion_length, PROBE_TOKENS))
    answers = engine.generate(trainer.model, trainer.sent(ids), 1, sampling, images, fresh=True)
    drawn = [
        Sample(row, prompt, answer.token_ids, answer.logps, answer.finish_reason, (), {}, "", "", None, trainer.version)
        for row, prompt, (answer,) in zip(mine, ids, answers, strict=True)
    ]
    return check_gap(trainer, gather_object(drawn))
