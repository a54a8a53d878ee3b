"""Input that nobody means well with: bytes and values turned odd, and what must hold whatever they are."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vitscope.errors import RequestError, WorkFailed

FEW, MANY = 40, int(os.environ.get("VITSCOPE_FUZZ_EXAMPLES") or 2_000)  # examples; the few are the same each time
EXAMPLES = [FEW, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
MOST_MB = 500  # that the memory of the process may grow by
LONGEST = 4_000  # characters of a paragraph


def fuzz(examples: int, check: Callable[..., None], *strategies: st.SearchStrategy[Any]) -> None:
    """Call `check` with so many examples of what the strategies draw, in bounded memory."""
    before = peak_mb()
    bounded = settings(
        max_examples=examples,
        derandomize=examples <= FEW,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phase.generate] if examples <= FEW else [Phase.generate, Phase.shrink],
        suppress_health_check=[*HealthCheck],
    )
    bounded(given(*strategies)(check))()
    assert peak_mb() - before < MOST_MB


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def told(around: Path, *own: Path) -> Iterator[None]:
    """What is done inside works, or is refused in one paragraph; below `around` only the folders `own` change."""
    before = tree(around, own)
    try:
        yield
    except (RequestError, WorkFailed) as error:
        text = str(error)
        assert text.strip()
        assert "\n\n" not in text
        assert "Traceback" not in text
        assert len(text) < LONGEST, f"{len(text):,} characters: {text[:200]} … {text[-200:]}"
    assert tree(around, own) == before


def tree(around: Path, own: tuple[Path, ...]) -> dict[str, tuple[int, ...]]:
    """Kind, size and times of everything below a folder, some folders left out."""
    found = {}
    for folder, folders, files in os.walk(around):
        folders[:] = [name for name in folders if Path(folder, name) not in own]
        for name in (*folders, *files):
            state = os.lstat(os.path.join(folder, name))  # noqa: PTH118 (names that are no text)
            found[os.path.join(folder, name)] = (state.st_mode, state.st_size, state.st_mtime_ns, state.st_ino)  # noqa: PTH118
    return found


# ---------------------------------------------------------------------------------------------- odd things

WORDS = ["", " ", "nan", "NaN", "inf", "-1", "0", "1e999", "1.0", "0.5", "null", "~", "true", "train", "val", "test"]
WORDS += [
    "../x",
    "..",
    "/etc/passwd",
    "C:\\x",
    "a/b",
    "a\\b",
    "x" * 300,
    "9" * 5_000,
    "9" * 20,
    "\0",
    "\n",
    "\r\n",
    "'",
    '"',
]
WORDS += [
    "花",
    "e\u0301",
    "\u202e",
    "\ufeff",
    "\x1b[31m",
    "=1+1",
    "%s",
    "{0}",
    "1.jpg",
    "2.jpg",
    "a",
    "b",
    "path",
    "label",
]
words = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
numbers = st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**400]) | st.integers()
floats = st.sampled_from([0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")]) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | floats | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with a few things done to them: flipped, cut out, put in, doubled, cut off."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from([1, 2, 4, 8, 64, 512])))
        match draw(st.sampled_from(["flip", "cut", "insert", "double", "extreme", "end"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:end]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
            case "double":
                data[at:at] = data[at:end]
            case "extreme":
                data[at:end] = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", b"9", b"["])) * (end - at)
            case "end":
                del data[at:]
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A nested value with one of its parts replaced, taken away or added to."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value, key=str)))
        if draw(st.integers(0, 9)) == 0:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: draw(changed(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(changed(value[at])), *value[at + 1 :]]
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(words): draw(values)}
    return draw(values)
