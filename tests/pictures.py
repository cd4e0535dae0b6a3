"""Small pictures for tests."""

import base64
import io

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (40, 30), kind: str = "PNG", turned: bool = False) -> bytes:
    """A file of random colours. size: width and height as they lie in the file. turned: the camera was held upright."""
    colours = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    if turned:
        exif[0x0112] = 6
    Image.fromarray(colours).save(file, kind, exif=exif)
    return file.getvalue()


def data_url(content: bytes, kind: str = "png") -> str:
    """A picture as bodies have it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
