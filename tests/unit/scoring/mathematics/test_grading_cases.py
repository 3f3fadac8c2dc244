import logging
from collections import defaultdict

import pytest

from grpo_plugin.scoring.mathematics import agrees, equivalent, extract, response_agrees
from grpo_plugin.scoring.mathematics.compare import equivalence
from grpo_plugin.scoring.mathematics.extract import final_answer
from tests.data.pairs import Case, cases

BY_SUBJECT: dict[str, list[Case]] = defaultdict(list)
for case in cases():
    BY_SUBJECT[case.about].append(case)


@pytest.mark.parametrize("about", BY_SUBJECT)
def test_every_case_of_a_kind(about: str, caplog: pytest.LogCaptureFixture) -> None:
    judged = {"equivalent": equivalent, "accuracy": response_agrees}
    wrong = [case for case in BY_SUBJECT[about] if judged[case.kind](case.answer, case.gold) != case.expected]
    assert not wrong
    assert not caplog.records, "an error inside the grader"


def test_golds_longer_than_the_reader_takes_want_their_equal() -> None:
    long = "x+" * 1_200 + "1"
    assert equivalent(long, long)
    assert equivalent(f" {long} ", long)
    assert not equivalent(long + "1", long)
    assert not equivalent("1", long)


def test_an_error_inside_the_grader_counts_as_wrong_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(equivalence, "matches_any", broken)
    monkeypatch.setattr(final_answer, "extract", broken)
    with caplog.at_level(logging.ERROR):
        assert not equivalent("the odd answer", "7")
        assert not agrees("the odd answer", ["7", "8"])
        assert extract("the odd answer") is None
    assert [record.getMessage().count("the odd answer") for record in caplog.records] == [1, 1, 1]
    assert all(record.exc_info for record in caplog.records)
