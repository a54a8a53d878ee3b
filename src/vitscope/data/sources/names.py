"""What the name of a file says."""

from __future__ import annotations

EXTENSIONS = frozenset([".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])

# Formats that Pillow opens only in some builds or with a plug-in, and what to do where it does not.
OPTIONAL = {
    ".heic": "convert them to JPEG or PNG first (the package pillow-heif reads them)",
    ".heif": "convert them to JPEG or PNG first (the package pillow-heif reads them)",
    ".avif": "update Pillow (11.3 and later open them: pip install -U pillow) or convert them to JPEG or PNG",
}

_IGNORED = frozenset({"__macosx", "thumbs.db", "desktop.ini", "vitscope-workspace"})


def is_ignored(name: str) -> bool:
    """Whether programs leave this behind on their own: hidden files, `__MACOSX`, `Thumbs.db`, our own workspace."""
    return name.startswith(".") or name.lower() in _IGNORED


def extension(name: str) -> str:
    """`.jpg` of `IMG_1.JPG`; "" where there is none."""
    stem, _, ending = name.rpartition(".")
    return f".{ending.lower()}" if stem else ""


def is_decodable(name: str) -> bool:
    """Whether the bytes of a file's name are text (Python stands surrogates in for those that are not)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
