import io
from pathlib import Path

import pytest
from PIL import Image

from grpo_plugin.prompts.images import PixelBounds, image_tokens, pictures, place
from grpo_plugin.prompts.row_errors import RowError

ANY = PixelBounds()


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


RED = encoded(Image.new("RGB", (40, 30), "red"))


def test_bytes_paths_objects_one_many_none(tmp_path):
    (tmp_path / "a.png").write_bytes(RED)
    for value in (RED, "a.png", {"bytes": RED, "path": None}, {"bytes": None, "path": "a.png"}, [RED]):
        (picture,) = pictures(value, [tmp_path], ANY)
        assert (picture.data, picture.height, picture.width) == (RED, 30, 40)
    assert len(pictures([RED, "a.png"], [tmp_path], ANY)) == 2
    assert pictures(None, [], ANY) == pictures([], [], ANY) == []


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_sixteen_bits_become_eight(mode):
    deep = Image.frombytes("I;16", (256, 1), b"".join(bytes((level, level)) for level in range(256)))
    (picture,) = pictures(encoded(deep.convert(mode), "TIFF"), [], ANY)
    assert [decoded(picture.data).getpixel((x, 0)) for x in range(256)] == [(x, x, x) for x in range(256)]


def test_transparency_goes_on_white_and_orientation_is_applied():
    (clear,) = pictures(encoded(Image.new("RGBA", (2, 2), (9, 9, 9, 0))), [], ANY)
    assert decoded(clear.data).mode == "RGB"
    assert decoded(clear.data).getpixel((0, 0)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90°
    (turned,) = pictures(encoded(Image.new("RGB", (40, 30)), "JPEG", exif=exif), [], ANY)
    assert (turned.width, turned.height) == decoded(turned.data).size == (30, 40)


@pytest.mark.parametrize(
    ("bounds", "size"),
    [
        (PixelBounds(most=1200), (40, 30)),
        (PixelBounds(most=300), (20, 15)),
        (PixelBounds(least=4800), (80, 60)),
        (PixelBounds(most=1), (1, 1)),
        (PixelBounds(least=1201), (41, 31)),
    ],
)
def test_pixels_are_brought_within_bounds(bounds, size):
    (picture,) = pictures(RED, [], bounds)
    assert (picture.width, picture.height) == decoded(picture.data).size == size


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (RED[:60], "an image that cannot be read"),
        (b"no image", "an image that cannot be read"),
        (encoded(Image.effect_noise((200, 200), 50), "JPEG")[:2000], "an image that cannot be read"),
        ("gone.png", r"an image that is not there \('gone.png'\)"),
        ("https://x/y.png", "an image given as a URL, which is not fetched"),
        (7, "an image given as int"),
    ],
)
def test_bad_images(value, words, tmp_path):
    with pytest.raises(RowError, match=words):
        pictures(value, [tmp_path], ANY)


def test_a_small_file_that_unpacks_to_a_huge_image_is_refused(monkeypatch):
    """The bound is Pillow's, 179 million pixels; here less, to be quick."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(RowError, match="an image that cannot be read"):
        pictures(RED, [], ANY)


def test_base64_is_not_looked_for_on_the_disk(tmp_path):
    for text in ("data:image/png;base64," + "A" * 5000, "A" * 300 + ".png"):
        with pytest.raises(RowError, match=r"give its bytes|is not there"):
            pictures(text, [tmp_path], ANY)
    with pytest.raises(RowError, match="floating-point pixels"):
        pictures(encoded(Image.new("F", (2, 2)), "TIFF"), [], ANY)


def test_images_stand_where_the_text_has_them():
    chat = [{"role": "system", "content": "<image>?"}, {"role": "user", "content": "<image>\nA, then <image>B?"}]
    image = {"type": "image"}
    assert place(chat, 2) == [
        {"role": "system", "content": [{"type": "text", "text": "<image>?"}]},
        {
            "role": "user",
            "content": [image, {"type": "text", "text": "\nA, then "}, image, {"type": "text", "text": "B?"}],
        },
    ]


def test_without_marks_images_come_first_and_without_images_the_text_is_alone():
    chat = [{"role": "user", "content": "How many?"}]
    text = {"type": "text", "text": "How many?"}
    assert place(chat, 2)[0]["content"] == [{"type": "image"}, {"type": "image"}, text]
    assert place(chat, 0)[0]["content"] == [text]


@pytest.mark.parametrize(("text", "images", "words"), [("<image>a<image>", 1, "2 <image> in the text for 1 image"), ("<image>", 0, "1 <image> in the text for 0 images")])  # fmt: skip # noqa: E501
def test_marks_and_images_must_agree(text, images, words):
    with pytest.raises(RowError, match=words):
        place([{"role": "user", "content": text}], images)


def test_image_tokens_are_those_of_the_processor():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    class Processor:
        image_processor = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 100)

    tokens = image_tokens(Processor)
    for size in ((56, 84), (300, 40), (1000, 700), (5, 9)):
        image = Image.new("RGB", size)
        grid = Processor.image_processor(images=[image], return_tensors="np")["image_grid_thw"][0]
        assert tokens(image.height, image.width) == grid.prod() // 4
    assert image_tokens(None) is None


def test_pictures_remember_their_files(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(RED)
    assert [picture.file for picture in pictures(["a.png", RED], [tmp_path], ANY)] == [tmp_path / "a.png", None]
