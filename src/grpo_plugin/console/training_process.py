"""The start of a training process: it takes the user's screen, where an error or a signal leaves a sentence."""

import atexit
import io
import signal
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from grpo_plugin.compat import axolotl_log, axolotl_train, telemetry
from grpo_plugin.console.debug_log import DebugLog
from grpo_plugin.console.failure import report_failure
from grpo_plugin.console.redirect import redirect
from grpo_plugin.console.screen import Screen
from grpo_plugin.recipe import Recipe, check, checkpoints
from grpo_plugin.recipe.resuming import resumption
from grpo_plugin.session import Session, end_with_parent, is_main

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def begin(cfg: Any) -> tuple[Recipe, Screen]:
    """The checked recipe of this process, and its screen; to train, the process takes the user's screen.

    Args:
        cfg: Axolotl's raw configuration; the checkpoint that a run resumes from is written into it.

    Raises:
        RecipeError: for the first mistake in the recipe.
    """
    telemetry.turn_off()
    values = cfg.to_dict() if hasattr(cfg, "to_dict") else cfg
    if not axolotl_train.is_training():
        return check(values), Screen(sys.stdout)
    screen = _take_screen(Path(cfg.get("output_dir") or "./model-out"))
    recipe = check(values)
    screen.fact("recipe", f"{recipe.values['axolotl_config_path']} → {recipe.output_dir}")
    axolotl_train.skip_reference_model()
    if session := Session.current():
        end_with_parent()
        if is_main():
            atexit.register(session.remove_if_orphaned)
    elif is_main():
        DebugLog(recipe.output_dir).keep_bounded_in_background()
    end_on_signals(screen, recipe)
    _choose_checkpoint(recipe, cfg, screen)
    return recipe, screen


def _take_screen(output_dir: Path) -> Screen:
    """The user's screen, from the launcher or from this process's standard output.

    From now on all other output of the process goes to `output_dir/debug.log`, and an exception that nobody catches is
    one sentence on the screen. Ranks other than the main one get a screen that shows nothing.
    """
    session = Session.current()
    console = (session and session.take_console()) or redirect(output_dir / "debug.log")
    axolotl_log.append(output_dir)
    screen = Screen(console if is_main() else io.StringIO())

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        screen.close()
        if session is None or not session.failure_reported:
            report_failure(console, error, output_dir)
        if session is not None:
            session.report_failure()

    sys.excepthook = report
    return screen


def _choose_checkpoint(recipe: Recipe, cfg: Any, screen: Screen) -> None:
    found = resumption(recipe)
    for note in found.notes:
        screen.note(note)
    cfg["auto_resume_from_checkpoints"] = None  # Axolotl would take the latest, whole or not
    if found.checkpoint:
        screen.fact("resume", f"from {found.checkpoint}")
        cfg["resume_from_checkpoint"] = str(found.checkpoint)


def end_on_signals(screen: Screen, recipe: Recipe) -> None:
    """Let Ctrl-C, SIGTERM and a hang-up end this process with code 128 + signal; the screen then says how to resume.

    Axolotl sets a handler of its own just before training, which exits with 0: call this again after it.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for other in STOP_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        how_to_resume = checkpoints.how_to_resume(recipe.values, recipe.output_dir)
        screen.note_from_signal(f"stopped by {signal.Signals(number).name}; {how_to_resume}")
        raise SystemExit(128 + number)

    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, stop)
