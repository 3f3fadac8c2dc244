import pytest

from grpo_plugin.rollout.server.diagnosis import explain, tail

# Lines as vLLM 0.32, argparse and Python wrote them.
CASES = [
    (
        "/venv/bin/python: Error while finding module specification for 'vllm.entrypoints.openai.api_server' "
        "(ModuleNotFoundError: No module named 'vllm')",
        "ModuleNotFoundError: No module named 'vllm'); set rollout.python to an interpreter that has vLLM, "
        "or pip install 'grpo-plugin[vllm]'",
    ),
    (
        "                     [model_tag]\napi_server.py: error: unrecognized arguments: --no-such-option",
        "api_server.py: error: unrecognized arguments: --no-such-option; check rollout.args and the vllm: block",
    ),
    (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "  Value error, User-specified max_model_len (4096) is greater than the derived max_model_len (512). [type=…]",
        "Value error, User-specified max_model_len (4096) is greater than the derived max_model_len (512). [type=…]; "
        "lower vllm.max_model_len to what the model allows",
    ),
    (
        "(EngineCore pid=7) ERROR 11-20 18:41:33 [core.py:1510] torch.OutOfMemoryError: CUDA out of memory. Tried to\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to; lower vllm.gpu_memory_utilization",
    ),
    (
        "(EngineCore pid=7) ERROR 11-20 18:41:33 [core.py:1510] ValueError: Free memory on device (3/79 GiB) "
        "is less than desired GPU memory utilization (0.9, 71 GiB).",
        "(0.9, 71 GiB); lower vllm.gpu_memory_utilization, give vLLM more GPUs",
    ),
    (
        "ValueError: To serve one request of the max seq len (131072), (16.0 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (9.1 GiB).",
        "raise vllm.gpu_memory_utilization, or lower vllm.max_model_len",
    ),
    (
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.",
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error; check base_model, revision_of_model",
    ),
    (
        "OSError: [Errno 98] Address already in use",
        "OSError: [Errno 98] Address already in use; choose another rollout.port",
    ),
    ("[guard] the server ended with code -9", "it was killed, most often for memory"),
    ("nothing that is known", "its log says why"),
]


@pytest.mark.parametrize(("log", "expected"), CASES)
def test_a_log_is_explained(log: str, expected: str) -> None:
    assert expected in explain(log)


def test_the_first_error_is_the_cause_and_vllms_prefixes_go() -> None:
    log = (
        "(Worker pid=2) ERROR 11-20 18:41:33 [multiproc_executor.py:1063] ValueError: the root of it\n"
        "(APIServer pid=1) WARNING 11-20 18:41:11 [system_utils.py:255] such as `OSError: [Errno 24] x`.\n"
        "RuntimeError: Engine core initialization failed."
    )
    assert explain(log) == "ValueError: the root of it"


def test_an_error_with_a_remedy_goes_before_an_earlier_one_without() -> None:
    log = "subprocess.CalledProcessError: returned 1\nModuleNotFoundError: No module named 'torchvision'\n"
    assert explain(log).startswith(
        "ModuleNotFoundError: No module named 'torchvision'; vLLM's environment is incomplete"
    )


def test_the_tail_has_no_noise() -> None:
    log = "\n".join(
        [
            "(APIServer pid=1) INFO 11-20 17:41:21 [launcher.py:195] Route: /ping, Methods: GET",
            "(APIServer pid=1) INFO 11-20 17:41:04 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █",
            "(Worker pid=2) INFO 11-20 17:41:18 [cpu_model_runner.py:68] Starting to load model x...",
            "",
            "nanobind: leaked 4 instances!",
            ' - leaked instance 0x7eff5c660b28 of type "triton._C.libtriton.ir.attribute"',
            "ValueError: no",
        ]
    )
    assert tail(log) == "Starting to load model x...\nValueError: no"
    assert tail(log, 1) == "ValueError: no"
