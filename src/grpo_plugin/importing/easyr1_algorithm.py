"""EasyR1's `algorithm` section and the loss of `worker.actor`: `algorithm:`."""

from typing import Any

from grpo_plugin.importing.draft import Draft
from grpo_plugin.importing.easyr1_rewards import is_dapo

_LOSSES = ("gspo", "gspo_token", "cispo", "sapo")  # loss_type; "default" is PPO's clipped ratio
_PPO_PRESETS = ("grpo", "reinforce_plus_plus", "grpo_passk")  # adv_estimator whose preset has PPO's loss
_KL = {"kl": "k1", "abs": "abs", "mse": "k2", "low_var_kl": "k3", "full": "full"}
_AVERAGES = {"token": "token", "seq": "sequence"}


def algorithm(draft: Draft) -> None:
    """Estimator, loss, clipping, KL, dynamic sampling."""
    name = _name(draft)
    _clipping(draft, name)
    draft.put(
        "algorithm.loss_average", _AVERAGES[draft.source["worker.actor.loss_avg_mode"]], "worker.actor.loss_avg_mode"
    )
    _kl(draft)
    _sampling(draft, name)
    draft.put("algorithm.overlong", "keep" if name == "cispo" else None, "EasyR1 punishes length in rewards only")
    draft.leave("algorithm.lam", "belongs to GAE, which needs a critic")
    if draft.source["algorithm.gamma"] != 1.0:
        draft.leave("algorithm.gamma", "rewards are not discounted within a completion")
    draft.leave_all("worker.critic", "no algorithm here has a critic")


def _name(draft: Draft) -> str:
    loss, estimator = draft.source["worker.actor.loss_type"], draft.source["algorithm.adv_estimator"]
    if estimator == "gae":
        draft.leave("algorithm.adv_estimator", "PPO with a critic is not offered; the recipe uses grpo")
        estimator = "grpo"
    name = loss if loss in _LOSSES else estimator if estimator in _PPO_PRESETS else "grpo"
    draft.put("algorithm.name", name, "algorithm.adv_estimator, worker.actor.loss_type")
    if estimator not in (name, "grpo"):
        draft.put("algorithm.advantage", estimator, "algorithm.adv_estimator")
    return str(name)


def _clipping(draft: Draft, name: str) -> None:
    bounds = {"low": "clip_low", "high": "clip_high", "dual": "clip_dual"}
    for bound, key in bounds.items():
        origin = f"worker.actor.clip_ratio_{bound}"
        if name == "sapo" or (name == "cispo" and bound == "dual"):
            draft.leave(origin, f"{name} does not use it")
        else:
            draft.move(origin, f"algorithm.{key}")
    _temperatures(draft, name)


def _temperatures(draft: Draft, name: str) -> None:
    keys = {"temperature_pos": "worker.actor.tau_positive", "temperature_neg": "worker.actor.tau_negative"}
    if name == "sapo":
        draft.put("algorithm.loss_options", {to: draft.source[key] for to, key in keys.items()}, "worker.actor.tau_*")
        return
    for key in keys.values():
        draft.leave(key, "belongs to sapo")


def _kl(draft: Draft) -> None:
    off = draft.source["algorithm.disable_kl"]
    coefficient, in_loss = draft.source["algorithm.kl_coef"], draft.source["algorithm.use_kl_loss"]
    estimator = _KL[draft.source["algorithm.kl_penalty"]]
    draft.put("algorithm.kl_coef", 0.0 if off else coefficient, "algorithm.disable_kl, kl_coef")
    if off:
        return _fixed(draft, "there is no KL")
    draft.put("algorithm.kl_estimator", estimator, "algorithm.kl_penalty")
    draft.put("algorithm.kl_placement", "loss" if in_loss else "reward", "algorithm.use_kl_loss")
    if draft.source["algorithm.kl_type"] == "adaptive" and not in_loss:
        draft.move("algorithm.kl_target", "algorithm.kl_target")
        draft.move("algorithm.kl_horizon", "algorithm.kl_horizon")
        return None
    return _fixed(draft, "EasyR1 adapts the coefficient of a KL in the reward only" if in_loss else "it is fixed")


def _fixed(draft: Draft, reason: str) -> None:
    for key in ("algorithm.kl_type", "algorithm.kl_target", "algorithm.kl_horizon"):
        draft.leave(key, reason)


def _sampling(draft: Draft, name: str) -> None:
    filters = ("algorithm.filter_key", "algorithm.filter_low", "algorithm.filter_high", "trainer.max_try_make_batch")
    if not draft.source["algorithm.online_filtering"]:
        draft.put("algorithm.dynamic_sampling", False if name == "cispo" else None, "algorithm.online_filtering")
        for key in filters:
            draft.leave(key, "no groups are filtered")
        return
    key, low, high, rounds = (draft.source[key] for key in filters)
    chosen: dict[str, Any] = {"low": low, "high": high}
    if key == "accuracy_normalized" and is_dapo(draft):
        chosen = {"key": "accuracy", "low": 2 * low - 1, "high": 2 * high - 1}  # ours is from -1 to 1
    elif key != "overall":
        chosen = {"key": key} | chosen
    if rounds > 0:
        chosen["max_rounds"] = rounds
    draft.put("algorithm.dynamic_sampling", chosen, "algorithm.online_filtering, filter_*, trainer.max_try_make_batch")
