"""The pictures of a set of the hub, written as files as they come, and listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitscope.data.sources.hub_columns import HubColumns, is_image
from vitscope.data.sources.listed import Listed
from vitscope.text import count

PICTURES = "pictures"
AT_A_TIME = 16  # pictures read into memory
_ENDINGS = {  # how the content of a picture begins
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"P5": ".pgm",
    b"P6": ".ppm",
}


class HubWriter:
    """Writes pictures as they come, and lists them."""

    def __init__(self, folder: Path, columns: HubColumns):
        self._folder, self._columns = folder, columns
        self._listed: list[Listed] = []
        self._codes: dict[Any, int] = {}  # of labels that are values, in the order in which they came
        self._left_out: Counter[str] = Counter()
        self._rows = 0

    def take(self, part: Any, split: str) -> None:
        """Every row of a part of the set, as it is: nothing is decoded."""
        image = self._columns.image
        part = _undecoded(part.select_columns([image, self._columns.label]), image)
        for batch in part.iter(batch_size=AT_A_TIME):
            for picture, label in zip(batch[image], batch[self._columns.label], strict=True):
                self._rows += 1
                if (code := self._code(label)) is None:
                    self._left_out["without a class"] += 1
                elif (content := _content(picture)) is None:
                    self._left_out["without a picture in the set"] += 1
                else:
                    self._write(content, f"{PICTURES}/{split or 'all'}/{code}/{self._rows:07d}", code, split)

    def _code(self, label: Any) -> int | None:
        if label is None or label == "":
            return None
        if self._columns.classes is not None:
            return int(label) if 0 <= label < len(self._columns.classes) else None
        return self._codes.setdefault(label, len(self._codes))

    def _write(self, content: bytes, place: str, code: int, split: str) -> None:
        ending = next((ending for start, ending in _ENDINGS.items() if content.startswith(start)), ".bin")
        file = self._folder / f"{place}{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self._listed.append(Listed(f"{place}{ending}", code, split))

    def finished(self) -> tuple[tuple[str, ...], list[Listed]]:
        """The names of the classes, and the pictures by their numbers."""
        if self._columns.classes is not None:
            return self._columns.classes, self._listed
        values = sorted(self._codes)
        label_of = {self._codes[value]: label for label, value in enumerate(values)}
        return tuple(map(str, values)), [each._replace(label=label_of[each.label]) for each in self._listed]

    def notices(self) -> list[str]:
        return [f"{count(number, 'row')} left out, {why}." for why, number in self._left_out.items()]


def _content(picture: Any) -> bytes | None:
    """The bytes of a picture as they are. A path counts in the caches of the library alone: no other is the set's."""
    if not isinstance(picture, Mapping):
        return picture or None
    if picture["bytes"]:
        return picture["bytes"]
    file = Path(picture["path"] or "")
    try:
        real = file.resolve()
        is_of_the_set = file.is_absolute() and any(real.is_relative_to(cache) for cache in _caches())
        return real.read_bytes() if is_of_the_set and real.is_file() else None
    except (OSError, ValueError):
        return None


def _caches() -> list[Path]:
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    return [Path(cache).expanduser().resolve() for cache in (HF_DATASETS_CACHE, HF_HUB_CACHE)]


def _undecoded(part: Any, image: str) -> Any:
    from datasets import Image

    return part.cast_column(image, Image(decode=False)) if is_image(part.features[image]) else part
