"""The drawn shapes: what they are, that they are the same everywhere, and that only the shape tells the class."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from vitscope.data.sources import open_source, scene
from vitscope.data.sources.shapes import ShapesSource, mask_of
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import import_dataset, read

CLASSES = ("circle", "cross", "heart", "hexagon", "ring", "square", "star", "triangle")
SIZE = 48


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def scenes() -> list[scene.Scene]:
    return [scene.scene(0, index, SIZE) for index in range(400)]


def test_classes_take_turns(scenes: list[scene.Scene]) -> None:
    assert scene.CLASSES == CLASSES
    assert [one.class_name for one in scenes] == [CLASSES[i % 8] for i in range(400)]
    assert all(one.pixels.shape == (SIZE, SIZE, 3) and one.mask.shape == (SIZE, SIZE) for one in scenes)
    assert len({one.pixels.tobytes() for one in scenes}) == 400


def test_a_scene_is_of_its_seed_and_index_alone(scenes: list[scene.Scene]) -> None:
    again = scene.scene(0, 123, SIZE)
    assert (again.pixels == scenes[123].pixels).all() and (again.mask == scenes[123].mask).all()
    assert (scene.scene(1, 123, SIZE).pixels != again.pixels).any()


def test_a_scene_is_the_same_at_every_size(scenes: list[scene.Scene]) -> None:
    for index in (0, 4, 6):
        large = scene.scene(0, index, 2 * SIZE)
        shrunk = np.asarray(Image.fromarray(large.pixels).reduce(2), float)
        assert np.abs(shrunk - scenes[index].pixels).mean() < 6
        assert np.abs(np.asarray(Image.fromarray(large.mask).reduce(2), float) - scenes[index].mask).mean() < 3


def test_the_object_is_whole_one_piece_and_of_10_to_40_percent(scenes: list[scene.Scene]) -> None:
    for one in scenes:
        assert 0.095 < one.mask.mean() / 255 < 0.40
        edge = np.concatenate([one.mask[0], one.mask[-1], one.mask[:, 0], one.mask[:, -1]])
        assert edge.max() < 100  # it does not reach beyond the border
        _, pieces = ndimage.label(one.mask > 127, np.ones((3, 3)))
        _, grounds = ndimage.label(one.mask <= 127, np.ones((3, 3)))
        assert (pieces, grounds) == (1, 2 if one.class_name == "ring" else 1)


def test_outlines_have_the_areas_of_geometry() -> None:
    pi = np.pi
    truth = {
        "circle": pi,
        "cross": 2 * (2 * 0.72) - 0.72**2,  # two bars that share their middle
        "hexagon": 3 * np.sqrt(3) / 2,
        "square": 2.0,
        "triangle": 3 * np.sqrt(3) / 4,
        "star": 5 * 0.5 * np.sin(pi / 5),
    }

    for name, area in truth.items():
        assert scene._area(scene.OUTLINES[name][0]) == pytest.approx(area, rel=2e-3), name
    outer, hole = scene.OUTLINES["ring"]
    assert scene._area(hole) / scene._area(outer) == pytest.approx(0.55**2)


def test_edges_are_smooth(scenes: list[scene.Scene]) -> None:
    partly = [((one.mask > 0) & (one.mask < 255)).mean() for one in scenes]
    assert np.mean(partly) > 0.03
    assert len({int(v) for one in scenes for v in np.unique(one.mask)}) > 12


def test_the_object_stands_out_and_the_ground_is_cluttered(scenes: list[scene.Scene]) -> None:
    luma = np.array([0.299, 0.587, 0.114])
    for one in scenes[:200]:
        inside, outside = one.pixels[one.mask == 255] @ luma, one.pixels[one.mask == 0] @ luma
        assert inside.mean() - outside.mean() > 40
        assert outside.std() > 4


def test_only_the_shape_tells_the_class() -> None:
    """From mean colours, area and place of the object, classes are not told better than by chance."""
    drawn = [scene.scene(5, index, 24) for index in range(1200)]
    features = []
    for one in drawn:
        share = one.mask.astype(float) / 255
        ground = 1 - share
        rows, columns = np.mgrid[:24, :24]
        features.append(
            [
                *(one.pixels * share[..., None]).sum(axis=(0, 1)) / share.sum(),
                *(one.pixels * ground[..., None]).sum(axis=(0, 1)) / ground.sum(),
                (rows * share).sum() / share.sum(),
                (columns * share).sum() / share.sum(),
            ]
        )
    x = (np.array(features) - np.mean(features, axis=0)) / np.std(features, axis=0)
    y = np.arange(1200) % 8
    accuracy = cross_val_score(LogisticRegression(max_iter=500), x, y, cv=4).mean()
    assert accuracy < 1 / 8 + 3 * np.sqrt(1 / 8 * 7 / 8 / 1200)
    areas = np.array([one.mask.mean() / 255 for one in drawn]).reshape(-1, 8)
    assert np.ptp(areas.mean(axis=0)) < 0.04


# ------------------------------------------------------------------------------------------------ the source


def test_pictures_and_masks_are_files_by_class(workspace: Workspace) -> None:
    scan = open_source("shapes:count=20,size=32,seed=3", workspace).scan()
    assert scan.classes == CLASSES and scan.notices == [] and len(scan.records) == 20
    assert [sum(r.class_name == name for r in scan.records) for name in CLASSES] == [3, 3, 3, 3, 2, 2, 2, 2]
    folder = workspace.datasets_folder / "shapes" / "32-3"
    assert sorted(path.name for path in folder.iterdir()) == ["images", "masks"]
    for record in scan.records:
        path = Path(record.path)
        number = int(path.stem)
        one = scene.scene(3, number, 32)
        assert record.class_name == path.parent.name == one.class_name
        with Image.open(path) as picture:
            assert picture.mode == "RGB" and (np.asarray(picture) == one.pixels).all()
        mask = mask_of(path)
        assert mask is not None and mask == folder / "masks" / one.class_name / path.name
        with Image.open(mask) as picture:
            assert picture.mode == "L" and (np.asarray(picture) == one.mask).all()
    assert read("shapes:count=20,size=32,seed=3", workspace).manifest.classes == CLASSES


def test_plain_shapes_are_2000_of_64_pixels(workspace: Workspace) -> None:
    source = open_source("shapes", workspace)
    assert isinstance(source, ShapesSource)
    assert (source.count, source.size, source.seed, source.location) == (2000, 64, 0, "shapes")
    assert open_source("shapes:size=64,seed=0", workspace) == source
    assert open_source("shapes:count=9", workspace).location == "shapes:count=9,size=64,seed=0"


def test_more_are_added_and_fewer_leave_what_is_there(workspace: Workspace) -> None:
    few = open_source("shapes:count=10,size=16", workspace).scan().records
    more = open_source("shapes:count=24,size=16", workspace).scan().records
    assert {r.locator: r for r in few}.items() <= {r.locator: r for r in more}.items()
    assert len(more) == 24
    assert open_source("shapes:count=10,size=16", workspace).scan().records == few
    assert len(list((workspace.datasets_folder / "shapes/16-0/images").rglob("*.png"))) == 24


def test_it_is_the_same_data_set_in_every_workspace(workspace: Workspace, tmp_path: Path) -> None:
    text = "shapes:count=12,size=16"
    here = read(text, workspace).manifest
    there = read(text, Workspace(tmp_path / "elsewhere")).manifest
    assert here.fingerprint == there.fingerprint
    assert here.fingerprint != read("shapes:count=12,size=16,seed=1", workspace).manifest.fingerprint


def test_what_was_lost_or_emptied_is_drawn_anew(workspace: Workspace) -> None:
    text = "shapes:count=12,size=16"
    before = read(text, workspace).manifest
    (workspace.datasets_folder / "shapes/16-0/images/circle/00000.png").unlink()
    (workspace.datasets_folder / "shapes/16-0/images/cross/00001.png").write_bytes(b"")
    shutil.rmtree(workspace.datasets_folder / "shapes/16-0/images/heart")
    assert read(text, workspace).manifest.fingerprint == before.fingerprint


def test_an_interruption_leaves_nothing_and_the_next_look_draws_all(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, scene_ = [], scene.scene

    def stop(*arguments: int) -> scene.Scene:
        drawn.append(arguments)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return scene_(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scene, "scene", stop)
        open_source("shapes:count=10,size=16", workspace).scan()
    assert list((workspace.datasets_folder / "shapes").iterdir()) == []
    assert len(open_source("shapes:count=10,size=16", workspace).scan().records) == 10


def test_two_processes_may_draw_at_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("shapes:count=10,size=16", workspace)
    scene_, nested = scene.scene, []

    def other_first(*arguments: int) -> scene.Scene:
        if not nested:
            nested.append(1)
            other = Workspace(workspace.root / "elsewhere")
            open_source("shapes:count=10,size=16", other).scan()
            (workspace.datasets_folder / "shapes").mkdir(parents=True, exist_ok=True)
            shutil.copytree(other.datasets_folder / "shapes/16-0", workspace.datasets_folder / "shapes/16-0")
        return scene_(*arguments)

    monkeypatch.setattr(scene, "scene", other_first)
    assert len(source.scan().records) == 10


def test_a_workspace_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "datasets").write_text("a file where the folder would be")
    with pytest.raises(RequestError, match="could not be written"):
        open_source("shapes", Workspace(tmp_path)).scan()


def test_an_imported_set_of_shapes_finds_its_source_again(workspace: Workspace) -> None:
    import_dataset("shapes:count=16,size=16,seed=2", "mine", workspace)
    assert len(read("mine", workspace).manifest) == 16
    with pytest.raises(RequestError, match="comes with the program"):
        import_dataset("shapes:count=16,size=16", "Shapes", workspace)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("size=4", ["size", "16 to 512", "'4'"]),
        ("count=1e3", ["count", "8 to 100,000"]),
        ("count=-5", ["'-5'"]),
        ("seed=99999999999", ["seed"]),
        ("sise=32", ["Did you mean 'size'"]),
        ("x=red", ["count, size, seed"]),
        ("32", ["shapes:count=3000,size=96,seed=1"]),
        ("", ["shapes:count=3000,size=96,seed=1"]),
        ("size=32,size=48", ["twice"]),
    ],
)
def test_wrong_options_are_told_with_what_is_right(workspace: Workspace, options: str, parts: list[str]) -> None:
    with pytest.raises(RequestError) as told:
        open_source(f"shapes:{options}", workspace)
    assert all(part in str(told.value) for part in parts)
    assert not workspace.root.exists()


def test_other_pictures_have_no_mask(pictures: Path, tmp_path: Path) -> None:
    assert mask_of(pictures / "apple" / "000.png") is None
    for folder in ("images/a", "masks/a"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
        (tmp_path / "mine" / folder / "1.png").touch()
    assert mask_of(tmp_path / "mine/images/a/1.png") is None
    assert mask_of(Path("1.png")) is None
