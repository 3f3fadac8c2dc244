"""What `choose_layout` tries, in which order, and what it says; on toy models whose layers do as they are told."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grpo_plugin.algorithms import layout_choice
from grpo_plugin.algorithms.layout_choice import Choice, Wrapped, choose_layout
from grpo_plugin.errors import RecipeError

SEQUENCES = [[1, 2, 3, 4], [5, 6, 7], [3, 1, 4, 1, 5, 2]]


class RunningMean(nn.Module):
    """A layer with a state: the mean of all embeddings so far, of the sequence that `seq_idx` names if it is read."""

    def __init__(self, reads_bounds: bool, needs_mask: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(8, 16)
        self.dropout = nn.Dropout(0.5)
        self.reads_bounds, self.needs_mask = reads_bounds, needs_mask
        self.calls: list[set[str]] = []

    def forward(self, input_ids: Tensor, use_cache: bool, **inputs: Any) -> Any:
        self.calls.append(set(inputs))
        if self.needs_mask and "attention_mask" not in inputs and input_ids.shape[0] == 1 and len(self.calls) > 3:
            raise ValueError("give me a mask\nand more")
        states = self.dropout(self.embedding(input_ids))
        before = torch.ones(input_ids.shape[1], input_ids.shape[1], dtype=states.dtype).tril()
        if self.reads_bounds and "seq_idx" in inputs:
            before = before * (inputs["seq_idx"][0].unsqueeze(0) == inputs["seq_idx"][0].unsqueeze(1))
        return SimpleNamespace(last_hidden_state=before @ states / before.sum(1, keepdim=True))


class Toy(nn.Module):
    def __init__(self, reads_bounds: bool = False, needs_mask: bool = False, twist: float = 1.0) -> None:
        super().__init__()
        self.base_model = RunningMean(reads_bounds, needs_mask)
        self.head = nn.Linear(16, 8, bias=False)
        nn.init.normal_(self.head.weight)
        self.config = SimpleNamespace(_attn_implementation="eager")
        self.twist = twist

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: Tensor, use_cache: bool) -> Any:
        states = self.base_model(input_ids, use_cache).last_hidden_state
        return SimpleNamespace(logits=self.twist * self.head(states))


def test_layers_that_read_bounds_run_packed_with_bounds() -> None:
    choice = choose_layout(Toy(reads_bounds=True), SEQUENCES)
    assert choice.layout == "packed_varlen"
    assert choice.gap < 1e-5
    assert choice.note() is None
    assert choice.passed_over["packed"] > 0.05  # type: ignore[operator]


def test_layers_that_read_none_run_alone_and_the_note_says_why() -> None:
    choice = choose_layout(Toy(), SEQUENCES)
    assert choice.layout == "alone"
    assert list(choice.passed_over) == ["packed", "packed_varlen", "packed_mask"]
    note = choice.note()
    assert note is not None
    assert note.startswith("sequences run one at a time; short ones leave the device idle: end to end, this model's ")
    assert f"packed: {choice.passed_over['packed']:.2g} nats per token" in note


def test_a_layout_that_raises_is_passed_over() -> None:
    choice = choose_layout(Toy(needs_mask=True), SEQUENCES)
    assert choice.layout == "padded"
    assert choice.passed_over["alone"] == "ValueError: give me a mask"


def test_ranks_that_share_weights_can_leave_out_what_takes_several_passes() -> None:
    assert choose_layout(Toy(), SEQUENCES, among=("packed", "padded")).layout == "padded"


@pytest.mark.parametrize(
    ("gaps", "layout"),
    [
        ([0.0, 0.009], "packed"),  # noise
        ([0.0, 0.016], "packed_varlen"),  # a weak leak: the first sequence, which none precedes, shows no noise
        ([0.012, 0.03], "packed"),  # noise of a deep model
        ([0.02, 0.06], "packed_varlen"),  # beyond any noise
    ],
)
def test_the_first_sequence_of_a_pack_says_what_is_noise(
    monkeypatch: pytest.MonkeyPatch, gaps: list[float], layout: str
) -> None:
    found = {"packed": gaps, "packed_varlen": [0.0, 0.0]}
    monkeypatch.setattr(layout_choice, "gaps", lambda model, batch, layout, own: found[layout])
    logits = torch.zeros(6, 8, dtype=torch.bfloat16)
    assert choose_layout(Toy(), SEQUENCES, reference=lambda model, ids: logits[: len(ids)]).layout == layout


def test_attention_in_chunks_is_not_packed() -> None:
    model = Toy(reads_bounds=True)
    model.config.layer_types = ["chunked_attention", "full_attention"]
    choice = choose_layout(model, SEQUENCES)
    assert choice.layout == "alone"
    assert set(choice.passed_over.values()) == {"its attention counts chunks from the first token of a pack"}


def test_logits_that_are_not_the_heads_stop_the_run_and_the_gap_is_named() -> None:
    with pytest.raises(RecipeError, match=r"base_model: log-probabilities differ .* alone: \d\.\d nats per token, pad"):
        choose_layout(Toy(reads_bounds=True, twist=1.5), SEQUENCES)


def test_dropout_is_off_and_the_model_is_as_it_was() -> None:
    model = Toy(reads_bounds=True).train()
    model.head.eval()
    assert choose_layout(model, SEQUENCES).gap < 1e-5
    assert (model.training, model.base_model.dropout.training, model.head.training) == (True, True, False)


def test_a_reference_of_ones_own() -> None:
    asked: list[list[int]] = []

    def uniform(model: Toy, ids: Tensor) -> Tensor:
        asked.append(ids.tolist())
        return torch.zeros(len(ids), 8)

    model = Toy()
    nn.init.zeros_(model.head.weight)
    assert choose_layout(model, SEQUENCES, reference=uniform) == Choice("packed", 0.0, {})
    assert asked == SEQUENCES


def test_in_half_precision_a_state_is_packed_only_where_bounds_change_something() -> None:
    """A tolerance that takes every leak for noise."""
    for reads_bounds, layout in ((False, "alone"), (True, "packed_varlen")):
        model = Toy(reads_bounds=reads_bounds).bfloat16()
        assert choose_layout(model, SEQUENCES, tolerance=100.0).layout == "packed", "no convolution, no state"
        model.base_model.convolution = nn.Conv1d(16, 16, 4, groups=16)
        assert choose_layout(model, SEQUENCES, tolerance=100.0).layout == layout


def test_every_pass_is_a_call_of_its_own_and_the_main_process_decides():
    calls, told = [], []

    def call(work):
        calls.append(1)
        return work(model)

    def agree(found):
        told.append(found)
        return [9.0, 9.0] if len(told) == 1 else found

    model = Toy(reads_bounds=True)
    choice = choose_layout(model, SEQUENCES, wrapped=Wrapped(call, agree, torch.device("cpu")))
    assert len(calls) == len(SEQUENCES) + len(told) and len(told) >= 2
    assert "packed" in choice.passed_over and choice.layout != "packed"
