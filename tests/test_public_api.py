from __future__ import annotations

import subprocess
import sys

import vitscope


def test_every_public_name_is_there_and_documented():
    for name in vitscope.__all__:
        value = getattr(vitscope, name)
        assert name == "__version__" or value.__doc__, name


def test_what_is_announced_is_what_is_loaded():
    assert set(vitscope._HOMES) | {"__version__"} == set(vitscope.__all__)
    assert dir(vitscope) == sorted(vitscope.__all__)


def test_importing_costs_nothing():
    code = (
        "import sys, vitscope; sys.exit(bool({'torch', 'timm', 'pandas', 'pydantic', 'sqlalchemy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
