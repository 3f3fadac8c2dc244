import pytest

from grpo_plugin.console.timing import Stopwatch


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_nested_section_takes_its_seconds_from_the_outer_one(clock):
    watch = Stopwatch(clock)
    with watch("train"):
        clock.now += 2
        with watch("score"):
            clock.now += 3
        clock.now += 1
    assert watch.step() == {"train": 3.0, "score": 3.0}


def test_the_innermost_open_section_is_told_whenever_it_changes(clock):
    told = []
    watch = Stopwatch(clock, on_section=told.append)
    with watch("train"), watch("score"):
        pass
    assert told == ["train", "score", "train", None]


def test_a_whole_section_keeps_the_seconds_of_those_inside(clock):
    watch = Stopwatch(clock)
    with watch("train"):
        clock.now += 1
        with watch.whole("validation"):
            clock.now += 2
            with watch("generate"), watch("score"):
                clock.now += 3
        with watch("generate"):
            clock.now += 4
    assert watch.take("validation") == 5.0
    assert watch.take("validation") == 0.0, "logged with the figures of the validation, not with the next step"
    assert watch.step() == {"train": 1.0, "generate": 4.0}
    assert watch.totals() == {"train": 1.0, "generate": 4.0, "validation": 5.0}


def test_a_section_inside_itself_counts_once(clock):
    watch = Stopwatch(clock)
    with watch("sync"), watch("sync"):
        clock.now += 5
    assert watch.totals() == {"sync": 5.0}


def test_step_resets_and_totals_keep(clock):
    watch = Stopwatch(clock)
    for seconds in (1.0, 4.0):
        with watch("generate"):
            clock.now += seconds
        assert watch.step() == {"generate": seconds}
    assert watch.step() == {}
    assert watch.totals() == {"generate": 5.0}


def test_a_step_that_ends_inside_a_section_splits_it(clock):
    watch = Stopwatch(clock)
    with watch("validation"):
        clock.now += 2
        assert watch.step() == {"validation": 2.0}
        clock.now += 7
    assert watch.step() == {"validation": 7.0}
    assert watch.totals() == {"validation": 9.0}


def test_a_failing_section_is_counted_and_closed(clock):
    watch = Stopwatch(clock)
    with pytest.raises(ValueError, match="grader"), watch("score"):
        clock.now += 2
        raise ValueError("grader")
    clock.now += 50
    assert watch.totals() == {"score": 2.0}


def test_time_outside_sections_is_elapsed_alone(clock):
    watch = Stopwatch(clock)
    clock.now += 10
    with watch("train"):
        clock.now += 1
    watch.add("sync", 0.5)
    assert watch.elapsed() == 11.0
    assert watch.totals() == {"train": 1.0, "sync": 0.5}
