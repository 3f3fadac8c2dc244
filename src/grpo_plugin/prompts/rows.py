"""Rows of the data become rows for the trainer."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Template

from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.errors import RecipeError, suggestion
from grpo_plugin.prompts.gold_answers import EXTRACTORS
from grpo_plugin.prompts.images import Picture, PixelBounds, pictures, place
from grpo_plugin.prompts.readers import CHUNK, CHUNK_WITH_IMAGES, Chunk, Row, read
from grpo_plugin.prompts.row_errors import RowError, RowErrors
from grpo_plugin.prompts.template_limit import TooMuch, limited
from grpo_plugin.prompts.wording import Message, chat_messages, compile_template, empty_prompt, template_text
from grpo_plugin.recipe.sources import Source

Result = TypeVar("Result")

# Names with a meaning of their own in TRL's rows, and in its calls of reward functions.
IN_ROWS = frozenset({"prompt", "completion", "completion_ids", "chosen", "rejected", "image", "images"})
IN_CALLS = frozenset({"prompts", "completions", "trainer_state", "log_extra", "log_metric", "environments"})
TAKEN = IN_ROWS | IN_CALLS


@dataclass(frozen=True)
class Prompt:
    """One row for the trainer: the chat, its images, and the columns (`answer` among them) that rewards see."""

    number: int
    messages: list[Message]
    images: list[Picture]
    columns: Row


@dataclass(frozen=True)
class PromptChunk:
    """Consecutive good rows of one file."""

    label: str
    prompts: list[Prompt]


@dataclass
class RowReader:
    """Reads sources as the `prompts:` block says. Errors of rows are collected, not raised one by one.

    `replaced` collects the data's own columns whose names the trainer needs for something else.
    """

    config: PromptsConfig
    base_dir: Path
    replaced: set[str] = field(default_factory=set)
    _known: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    _tried: bool = field(default=False, init=False)  # whether the template was rendered within limits

    @cached_property
    def template(self) -> Template | None:
        template = self.config.template
        return compile_template(template_text(template, self.base_dir)) if template else None

    def chunks(self, source: Source, *, streaming: bool = False) -> Iterator[Chunk]:
        """The rows as the data has them; in smaller chunks where they hold images.

        A task's question and answer stand in the columns that the block names.
        """
        chunks = read(source, streaming=streaming, size=CHUNK_WITH_IMAGES if self.config.image_key else CHUNK)
        return map(self._with_keys, chunks) if source.task else chunks

    def _with_keys(self, chunk: Chunk) -> Chunk:
        names = {"question": self.config.prompt_key or "question", "answer": self.config.answer_key or "answer"}
        rows = ({names.get(name, name): value for name, value in row.items()} for row in chunk.rows)
        return replace(chunk, rows=tuple(rows))

    def read(self, source: Source, row_errors: RowErrors, *, streaming: bool = False) -> Iterator[PromptChunk]:
        """Every good row of a source, a chunk at a time; the errors of the others go to `row_errors`."""
        for chunk in self.chunks(source, streaming=streaming):
            yield PromptChunk(chunk.label, list(self._prompts(chunk, row_errors)))

    def _prompts(self, chunk: Chunk, row_errors: RowErrors) -> Iterator[Prompt]:
        folders = (Path(chunk.label).parent, self.base_dir, Path.cwd())

        def attempt(number: int, row: Row) -> Prompt | RowError:
            try:
                return self._prompt(number, row, folders)
            except RowError as error:
                return error

        self._check_template(chunk.rows[0])
        for number, found in zip(chunk.numbers, self._map(attempt, chunk.numbers, chunk.rows), strict=True):
            if isinstance(found, RowError):
                row_errors.add(chunk.label, number, found)
            else:
                yield found

    def _check_template(self, row: Row) -> None:
        """Render the first row where it can be ended.

        Raises:
            RecipeError: it takes too long, or too much memory.
        """
        if self.template is None or self._tried:
            return
        self._tried = True
        try:
            limited(lambda: str(self._messages(row)))
        except TooMuch as error:
            raise RecipeError(f"prompts.template: the first row cannot be rendered: {error}; correct it.") from None
        except ValueError:  # told with its row, when that is read
            return

    def _messages(self, row: Row) -> list[Message]:
        config = self.config
        if config.prompt_key is None:
            return empty_prompt(config.system)
        return chat_messages(value(row, config.prompt_key, "prompt_key"), row, self.template, config.system)

    def _map(
        self, attempt: Callable[[int, Row], Result], numbers: Iterable[int], rows: Iterable[Row]
    ) -> Iterator[Result]:
        """In threads where there are images, as decoding them does not hold Python's lock; one by one otherwise."""
        if self.config.image_key is None:
            yield from map(attempt, numbers, rows)
            return
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="images") as pool:
            yield from pool.map(attempt, numbers, rows)

    def _prompt(self, number: int, row: Row, folders: tuple[Path, ...]) -> Prompt:
        config = self.config
        messages = self._messages(row)
        columns = self.columns(row)
        if not config.image_key:
            return Prompt(number, messages, [], columns)
        bounds = PixelBounds(config.min_pixels, config.max_pixels)
        images = pictures(value(row, config.image_key, "image_key", null=True), folders, bounds)
        return Prompt(number, place(messages, len(images)), images, columns)

    def columns(self, row: Row) -> Row:
        """The columns of a row that rewards get: `answer`, and all whose names are free.

        Raises:
            RowError: no answer.
        """
        columns = {name: row[name] for name in self._free(tuple(row))}
        if self.config.answer_key:
            columns["answer"] = self._answer(value(row, self.config.answer_key, "answer_key"))
        return columns

    def _free(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns of a row whose names the trainer does not use itself; kept for rows of the same columns."""
        if names not in self._known:
            config = self.config
            taken = TAKEN | ({"answer"} if config.answer_key else set())
            meant = {(config.prompt_key or "").split(".")[0], config.image_key, config.answer_key}
            self.replaced.update(taken & set(names) - meant)
            self._known[names] = tuple(name for name in names if name not in taken and name != config.image_key)
        return self._known[names]

    def _answer(self, answer: Any) -> Any:
        if answer in ("", [], {}) or (isinstance(answer, str) and not answer.strip()):
            raise RowError("an empty answer")
        extract = self.config.answer_extract
        if extract is None:
            return answer
        if not (extracted := EXTRACTORS[extract](str(answer))):
            raise RowError(f"nothing to extract in its answer (prompts.answer_extract: {extract})")
        return extracted


def value(row: Row, key: str, field: str, *, null: bool = False) -> Any:
    """The column `key` of a row; "reward_model.ground_truth" reaches into a column of objects.

    Raises:
        RowError: no such column (the nearest one is named), or a null in it unless `null`.
    """
    found: Any = row
    for part in [key] if key in row else key.split("."):
        if not isinstance(found, dict) or part not in found:
            known = suggestion(key, row, f"there are {', '.join(row)}")
            raise RowError(f"no column {key!r} (prompts.{field}; {known})")
        found = found[part]
    if not null and (found is None or found != found):  # NaN, pandas' null, is unequal to itself
        raise RowError(f"a null {key!r}")
    return found
