"""What the `prompts:` block and two keys of `trl:` do in a whole run."""

import json

import pandas
import pytest

from tests.tiny import make_tokenizer
from tests.training import Training, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_stream_with_template_and_generation_arguments_and_a_dropped_prompt(tmp_path):
    digits = make_tokenizer().convert_tokens_to_ids(list("0123456789"))
    recipe = write_recipe(
        tmp_path,
        prompts={"train": "train.jsonl", "validation": "long.jsonl", "answer_key": "answer"}
        | {"max_length": 60, "streaming": True},
        trl={"use_vllm": False, "num_generations": 4, "max_completion_length": 16}
        | {"chat_template_kwargs": {"hint": "Think."}, "generation_kwargs": {"suppress_tokens": digits}},
        validation={"before_train": False, "samples": 1},
        max_steps=2,
    )
    rows = [{"prompt": "1+1=", "answer": "2"}, {"prompt": "1+" * 60, "answer": "?"}]
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text(template.read_text() + "{{ hint }}")
    training = Training(recipe)
    try:
        assert training.wait() == 0, training.screen
    finally:
        training.destroy()
    assert "prompts.validation: 1 of 2 prompts are over max_length 60 and were dropped" in training.screen
    generations = pandas.read_parquet(tmp_path / "out" / "generations")
    assert len(generations[generations["split"] == "train"]) == 2 * 16
    assert generations["prompt"].str.endswith("Think.").all()
    assert not generations["completion"].str.contains(r"\d").any()
