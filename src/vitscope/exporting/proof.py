"""The file beside an export that says what was compared, on which machine, and which bytes it speaks of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitscope import machine
from vitscope._version import __version__
from vitscope.errors import RequestError
from vitscope.storage.artifacts import sha256, write_json

if TYPE_CHECKING:
    from vitscope.exporting.parity import Parity

SUFFIX = ".parity.json"
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "onnx", "onnxscript", "onnxruntime")


def beside(file: Path) -> Path:
    """Where the proof of an exported file lies."""
    return file.with_name(file.name + SUFFIX)


def describe(parity: Parity, format: str, sums: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, Any]:
    """What the proof says. `sums`: SHA-256 of every file of the export; `data`: where the images are from."""
    return {
        **parity.to_dict(),
        "format": format,
        "sha256": dict(sums),
        "data": dict(data),
        "versions": {"vitscope": __version__}
        | {name: version for name in PACKAGES if (version := machine.installed_version(name)) is not None},
        "machine": machine.probe().kind,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write(file: Path, content: Mapping[str, Any]) -> Path:
    """Write the proof of `file` beside it."""
    write_json(beside(file), content)
    return beside(file)


def sums(file: Path) -> dict[str, str]:
    """SHA-256 by name of the files that the proof beside `file` speaks of; none where there is no proof.

    Raises `RequestError` when it is not readable.
    """
    found = beside(file)
    try:
        given = json.loads(found.read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(value) for name, value in given.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{found}: not readable as a proof ({error}). Remove it and export again.") from None


def check(file: Path) -> None:
    """Raise `RequestError` when a proof lies beside the file and does not speak of these bytes."""
    for name, expected in sums(file).items():
        part = file.with_name(Path(name).name)
        if not part.is_file() or sha256(part) != expected:
            raise RequestError(
                f"{part}: damaged or altered: its sum differs from that in {beside(file).name}. Export the model again."
            )
