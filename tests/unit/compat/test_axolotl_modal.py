"""A run at Modal, by Modal's own client against a server that speaks its protocol.

The newest client: `pip install --target=DIR --no-deps modal==1.6.4 synchronicity==0.12.7`, then this file with
`PYTHONPATH=DIR:src`.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("modal")

from modal_proto import api_pb2

from grpo_plugin.cloud.modal_run import STARTUP
from tests.unit.compat.modal_server import LOG, ModalServer, serving

ROOT = Path(__file__).parents[3]
RECIPE = """
base: ../shared.yaml
base_model: user/model
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin, grpo_plugin.RolloutPlugin]
prompts: {train: data/train.jsonl, template: ask.jinja}
rewards: {functions: [{function: my_rewards.length.short}]}
output_dir: outputs/r
"""
BASE = "{trl: {num_generations: 4, generation_batch_size: 12}, micro_batch_size: 4, rollout: {}}"
CLOUD = """
provider: modal
gpu: h200
gpu_count: 4
secrets: [MY_TOKEN]
volumes: [{name: kept, mount: /workspace/data}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a recipe in a subfolder, and with much that must stay here."""
    contents = {
        "recipes/deep/r.yaml": RECIPE,
        "recipes/shared.yaml": BASE,
        "recipes/deep/ask.jinja": "{{ content }}",
        "my_rewards/length.py": "def short(completions, **kwargs): return [0.0] * len(completions)",
        "my_rewards/__pycache__/length.pyc": "no",
        "data/train.jsonl": '{"prompt": "1 + 1"}',
        "data/other.jsonl": "{}",
        ".env": "MY_TOKEN=hidden",
        ".venv/lib/big.so": "big",
        "outputs/r/model.safetensors": "big",
        "modal.yaml": CLOUD,
    }
    tmp_path = tmp_path_factory.mktemp("clone")
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def environment(server: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "MODAL_SERVER_URL": server,
        "MODAL_TOKEN_ID": "ak-1",
        "MODAL_TOKEN_SECRET": "as-1",
        "MODAL_CONFIG_PATH": "/nonexistent/modal.toml",
        "MY_TOKEN": "s3cret",
    }


COMMAND = """
import sys
from grpo_plugin.compat import axolotl_modal
from grpo_plugin.launcher.launch import before_axolotl
axolotl_modal.CHOICE = 1.0
before_axolotl(sys.argv[1:])
"""
WORDS = ("train", "--num-processes=3", "--cloud", "modal.yaml", "recipes/deep/r.yaml", "--learning-rate=1e-6")


def start(folder: Path, server: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *WORDS],
        cwd=folder,
        env={**environment(server), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class Done:
    fake: ModalServer
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """A run whose training fails with exit code 7."""
    fake = ModalServer(result=7)
    with serving(fake) as server, start(folder, server) as process:
        out, err = process.communicate(timeout=120)
    return Done(fake, process.returncode, out, err)


def test_the_exit_code_and_the_logs_arrive(done):
    assert done.code == 7, done.err
    assert LOG in done.out
    assert done.out.endswith("Outputs: modal volume get kept outputs/r .\n")


def test_the_command_arrives_as_it_was_typed(done):
    command, folder, volumes = done.fake.arguments()
    assert command == [
        *["axolotl", "train", "recipes/deep/r.yaml", "--num-processes=3", "--learning-rate=1e-6"],
        "--output-dir=/workspace/data/outputs/r",
    ]
    assert (folder, volumes) == ("/workspace/run", ["kept"])


def test_only_what_the_recipe_needs_travels(done):
    files = done.fake.files()
    run = {path.removeprefix("/workspace/run/") for path in files if path.startswith("/workspace/run/")}
    assert run == {
        *("recipes/deep/r.yaml", "recipes/shared.yaml", "recipes/deep/ask.jinja"),
        *("my_rewards/length.py", "data/train.jsonl"),
    }
    package = {path for path in files if path not in {f"/workspace/run/{name}" for name in run}}
    assert all(path.startswith("/workspace/package/grpo_plugin/") for path in package)
    assert "/workspace/package/grpo_plugin/launcher/startup.py" in package
    assert not [path for path in files if "__pycache__" in path]
    assert sum(map(len, files.values())) < 4 * 2**20


def test_what_travels_is_enough(done, tmp_path):
    """With nothing but the files that arrived, the function is there, and the recipe reads as it does here."""
    for path, content in done.fake.files().items():
        target = tmp_path / path.removeprefix("/workspace/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    code = """
from grpo_plugin.compat.modal_container import train
from grpo_plugin.recipe import check, read
from grpo_plugin.scoring.function_loading import resolve
recipe = check(read("recipes/deep/r.yaml"))
resolve("my_rewards.length.short", recipe.folder)
print(recipe.trl["num_generations"])
"""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "package")}
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "run", env=environ, capture_output=True, text=True
    )
    assert child.stdout == "4\n", child.stderr


def test_the_container_is_the_one_asked_for(done):
    function = done.fake.function()
    resources = function.resources
    assert (resources.gpu_config.gpu_type, resources.gpu_config.count) == ("H200", 4)
    assert (resources.memory_mb, resources.milli_cpu, function.timeout_secs) == (128 * 1024, 16_000, 86_400)
    assert [(mount.volume_id, mount.mount_path) for mount in function.volume_mounts] == [("vo-kept", "/workspace/data")]
    assert function.module_name == "grpo_plugin.compat.modal_container"
    lines = [line for request in done.fake.asked("ImageGetOrCreate") for line in request.image.dockerfile_commands]
    assert "FROM axolotlai/axolotl:main-py3.11-cu128-2.9.1" in lines
    assert any(line.startswith("ENV PYTHONPATH=") and "/workspace/package" in line for line in lines)


def test_a_secret_goes_by_modals_secrets_alone(done):
    (secret,) = done.fake.asked("SecretGetOrCreate")
    assert secret.env_dict == {"MY_TOKEN": "s3cret"}
    others = [request for name, request in done.fake.calls if name != "SecretGetOrCreate"]
    assert not [request for request in others if b"s3cret" in request.SerializeToString()]
    assert "s3cret" not in done.out + done.err and "MY_TOKEN" in done.out


def test_the_startup_line_makes_the_launcher_start(tmp_path):
    words = shlex.split(STARTUP.removeprefix("RUN "))
    assert words[:2] == ["python", "-c"]
    here = words[2].replace("site.getsitepackages()[0]", repr(str(tmp_path)))
    subprocess.run([sys.executable, "-c", here], check=True)
    probe = (
        f"import site, sys; site.addsitedir({str(tmp_path)!r}); print('grpo_plugin.launcher.startup' in sys.modules)"
    )
    for path, expected in ((str(ROOT / "src"), "True\n"), ("/nonexistent", "False\n")):
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({path!r}); {probe}"],
            capture_output=True,
            text=True,
        )
        assert (child.stdout, child.stderr) == (expected, "")


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_detaches_and_a_second_one_stops(folder, presses):
    fake = ModalServer(result=None)
    with serving(fake) as server, start(folder, server) as process:
        deadline = time.monotonic() + 60
        while not fake.asked("FunctionGetOutputs") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The run goes on at Modal. Ctrl-C again within 1 seconds stops it" in err
    assert len(fake.asked("FunctionCallCancel")) == presses - 1
    if presses == 1:
        assert "modal app logs ap-1" in out and "modal app stop ap-1" in out
    (created,) = fake.asked("AppCreate")
    assert created.app_state == api_pb2.APP_STATE_DETACHED


def test_without_a_token_modal_says_so(folder):
    fake = ModalServer()
    with serving(fake) as server, start(folder, server, MODAL_TOKEN_ID="", MODAL_TOKEN_SECRET="") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("error: Modal: Token missing.") and err.count("\n") == 1
