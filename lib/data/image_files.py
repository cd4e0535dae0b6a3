"""Images in files that rows name: a run is of what they held when it was planned, so they are put into its rows."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from lib.images import named_path, read_reference

_TURNS = ("messages", "input")

Named = tuple[str, Path]
"""A path or file: URL, and the folder that it starts from."""


def contents_hash(named: Iterable[Named]) -> str:
    """One hash of all files that are named, by name and content; of one that can't be read, by name."""
    digest = sha256()
    for text, root in sorted(set(named)):
        digest.update(f"{text}\0{_content_hash(text, root)}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _content_hash(text: str, root: Path) -> str:
    """Of what is no file that can be read, nothing: that is said where rows are read, if this one is chosen."""
    try:
        path = named_path(text, root)
        if not path.is_file():  # a pipe would be waited for
            return ""
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (ValueError, OSError):
        return ""


def names_in(body: object) -> Iterator[str]:
    """What the body of a chat names as images, but for data: URLs, which hold them."""
    for part in _parts(body):
        if (name := _name(part)) is not None:
            yield name


def with_images(body: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """The body of a chat with data: URLs of the images whose files it names. Raises ValueError, naming the image."""
    shown = {name: read_reference(name, root).url for name in set(names_in(body))}
    if not shown:
        return body
    return {key: [_turn(turn, shown) for turn in value] if key in _TURNS else value for key, value in body.items()}


def _parts(body: object) -> Iterator[dict[str, Any]]:
    turns = [turn for key in _TURNS for turn in _list(body.get(key))] if isinstance(body, dict) else []
    contents = [turn.get("content") for turn in turns if isinstance(turn, dict)]
    return (part for content in contents for part in _list(content) if isinstance(part, dict))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(part: Mapping[str, Any]) -> str | None:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return url if isinstance(url, str) and not url.startswith("data:") else None


def _turn(turn: Any, shown: Mapping[str, str]) -> Any:
    if not isinstance(turn, dict) or not isinstance(turn.get("content"), list):
        return turn
    return {**turn, "content": [_part(part, shown) for part in turn["content"]]}


def _part(part: Any, shown: Mapping[str, str]) -> Any:
    if not isinstance(part, dict) or (name := _name(part)) is None:
        return part
    image = part["image_url"]
    return {**part, "image_url": {**image, "url": shown[name]} if isinstance(image, dict) else shown[name]}
