import pytest

from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.errors import RecipeError


def test_sets_have_their_own_options_on_top_of_the_block_s():
    config = ValidationConfig.parse(
        "validation",
        {"samples": 4, "temperature": 0.6, "greedy": False, "sets": {"aime": {"samples": 32, "pass_at": [1, 32]}}},
    )
    aime, other = config.of_set("aime"), config.of_set("math500")
    assert (aime.samples, aime.temperature, aime.greedy, aime.pass_at) == (32, 0.6, False, (1, 32))
    assert (other.samples, other.pass_at) == (4, ())
    with pytest.raises(RecipeError, match="'majority_at' 8 needs as many samples, but 'samples' is 4"):
        ValidationConfig.parse("validation", {"samples": 4, "sets": {"aime": {"majority_at": [8]}}})


@pytest.mark.parametrize(
    ("every", "steps"), [(5, 5), ("7", 7), ("1 epoch", 40), ("0.5 epochs", 20), (".001 epochs", 1), (None, None)]
)
def test_every_counts_steps_or_epochs(every, steps):
    assert ValidationConfig.parse("validation", {"every": every}).steps(40) == steps


def test_an_epoch_of_a_stream_is_refused():
    config = ValidationConfig.parse("validation", {"every": "2 epochs"})
    with pytest.raises(RecipeError, match=r"validation\.every: an epoch of a stream has no length, got '2 epochs'"):
        config.steps(None)
    assert ValidationConfig.parse("validation", {"every": 3}).steps(None) == 3


@pytest.mark.parametrize("every", ["often", 0, -1, "0 epochs", 1.5, "1.5"])
def test_another_interval_is_refused(every):
    with pytest.raises(RecipeError, match=r"every: expected a number of optimizer steps, or of epochs such as '0\.5"):
        ValidationConfig.parse("validation", {"every": every})


def test_patience_needs_the_figure_that_has_to_get_better():
    with pytest.raises(RecipeError, match="'patience' needs 'best'"):
        ValidationConfig.parse("validation", {"patience": 3})
    assert ValidationConfig.parse("validation", {"best": {"metric": "eval_pass@8"}}).best.name == "eval_pass@8"
    assert ValidationConfig.parse("validation", {"best": {"metric": "pass@8"}}).best.name == "eval_pass@8"


def prompts(validation):
    block = {"train": "a.jsonl", "prompt_key": "question", "answer_key": "gold", "validation": validation}
    return PromptsConfig.parse("prompts", block)


def test_held_out_sets_are_worded_as_training_unless_they_say_otherwise():
    config = prompts({"plain": "b.jsonl", "own": {"sources": ["c.jsonl", "d.jsonl"], "prompt_key": "problem"}})
    plain, own = config.held_out("plain"), config.held_out("own")
    assert ([one.source for one in plain.train], plain.prompt_key, plain.answer_key) == (
        ["b.jsonl"],
        "question",
        "gold",
    )
    assert ([one.source for one in own.train], own.prompt_key) == (["c.jsonl", "d.jsonl"], "problem")
    assert prompts({"b": {"sources": "b.jsonl", "answer_key": None}}).held_out("b").answer_key is None
    assert PromptsConfig.parse("prompts", config.model_dump()) == config, "as Axolotl may hand it on"
    assert list(prompts("b.jsonl").validation) == list(prompts({"source": "b.jsonl", "weight": 2}).validation)
    assert list(prompts("b.jsonl").validation) == ["validation"]


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"aime": {"sources": "b", "prompt_kye": "x"}}, "validation.aime.prompt_kye: unknown key; did you mean"),
        ({"aime": {"prompt_key": "x"}}, "prompts.validation.aime.sources: required and missing"),
        ({"my set": "b.jsonl"}, "prompts.validation: 'my set' is no name of a set"),
        (3, "prompts.validation: a source is text"),
        ({"aime": {"sources": "b", "min_pixels": 9}}, "min_pixels: unknown key"),
    ],
)
def test_a_mistake_in_a_set_is_one_sentence(validation, message):
    with pytest.raises(RecipeError) as caught:
        prompts(validation)
    assert message in str(caught.value)
