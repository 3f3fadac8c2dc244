"""What cannot be a configuration of EasyR1 is refused in one sentence, and the command exits with 2."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from grpo_plugin.cli.import_easyr1 import import_easyr1 as command
from grpo_plugin.convert.easyr1.conversion import convert_config
from grpo_plugin.errors import RecipeError
from tests.unit.convert.configurations import config

REFUSED = {
    "worker.actor.loss_type=foo": "worker.actor.loss_type: 'foo' is unknown; known values: default, gspo, gspo_token,",
    "algorithm.adv_estimator=foo": "algorithm.adv_estimator: 'foo' is unknown; known values: grpo, grpo_passk,",
    "algorithm.kl_penalty=foo": "algorithm.kl_penalty: 'foo' is unknown; known values: kl, abs, mse, low_var_kl, full.",
    "worker.actor.kl_loss_type=foo": "worker.actor.kl_loss_type: 'foo' is unknown; known values: kl, abs,",
    "worker.actor.loss_avg_mode=mean": "worker.actor.loss_avg_mode: 'mean' is unknown; known values: token, seq.",
    "trainer.logger=[console,foo]": "trainer.logger: 'foo' is unknown; known values: console, file,",
    "worker.reward.reward_function=foo": "worker.reward.reward_function: 'foo' is unknown; known: math, r1v,",
    "worker.rollout.n=abc": "worker.rollout.n: expected a whole number, got 'abc'.",
    "worker.rollout.n=1.5": "worker.rollout.n: expected a whole number, got 1.5.",
    "worker.rollout.n=": "worker.rollout.n: expected a whole number, got None.",
    "worker.rollout.n=0": "worker.rollout.n: 0 is too small; it is at least 1.",
    "worker.rollout.n=1": "worker.rollout.n: 1, but algorithm.adv_estimator 'grpo' compares the completions",
    "worker.rollout={n: 1}": "worker.rollout.n: 1, but",
    "worker.rollout=3": "worker.rollout: expected keys and values, got 3.",
    "worker.actor.global_batch_size=0": "worker.actor.global_batch_size: 0 is too small",
    "worker.actor.optim.betas=[0.9]": "worker.actor.optim.betas: expected two numbers",
    "worker.actor.optim.betas=[a,b]": "worker.actor.optim.betas: expected a number, got 'a'.",
    "algorithm.kl_coef=.nan": "algorithm.kl_coef: expected a number, got nan.",
    "algorithm.disable_kl=maybe": "algorithm.disable_kl: 'maybe' is neither true nor false",
    "algorithm.kl_penalty=full": "algorithm.kl_penalty: 'full' cannot be used in the reward",
    "worker.reward.reward_function_kwargs=3": "worker.reward.reward_function_kwargs: expected keys and values, got 3.",
    "worker.reward.reward_function=null": "worker.reward.reward_function: missing; name the function that judges",
    "worker.actor.model.model_path=": "worker.actor.model.model_path: missing; name a model",
    "data.train_files=": "data.train_files: missing; name the training data",
    "data.train_files={": "data.train_files: '{' is not valid YAML",
    "data.train_files=[null]": "data.train_files: expected text, got None.",
    "trainer.nnodes": "'trainer.nnodes': expected an override such as",
}


@pytest.mark.parametrize(("word", "sentence"), REFUSED.items(), ids=REFUSED)
def test_words_of_the_command_line(tmp_path, word, sentence):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config()))
    result = CliRunner().invoke(command, [str(path), word])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"error: {sentence}")


def test_a_default_that_cannot_work_is_refused_too():
    values = config()
    del values["worker"]["rollout"]
    with pytest.raises(RecipeError, match=r"worker\.rollout\.n: 1 \(the default\), but"):
        convert_config(values)
    del values["data"]["train_files"]
    with pytest.raises(RecipeError, match=r"data\.train_files: missing"):
        convert_config(values, ["worker.rollout.n=5"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\x00", "not UTF-8 text (invalid start byte at byte 0); convert it."),
        (b"a: [", "not valid YAML: expected the node content, but found '<stream end>' (line 1, column 5)."),
        (b"a: 2025-99-99", "not valid YAML: "),
        (b"- 1\n", "expected EasyR1's sections (data, algorithm, worker, trainer), got list."),
        (b"", "expected EasyR1's sections (data, algorithm, worker, trainer), got an empty file."),
    ],
)
def test_files(tmp_path: Path, content, sentence):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    result = CliRunner().invoke(command, [str(path)])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"'{path}': {sentence}" in result.stderr
