"""From a recipe and a file of --cloud to a job at Modal; the client itself is tested in compat/."""

from pathlib import Path

import pytest

from grpo_plugin.cloud import modal_run
from grpo_plugin.cloud.modal_run import check_fit, fetch, job_of, text
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import parse, read

CLOUD = {"gpu": "h200", "volumes": [{"name": "kept", "mount": "/data"}]}
RECIPE = """
base_model: user/model
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin, grpo_plugin.RolloutPlugin]
prompts: {train: user/data@train}
rewards: {functions: [{function: user/judge}]}
rollout: {}
trl: {num_generations: 4, generation_batch_size: 12}
micro_batch_size: 4
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "r.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(**keys):
    import yaml

    Path("cloud.yaml").write_text(yaml.safe_dump({**CLOUD, **keys}))
    return modal_run.read("cloud.yaml")


def recipe(**overrides):
    return parse(read("r.yaml", {"output_dir": "outputs/r", **overrides}))


def job(*words, overrides=None, environ=None, **keys):
    return job_of(recipe(**(overrides or {})), config(**keys), words, environ or {})


@pytest.mark.parametrize(
    ("keys", "request_", "gpus"),
    [
        ({"gpu": "h200"}, "H200:1", 1),
        ({"gpu": "h200", "gpu_count": 8}, "H200:8", 8),
        ({"gpu": "b200:4"}, "B200:4", 4),
        ({"gpu": "l40s:2"}, "L40S:2", 2),
        ({"gpu": "a100-80gb"}, "A100-80GB:1", 1),
        ({"gpu": "H100!:2"}, "H100!:2", 2),
    ],
)
def test_gpus_in_modals_words(keys, request_, gpus):
    assert (config(**keys).request, config(**keys).gpus) == (request_, gpus)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"gpu": None}, "gpu: expected a kind of GPU such as h200, or with a count h200:8, got None"),
        ({"gpu": "h200:9"}, "gpu: expected a kind of GPU such as h200, or with a count h200:8, got 'h200:9'"),
        ({"gpu": "h200:2", "gpu_count": 2}, "'gpu' and 'gpu_count' both give a count; drop one"),
        ({"volumes": []}, "volumes"),
        ({"volumes": [{"name": "x", "mount": "data"}]}, "mount"),
        ({"memry": 3}, "memry: unknown key; did you mean 'memory'?"),
        ({"secrets": [{"HF_TOKEN": "hf_x"}]}, "a secret is never written here; export it, and name the variable alone"),
        ({"provider": "baseten"}, "provider: 'baseten' is refused, because Axolotl sends it the recipe file alone"),
        ({"provider": "moda"}, "provider: "),
    ],
)
def test_mistakes_in_the_file(keys, sentence):
    with pytest.raises(RecipeError) as error:
        config(**keys)
    assert sentence in str(error.value) and "hf_x" not in str(error.value)


def test_a_number_of_processes_that_does_not_fit_is_refused():
    check_fit(recipe(), config(gpu_count=4), 3)
    with pytest.raises(RecipeError, match=r"--num-processes=7: of 4 visible .* \(--cloud: gpu H200:4\)\.$"):
        check_fit(recipe(), config(gpu_count=4), 7)


def test_an_interpreter_of_this_machine_is_refused(here):
    (here / "r.yaml").write_text(RECIPE.replace("rollout: {}", "rollout: {python: .venv-vllm/bin/python}"))
    with pytest.raises(RecipeError, match=r"rollout.python: '.venv-vllm/bin/python' is an interpreter of this machine"):
        check_fit(recipe(), config(gpu_count=4), 3)


def test_words_keep_their_order_and_outputs_go_to_the_volume():
    words = ("--num-processes=3", "--output-dir", "mine", "--", "--mixed_precision=bf16")
    assert job(*words, overrides={"output_dir": "mine"}).command == (
        *("axolotl", "train", "r.yaml", "--num-processes=3", "--output-dir", "mine", "--output-dir=/data/mine"),
        *("--", "--mixed_precision=bf16"),
    )
    assert job(overrides={"output_dir": "/data/x/r"}).command[-1] == "--output-dir=/data/x/r"
    for lost in ("/elsewhere/r", "../r"):
        with pytest.raises(RecipeError, match="lies on no volume, and would be lost with the container"):
            job(overrides={"output_dir": lost})


def test_outputs_can_be_fetched():
    kept = [{"name": "kept", "mount": "/data"}, {"name": "deep", "mount": "/data/deep"}]
    assert fetch(job()) == ["modal", "volume", "get", "kept", "outputs/r", "."]
    deep = job(volumes=kept, overrides={"output_dir": "/data/deep/r"})
    assert fetch(deep) == ["modal", "volume", "get", "deep", "r", "."]


def test_a_secret_that_is_missing_is_said():
    with pytest.raises(RecipeError, match=r"secrets: HF_TOKEN is not set here; export it, or remove it from"):
        job(secrets=["HF_TOKEN"])
    made = job(secrets=["HF_TOKEN"], modal_secrets=["wandb"], environ={"HF_TOKEN": "hf_x"})
    assert (made.secrets, made.modal_secrets) == ({"HF_TOKEN": "hf_x"}, ("wandb",))
    assert "hf_x" not in "\n".join(text(made)) + repr(made)
    assert "secrets   HF_TOKEN, wandb" in list(text(made))


def test_environment_variables_by_name_or_with_a_value():
    env = job(env=["PASSED", "ABSENT", {"SET": 1}], environ={"PASSED": "yes"}).env
    assert (env["PASSED"], env["SET"], env["HF_HUB_CACHE"]) == ("yes", "1", "/data/huggingface-cache/hub")
    assert "ABSENT" not in env


def test_of_a_secret_among_the_environment_variables_only_the_name_is_shown():
    made = job(env=["WANDB_API_KEY", "MODE", {"HF_TOKEN": "abc"}], environ={"WANDB_API_KEY": "abc", "MODE": "fast"})
    assert made.env["WANDB_API_KEY"] == made.env["HF_TOKEN"] == "abc"
    shown = list(text(made))
    assert "env       WANDB_API_KEY=(hidden)" in shown and "env       MODE=fast" in shown
    assert "abc" not in "\n".join(shown)


def test_another_provider_is_refused_with_commands_that_exist(tmp_path):
    (tmp_path / "cloud.yaml").write_text("provider: baseten\n")
    with pytest.raises(RecipeError, match=r"use modal, or `axolotl grpo cloud flexai`\.$"):
        modal_run.read(str(tmp_path / "cloud.yaml"))


def test_a_dry_run_says_all_and_starts_nothing(capsys, monkeypatch):
    monkeypatch.setattr(modal_run.axolotl_modal, "run", lambda job: pytest.fail("started"))
    config(gpu_count=4, image="me/image:1")
    done = modal_run.start(recipe(), "cloud.yaml", ["--num-processes=3"], num_processes=3, checks=True, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert done == 0
    assert lines[:2] == [
        "modal     grpo-r on H200:4, 16 cores, 128 GiB, at most 86400 seconds",
        "image     me/image:1",
    ]
    assert "file      /workspace/run/r.yaml (0.3 KiB)" in lines
    assert lines[-1] == (
        "command   cd /workspace/run && axolotl train r.yaml --num-processes=3 --output-dir=/data/outputs/r"
    )
