from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from vitscope.data import draw, policies
from vitscope.data.policies import GENTLE, LEVELS, POLICIES, WIDE


@pytest.fixture
def view() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))


def pixels(view: Image.Image) -> np.ndarray:
    return np.asarray(view).astype(int)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_gives_a_view_that_depends_on_its_generator_alone(name: str, view: Image.Image):
    torch.manual_seed(1)
    first = [POLICIES[name](view, draw.generator("t", i)) for i in range(40)]
    torch.manual_seed(2)  # the global generator has no say
    again = [POLICIES[name](view, draw.generator("t", i)) for i in reversed(range(40))][::-1]
    assert [v.tobytes() for v in first] == [v.tobytes() for v in again]
    assert {(v.size, v.mode) for v in first} == {((24, 24), "RGB")}
    assert sum(v.tobytes() != view.tobytes() for v in first) > 20
    assert len({v.tobytes() for v in first}) > 20


@pytest.mark.parametrize("space", [GENTLE, WIDE])
def test_at_no_strength_nothing_is_changed(space: dict[str, policies.Operation], view: Image.Image):
    for name, operation in space.items():
        if name in ("autocontrast", "equalize", "solarize", "posterize"):  # these know no strength, or change the ends
            continue
        # Rounding apart: a resampling by nothing may still round.
        assert np.abs(pixels(operation.apply(view, 0.0)) - pixels(view)).max() <= 1, name
    assert (pixels(space["posterize"].apply(view, 8)) == pixels(view)).all()
    assert (pixels(space["solarize"].apply(view, 255)) == np.where(pixels(view) == 255, 0, pixels(view))).all()


@pytest.mark.parametrize("space", [GENTLE, WIDE])
def test_operations_are_those_of_torchvision_on_tensors(space: dict[str, policies.Operation]):
    y, x = np.mgrid[0:48, 0:48] / 48  # smooth: where a pixel is taken from matters little
    smooth = np.stack([128 + 80 * np.sin(3 * x), 90 + 70 * y, 200 * x * y + 20], -1).astype(np.uint8)
    tensor = F.pil_to_tensor(Image.fromarray(smooth))
    for name, operation in space.items():
        amount = operation.least + 0.3 * (operation.most - operation.least)
        found = pixels(operation.apply(Image.fromarray(smooth), amount))
        wanted = operation.apply(tensor, amount).permute(1, 2, 0).numpy()  # pyright: ignore[reportArgumentType]
        assert np.median(np.abs(found - wanted)) <= 1, name
        assert np.abs(found - wanted).mean() < 3, name


def test_a_level_is_its_share_of_the_way(view: Image.Image, monkeypatch: pytest.MonkeyPatch):
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


def test_every_operation_of_a_space_is_drawn_about_equally_often(view: Image.Image, monkeypatch: pytest.MonkeyPatch):
    names: list[str] = []
    known = {id(operation): name for name, operation in WIDE.items()}
    monkeypatch.setattr(policies, "_applied", lambda v, operation, *_: (names.append(known[id(operation)]), v)[1])
    for i in range(1400):
        policies.trivial(view, draw.generator("t", i))
    counts = [names.count(name) for name in WIDE]
    assert sum((c - 100) ** 2 / 100 for c in counts) < 34.5  # chi-squared, 13 degrees of freedom, p = 0.001


def test_a_translation_moves_by_its_share(view: Image.Image):
    moved = pixels(WIDE["translate x"].apply(view, 0.25))
    assert (moved[:, 6:] == pixels(view)[:, :-6]).all()
    assert (moved[:, :5] == 128).all()


def test_three_augment_is_grey_solarized_or_blurred(view: Image.Image, monkeypatch: pytest.MonkeyPatch):
    for change in ("adjust_brightness", "adjust_contrast", "adjust_saturation"):
        monkeypatch.setattr(F, change, lambda v, _: v)
    found = [pixels(policies.three(view, draw.generator("t", i))) for i in range(60)]
    grey = sum(bool((v == v[..., :1]).all()) for v in found)
    inverted = np.where(pixels(view) >= 128, 255 - pixels(view), pixels(view))
    solarized = sum(bool((v == inverted).all()) for v in found)
    assert min(grey, solarized, 60 - grey - solarized) > 8
    assert np.var([v.var() for v in found]) > 0
