import base64
import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from PIL import Image

from grpo_plugin.errors import RecipeError, RolloutError
from grpo_plugin.rollout.client.chat_images import VERBATIM, chat_request
from grpo_plugin.rollout.client.failures import ServerGone, StaleWeights
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling
from tests.unit.rollout.fake_vllm import Answer, FakeVllm, Request

MODELS = Answer({"data": [{"id": "policy", "max_model_len": 100}]})
SCHEMA = {"components": {"schemas": {"CompletionRequest": {"properties": {"ignore_eos": {}, "min_tokens": {}}}}}}
Serve = Callable[..., tuple[FakeVllm, Client]]


def choices(request: Request) -> list[dict[str, Any]]:
    """For a prompt [p, …], completion i is the tokens [p, i] with log-probabilities -p/100 and -i/100."""
    made = []
    for prompt in request.body["prompt"]:
        for index in range(request.body["n"]):
            token_ids = [prompt[0], index]
            logprobs = {"token_logprobs": [-prompt[0] / 100, -index / 100]}
            made.append({"index": len(made), "token_ids": token_ids, "logprobs": logprobs, "finish_reason": "stop"})
    return made


def answer(request: Request) -> Answer:
    if request.path == "/v1/models":
        return MODELS
    if request.path == "/openapi.json":
        return Answer(SCHEMA)
    return Answer({"choices": choices(request)})


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    opened: list[tuple[FakeVllm, Client]] = []

    def run(respond: Callable[[Request], Answer | None] = answer, **options: Any) -> tuple[FakeVllm, Client]:
        server = FakeVllm(tmp_path / "vllm.sock", respond)
        server.start()
        opened.append((server, Client(server.address, **options)))
        return opened[-1]

    yield run
    for server, client in opened:
        client.close()
        server.shutdown()
        server.server_close()


def completing(respond: Callable[[Request], Answer | None]) -> Callable[[Request], Answer | None]:
    return lambda request: respond(request) if request.path == "/v1/completions" else answer(request)


def ask(client: Client, prompts: list[list[int]], n: int = 1, version: int | None = None, **fields: Any) -> Any:
    sampling = Sampling(max_tokens=5, **fields)
    return client.complete(prompts, n=n, sampling=sampling, version=version or 0, verify_version=version is not None)


@pytest.mark.parametrize("requests", [1, 3, 16])
def test_completions_come_back_per_prompt_in_order(serve: Serve, requests: int) -> None:
    server, client = serve(requests=requests)
    answers = ask(client, [[token, 1] for token in range(7)], n=2, version=3)
    assert answers == [[Completion([p, i], [-p / 100, -i / 100], "stop", 3) for i in range(2)] for p in range(7)]
    assert sum(request.path == "/v1/completions" for request in server.requests) == min(requests, 7)


def test_all_requests_are_in_flight_at_once(serve: Serve) -> None:
    together = threading.Barrier(8, timeout=20)

    def answer_when_all_have_come(request: Request) -> Answer:
        together.wait()  # raises, and hangs up, when a request waits for the answer to another
        return answer(request)

    _, client = serve(completing(answer_when_all_have_come), requests=8)
    assert len(ask(client, [[token] for token in range(8)])) == 8


def test_choices_are_put_in_order(serve: Serve) -> None:
    _, client = serve(completing(lambda request: Answer({"choices": choices(request)[::-1]})))
    assert [c.token_ids for c in ask(client, [[9]], n=3)[0]] == [[9, 0], [9, 1], [9, 2]]


def test_no_prompts_ask_nothing(serve: Serve) -> None:
    server, client = serve()
    assert ask(client, []) == []
    assert server.requests == []


def test_the_request_says_how_to_draw_and_what_to_expect(serve: Serve) -> None:
    server, client = serve(key="s3cret")
    fields = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1, "seed": 3}
    extra = {"ignore_eos": True, "min_tokens": 2}
    ask(client, [[1, 2]], n=2, version=4, stop=["\n"], logit_bias={7: -100.0}, regex="[ab]+", extra=extra, **fields)
    request = server.requests[-1]
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["x-grpo-expect-version"] == "4"
    assert request.body == {
        **fields,
        **extra,
        "max_tokens": 5,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stop": ["\n"],
        "logit_bias": {"7": -100.0},
        "structured_outputs": {"regex": "[ab]+"},
        "prompt": [[1, 2]],
        "n": 2,
        "logprobs": 0,
        "return_token_ids": True,
    }


def test_what_is_not_given_is_neutral_so_that_the_models_own_defaults_do_not_apply(serve: Serve) -> None:
    server, client = serve()
    ask(client, [[1]])
    body = server.requests[-1].body
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (1.0, 1.0, 0, 0.0)
    assert body["repetition_penalty"] == 1.0
    assert "x-grpo-expect-version" not in server.requests[-1].headers


def test_the_sampling_fields_of_trl() -> None:
    args = SimpleNamespace(
        max_completion_length=64,
        temperature=0.8,
        top_p=0.95,
        top_k=None,
        min_p=0.1,
        repetition_penalty=1.2,
        vllm_structured_outputs_regex="[0-9]+",
        generation_kwargs={"temperature": 0.5, "stop_token_ids": [7]},
    )
    payload = Sampling.from_args(args).payload()
    assert payload["temperature"] == 0.5, "generation_kwargs override, as in TRL"
    assert payload["stop_token_ids"] == [7]
    assert payload["structured_outputs"] == {"regex": "[0-9]+"}
    assert (payload["max_tokens"], payload["top_p"], payload["top_k"]) == (64, 0.95, 0)
    assert (payload["min_p"], payload["repetition_penalty"]) == (0.1, 1.2)


def test_a_field_that_this_vllm_would_drop_in_silence_is_an_error(serve: Serve) -> None:
    server, client = serve()
    with pytest.raises(RecipeError, match=r"generation_kwargs.min_token: unknown .* did you mean 'min_tokens'\?"):
        ask(client, [[1]], extra={"min_token": 3})
    assert all(request.path != "/v1/completions" for request in server.requests)


def test_a_field_that_is_the_trainers_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"trl.generation_kwargs.n: is decided by the trainer"):
        Sampling(max_tokens=5, extra={"n": 4})


def test_an_adapter_is_asked_by_its_name(serve: Serve) -> None:
    server, client = serve()
    client.use_adapter("policy-3")
    ask(client, [[1]])
    assert server.requests[-1].body["model"] == "policy-3"
    client.use_adapter(None)
    ask(client, [[1]])
    assert "model" not in server.requests[-1].body
    assert client.served_model() == "policy"


def test_a_prompt_that_does_not_fit_is_named_before_anything_is_asked(serve: Serve) -> None:
    server, client = serve()
    with pytest.raises(RolloutError, match=r"vllm.max_model_len: 100 .* prompt of 96 and a completion of 5 "):
        ask(client, [[1], [1] * 96])
    ask(client, [[1] * 95])
    assert sum(request.path == "/v1/completions" for request in server.requests) == 1


def test_a_refusal_carries_the_servers_message(serve: Serve) -> None:
    _, client = serve(completing(lambda request: Answer({"error": {"message": "top_p must be in (0, 1]"}}, 400)))
    with pytest.raises(RolloutError, match=r"vLLM refused /v1/completions \(400\): top_p must be") as caught:
        ask(client, [[1]])
    assert not isinstance(caught.value, ServerGone)


@pytest.mark.parametrize("broken", [None, Answer({"error": {"message": "EngineCore died"}}, 500), Answer("oops", 503)])
def test_a_dead_engine_is_a_server_gone(serve: Serve, broken: Answer | None) -> None:
    _, client = serve(completing(lambda request: broken))
    with pytest.raises(ServerGone):
        ask(client, [[1], [2]])


def test_no_server_at_all(tmp_path: Path) -> None:
    with Client(f"unix:{tmp_path}/none.sock") as client:
        assert client.health() is False
        with pytest.raises(ServerGone, match="cannot be reached"):
            client.version()


def test_the_first_failure_does_not_wait_for_the_others(serve: Serve) -> None:
    failed = threading.Event()
    waited: list[bool] = []

    def respond(request: Request) -> Answer:
        if request.body["prompt"][0] != [1]:
            waited.append(failed.wait(20))
        return Answer({"error": "no"}, 400)

    _, client = serve(completing(respond))
    with pytest.raises(RolloutError):
        ask(client, [[1], [2], [3]])
    assert waited == [], "the error came before any other answer"
    failed.set()


def test_half_an_answer_is_a_server_gone(serve: Serve) -> None:
    half = Answer('{"choices": [{"ind', headers={"content-type": "application/json"})
    _, client = serve(completing(lambda request: half))
    with pytest.raises(ServerGone, match=r"sent an incomplete answer to /v1/completions \(18 bytes\)"):
        ask(client, [[1], [2]])


def test_an_answer_without_completions_is_a_server_gone(serve: Serve) -> None:
    _, client = serve(completing(lambda request: Answer({"object": "error"})))
    with pytest.raises(ServerGone, match="answered without completions"):
        ask(client, [[1]])


def test_an_answer_that_never_comes_names_the_field_to_raise(serve: Serve) -> None:
    def never(request: Request) -> Answer:
        time.sleep(1)
        return Answer()

    _, client = serve(completing(never), timeout=0.2)
    with pytest.raises(RolloutError, match=r"did not answer /v1/completions within 0.2 s \(rollout.request_timeout\)"):
        ask(client, [[1]])


def test_no_connection_is_used_twice_since_the_server_may_have_closed_it(serve: Serve) -> None:
    server, client = serve(lambda request: Answer({"ok": True}))
    for _ in range(3):
        client.post("/pause")
    assert server.connections == 3


def test_the_timeout_of_one_call_is_the_one_that_is_named(serve: Serve) -> None:
    def never(request: Request) -> Answer:
        time.sleep(0.5)
        return Answer()

    _, client = serve(never)
    with pytest.raises(RolloutError, match=r"did not answer /update_weights within 0.1 s"):
        client.post("/update_weights", timeout=0.1)


def test_other_weights_are_stale(serve: Serve) -> None:
    refusal = Answer({"error": {"message": "the weights have version 0, expected was 2"}}, 409, {"x-grpo-version": "0"})
    _, client = serve(completing(lambda request: refusal))
    with pytest.raises(StaleWeights, match="have version 0, expected was 2"):
        ask(client, [[1]], version=2)


@pytest.mark.parametrize("logps", [[-0.1, None], [-0.1, float("nan")], [-0.1]])
def test_missing_and_nan_logps_are_errors(serve: Serve, logps: list[float | None]) -> None:
    choice = {"index": 0, "token_ids": [1, 2], "logprobs": {"token_logprobs": logps}, "finish_reason": "stop"}
    _, client = serve(completing(lambda request: Answer({"choices": [choice]})))
    with pytest.raises(RolloutError, match="without a log-probability, or NaN"):
        ask(client, [[1]])


def test_a_completion_broken_off_is_a_server_gone(serve: Serve) -> None:
    choice = {"index": 0, "token_ids": [1], "logprobs": {"token_logprobs": [-0.1]}, "finish_reason": "abort"}
    _, client = serve(completing(lambda request: Answer({"choices": [choice]})))
    with pytest.raises(ServerGone, match="broke a completion off"):
        ask(client, [[1]])


def test_too_few_completions_are_an_error(serve: Serve) -> None:
    _, client = serve(completing(lambda request: Answer({"choices": choices(request)[:1]})))
    with pytest.raises(RolloutError, match="returned 1 completions for 1 prompts × 2"):
        ask(client, [[1]], n=2)


def test_an_update_announces_the_version_it_makes(serve: Serve) -> None:
    server, client = serve(lambda request: Answer({"ok": True}))
    assert client.post("/collective_rpc", {"method": "reload_weights"}, set_version=3) == {"ok": True}
    client.post("/start_weight_update", set_version="broken")
    client.post("/pause")
    assert [request.headers.get("x-grpo-set-version") for request in server.requests] == ["3", "broken", None]


def test_an_empty_answer_is_none(serve: Serve) -> None:
    _, client = serve(lambda request: Answer(""))
    assert client.post("/reset_prefix_cache") is None


@pytest.mark.parametrize(("header", "version"), [("7", 7), ("broken", "broken"), (None, None)])
def test_the_version_the_server_says_it_has(serve: Serve, header: str | None, version: Any) -> None:
    _, client = serve(lambda request: Answer(headers={"x-grpo-version": header} if header else {}))
    assert client.version() == version
    assert client.health()


IMAGE_TOKEN = 99


def seeing(request: Request) -> Answer:
    """Puts three image tokens in the place of each; its text is the tokens as characters."""
    if request.path == "/detokenize":
        return Answer({"prompt": "".join(map(chr, request.body["tokens"]))})
    if request.path != "/v1/chat/completions":
        return answer(request)
    text = request.body["messages"][0]["content"][0]["text"]
    used = [token for character in text for token in [ord(character)] * (3 if ord(character) == IMAGE_TOKEN else 1)]
    logprobs = {"content": [{"logprob": -0.5}, {"logprob": -0.25}]}
    made = [
        {"index": index, "token_ids": [index, 7], "logprobs": logprobs, "finish_reason": "stop"}
        for index in range(request.body["n"])
    ]
    return Answer({"choices": made, "prompt_token_ids": used})


def test_prompts_with_and_without_images_in_one_batch(serve: Serve) -> None:
    server, client = serve(seeing)
    prompts, picture = [[65], [66, IMAGE_TOKEN, 67], [68]], Image.new("RGB", (2, 1), "red")
    sampling = Sampling(max_tokens=5, temperature=0.7)
    answers = client.complete(prompts, n=2, sampling=sampling, version=3, images=[None, [picture], []])
    assert answers[1] == [Completion([index, 7], [-0.5, -0.25], "stop", 3) for index in range(2)]
    assert [group[0].token_ids for group in answers] == [[65, 0], [0, 7], [68, 0]]
    (chat,) = [request for request in server.requests if request.path == "/v1/chat/completions"]
    text, image = chat.body["messages"][0]["content"]
    assert text == {"type": "text", "text": "BcC"}
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    pixels = base64.b64decode(image["image_url"]["url"].partition(",")[2])
    assert Image.open(io.BytesIO(pixels)).convert("RGB").getpixel((1, 0)) == (255, 0, 0)
    assert (chat.body["temperature"], chat.body["max_tokens"], chat.body["logprobs"]) == (0.7, 5, True)
    assert chat.headers["x-grpo-expect-version"] == "3"


def test_after_images_a_sync_forgets_what_was_seen_in_them(serve: Serve) -> None:
    server, client = serve(lambda request: Answer() if "reset" in request.path else seeing(request))
    client.reset_caches()
    assert [request.path for request in server.requests if "reset" in request.path] == ["/reset_prefix_cache"]
    options = {"n": 1, "sampling": Sampling(max_tokens=5), "version": 0, "verify_version": False}
    client.complete([[66, IMAGE_TOKEN, 67]], images=[[Image.new("RGB", (2, 1))]], **options)
    client.reset_caches()
    last = [request.path for request in server.requests[-2:]]
    assert last == ["/reset_prefix_cache", "/reset_encoder_cache"]


def test_the_template_of_a_prompt_with_images_repeats_it() -> None:
    parts = chat_request("<a>\n {{ b }} ", [], {})["messages"]
    assert jinja2.Template(VERBATIM, keep_trailing_newline=True).render(messages=parts) == "<a>\n {{ b }} "


def test_a_prompt_with_images_that_vllm_reads_differently_is_an_error(serve: Serve) -> None:
    def misreading(request: Request) -> Answer:
        given = seeing(request)
        return Answer({**given.body, "prompt_token_ids": [66, 99, 99, 99]}) if "chat" in request.path else given

    _, client = serve(misreading)
    picture = Image.new("RGB", (1, 1))
    with pytest.raises(RolloutError, match="tokenised a prompt with images differently"):
        client.complete([[66, 99, 67]], n=1, sampling=Sampling(max_tokens=1), version=0, images=[[picture]])


def test_the_client_needs_no_environments() -> None:
    """In a process of its own: it also runs where vLLM is, without what environments stand on."""
    code = "import sys; sys.modules['grpo_plugin.environments'] = None; import grpo_plugin.rollout.client.http"
    subprocess.run([sys.executable, "-c", code], check=True)
