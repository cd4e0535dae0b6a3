"""Images that prompts show: read from data: URLs or local files, checked, and carried along with token ids."""

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

_MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}
_MOST_BYTES = 20 << 20
_MOST_PIXELS = 64_000_000  # a small file may unfold to more than any memory holds
_ORIENTATION, _LYING = 0x0112, 5  # EXIF: how a camera was held; from 5 on, width and height change places
_KNOWN = "known are PNG, JPEG, WebP and GIF"


def image_column(name: str) -> str:
    """The column of canonical rows that holds images which a prompt shows, as a list of data: URLs."""
    return f"image.{name}"


@dataclass(frozen=True)
class Image:
    """An image as its file has it; what it shows is decoded by the engine. kind: png, jpeg, webp or gif."""

    content: bytes
    kind: str

    @property
    def url(self) -> str:
        """All of it as a data: URL."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode()}"

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, as it is shown. Raises ValueError for a header that says no such thing."""
        from PIL import Image as Pillow
        from PIL import UnidentifiedImageError

        try:
            with Pillow.open(io.BytesIO(self.content), formats=[self.kind.upper()]) as opened:
                width, height = opened.size
                lies = opened.getexif().get(_ORIENTATION, 1) >= _LYING
        except UnidentifiedImageError:  # its text has an address of memory
            raise ValueError(f"no {self.kind.upper()} that can be read") from None
        except (OSError, SyntaxError, ValueError, TypeError, Pillow.DecompressionBombError) as error:
            raise ValueError(f"no {self.kind.upper()} that can be read ({error})") from None
        if width * height > _MOST_PIXELS:
            raise ValueError(f"{width}x{height} pixels, of which at most {_MOST_PIXELS:,} are taken; make it smaller")
        return (width, height) if lies else (height, width)


class ImagePrompt(list[int]):
    """A prompt that shows images; the list holds as many tokens as the model reads, those of images included.

    written: the tokens as the chat template writes them, with one place for each image. images: in their order.
    """

    def __init__(self, tokens: Sequence[int], written: Sequence[int], images: Sequence[Image]) -> None:
        super().__init__(tokens)
        self.written = list(written)
        self.images = list(images)

    def followed(self, tokens: Sequence[int]) -> "ImagePrompt":
        """The same prompt with more tokens behind it."""
        return ImagePrompt([*self, *tokens], [*self.written, *tokens], self.images)


def images_of(messages: Sequence[Mapping[str, object]]) -> list[Image]:
    """The images that turns of a chat show, in their order."""
    parts = [part for turn in messages for part in _list(turn.get("parts"))]
    return [part for part in parts if isinstance(part, Image)]


def read_image(url: str) -> Image:
    """The image of a data: URL. Raises ValueError, saying why, for anything else, and for what is no whole image."""
    if not url.startswith("data:"):
        raise ValueError(
            f"image {_short(url)}: must be a data: URL; files are read where data.image_root names their folder, and "
            "nothing is fetched from elsewhere"
        )
    head, comma, text = url.partition(",")
    if not comma or not head.endswith(";base64") or not head.startswith("data:image/"):
        raise ValueError(f"image {_short(url)}: must begin with data:image/…;base64,")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"image {_short(url)}: is no base64 ({error})") from None
    return _checked(content, f"image {_short(url)}")


def read_reference(text: str, root: Path) -> Image:
    """The image that a data: URL holds, or a path or file: URL names; nothing is fetched from elsewhere.

    root: the folder that paths start from, below which the file must lie. Raises ValueError, saying why.
    """
    return read_image(text) if text.startswith("data:") else _read_file(text, root)


def _read_file(text: str, root: Path) -> Image:
    where = f"image {_short(text)}"
    path = named_path(text, root)
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{where}: is no file")
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise ValueError(f"{where}: {size:,} bytes, of which at most {_MOST_BYTES:,} are taken; make it smaller")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{where}: cannot be read ({error.strerror}): {path}") from None
    return _checked(content, where)


def named_path(text: str, root: Path) -> Path:
    """The file that a path or a file: URL names. Raises ValueError for other URLs, and for a file outside of `root`."""
    where = f"image {_short(text)}"
    try:
        parts = urlsplit(text) if "://" in text or text.startswith("file:") else None
    except ValueError as error:
        raise ValueError(f"{where}: is no URL ({error})") from None
    if parts is not None and (parts.scheme != "file" or parts.netloc not in ("", "localhost")):
        raise ValueError(f"{where}: nothing is fetched from elsewhere; give a file, or a data: URL")
    named = text if parts is None else unquote(parts.path)
    if not named or "\0" in named:
        raise ValueError(f"{where}: is no path")
    base = root.resolve()
    try:
        path = (base / named).resolve()
    except (RuntimeError, OSError):
        raise ValueError(f"{where}: is a link that leads nowhere") from None
    if not path.is_relative_to(base):
        raise ValueError(f"{where}: lies outside of {base}, below which images are read")
    return path


def _checked(content: bytes, where: str) -> Image:
    kind = next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "webp"
    if kind is None:
        raise ValueError(f"{where}: is no image of a known format; {_KNOWN}")
    if len(content) > _MOST_BYTES:
        raise ValueError(
            f"{where}: {len(content):,} bytes, of which at most {_MOST_BYTES:,} are taken; make it smaller"
        )
    image = Image(content, kind)
    try:
        _ = image.size
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return image


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else ()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
