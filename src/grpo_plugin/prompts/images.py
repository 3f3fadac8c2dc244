"""The images of a row: read, checked, resized to the pixel bounds, and placed in the text.

The trainer and vLLM would treat colour mode, transparency, EXIF orientation and size each in its own way; here an image
becomes RGB, on white, upright, within bounds, once for both. An image that is all of this keeps its bytes.
"""

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from grpo_plugin.prompts.row_errors import RowError
from grpo_plugin.prompts.wording import MARK

_ORIENTATION = 0x0112
_WHITE = (255, 255, 255)
_LONGEST_PATH = 1000  # what is longer is base64


@dataclass(frozen=True)
class Picture:
    """An encoded RGB image (`data`) of `height` × `width` pixels, and the file it was read from, if any."""

    data: bytes
    height: int
    width: int
    file: Path | None = None


@dataclass(frozen=True)
class PixelBounds:
    """Least and most pixels (height × width) of an image; None leaves that side open."""

    least: int | None = None
    most: int | None = None

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The size nearest to the given one, in about the same proportions, that is within the bounds."""
        pixels = width * height
        if self.most is not None and pixels > self.most:
            scale = math.sqrt(self.most / pixels)
            return max(1, int(width * scale)), max(1, int(height * scale))
        if self.least is not None and pixels < self.least:
            scale = math.sqrt(self.least / pixels)
            return math.ceil(width * scale), math.ceil(height * scale)
        return width, height


def pictures(value: Any, folders: Sequence[Path], bounds: PixelBounds) -> list[Picture]:
    """The images of one row.

    Args:
        value: None, one image or a list of them; an image is bytes, a path, or {"bytes": …, "path": …}.
        folders: where relative paths are looked up, in this order.

    Raises:
        RowError: an image that is missing or cannot be decoded.
    """
    entries = value if isinstance(value, list) else [] if value is None else [value]
    return [_picture(entry, folders, bounds) for entry in entries]


def _picture(entry: Any, folders: Sequence[Path], bounds: PixelBounds) -> Picture:
    if isinstance(entry, dict) and ("bytes" in entry or "path" in entry):
        entry = entry.get("bytes") or entry.get("path")
    if isinstance(entry, bytes):
        return _normalise(entry, bounds)
    if not isinstance(entry, str):
        raise RowError(f"an image given as {type(entry).__name__}, not as bytes or a path")
    file = _find(entry, folders)
    return replace(_normalise(file.read_bytes(), bounds), file=file)


def _find(name: str, folders: Sequence[Path]) -> Path:
    if "://" in name:
        raise RowError("an image given as a URL, which is not fetched; download it and give the path")
    if len(name) > _LONGEST_PATH:
        raise RowError(
            f"an image given as text ({name[:20]!r}…), which is no path; give its bytes, or save it as a file"
        )
    with suppress(OSError):  # a part of the name that is too long for a file
        for folder in folders:
            if (path := folder / name).is_file():
                return path
    raise RowError(f"an image that is not there ({name!r})")


def _normalise(data: bytes, bounds: PixelBounds) -> Picture:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            ready = _as_upright_rgb(image, bounds)
            if ready is image:
                return Picture(data, image.height, image.width)
    except RowError:
        raise
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RowError("an image that cannot be read") from error
    return Picture(_png(ready), ready.height, ready.width)


def _as_upright_rgb(image: Image.Image, bounds: PixelBounds) -> Image.Image:
    """The image as RGB, upright and within bounds; the same object when it is all of that already."""
    ready = image
    if image.getexif().get(_ORIENTATION, 1) != 1:
        ready = ImageOps.exif_transpose(ready)
    if ready.mode == "F":
        raise RowError("an image of floating-point pixels, whose range is unknown; save it with 8 bits")
    if ready.mode.startswith("I"):  # 16 bits: `convert` would turn every level over 255 white
        ready = ready.point(lambda level: level * (1 / 256)).convert("L")
    if ready.mode != "RGB":
        ready = _on_white(ready) if ready.has_transparency_data else ready.convert("RGB")
    size = bounds.fit(ready.width, ready.height)
    return ready if size == ready.size else ready.resize(size, Image.Resampling.BICUBIC)


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    page = Image.new("RGB", layer.size, _WHITE)
    page.paste(layer, mask=layer.getchannel("A"))
    return page


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def place(messages: list[dict[str, Any]], images: int) -> list[dict[str, Any]]:
    """Turn every message's text into content blocks, with an image block at each `<image>` of a user message.

    Without any mark, the images come before the text of the first user message.

    Raises:
        RowError: the number of marks is not the number of images.
    """
    placed = [{**message, "content": _blocks(message)} for message in messages]
    marks = sum(block["type"] == "image" for message in placed for block in message["content"])
    if marks == 0 and images:
        first = next((message for message in placed if message["role"] == "user"), placed[0])
        first["content"] = [{"type": "image"}] * images + first["content"]
    elif marks != images:
        raise RowError(f"{marks} {MARK} in the text for {images} {'image' if images == 1 else 'images'}")
    return placed


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content") or ""
    if not isinstance(content, str):
        return [{"type": "image"} if block.get("type") == "image" else _without_nulls(block) for block in content]
    if message["role"] != "user":
        return [{"type": "text", "text": content}]
    blocks: list[dict[str, Any]] = []
    for position, text in enumerate(content.split(MARK)):
        if position:
            blocks.append({"type": "image"})
        if text:
            blocks.append({"type": "text", "text": text})
    return blocks


def _without_nulls(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if value is not None}


def file_states(images: Iterable[Picture]) -> dict[str, list[int]]:
    """Size and time of change of every file that images were read from."""
    files = {image.file for image in images if image.file}
    return {str(file): _state(file) for file in sorted(files)}


def images_unchanged(report: Mapping[str, Any]) -> bool:
    """Whether the image files of a report are as they were when it was written."""
    return all(Path(file).is_file() and _state(Path(file)) == state for file, state in report["image_files"].items())


def _state(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def image_tokens(processor: Any) -> Callable[[int, int], int] | None:
    """Tokens that a Qwen-VL processor puts in place of one image placeholder, by (height, width)."""
    image_processor = getattr(processor, "image_processor", None)
    if image_processor is None:
        return None

    def tokens(height: int, width: int) -> int:
        return image_processor.get_number_of_image_patches(height, width, {}) // image_processor.merge_size**2

    return tokens
