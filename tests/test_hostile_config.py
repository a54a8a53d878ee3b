"""Run descriptions of any content: taken, or told in a paragraph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.hostile import EXAMPLES, changed, fuzz, mutated, told, values, words
from vitscope import config
from vitscope.errors import RequestError
from vitscope.workflows.train import request

VALID = config.build({"data": {"source": "digits"}, "model": {"kwargs": {"depth": 2}}})
TEXT = VALID.to_yaml().encode()
TOKENS = [
    "train:",
    "  epochs: ",
    "model: ",
    "kwargs",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "? ",
    "| ",
    "> ",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "---",
    "...",
]
TOKENS += [
    "!!python/object:os.system ",
    "!!float ",
    "!!timestamp ",
    "!!binary ",
    "!!set ",
    "!!omap ",
    "!!bool ",
    "2001-99-99",
    "0b",
    "0x_",
    "1:99:99",
]
TOKENS += [
    "\n",
    "\n  ",
    "'",
    '"',
    "#",
    "=",
    "~",
    "1e3",
    "9" * 5_000,
    "[" * 500,
    "%TAG",
    "\t",
    "\\",
    "\0",
    "\x85",
    "\ufffe",
    "@",
    "`",
    "%",
    ",",
    "0o9",
]
yamls = (
    st.lists(st.sampled_from(TOKENS) | words, max_size=10)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "replace"))
)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_file_is_a_description_or_told(tmp_path: Path, examples: int):
    file = tmp_path / "run.yaml"

    def check(content: bytes) -> None:
        file.write_bytes(content)
        with told(tmp_path):
            assert config.build(request(None, file, (), {})) is not None

    fuzz(examples, check, yamls | mutated(TEXT) | st.binary(max_size=60))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_options_and_assignments_are_taken_or_told(tmp_path: Path, examples: int):
    names = st.sampled_from([option.path for option in config.options()]) | words
    assignments = st.tuples(names, yamls.map(bytes.decode) | words).map("=".join) | words

    def check(options: dict[str, Any], texts: list[str]) -> None:
        with told(tmp_path):
            asked = request(None, None, texts, options)
            assert config.parse_yaml(config.dump_yaml(asked), "again") is not None or asked == {}

    description = changed(VALID.model_dump(mode="json")) | st.dictionaries(words, values, max_size=3)
    fuzz(examples, check, description.filter(lambda made: isinstance(made, dict)), st.lists(assignments, max_size=3))


# ---------------------------------------------------------------------------------------------- what was found


@pytest.mark.parametrize(
    "text",
    [
        "seed: 2001-99-99",
        "seed: !!int x",
        "seed: !!float x",
        "seed: !!timestamp x",
        "seed: !!bool x",
        "seed: " + "9" * 5_000,
        "? {}\n: 1",
    ],
)
def test_values_that_yaml_itself_stumbles_over_are_told(text: str):
    with pytest.raises(RequestError, match=r"run.yaml: not valid YAML"):
        config.build(config.parse_yaml(text, "run.yaml"))
