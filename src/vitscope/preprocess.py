"""One preprocessing, one value: from a picture to what the model is fed.

`decode` turns a file or picture into RGB bytes (EXIF rotation and colour conversion happen here and only here).
`Preprocess` is the frozen value that travels in every checkpoint and export: resize, crop, mean and std. Its
`PixelPipeline` is an ordinary module built from arithmetic and two matrix products, so that evaluation, prediction
and the exported ONNX graph run the *same* code.

Shapes: N images, H × W input pixels, S output side.
"""

from __future__ import annotations

import math
import os
import stat
import warnings
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError

from vitscope.errors import BadImage, RequestError
from vitscope.text import brief

BAND_ROWS = 16
SMALL_PIXELS = 100_000
MAX_SIDE = 65_536  # pixels that a model's input, or what it is cropped from, may have a side
MAX_PIXELS = 178_956_970  # twice Pillow's own warning threshold: what it too calls a decompression bomb

ImageLike = str | Path | bytes | Image.Image | np.ndarray


# ---------------------------------------------------------------------------------------------- decoding


def decode(image: ImageLike, at_least: int | None = None) -> np.ndarray:
    """A picture as RGB bytes, (H, W, 3) uint8, upright (EXIF), transparency over white, first frame of several.

    `at_least`: how long the shorter side must be for the purpose; a larger JPEG is then decoded at a half, a quarter or
    an eighth of its size, which is quicker. For training alone: what is evaluated is decoded whole.

    Raises `BadImage` with the reason for what is no picture, is truncated or unreasonably large.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise BadImage(f"an array must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
        return image
    try:
        if isinstance(image, Image.Image):
            return _to_rgb(image)
        if isinstance(image, bytes):
            return _decode_stream(BytesIO(image), len(image), at_least)
        with open(image, "rb", opener=_without_waiting) as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise BadImage("a pipe or a device, not a file")
            return _decode_stream(stream, state.st_size, at_least)
    except BadImage:
        raise
    except FileNotFoundError:
        raise BadImage("no such file") from None
    except IsADirectoryError:
        raise BadImage("a folder, not a picture") from None
    except PermissionError:
        raise BadImage("not readable (permission denied)") from None
    except Exception as error:  # decoders raise whatever they like when bytes are damaged, struct.error among it
        if isinstance(error, OSError) and error.errno is not None:
            raise BadImage(f"not readable ({error.strerror})") from None
        raise BadImage(f"a damaged image ({str(error) or type(error).__name__})") from None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe too, though nobody writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _decode_stream(stream: Any, size_bytes: int, at_least: int | None) -> np.ndarray:
    if size_bytes == 0:
        raise BadImage("an empty file (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on metadata name no file; what matters is raised
            with Image.open(stream) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise BadImage(f"{width:,} × {height:,} pixels, more than {MAX_PIXELS:,} (a decompression bomb?)")
                if at_least is not None:
                    picture.draft(None, (at_least, at_least))
                return _to_rgb(picture)
    except UnidentifiedImageError:
        raise BadImage(f"not an image ({size_bytes:,} bytes)") from None
    except Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels (a decompression bomb?)") from None


# What turns a picture upright, by the EXIF orientation. (ImageOps.exif_transpose also writes the EXIF data anew, which
# costs a quarter of decoding a small picture and fails where another, irrelevant tag is damaged.)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _to_rgb(picture: Image.Image) -> np.ndarray:
    picture.load()
    has_alpha = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    turn = _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    if turn is not None:
        picture = picture.transpose(turn)
    mode = picture.mode
    if mode.startswith("I;16") or mode == "I":  # 16 bits a channel: 65535 becomes 255
        grey = np.asarray(picture, dtype=np.float64)
        if grey.max() > 65535:
            raise BadImage("an image of 32 bits a pixel; its range is unknown, save it with 8 or 16 bits")
        grey = np.clip(np.rint(grey / 257.0), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode == "F":
        raise BadImage("a floating point image; its range is unknown, save it with 8 or 16 bits")
    if has_alpha:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


# ---------------------------------------------------------------------------------------------- the value


@dataclass(frozen=True)
class Preprocess:
    """How a decoded picture becomes the model's input, (3, S, S) float32.

    resize "crop": the shorter side becomes floor(size / crop_pct) with the aspect ratio kept (the longer side is
    rounded down, as torchvision does), then the centre is cropped. "squash": both sides become that length first.
    """

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    crop_pct: float = 1.0
    resize: Literal["crop", "squash"] = "crop"

    @property
    def problem(self) -> str | None:
        """Why it cannot be a preprocessing, where it comes from a file that anybody may have written; None: it can."""
        if type(self.size) is not int or not 1 <= self.size <= MAX_SIDE:
            return f"a size of {brief(self.size)}"
        for name, least in (("mean", -math.inf), ("std", 0)):
            found = getattr(self, name)
            if not isinstance(found, tuple) or len(found) != 3 or not all(_is_number(n) and n > least for n in found):
                return f"a {name} of {brief(found)}"
        if not _is_number(self.crop_pct) or not self.size / MAX_SIDE <= self.crop_pct <= 1:
            return f"a crop of {brief(self.crop_pct)}"
        if self.interpolation not in ("bilinear", "bicubic") or self.resize not in ("crop", "squash"):
            return f"resizing by {brief(self.interpolation)}, {brief(self.resize)}"
        return None

    @property
    def resized(self) -> int:
        """Length of the shorter side after resizing, before the crop."""
        return max(self.size, math.floor(self.size / self.crop_pct))

    def __call__(self, image: ImageLike) -> torch.Tensor:
        """(3, S, S) float32 as fed to the model. Raises `BadImage`."""
        pixels = np.array(decode(image))  # a writable copy, as torch asks
        with torch.no_grad():
            return self.pipeline(torch.from_numpy(pixels)[None])[0]

    @property
    def pipeline(self) -> PixelPipeline:
        return PixelPipeline(self)

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """(…, 3, S, S) values in 0–255 to the model's range, in torch's default dtype."""
        mean, std = (  # waits for no device
            torch.tensor(values).view(3, 1, 1).to(pixels.device, non_blocking=True) for values in (self.mean, self.std)
        )
        return (pixels / 255.0 - mean) / std

    def to_dict(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        """The value that `to_dict` gave. Raises `RequestError` when it is not one."""
        try:
            given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            made = cls(**given)
        except TypeError as error:
            raise RequestError(f"Not a preprocessing description: {brief(error)}.") from None
        if why := made.problem:
            raise RequestError(f"Not a preprocessing description: {why}.")
        return made


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < math.inf


class PixelPipeline(torch.nn.Module):
    """(N, H, W, 3) uint8 of any height and width → (N, 3, S, S) float32; exportable with N, H and W dynamic."""

    def __init__(self, preprocess: Preprocess):
        super().__init__()
        self.preprocess = preprocess

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        p = self.preprocess
        count, height, width = images.shape[0], images.shape[1], images.shape[2]
        matrix = resize_matrix if torch.compiler.is_exporting() else known_matrix
        rows, columns = matrix(height, width, p), matrix(width, height, p)
        lines = images.reshape(count, height, width * 3)
        # A graph of unknown size has no loop over bands; a small picture is not worth one.
        if torch.compiler.is_exporting() or height * width <= SMALL_PIXELS:
            narrow = rows @ lines.float()
        else:
            narrow = product_in_bands(rows, lines)
        return p.normalize(narrow.reshape(count, p.size, width, 3).permute(0, 3, 1, 2) @ columns.T)


def product_in_bands(matrix: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
    """`matrix @ lines.float()` without what the matrix has zeros for; (S, H) and (N, H, K) uint8 → (N, S, K).

    A row of a resize matrix has weights for a few neighbouring lines only, so a band of rows needs a band of lines.
    """
    bands = []
    for rows in matrix.split(BAND_ROWS):
        used = rows.any(dim=0).nonzero()
        first, last = int(used[0]), int(used[-1]) + 1
        bands.append(rows[:, first:last] @ lines[:, first:last].float())
    return torch.cat(bands, dim=1)


def resize_matrix(length: int, other: int, p: Preprocess) -> torch.Tensor:
    """(S, length) float32: the antialiased resize and the centre crop of one axis, as a matrix.

    Row i holds the weights of the input pixels in output pixel i. The filter is widened by the scale when the
    picture shrinks, and each row sums to 1, as Pillow's resize and torch's `interpolate(antialias=True)` do.
    `length` and `other` (the other axis) may be symbolic, hence integer arithmetic and no branches on them.
    """
    resized = p.resized if p.resize == "squash" else (p.resized * length) // torch.sym_min(length, other)
    margin = resized - p.size
    offset = margin // 2 + (margin % 2) * ((margin // 2) % 2)  # half of it, rounded half to even like round()
    scale = torch.scalar_tensor(length, dtype=torch.float32) / torch.scalar_tensor(resized, dtype=torch.float32)
    centre = (torch.arange(p.size, dtype=torch.float32) + offset + 0.5) * scale
    pixel = torch.arange(length, dtype=torch.float32) + 0.5
    distance = (pixel[None, :] - centre[:, None]) / scale.clamp(min=1.0)
    weight = _FILTERS[p.interpolation](distance.abs())
    return weight / weight.sum(dim=1, keepdim=True)


@lru_cache(maxsize=16)
def known_matrix(length: int, other: int, p: Preprocess) -> torch.Tensor:
    """`resize_matrix`, kept: the pictures of many a data set are all of one size."""
    with torch.inference_mode(False), torch.no_grad():
        return resize_matrix(length, other, p)


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1.0 - x).clamp(min=0.0)


def _cubic(x: torch.Tensor, a: float = -0.5) -> torch.Tensor:
    """Keys' cubic convolution (1981) with a = -0.5, the value that Pillow and torch's antialiased resize use."""
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return torch.where(x < 1.0, near, torch.where(x < 2.0, far, torch.zeros_like(x)))


_FILTERS = {"bilinear": _triangle, "bicubic": _cubic}
