"""The cache key of prepared data: a hash of the block, the template's text, the data, and the tokenizers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grpo_plugin.compat import reasoning_gym_package
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.prompts import hub
from grpo_plugin.prompts.measure import Measure
from grpo_plugin.prompts.store import content_key
from grpo_plugin.prompts.wording import template_text
from grpo_plugin.recipe.sources import Source


def data_key(
    config: PromptsConfig,
    base_dir: Path,
    sources: Sequence[Source],
    measures: Sequence[Measure],
    *more: Any,
    without: frozenset[str] = frozenset(),
) -> str:
    """The key of what is made from sources under a block and measures.

    Args:
        more: whatever else the result depends on, such as the layout of the result itself.
        without: fields of the block that are left out; sources count by content, never by name.
    """
    block = config.model_dump(exclude={"train", "validation", "streaming", *without})
    template = template_text(config.template, base_dir) if config.template else None
    named = [(source.spec, source.files, _fingerprint(source)) for source in sources]
    parts = (block, template, named, [measure.identity for measure in measures], more)
    return content_key(parts, [file for source in sources for file in source.files])


def _fingerprint(source: Source) -> Any:
    """What changes when the rows of a source that is no file do."""
    if source.task:
        return vars(source.task), reasoning_gym_package.version()
    return hub.fingerprint(source.hub) if source.hub else None
