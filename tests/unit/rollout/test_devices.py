import pytest

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.rollout.server.devices import DeviceSplit, split, visible_gpus

EIGHT = [str(index) for index in range(8)]


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("0,1,2", ["0", "1", "2"]),
        (" 3 , 5 ", ["3", "5"]),
        ("GPU-aa,GPU-bb", ["GPU-aa", "GPU-bb"]),
        ("0,1,-1,2", ["0", "1"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_visible_gpus_reads_the_variable_as_cuda_does(listed: str, expected: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == expected


def test_the_server_takes_the_last_gpu() -> None:
    assert split(EIGHT, 7, RolloutConfig(), {}) == DeviceSplit(tuple("0123456"), ("7",))


def test_names_are_kept_and_order_is_the_users() -> None:
    assert split(["5", "GPU-x", "2"], 2, RolloutConfig(), {}) == DeviceSplit(("5", "GPU-x"), ("2",))


@pytest.mark.parametrize(
    ("vllm", "gpus", "server"),
    [
        ({"tensor_parallel_size": 2}, None, ("6", "7")),
        ({"data_parallel_size": 2}, 2, ("6", "7")),
        ({"tensor_parallel_size": 2, "data_parallel_size": 2}, 4, ("4", "5", "6", "7")),
        ({"tensor_parallel_size": None}, None, ("7",)),
    ],
)
def test_the_server_takes_what_its_parallelism_needs(
    vllm: dict[str, int | None], gpus: int | None, server: tuple[str, ...]
) -> None:
    assert split(EIGHT, 8 - len(server), RolloutConfig(gpus=gpus), vllm).server == server


def test_the_wrong_number_of_processes_names_the_right_one() -> None:
    with pytest.raises(
        RecipeError, match=r"--num-processes=8: of 8 visible GPU\(s\) the last 1 .* use --num-processes=7"
    ):
        split(EIGHT, 8, RolloutConfig(), {})


def test_an_unknown_number_of_processes_is_whatever_is_left() -> None:
    assert len(split(EIGHT, None, RolloutConfig(), {}).trainer) == 7


def test_gpus_must_equal_the_parallelism() -> None:
    with pytest.raises(RecipeError, match=r"rollout.gpus: 2 differs .* = 1 × 1; set vllm.tensor_parallel_size: 2"):
        split(EIGHT, 6, RolloutConfig(gpus=2), {})


def test_one_gpu_cannot_do_both() -> None:
    with pytest.raises(RecipeError, match="leaves none to train"):
        split(["0"], 1, RolloutConfig(), {})


@pytest.mark.parametrize("given", [{"use_vllm": False}, {"serves_here": False}])
def test_without_a_server_here_the_trainer_has_all(given: dict[str, bool]) -> None:
    assert split(EIGHT, 8, RolloutConfig(), {}, **given) == DeviceSplit(trainer=tuple(EIGHT))


def test_an_external_server_leaves_all_gpus_to_the_trainer() -> None:
    assert split(EIGHT, 8, RolloutConfig(url="http://elsewhere:8000"), {}).server == ()
    with pytest.raises(RecipeError, match="use --num-processes=8"):
        split(EIGHT, 9, RolloutConfig(url="http://elsewhere:8000"), {})


def test_a_machine_without_gpus_has_no_split() -> None:
    assert split([], 4, RolloutConfig(), {"tensor_parallel_size": 8}) == DeviceSplit()


def test_where_only_the_server_runs_it_may_have_every_gpu() -> None:
    assert split(["0"], None, RolloutConfig(), {}, trains_here=False) == DeviceSplit((), ("0",))
    with pytest.raises(RecipeError, match=r"vLLM takes 2 GPU\(s\) and 1 are visible"):
        split(["0"], None, RolloutConfig(), {"tensor_parallel_size": 2}, trains_here=False)
