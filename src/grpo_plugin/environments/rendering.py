"""What the chat template makes of prompts and of tools' results, as token ids."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grpo_plugin.environments.calls import Message, ToolCall
from grpo_plugin.environments.results import images_of
from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.chat_ending import ending

REMEMBERED = 256  # renderings that are kept
DUMMY_QUESTION = "What is there?"
DUMMY_ARGUMENTS = {"key": "value_d6e7a9f3"}


@dataclass(frozen=True)
class RenderedPrompt:
    """Token ids of a prompt; `images` are those in its messages, in their order."""

    ids: list[int]
    images: list[Any]


class ChatRenderer:
    """Renders messages with the chat template of a tokenizer, or of the processor of a model with images.

    What the model wrote is not rendered: a tool's result is rendered behind a dummy turn, and cut off from it.

    Args:
        processing_class: tokenizer or processor.
        terminators: ids of the tokens that end a turn of the model.
        chat_template: Jinja text; None for the tokenizer's own.
        template_kwargs: further variables of the template, as `trl.chat_template_kwargs` gives them.
    """

    def __init__(
        self,
        processing_class: Any,
        terminators: Collection[int],
        chat_template: str | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        from transformers import ProcessorMixin

        self.processing_class = processing_class
        self.is_processor = isinstance(processing_class, ProcessorMixin)
        self.tokenizer: Any = processing_class.tokenizer if self.is_processor else processing_class
        self.terminators = frozenset(terminators)
        self.chat_template = chat_template
        self._kwargs = dict(template_kwargs or {})
        self._prompts: dict[str | None, RenderedPrompt] = {}  # the episodes of a group have the same
        self._dummies: dict[str, tuple[list[Message], str]] = {}  # a dummy turn that calls a tool, and its text
        self._ends = [str(self.tokenizer.convert_ids_to_tokens(token)) for token in self.terminators]

    def with_template(self, chat_template: str) -> "ChatRenderer":
        """The same with another chat template."""
        return ChatRenderer(self.processing_class, self.terminators, chat_template, self._kwargs)

    def prompt(self, messages: list[Message], tools: list[dict[str, Any]] | None) -> RenderedPrompt:
        """The prompt that opens the model's first turn; `tools` are JSON schemas."""
        key = None if self.is_processor else repr((messages, tools))
        if key not in self._prompts:
            rendered = self._rendered(messages, tools)
            if key is None:
                return rendered
            if len(self._prompts) >= REMEMBERED:
                self._prompts.clear()
            self._prompts[key] = rendered
        return self._prompts[key]

    def _rendered(self, messages: list[Message], tools: list[dict[str, Any]] | None) -> RenderedPrompt:
        chat = self._blocks(messages)
        rendered = self.processing_class.apply_chat_template(
            conversation=[chat],
            tools=tools or None,
            chat_template=self.chat_template,
            tokenize=True,
            return_dict=True,
            **ending(messages),
            **self._kwargs,
        )
        shown = [image for message in chat for image in images_of(message["content"])]
        return RenderedPrompt(list(rendered["input_ids"][0]), shown)

    def results(self, messages: list[Message], last_token: int | None) -> list[int]:
        """What follows a turn of the model: the rest of its ending, the tools' results, the opening of the next turn.

        Args:
            messages: of the role tool.
            last_token: of the turn. Where it ends no turn, the template's own end of turn comes first.

        Raises:
            RecipeError: the chat template renders a turn differently when results follow.
        """
        end, rest = self.split_results(messages)
        images = [image for message in messages for image in images_of(message["content"])]
        ids = self._tokenize(end + rest, images)
        written = last_token in self.terminators
        if not end or not written:
            return ids
        if ids[0] not in self.terminators:
            raise RecipeError(f"environments: the chat template's end of turn {end!r} is no token of its own.")
        return ids[1:]

    def split_results(self, messages: list[Message]) -> tuple[str, str]:
        """The text of the token that ends a turn ("" where the template has none), and the text that follows it."""
        turn, before = self._dummy(messages[0]["name"])
        after = self.text([*turn, *messages], opens_turn=True)
        if not after.startswith(before):  # a template with a date in it, and the day is another
            self._dummies.clear()
            turn, before = self._dummy(messages[0]["name"])
            after = self.text([*turn, *messages], opens_turn=True)
        if not after.startswith(before):
            raise RecipeError(NOT_PREFIX_PRESERVING)
        begin, end = self.end_of_turn(before)
        return before[begin:end], after[end:]

    def _dummy(self, name: str) -> tuple[list[Message], str]:
        if name not in self._dummies:
            turn = [{"role": "user", "content": DUMMY_QUESTION}, dummy_turn(ToolCall(name, DUMMY_ARGUMENTS))]
            if len(self._dummies) >= REMEMBERED:  # names that a model makes up
                self._dummies.clear()
            self._dummies[name] = turn, self.text(turn)
        return self._dummies[name]

    def end_of_turn(self, text: str) -> tuple[int, int]:
        """Where the last token that ends a turn begins and ends in a text that ends with a turn of the model.

        Without one: the end of what is written, twice.
        """
        places = [(text.rfind(end), len(end)) for end in self._ends]
        begin, length = max(places, default=(-1, 0))
        if begin < 0 or text[begin + length :].strip():
            return (len(text.rstrip()),) * 2
        return begin, begin + length

    def text(
        self, messages: list[Message], *, opens_turn: bool = False, tools: list[dict[str, Any]] | None = None
    ) -> str:
        """The text that the template makes of messages; `opens_turn` adds the generation prompt."""
        text: str = self.processing_class.apply_chat_template(
            self._blocks(messages),
            tools=tools,
            chat_template=self.chat_template,
            add_generation_prompt=opens_turn,
            tokenize=False,
            **self._kwargs,
        )
        return text

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The text of a turn of the model, special tokens included, without the token that ends it."""
        if ids and ids[-1] in self.terminators:
            ids = ids[:-1]
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def with_images(self, messages: list[Message], images: list[Any] | None) -> list[Message]:
        """The messages with the row's images where TRL puts them; without any, as they are."""
        if not images:
            return messages
        from trl.data_utils import prepare_multimodal_messages

        shown: list[Message] = prepare_multimodal_messages(messages, images=images)
        return shown

    def _blocks(self, messages: list[Message]) -> list[Message]:
        """The messages with content blocks in place of text for a processor, as TRL gives them."""
        if not self.is_processor:
            return messages
        from trl.data_utils import prepare_multimodal_messages

        blocks: list[Message] = prepare_multimodal_messages(messages)
        return blocks

    def _tokenize(self, text: str, images: list[Any]) -> list[int]:
        if images:
            return list(self.processing_class(text=[text], images=images, add_special_tokens=False)["input_ids"][0])
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


NOT_PREFIX_PRESERVING = (
    "environments.chat_template: the chat template renders the turns before a tool's result differently once it is "
    "there, so that what the model wrote would have to be tokenized again; name a template that does not."
)


def dummy_turn(call: ToolCall) -> Message:
    """A turn of the model that is this call."""
    return {"role": "assistant", "content": "", "tool_calls": [call.message()]}
