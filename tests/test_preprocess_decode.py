"""`preprocess.decode` against arithmetic and numpy: what a file holds, whatever its format, as RGB bytes."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitscope.errors import BadImage
from vitscope.preprocess import decode

ORIENTATION = 0x0112


@pytest.fixture
def pixels() -> np.ndarray:
    """(5, 7, 3): no two pixels the same, and not square."""
    return (np.arange(5 * 7 * 3).reshape(5, 7, 3) * 2).astype(np.uint8)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file written by hand: Pillow writes no 16-bit colour, and no picture too large to hold."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_path_bytes_a_picture_and_an_array_give_the_same(pixels: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(encoded(Image.fromarray(pixels), "PNG"))
    for image in (file, str(file), file.read_bytes(), Image.fromarray(pixels), pixels):
        np.testing.assert_array_equal(decode(image), pixels)


# ---------------------------------------------------------------------------------------------- what is no picture


def test_fault_01_zero_byte_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "empty.jpg"
    file.touch()
    with pytest.raises(BadImage, match="empty file"):
        decode(file)
    with pytest.raises(BadImage, match="empty file"):
        decode(b"")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_fault_02_truncated_picture_is_told(format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), format)
    assert decode(whole).shape == (64, 64, 3)
    with pytest.raises(BadImage):
        decode(whole[: len(whole) // 2])


def test_fault_02_truncated_picture_is_told_when_it_is_opened_already() -> None:
    whole = encoded(Image.new("RGB", (64, 64)), "PNG")
    with pytest.raises(BadImage), Image.open(BytesIO(whole[:60])) as picture:
        decode(picture)


def test_fault_03_text_renamed_jpg_is_told(tmp_path: Path) -> None:
    file = tmp_path / "notes.jpg"
    file.write_text("these are notes\n")
    with pytest.raises(BadImage, match="not an image \\(16 bytes\\)"):
        decode(file)


def test_fault_07_decompression_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(BadImage, match="bomb"):
        decode(png(50_000, 50_000, 8, 2, b""))
    with pytest.raises(BadImage, match="bomb"):
        decode(png(13_400, 13_400, 8, 2, b""))  # just above the limit


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BadImage, match="a pipe or a device"):
        decode(tmp_path / "pipe.jpg")


@pytest.mark.parametrize(
    "name", ["missing.jpg", "folder", "missing/deeper.jpg", "file.png/inside.jpg", "n" * 300, "nul\0"]
)
def test_a_path_that_cannot_be_opened_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").touch()
    with pytest.raises(BadImage):
        decode(tmp_path / name)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_an_array_of_another_shape_or_type_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadImage, match="uint8"):
        decode(np.zeros(shape, np.uint8))
    with pytest.raises(BadImage, match="float64"):
        decode(np.zeros((4, 4, 3)))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_damaged_bytes_give_a_picture_or_a_reason_and_nothing_else(format: str, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[0x010E] = "a description"
    whole = encoded(Image.fromarray(pixels), format, **({"exif": exif} if format in ("JPEG", "PNG", "WEBP") else {}))
    random = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nor does Pillow's grumbling reach the person
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(int(random.choice([1, 3, 10]))):
                damaged[random.integers(len(damaged))] = random.integers(256)
            try:
                picture = decode(bytes(damaged[: random.integers(1, len(damaged) + 1)]))
            except BadImage as reason:
                assert str(reason)
            else:
                assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3


# ---------------------------------------------------------------------------------------------- depth and colour


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_fault_04_sixteen_bit_grey_is_scaled_by_257(format: str) -> None:
    grey = np.array([[0, 128, 257, 1000], [32768, 65535, 65534, 25700]], np.uint16)
    expected = np.rint(grey / 257).astype(np.uint8)
    assert expected[1, 1] == 255 and expected[1, 3] == 100
    for content in (encoded(Image.fromarray(grey), format), Image.fromarray(grey)):
        np.testing.assert_array_equal(decode(content), np.repeat(expected[:, :, None], 3, axis=2))


def test_fault_04_big_endian_sixteen_bit_tiff_is_scaled() -> None:
    grey = np.array([[0, 25700, 65535]], np.uint16)
    entries = [(256, 3, 1, 3), (257, 3, 1, 1), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 200)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 6)]
    header = b"MM\x00*" + struct.pack(">IH", 8, len(entries))
    for tag, kind, number, value in entries:
        packed = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        header += struct.pack(">HHI", tag, kind, number) + packed
    content = (header + b"\0" * 4).ljust(200, b"\0") + grey.astype(">u2").tobytes()
    np.testing.assert_array_equal(decode(content)[0, :, 0], [0, 100, 255])


def test_fault_04_sixteen_bit_colour_keeps_its_range() -> None:
    colours = np.array([[[0, 65535, 32768], [257, 25700, 65000]]], ">u2")
    decoded = decode(png(2, 1, 16, 2, b"\0" + colours.tobytes()))
    assert np.abs(decoded - colours / 257).max() <= 1


def test_values_of_unknown_range_are_told_not_guessed() -> None:
    with pytest.raises(BadImage, match="floating point"):
        decode(encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"))
    with pytest.raises(BadImage, match="32 bits"):
        decode(encoded(Image.fromarray(np.full((3, 3), 70_000, np.int32)), "TIFF"))


def test_fault_05_grey_repeats_in_three_channels(pixels: np.ndarray) -> None:
    grey = pixels[:, :, 0]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(grey), "PNG")), np.stack([grey] * 3, axis=2))
    one_bit = Image.fromarray(grey > 100)
    np.testing.assert_array_equal(decode(encoded(one_bit, "PNG"))[:, :, 1], np.where(grey > 100, 255, 0))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_fault_05_alpha_lies_over_white(mode: str, pixels: np.ndarray) -> None:
    colour = pixels if mode == "RGBA" else np.repeat(pixels[:, :, :1], 3, axis=2)
    alpha = np.linspace(0, 255, 35).round().reshape(5, 7, 1).astype(np.uint8)
    picture = np.concatenate([pixels if mode == "RGBA" else pixels[:, :, :1], alpha], axis=2)
    expected = colour * (alpha / 255.0) + 255 * (1 - alpha / 255.0)
    decoded = decode(encoded(Image.fromarray(picture, mode), "PNG"))
    assert np.abs(decoded - expected).max() <= 1
    np.testing.assert_array_equal(decoded[0, 0], [255, 255, 255])  # quite transparent
    np.testing.assert_array_equal(decoded[4, 6], colour[4, 6])  # quite opaque


def test_fault_05_palette_with_and_without_a_transparent_colour() -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0])
    picture.putdata([0, 1, 2])
    np.testing.assert_array_equal(decode(encoded(picture, "PNG")), [[[10, 20, 30], [200, 100, 50], [0, 255, 0]]])
    holed = encoded(picture, "PNG", transparency=1)
    np.testing.assert_array_equal(decode(holed), [[[10, 20, 30], [255, 255, 255], [0, 255, 0]]])
    gif = encoded(picture, "GIF", transparency=1)
    np.testing.assert_array_equal(decode(gif), [[[10, 20, 30], [255, 255, 255], [0, 255, 0]]])


def test_fault_05_a_transparent_colour_of_a_plain_png() -> None:
    picture = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8))
    np.testing.assert_array_equal(decode(encoded(picture, "PNG", transparency=(1, 2, 3))), [[[255] * 3, [9, 9, 9]]])


@pytest.mark.parametrize(
    ("inks", "colour"),
    [
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 255, 0, 0), (0, 0, 255)),
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_fault_05_cmyk_jpeg_has_the_colours_of_its_inks(inks: tuple[int, ...], colour: tuple[int, ...]) -> None:
    decoded = decode(encoded(Image.new("CMYK", (16, 16), inks), "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - colour).max() <= 3


def test_fault_11_a_broken_colour_profile_does_not_matter(pixels: np.ndarray) -> None:
    content = encoded(Image.fromarray(pixels), "PNG", icc_profile=b"no profile at all")
    np.testing.assert_array_equal(decode(content), pixels)


# ---------------------------------------------------------------------------------------------- orientation, frames

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),  # the camera's right side was up: turn clockwise
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_fault_06_exif_orientation_is_applied(format: str, orientation: int) -> None:
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8] = [250, 0, 0]  # blocks that JPEG keeps: all turns and flips are different
    stored[:8, 16:] = [0, 250, 0]
    stored[8:, :8] = [0, 0, 250]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format, {})
    content = encoded(Image.fromarray(stored), format, exif=exif, **options)
    expected = UPRIGHT[orientation](stored)
    assert decode(content).shape == expected.shape
    assert np.abs(decode(content).astype(int) - expected).max() <= (4 if format == "JPEG" else 0)
    with Image.open(BytesIO(content)) as picture:
        np.testing.assert_array_equal(decode(picture), decode(content))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_ignored(orientation: int, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels), "PNG", exif=exif)), pixels)


def test_fault_06_sixteen_bits_and_transparency_are_turned_too() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = Image.fromarray(np.array([[0, 65535]], np.uint16))
    np.testing.assert_array_equal(decode(encoded(grey, "PNG", exif=exif))[:, :, 0], [[0], [255]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 0, 0, 0])
    palette.putdata([0, 1])
    turned = decode(encoded(palette, "PNG", exif=exif, transparency=1))
    np.testing.assert_array_equal(turned, [[[10, 20, 30]], [[255, 255, 255]]])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_fault_08_the_first_of_several_frames_is_used(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    with Image.open(BytesIO(content)) as picture:
        assert picture.n_frames == 3
    np.testing.assert_array_equal(decode(content), np.full((8, 8, 3), [255, 0, 0]))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_fault_09_extreme_shapes_are_pictures(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("RGB", size), "PNG")).shape == (size[1], size[0], 3)
