from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from vitscope.data import draw, policies
from vitscope.data.policies import GENTLE, LEVELS, POLICIES, WIDE


@pytest.fixture
def view() -> torch.Tensor:
    return torch.randint(0, 256, (3, 24, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_gives_a_view_that_depends_on_its_generator_alone(name: str, view: torch.Tensor):
    torch.manual_seed(1)
    first = [POLICIES[name](view, draw.generator("t", i)) for i in range(40)]
    torch.manual_seed(2)  # the global generator has no say
    again = [POLICIES[name](view, draw.generator("t", i)) for i in reversed(range(40))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert {(tuple(v.shape), v.dtype) for v in first} == {((3, 24, 24), torch.uint8)}
    assert sum(not torch.equal(v, view) for v in first) > 20
    assert len({v.numpy().tobytes() for v in first}) > 20


@pytest.mark.parametrize("space", [GENTLE, WIDE])
def test_at_no_strength_nothing_is_changed(space: dict[str, policies.Operation], view: torch.Tensor):
    for name, operation in space.items():
        if name in ("autocontrast", "equalize", "solarize", "posterize"):  # these know no strength, or change the ends
            continue
        # Rounding apart: a resampling by nothing may still round.
        assert (operation.apply(view, 0.0).int() - view.int()).abs().max() <= 1, name
    assert torch.equal(space["posterize"].apply(view, 8), view)
    assert torch.equal(space["solarize"].apply(view, 255), torch.where(view == 255, 0, view).to(torch.uint8))


def test_a_level_is_its_share_of_the_way(view: torch.Tensor, monkeypatch: pytest.MonkeyPatch):
    seen: list[float] = []
    probe = policies.Operation(lambda v, amount: (seen.append(amount), v)[1], 8, 4, False)
    for level in (0, 15, LEVELS - 1):
        policies._applied(view, probe, level, draw.generator("t"))
    assert seen == [8, 6, 4]
    signed = policies.Operation(lambda v, amount: (seen.append(amount), v)[1], 0, 1, True)
    seen.clear()
    for i in range(200):
        policies._applied(view, signed, LEVELS - 1, draw.generator("t", i))
    assert set(seen) == {1.0, -1.0}
    assert 60 < seen.count(1.0) < 140


def test_every_operation_of_a_space_is_drawn_about_equally_often(view: torch.Tensor, monkeypatch: pytest.MonkeyPatch):
    names: list[str] = []
    known = {id(operation): name for name, operation in WIDE.items()}
    monkeypatch.setattr(policies, "_applied", lambda v, operation, *_: (names.append(known[id(operation)]), v)[1])
    for i in range(1400):
        policies.trivial(view, draw.generator("t", i))
    counts = [names.count(name) for name in WIDE]
    assert sum((c - 100) ** 2 / 100 for c in counts) < 34.5  # chi-squared, 13 degrees of freedom, p = 0.001


def test_a_translation_moves_by_its_share(view: torch.Tensor):
    moved = WIDE["translate x"].apply(view, 0.25)
    assert torch.equal(moved[:, :, 6:], view[:, :, :-6])
    assert (moved[:, :, :5] == 128).all()


def test_three_augment_is_grey_solarized_or_blurred(view: torch.Tensor, monkeypatch: pytest.MonkeyPatch):
    for change in ("adjust_brightness", "adjust_contrast", "adjust_saturation"):
        monkeypatch.setattr(F, change, lambda v, _: v)
    found = [policies.three(view, draw.generator("t", i)) for i in range(60)]
    grey = sum(bool((v[0] == v[1]).all() and (v[1] == v[2]).all()) for v in found)
    solarized = sum(torch.equal(v, torch.where(view >= 128, 255 - view, view)) for v in found)
    assert min(grey, solarized, 60 - grey - solarized) > 8
    assert np.var([v.float().var() for v in found]) > 0
