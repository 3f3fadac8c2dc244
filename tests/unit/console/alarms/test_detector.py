from grpo_plugin.config.alarms import Alarms
from grpo_plugin.console.alarms.detector import Detector


def steps_of_alarms(detector, rows):
    return [alarm.step for step, row in enumerate(rows, 1) for alarm in detector.observe(row | {"step": step})]


def only(**limits):
    kinds = dict.fromkeys(Alarms.model_fields.keys() - {"window"})
    return Detector(Alarms.parse("alarms", kinds | limits))


def test_an_alarm_that_goes_on_comes_after_one_window_then_two_then_four():
    assert steps_of_alarms(only(window=10, kl=0.5), [{"kl": 1.0}] * 160) == [2, 12, 32, 72, 152]


def test_an_alarm_that_was_gone_comes_once_a_window_again():
    on, off = [{"kl": 1.0}] * 12, [{"kl": 0.0}] * 12
    assert steps_of_alarms(only(window=10, kl=0.5), on + off + on) == [2, 12, 32], "12 + 20 is when it may come again"


def test_logged_steps_count_not_optimizer_steps():
    detector = only(window=4, kl=0.5)
    rows = [{"kl": 1.0, "step": 10 * number} for number in range(1, 8)]
    assert [alarm.step for row in rows for alarm in detector.observe(row)] == [10, 50]


def test_off_is_off():
    assert steps_of_alarms(only(window=4), [{"kl": 9.0, "grad_norm": 0.0}] * 20) == []
