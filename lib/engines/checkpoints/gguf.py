"""GGUF files are turned once into safetensors and a tokenizer.json, in a cache.

Parsing a GGUF header in Python takes seconds (its vocabulary is a list of strings), and loading one does it three
times; and transformers cannot quantise with bitsandbytes while it reads GGUF. From the cache a model loads as any
other does.
"""

import shutil
from collections.abc import Callable
from glob import escape
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from lib.engines.files.content_hash import content_hash
from lib.engines.files.converted import cached


def metadata(gguf: Path) -> Path:
    """A folder with the config and the tokenizer of a GGUF file."""

    def write(out: Path) -> None:
        from transformers import AutoConfig, AutoTokenizer

        for kind in (AutoConfig, AutoTokenizer):
            kind.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True).save_pretrained(out)

    return _cached(gguf, "metadata", write)


def weights(gguf: Path, dtype: str) -> Path:
    """A folder with the config and the dequantised weights of a GGUF file: dtype is a torch dtype's name."""

    def write(out: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, GgufConfig

        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=getattr(torch, dtype),
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
        )
        model.save_pretrained(out)

    return _cached(gguf, dtype, write)


def joined(folder: Path, file: str) -> Path:
    """The folder that holds a GGUF file: `folder`, or one in the cache where its parts are joined.

    Parts, `<file>.part00` and so on, lie in the folders `data` of packages beside it, `<folder>_part1` and so on: an
    index limits the size of a package.
    """
    if (folder / file).is_file():
        return folder
    parts = list(folder.parent.glob(f"{escape(folder.name)}_part*/data/{escape(file)}.part*"))
    if not parts:
        return folder
    parts.sort(key=lambda part: part.name)

    def write(out: Path) -> None:
        with (out / file).open("wb") as whole:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, whole)

    digest = sha256("".join(map(content_hash, parts)).encode()).hexdigest()
    return _cached(parts[0], f"joined-{digest[:16]}", write)


def _cached(gguf: Path, name: str, write: Callable[[Path], None]) -> Path:
    converter = f"transformers-{version('transformers')}"
    return cached(gguf, write, key=f"engine.gguf_file={gguf.name}", kind="gguf", converter=converter, name=name)
