from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from torchvision.transforms.v2 import functional as F

from vitscope.config import AugmentConfig
from vitscope.data.batches import BatchAugment, luminance, moved

ALL = {"rotate": 20.0, "scale": 0.2, "shear": 10.0, "translate": 0.1, "erase": 0.5}
ALL |= {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}


@pytest.fixture
def images() -> torch.Tensor:
    """Smooth, so that one resampling compares with another."""
    noise = torch.rand((6, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    return 255 * torch.nn.functional.interpolate(noise, (32, 32), mode="bicubic").clamp(0, 1)


NAMES = tuple("abcdef")


def test_what_a_view_becomes_depends_on_itself_alone(images: torch.Tensor):
    augment = BatchAugment(AugmentConfig(**ALL), seed=3)
    whole = augment(images, NAMES, [0] * 6, epoch=2)
    order = [4, 1, 5]
    some = augment(images[order], [NAMES[i] for i in order], [0] * 3, epoch=2)
    torch.testing.assert_close(some, whole[order], atol=1e-3, rtol=0)
    for other in (
        augment(images, NAMES, [1] * 6, epoch=2),
        augment(images, NAMES, [0] * 6, epoch=3),
        BatchAugment(AugmentConfig(**ALL), seed=4)(images, NAMES, [0] * 6, epoch=2),
    ):
        assert all((other[i] - whole[i]).abs().max() > 1 for i in range(6))
    assert whole.min() >= 0
    assert whole.max() <= 255


def test_nothing_asked_leaves_the_bytes_alone():
    views = torch.zeros((2, 3, 4, 4), dtype=torch.uint8)
    assert BatchAugment(AugmentConfig(), seed=0)(views, ["a", "b"], [0, 0], 0) is views


@pytest.mark.parametrize("asked", [{"rotate": 30.0}, {"scale": 0.4}, {"translate": 0.2}, {"shear": 20.0}])
def test_a_movement_is_scipys(images: torch.Tensor, asked: dict[str, float]):
    augment = BatchAugment(AugmentConfig(**asked), seed=1)
    got = augment(images, NAMES, [0] * 6, epoch=0)
    captured: list[torch.Tensor] = []
    original = torch.nn.functional.affine_grid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.nn.functional, "affine_grid", lambda m, *a, **k: (captured.append(m), original(m, *a, **k))[1]
        )
        augment(images, NAMES, [0] * 6, epoch=0)
    middle = (32 - 1) / 2
    for image, matrix, view in zip(images.numpy(), captured[0].double().numpy(), got.numpy(), strict=True):
        linear = matrix[::-1, 1::-1]  # theirs speaks of (x, y), SciPy's of (row, column)
        offset = middle - linear @ [middle, middle] + matrix[::-1, 2] * 16
        for channel in range(3):
            expected = scipy.ndimage.affine_transform(image[channel], linear, offset, order=1, mode="reflect")
            np.testing.assert_allclose(view[channel], expected, atol=0.05)


def test_turns_scales_and_shifts_stay_within_what_is_asked():
    augment = BatchAugment(AugmentConfig(rotate=25.0, scale=0.5, translate=0.25), seed=0)
    found: list[torch.Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitscope.data.batches.moved", lambda images, matrices: (found.append(matrices), images)[1])
        names = [str(i) for i in range(500)]
        augment(torch.zeros(500, 3, 2, 2), names, [0] * 500, 0)
    m = found[0].double().numpy()
    angle = np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0]))
    size = 1 / np.hypot(m[:, 0, 0], m[:, 1, 0])
    assert angle.min() == pytest.approx(-25, abs=1)
    assert angle.max() == pytest.approx(25, abs=1)
    assert size.min() == pytest.approx(1 / 1.5, abs=0.02)
    assert size.max() == pytest.approx(1.5, abs=0.02)
    assert abs(np.log(size).mean()) < 0.03
    assert abs(m[:, :, 2]).max() == pytest.approx(0.5, abs=0.01)  # of half a side: a quarter of the side


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colours_change_as_torchvision_changes_them(name: str, images: torch.Tensor):
    got = BatchAugment(AugmentConfig(**{name: 0.4}), seed=0)(images, NAMES, [0] * 6, epoch=0)
    factors = []
    for image, view in zip(images, got, strict=True):
        # torchvision's function of [0, 1] at the factor that fits best, found by trying.
        tried = {f: getattr(F, f"adjust_{name}")(image / 255, f) * 255 for f in np.linspace(0.6, 1.4, 801)}
        best = min(tried, key=lambda f: float((tried[f] - view).abs().max()))
        assert (tried[best] - view).abs().max() < 0.5
        factors.append(best)
    assert max(factors) - min(factors) > 0.1


def test_luminance_is_torchvisions(images: torch.Tensor):
    torch.testing.assert_close(luminance(images), F.rgb_to_grayscale(images), atol=0.1, rtol=0)


def test_erasing_takes_a_box_of_about_as_many_views_as_asked():
    count, side = 400, 32
    views = torch.full((count, 3, side, side), 7.0)
    names = [str(i) for i in range(count)]
    erased = BatchAugment(AugmentConfig(erase=0.25), seed=0)(views, names, [0] * count, 0)[:, 0] == 127.5
    areas = erased.float().mean(dim=(1, 2))
    assert 0.18 < float((areas > 0).float().mean()) < 0.32
    assert float(areas.max()) <= 0.4
    for view in erased[areas > 0]:
        rows, columns = view.any(dim=1), view.any(dim=0)
        assert int(view.sum()) == int(rows.sum() * columns.sum())  # a box


def test_a_move_by_nothing_is_nothing(images: torch.Tensor):
    still = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(6, 2, 3)
    torch.testing.assert_close(moved(images, still), images, atol=1e-3, rtol=0)
