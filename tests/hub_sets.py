"""Data sets as they lie on the hub: Parquet files whose schema says which column is what; and the hub made known."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.hub import FakeHub, Files

CLASSES = ("apple", "pear", "plum")
IMAGE = {"_type": "Image"}


def picture(label: int, number: int, form: str = "PNG", size: int = 24) -> bytes:
    """Noise around a colour of the label's own, as a file of this form."""
    rng = np.random.default_rng([label, number])
    colour = np.array([(label * 97) % 256, (label * 57 + 80) % 256, (label * 151 + 160) % 256])
    pixels = np.clip(rng.normal(colour, 25, (size, size, 3)), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def pictures(count: int, first: int = 0) -> list[bytes]:
    """PNG and JPEG in turn, of the three classes in turn."""
    return [picture(i % 3, i, ("PNG", "JPEG")[i % 2]) for i in range(first, first + count)]


def class_label(names: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    return {"names": list(names), "_type": "ClassLabel"}


def parquet(columns: dict[str, list[Any]], types: dict[str, dict[str, Any]]) -> bytes:
    """`types` are what the library `datasets` calls features; columns without one are told by their own type."""
    arrays = {}
    for name, values in columns.items():
        if types.get(name) == IMAGE:
            rows = [v if isinstance(v, dict) else {"bytes": v, "path": None} for v in values]
            arrays[name] = pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
        else:
            arrays[name] = pa.array(values)
    plain = {n: {"dtype": str(a.type), "_type": "Value"} for n, a in arrays.items() if n not in types}
    about = {"info": {"features": {name: {**types, **plain}[name] for name in arrays}}}
    table = pa.table(arrays).replace_schema_metadata({"huggingface": json.dumps(about)})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def fruit(names: tuple[str, ...] = CLASSES, **counts: int) -> Files:
    """Splits of so many pictures each, in columns `image` and `label`, which number the three classes in turn."""
    files, first = {}, 0
    for split, count in counts.items():
        columns = {"image": pictures(count, first), "label": [i % 3 for i in range(first, first + count)]}
        types = {"image": IMAGE, "label": class_label(names)}
        files[f"data/{split}-00000-of-00001.parquet"] = parquet(columns, types)
        first += count
    return files


def know_only(hub: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the libraries know this hub alone, and caches below `home`: they read their environment when imported."""
    for module, name, value in (
        (huggingface_hub.constants, "ENDPOINT", hub.url),
        (
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        ),
        (huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub")),
        (huggingface_hub.constants, "HF_HUB_DISABLE_XET", True),
        (huggingface_hub.constants, "HF_TOKEN_PATH", str(home / "none")),
        (datasets.config, "HF_ENDPOINT", hub.url),
        (datasets.config, "HUB_DATASETS_URL", hub.url + "/datasets/{repo_id}/resolve/{revision}/{path}"),
        (datasets.config, "HF_CACHE_HOME", str(home)),
        (datasets.config, "HF_DATASETS_CACHE", str(home / "datasets")),
        (datasets.config, "DOWNLOADED_DATASETS_PATH", str(home / "datasets/downloads")),
    ):
        monkeypatch.setattr(module, name, value)
