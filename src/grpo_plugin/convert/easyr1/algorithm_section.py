"""EasyR1's `algorithm` section and the loss of `worker.actor`: `algorithm:`."""

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.convert.easyr1.reward_section import is_dapo
from grpo_plugin.errors import RecipeError

_PPO_PRESETS = ("grpo", "reinforce_plus_plus", "grpo_passk")  # adv_estimator whose preset has PPO's loss
_KL = {"kl": "k1", "abs": "abs", "mse": "k2", "low_var_kl": "k3", "full": "full"}
_AVERAGES = {"token": "token", "seq": "sequence"}
_FILTERS = ("algorithm.filter_key", "algorithm.filter_low", "algorithm.filter_high", "trainer.max_try_make_batch")


def algorithm(draft: Draft) -> None:
    """Estimator, loss, clipping, KL, dynamic sampling.

    Raises:
        RecipeError: the exact KL in the reward.
    """
    name = _name(draft)
    _clipping(draft, name)
    _temperatures(draft, name)
    average = _AVERAGES[draft.source["worker.actor.loss_avg_mode"]]
    draft.put("algorithm.loss_average", average, "worker.actor.loss_avg_mode")
    if draft.source["algorithm.disable_kl"]:
        _no_kl(draft)
    else:
        _kl(draft)
    _sampling(draft, name)
    draft.put("algorithm.overlong", "keep" if name == "cispo" else None, note="EasyR1 penalises length in rewards only")
    draft.drop("algorithm.lam", "belongs to GAE, which needs a critic")
    draft.drop("algorithm.gamma", "rewards are not discounted within a completion", same_at=1.0)
    draft.drop("worker.actor.entropy_coeff", "no entropy bonus is added here", same_at=0.0)
    draft.drop_under("worker.critic", "no algorithm here has a critic")


def _name(draft: Draft) -> str:
    """The loss decides on the preset unless it is PPO's; an estimator other than the preset's is put beside it."""
    loss, estimator = draft.source["worker.actor.loss_type"], draft.source["algorithm.adv_estimator"]
    origins = ["algorithm.adv_estimator", "worker.actor.loss_type"]
    if estimator == "gae":
        draft.drop(origins.pop(0), "PPO with a critic is not offered; the recipe uses grpo")
        estimator = "grpo"
    name = loss if loss != "default" else estimator if estimator in _PPO_PRESETS else "grpo"
    draft.put("algorithm.name", name, *origins)
    if estimator not in (name, "grpo"):
        draft.put("algorithm.advantage", estimator, "algorithm.adv_estimator")
    return str(name)


def _clipping(draft: Draft, name: str) -> None:
    for bound in ("low", "high", "dual"):
        origin = f"worker.actor.clip_ratio_{bound}"
        if name == "sapo" or (name == "cispo" and bound == "dual"):
            draft.drop(origin, f"{name} does not use it")
        else:
            draft.move(origin, f"algorithm.clip_{bound}")


def _temperatures(draft: Draft, name: str) -> None:
    keys = {"worker.actor.tau_positive": "temperature_pos", "worker.actor.tau_negative": "temperature_neg"}
    for origin, key in keys.items():
        if name == "sapo":
            draft.move(origin, f"algorithm.loss_options.{key}")
        else:
            draft.drop(origin, "belongs to sapo")


def _no_kl(draft: Draft) -> None:
    draft.put("algorithm.kl_coef", 0.0, "algorithm.disable_kl")
    for key in ("kl_coef", "use_kl_loss", "kl_penalty", "kl_type", "kl_target", "kl_horizon"):
        draft.drop(f"algorithm.{key}", "algorithm.disable_kl leaves no KL")


def _kl(draft: Draft) -> None:
    source = draft.source
    in_loss, estimator = source["algorithm.use_kl_loss"], _KL[source["algorithm.kl_penalty"]]
    if estimator == "full" and not in_loss:
        raise RecipeError(
            "algorithm.kl_penalty: 'full' cannot be used in the reward; set algorithm.use_kl_loss=true, or kl."
        )
    draft.move("algorithm.kl_coef", "algorithm.kl_coef")
    draft.put("algorithm.kl_estimator", estimator, "algorithm.kl_penalty")
    draft.put("algorithm.kl_placement", "loss" if in_loss else "reward", "algorithm.use_kl_loss")
    draft.drop("algorithm.disable_kl", "", same_at=False)
    if source["algorithm.kl_type"] == "adaptive" and not in_loss:
        draft.put("algorithm.kl_target", source["algorithm.kl_target"], "algorithm.kl_type", "algorithm.kl_target")
        draft.move("algorithm.kl_horizon", "algorithm.kl_horizon")
        return
    draft.drop("algorithm.kl_type", "EasyR1 adapts the coefficient of a KL in the reward only", same_at="fixed")
    for key in ("algorithm.kl_target", "algorithm.kl_horizon"):
        draft.drop(key, "the coefficient is fixed")


def _sampling(draft: Draft, name: str) -> None:
    switch, block = "algorithm.online_filtering", "algorithm.dynamic_sampling"
    if not draft.source[switch]:
        draft.put(block, False if name == "cispo" else None, switch)
        for key in _FILTERS:
            draft.drop(key, "no groups are filtered")
        return
    draft.put_mapping(block, switch)
    _filter(draft, block)
    rounds = draft.source["trainer.max_try_make_batch"]
    if rounds > 0:
        draft.put(f"{block}.max_rounds", rounds, "trainer.max_try_make_batch")
    else:
        draft.drop("trainer.max_try_make_batch", "there is always a limit; dynamic_sampling.max_rounds is 10")


def _filter(draft: Draft, block: str) -> None:
    key, low, high = (draft.source[key] for key in _FILTERS[:3])
    note = ""
    if key == "accuracy_normalized" and is_dapo(draft):
        key, low, high, note = "accuracy", 2 * low - 1, 2 * high - 1, "; ours is from -1 to 1"
    draft.put(f"{block}.key", None if key == "overall" else key, "algorithm.filter_key", note=note)
    draft.put(f"{block}.low", low, "algorithm.filter_low", note=note)
    draft.put(f"{block}.high", high, "algorithm.filter_high", note=note)
