"""Pictures and archives of pictures, without trusting either."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from models.dataset import DataError
from nightshift.checkpoint import sha256_of

MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 20 * 2**20
MAX_ARCHIVE_BYTES = 4 * 2**30
MAX_ARCHIVE_FILES = 500_000
CHUNK = 2**20


def picture_problem(path: Path) -> tuple[str, str] | None:
    """Return kind and words of what is wrong with this picture, or None; only its header is decoded."""
    if not path.is_file():
        return "missing_image", f"there is no {path.name}"
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        return "oversized_image", f"{path.name} has {size / 2**20:.0f} MiB, at most {MAX_FILE_BYTES // 2**20}"
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        return "oversized_image", f"{path.name} declares more pixels than any photo"
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        return "broken_image", f"{path.name} is no readable picture ({type(error).__name__})"
    if width * height > MAX_PIXELS:
        return "oversized_image", f"{path.name} has {width} x {height} pixels, at most {MAX_PIXELS:,}"
    return None


def leaves_folder(place: str) -> bool:
    """Return whether this path, taken as relative to a folder, would lead out of it."""
    pure = PurePosixPath(place)
    return pure.is_absolute() or ".." in pure.parts or "\\" in place


def _refusal(info: zipfile.ZipInfo) -> str | None:
    if leaves_folder(info.filename) or ":" in info.filename:
        return "leaves the folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.file_size > MAX_FILE_BYTES:
        return f"unpacks to {info.file_size / 2**20:.0f} MiB"
    return None


def _unpack_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / PurePosixPath(info.filename)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(info) as source, target.open("wb") as sink:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > MAX_FILE_BYTES:
                raise DataError(f"{info.filename}: unpacks to more than it declares; the archive is refused")
            sink.write(chunk)


def unpacked(archive: Path, cache: Path) -> Path:
    """Return the folder with the archive's files, unpacked once per content.

    Raises DataError for a broken archive, one that leaves its folder, links, or a bomb.
    """
    folder = cache / f"unpacked-{sha256_of(archive)[:24]}"
    if folder.is_dir():
        return folder
    aside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        _unpack_all(archive, aside)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _unpack_all(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [info for info in opened.infolist() if not info.is_dir()]
            _refuse_archive(archive, entries)
            for info in entries:
                _unpack_one(opened, info, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, zlib.error) as error:
        raise DataError(
            f"{archive}: a broken zip ({error}); make it again, or give a folder images/"
        ) from error


def _refuse_archive(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ARCHIVE_FILES:
        raise DataError(f"{archive}: {len(entries):,} files; at most {MAX_ARCHIVE_FILES:,} are unpacked")
    total = sum(info.file_size for info in entries)
    if total > MAX_ARCHIVE_BYTES:
        raise DataError(
            f"{archive}: unpacks to {total / 2**30:.1f} GiB; at most {MAX_ARCHIVE_BYTES // 2**30}"
        )
    for info in entries:
        refusal = _refusal(info)
        if refusal:
            raise DataError(
                f"{archive}: {info.filename!r} {refusal}; the archive is refused, nothing was kept"
            )
