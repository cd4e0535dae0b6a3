"""How a vision-language model sees: where its chat template has places for images, and how many tokens each takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lib.errors import EngineError
from lib.images import Image, ImagePrompt

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Eyes:
    """The processor in a model's folder, loaded with the first image. key: of the config, for messages."""

    folder: Path
    key: str
    trust_remote_code: bool

    def see(self, written: Sequence[int], images: Sequence[Image]) -> ImagePrompt:
        """A prompt with its images. written: the tokens of the chat template, with one place for each of them.

        Raises ValueError where it has more places or fewer, EngineError where the processor can't be loaded.
        """
        place = self._place
        if (places := written.count(place)) != len(images):
            raise ValueError(
                f"the chat template leaves {places} places for {len(images)} images; give another as "
                "engine.chat_template"
            )
        lengths = iter(self._lengths(images))
        tokens = [token for one in written for token in ([one] * next(lengths) if one == place else [one])]
        return ImagePrompt(tokens, written, images)

    def _lengths(self, images: Sequence[Image]) -> list[int]:
        """Tokens that each image takes, as the processor says."""
        found = self._processor._get_num_multimodal_tokens(image_sizes=[image.size for image in images])
        return [int(count) for count in found["num_image_tokens"]]

    @cached_property
    def _place(self) -> int:
        """The token that stands where an image goes."""
        return int(self._processor.tokenizer.convert_tokens_to_ids(self._processor.image_token))

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        options = {"local_files_only": True, "trust_remote_code": self.trust_remote_code}
        try:
            found = AutoProcessor.from_pretrained(self.folder, **options)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise EngineError(
                f"{self.key}: what makes images ready for it cannot be loaded from {self.folder}: "
                f"{str(error).strip().splitlines()[0]}"
            ) from error
        if not all(hasattr(found, name) for name in ("image_token", "tokenizer", "_get_num_multimodal_tokens")):
            raise EngineError(
                f"{self.key}: its processor ({type(found).__name__}) doesn't tell how many tokens an image takes; "
                "choose a model whose processor transformers has"
            )
        return found
