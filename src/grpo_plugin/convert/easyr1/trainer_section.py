"""EasyR1's `trainer` section: validation, checkpoints, trackers, and where things go."""

from pathlib import PurePath

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.convert.easyr1.scale import Scale

_PROJECT, _EXPERIMENT, _SAVE = "trainer.project_name", "trainer.experiment_name", "trainer.save_checkpoint_path"


def logging(draft: Draft, size: Scale) -> None:
    """Validation, checkpoints, trackers, and where things go."""
    _validation(draft, size)
    draft.put("logging_steps", 1, note="EasyR1 logs every step")
    _checkpoints(draft, size)
    _folders(draft)
    _trackers(draft)
    draft.drop("trainer.ray_timeline", "Ray is not used", same_at=None)
    draft.drop("trainer.critic_warmup", "no algorithm here has a critic", same_at=0)


def _validation(draft: Draft, size: Scale) -> None:
    draft.move("trainer.val_before_train", "validation.before_train")
    _every(draft, "trainer.val_freq", "validation.every", size)
    only = "a run always trains; axolotl grpo score judges completions that were saved"
    draft.drop("trainer.val_only", only, same_at=False)
    draft.drop("trainer.val_generations_to_log", "every generation is kept, in output_dir/generations")


def _every(draft: Draft, origin: str, key: str, size: Scale) -> None:
    every = draft.source[origin]
    draft.put(
        key,
        every * size.steps_per_rollout if every > 0 else None,
        origin,
        note=f" × {size.steps_per_rollout} optimizer steps",
    )


def _checkpoints(draft: Draft, size: Scale) -> None:
    keep = draft.source["trainer.save_limit"]
    if draft.source["trainer.save_freq"] > 0:
        _every(draft, "trainer.save_freq", "save_steps", size)
        if keep > 0:
            draft.move("trainer.save_limit", "save_total_limit")
        else:
            draft.drop("trainer.save_limit", "Axolotl always has a limit, of 4; save_total_limit is another")
    else:
        draft.put("save_strategy", "no", "trainer.save_freq", note=": -1; the last model is always saved")
        draft.drop("trainer.save_limit", "no checkpoints are saved on the way")
    draft.put("save_only_model", draft.source["trainer.save_model_only"] or None, "trainer.save_model_only")


def _folders(draft: Draft) -> None:
    source, load = draft.source, "trainer.load_checkpoint_path"
    if source[_SAVE]:
        draft.move(_SAVE, "output_dir")
    else:
        folder = str(PurePath("outputs") / source[_PROJECT] / source[_EXPERIMENT])
        draft.put("output_dir", folder, _SAVE, _PROJECT, _EXPERIMENT)
    if source[load]:
        draft.drop(load, "EasyR1's checkpoints have another format; merge it to a model")
        draft.drop("trainer.find_last_checkpoint", f"{load} takes precedence")
    else:
        draft.drop(load, "", same_at=source[load])
        resumes = source["trainer.find_last_checkpoint"] or None
        draft.put("auto_resume_from_checkpoints", resumes, "trainer.find_last_checkpoint")


def _trackers(draft: Draft) -> None:
    trackers = draft.source["trainer.logger"]
    trackers = [trackers] if isinstance(trackers, str) else trackers
    if "wandb" in trackers:
        draft.put("wandb_project", draft.source[_PROJECT], "trainer.logger", _PROJECT)
        draft.move(_EXPERIMENT, "wandb_name")
    draft.put("use_tensorboard", True if "tensorboard" in trackers else None, "trainer.logger")
    if "mlflow" in trackers:
        draft.put("use_mlflow", True, "trainer.logger")
        draft.move(_EXPERIMENT, "mlflow_experiment_name")
    if "swanlab" in trackers:
        draft.drop("trainer.logger", "swanlab is a plugin of Axolotl; add it to `plugins`")
    for key in (_PROJECT, _EXPERIMENT):
        if not draft.mentions(key):
            draft.drop(key, "output_dir is trainer.save_checkpoint_path, and no tracker asks for it")
