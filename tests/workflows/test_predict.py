from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import draw_folder
from tests.trained import answer, save_run, tiny_bundle
from vitscope.errors import RequestError
from vitscope.models.bundle import ModelBundle
from vitscope.storage.workspace import Workspace
from vitscope.workflows.load import load
from vitscope.workflows.predict import collect, predict


@pytest.fixture
def bundle() -> ModelBundle:
    return tiny_bundle()


def test_one_answer_an_image_with_the_most_probable_classes(bundle: ModelBundle, pictures: Path) -> None:
    files = sorted((pictures / "plum").iterdir())
    found = predict(bundle, files, top=2)
    assert [one.path for one in found] == [str(file) for file in files]
    for one, file in zip(found, files, strict=True):
        expected = answer(bundle, file)
        values, labels = expected.topk(2)
        assert [candidate.label for candidate in one.top] == [bundle.classes[i] for i in labels]
        assert [candidate.probability for candidate in one.top] == pytest.approx(values.tolist(), abs=1e-6)
        assert (one.label, one.probability, one.problem) == (*one.top[0], None)
    assert len(predict(bundle, files[0])[0].top) == 3  # as many as there are


def test_a_path_a_picture_and_an_array_are_the_same_image(bundle: ModelBundle, pictures: Path) -> None:
    file = pictures / "apple" / "000.png"
    with Image.open(file) as picture:
        answers = predict(bundle, [file, str(file), picture, np.asarray(picture), file.read_bytes()])
    assert [one.path for one in answers] == [str(file), str(file), None, None, None]
    assert len({one.probability for one in answers}) == 1
    alone = [predict(bundle, image) for image in (file, str(file), Image.open(file), np.asarray(Image.open(file)))]
    assert all(len(found) == 1 and found[0].top == alone[0][0].top for found in alone)
    assert alone[0][0].probability == pytest.approx(answers[0].probability, abs=1e-6)


def test_a_folder_stands_for_its_images_sorted(bundle: ModelBundle, pictures: Path) -> None:
    (pictures / "note.txt").write_text("no image by name")
    (pictures / ".hidden.png").write_bytes(b"")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(pictures / "UPPER.PNG")
    found = [one.path for one in predict(bundle, pictures)]
    assert len(found) == 41
    assert found == sorted(found)
    assert predict(bundle, [pictures / "pear", pictures / "UPPER.PNG"])[-1].path == str(pictures / "UPPER.PNG")


def test_fault_78_a_bad_image_says_why_and_the_others_answer(
    bundle: ModelBundle, pictures: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    good = pictures / "apple" / "000.png"
    first, wrong, missing, last = predict(bundle, [good, bad, tmp_path / "none.png", good])
    assert first == last
    assert (wrong.label, wrong.top, wrong.problem) == ("", [], "not an image (4 bytes)")
    assert missing.problem == "no such file"


def test_no_image_at_all_is_a_wrong_request(bundle: ModelBundle, tmp_path: Path) -> None:
    (tmp_path / "note.txt").touch()
    for images, reason in {
        (): "none was named",
        (tmp_path / "a.png", tmp_path / "b.png"): r"a\.png: no such file \(nor any of the 1 others\)",
        (tmp_path,): "no images in this folder",
    }.items():
        with pytest.raises(RequestError, match=reason):
            predict(bundle, images)
    with pytest.raises(RequestError, match="at least 1"):
        predict(bundle, np.zeros((4, 4, 3), np.uint8), top=0)


def test_links_that_lead_back_end(pictures: Path) -> None:
    (pictures / "apple" / "again").symlink_to(pictures)
    assert len(collect(pictures)) == 40


def test_fault_06_a_turned_photograph_is_seen_upright(bundle: ModelBundle, tmp_path: Path) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # stored lying on its left side
    Image.fromarray(np.rot90(upright)).save(tmp_path / "turned.png", exif=exif)
    assert predict(bundle, tmp_path / "turned.png")[0].top == predict(bundle, upright)[0].top


def test_of_a_run_as_of_its_bundle(pictures: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    run = save_run(workspace, tiny_bundle(), pictures)
    files = sorted((pictures / "pear").iterdir())
    by_run = predict("latest", files, workspace=workspace)
    assert by_run == predict(run, files) == predict(load(run), files)
    assert torch.tensor([one.probability for one in by_run]).std() > 0


def test_a_link_back_to_the_folder_above_is_not_followed(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "fruits", {"apple": 2, "pear": 2})
    (folder / "apple" / "loop").symlink_to("..")
    found = predict(tiny_bundle(), [folder / "apple"])
    assert sorted(Path(p.path or "").name for p in found) == ["000.png", "001.png"]
