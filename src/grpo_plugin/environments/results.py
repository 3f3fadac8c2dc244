"""What a tool returned, as the content of its message."""

from typing import Any

Content = str | list[dict[str, Any]]


def content_of(result: Any, limit: int) -> Content:
    """The content of a tool's message: content blocks as they are, anything else as text, as in TRL.

    Args:
        limit: characters of text that are kept, over all blocks; a note says how many were left out.
    """
    if not is_blocks(result):
        return without_surrogates(shortened(str(result), limit))
    blocks = []
    for block in result:
        if block["type"] == "text":
            text = str(block.get("text", ""))
            block = {**block, "text": without_surrogates(shortened(text, limit))}
            limit = max(limit - len(text), 0)
        blocks.append(block)
    return blocks


def without_surrogates(text: str) -> str:
    """The text with pairs of surrogates as one character, and U+FFFD for others, which no tokenizer or file takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_blocks(value: Any) -> bool:
    """Whether a value is a list of content blocks, such as `{"type": "image", "image": …}`."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "type" in item for item in value)


def error_of(message: str) -> str:
    """The content that tells the model of a failure, in TRL's words."""
    return str({"error": message})


def shortened(text: str, limit: int) -> str:
    """The first `limit` characters; a note counts the rest."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[{len(text) - limit} more characters were left out]"


def images_of(content: Content) -> list[Any]:
    """The images among content blocks, in their order."""
    if isinstance(content, str):
        return []
    return [block["image"] for block in content if block["type"] == "image" and "image" in block]


def as_text(content: Content) -> Content:
    """Content blocks that are all text, as one text; a template for text alone cannot render blocks."""
    if isinstance(content, str) or any(block["type"] != "text" for block in content):
        return content
    return "".join(str(block.get("text", "")) for block in content)
