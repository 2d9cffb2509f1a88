"""Which planes of a run are shown: its wells, images or micrographs; of one its channels, fields, planes and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, ImageSet
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.model.words import counted
from labrelay.parsers.lif import TURNED
from labrelay.parsers.preview import Where
from labrelay.parsers.preview_picture import PICTURES
from labrelay.records.report.run_views import MOVIE, MRCS, TIFFS, Shot

MOST_WELLS = 96
MOST_MOVIES = 24  # each is a sum of frames, which takes half a second
MOST_ROW = 9
_ONE_FILE = ("czi", "lif", "slide", "eer")  # platforms whose images differ too much for one window of grey
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """Planes that are shown side by side, with what they have in common."""

    title: str
    said: str
    shots: tuple[Shot, ...]
    edge: int


def choose(run: InstrumentRun) -> list[Row]:
    """Return the rows of pictures for a run of images: its wells, then channels, fields, planes and times of one well.

    Args:
        run: Of any platform; one without images has no rows.
    """
    if _holds_planes(run):
        return _by_plane(run)
    seen = [file for file in run.files if file.path.lower().endswith((*TIFFS, *MRCS, *PICTURES, MOVIE))]
    # Of movies that lie elsewhere the microscope's own small pictures are here.
    files = [file for file in seen if file.role is FileRole.IMAGE] or _exposures(seen)
    placed = [file for file in files if file.image is not None and file.image.well is not None]
    if not placed:
        return _loose(files)
    by_well: dict[str, list[RunFile]] = {}
    for file in placed:
        by_well.setdefault(_at(file).well or "", []).append(file)
    wells = [well for well in (run.plate.wells if run.plate else ()) if well in by_well] or sorted(by_well)
    return [row for row in (_wells(wells, by_well), *_of_well(wells[0], by_well[wells[0]])) if row is not None]


def _exposures(files: Sequence[RunFile]) -> list[RunFile]:
    """Return the small pictures of exposures, or of whatever else there are some."""
    small = [file for file in files if file.role is FileRole.THUMBNAIL]
    return [file for file in small if "_Data_" in file.path] or small


def _at(file: RunFile) -> ImageAt:
    return file.image or ImageAt()


def _loose(files: Sequence[RunFile]) -> list[Row]:
    """Return images that lie on no plate, the first of them."""
    shots = tuple(Shot(f.path, f.path.rpartition("/")[2], _at(f).channel_name or f.path) for f in _spread(files, 24))
    ending = shots[0].path.lower() if shots else ""
    title = "Micrographs" if ending.endswith((*MRCS, MOVIE)) else "Images"
    plane = "first frames" if ending.endswith(MOVIE) else "middle plane" if title == "Micrographs" else "first plane"
    said = f"{len(shots)} of {counted(len(files), 'file')}, the {plane} of each in a window of grey of its own"
    if ending.endswith(PICTURES):
        said = f"{len(shots)} of {counted(len(files), 'picture')} that the instrument's program made"
    return [Row(title, said, shots, _edge(len(shots)))] if shots else []


def _holds_planes(run: InstrumentRun) -> bool:
    """Return whether each image has all its planes in one place, which can be told apart there."""
    ordered = bool(run.images) and all("order" in run.raw.get(image.path, {}) for image in run.images)
    return run.platform in ("ome_zarr", "nd2", *_ONE_FILE) or (run.platform == "ome_tiff" and ordered)


def _by_plane(run: InstrumentRun) -> list[Row]:
    """Return a plane of each image, which is a well's first field on a plate, and channels and planes of the first."""
    firsts = [(i, at) for i, at in _in_their_files(run.images) if i.at is None or i.at.field in (None, 1)]
    if not firsts:
        return []
    chosen = _spread(firsts, MOST_MOVIES if run.platform == "eer" else MOST_WELLS)
    name, own = _name_of(firsts[0][0], 0), run.platform in _ONE_FILE and run.plate is None
    shots = tuple(
        Shot(i.path, i.name if own or not (i.at and i.at.well) else i.at.well, i.name if own else name, where)
        for i, where in chosen
    )
    some = f"{len(chosen)} of {len(firsts)}; " if len(chosen) < len(firsts) else ""
    shown = "the first channel" if own and len(firsts) > 1 else name
    window = "each in a window of grey of its own" if own else "all in the same window of grey"
    said = f"{some}{shown}, {_place(firsts[0][0])}; {window}"
    first = Row("Wells" if run.plate else "Images", said, shots, _edge(len(shots)))
    # A scan along the optical axis has no planes in z: it is one.
    told = run.raw.get(firsts[0][0].path, {})
    turned = any(key.startswith(TURNED) and firsts[0][0].name.endswith(key[len(TURNED) :]) for key in told)
    axes = "ct" if turned else "czt"
    return [first, *(row for axis in axes if (row := _planes(firsts[0][0], axis)) is not None)]


def _in_their_files(images: Sequence[ImageSet]) -> list[tuple[ImageSet, Where]]:
    """Return each image with its place in its file, which may hold several."""
    seen: dict[str, int] = {}
    found = []
    for image in images:
        seen[image.path] = seen.get(image.path, -1) + 1
        found.append((image, Where(series=seen[image.path])))
    return found


def _place(image: ImageSet, but: str = "") -> str:
    """Return which of an image's planes is shown, along the axes that have several."""
    told = {"z": "the middle plane", "t": "the first time point"}
    sizes = {"z": image.size_z, "t": image.size_t}
    return ", ".join(word for axis, word in told.items() if (sizes[axis] or 1) > 1 and axis != but) or "its one plane"


def _planes(image: ImageSet, axis: str) -> Row | None:
    """Return the planes of an image along its channels, its z or its time, or None when there is but one."""
    count = {"c": image.size_c, "z": image.size_z, "t": image.size_t}[axis] or 1
    if count < 2 or (axis == "c" and len(image.channels) == 1):
        return None  # one channel of several values is a colour
    chosen = _spread(range(count), MOST_ROW)
    shots = []
    for number in chosen:
        name = _name_of(image, number if axis == "c" else 0)
        where = {"c": Where(c=number), "z": Where(z=number), "t": Where(t=number)}[axis]
        shots.append(Shot(image.path, name if axis == "c" else f"{axis} {number + 1}", name, where))
    title = {"c": "Channels", "z": "Planes in z", "t": "Time points"}[axis]
    some = f"{len(chosen)} of {count}; " if len(chosen) < count else ""
    channel = "" if axis == "c" else f"{_name_of(image, 0)}, "
    said = f"{some}{channel}{_place(image, but=axis)}"
    return Row(f"{title} of {image.name}", said, tuple(shots), _edge(len(shots)))


def _name_of(image: ImageSet, number: int) -> str:
    name = image.channels[number].name if number < len(image.channels) else None
    return name or f"channel {number + 1}"


def _edge(count: int) -> int:
    """Return the pixels a side of pictures in a row of so many, so that a page stays some hundred kilobytes."""
    return next((edge for most, edge in ((2, 256), (4, 200), (9, 128), (24, 96)) if count <= most), 56)


def _wells(wells: Sequence[str], by_well: Mapping[str, list[RunFile]]) -> Row | None:
    """Return one plane a well, of the same channel and place in all of them."""
    chosen = _spread(wells, MOST_WELLS)
    shots = []
    for well in chosen:
        file = _one(by_well[well])
        shots.append(Shot(file.path, well, _channel(file)))
    first = _one(by_well[chosen[0]])
    some = f"{len(chosen)} of {len(wells)} wells, " if len(chosen) < len(wells) else ""
    said = f"{some}{_words(_at(first))}; all in the same window of grey"
    return Row("Wells", said, tuple(shots), _edge(len(shots)))


def _one(files: Sequence[RunFile]) -> RunFile:
    """Return the plane that stands for a well: first channel, field and time, the plane in the middle of the stack."""
    first = min(files, key=lambda f: (_at(f).channel or 0, _at(f).field or 0, _at(f).t or 0, _at(f).z or 0))
    stack = _like(files, first, "z")
    return stack[len(stack) // 2]


def _like(files: Iterable[RunFile], one: RunFile, axis: str) -> list[RunFile]:
    """Return the files that differ from one in one axis only, in its order, each value once."""
    names = [name for name in ("channel", "field", "z", "t") if name != axis]
    same = [f for f in files if all(getattr(_at(f), name) == getattr(_at(one), name) for name in names)]
    by_value = {getattr(_at(file), axis) or 0: file for file in same}
    return [by_value[value] for value in sorted(by_value)]


def _of_well(well: str, files: Sequence[RunFile]) -> list[Row | None]:
    one = _one(files)
    axes = (("channel", "Channels"), ("field", "Fields"), ("z", "Planes in z"), ("t", "Time points"))
    return [_along(well, files, one, axis, title) for axis, title in axes]


def _along(well: str, files: Sequence[RunFile], one: RunFile, axis: str, title: str) -> Row | None:
    """Return the planes of a well along one axis, or None when there is but one."""
    found = _like(files, one, axis)
    if len(found) < 2:
        return None
    chosen = _spread(found, MOST_ROW)
    shots = tuple(Shot(f.path, _word(_at(f), axis), _channel(f)) for f in chosen)
    some = f"{len(chosen)} of {len(found)}; " if len(chosen) < len(found) else ""
    fixed = _words(_at(one).model_copy(update={axis: None} | ({"channel_name": None} if axis == "channel" else {})))
    said = f"{some}{', '.join(part for part in (f'well {well}', fixed) if part)}"
    return Row(f"{title} of well {well}", said, shots, _edge(len(shots)))


def _channel(file: RunFile) -> str:
    at = _at(file)
    return at.channel_name or f"channel {at.channel}"


def _word(at: ImageAt, axis: str) -> str:
    if axis == "channel":
        return at.channel_name or f"channel {at.channel}"
    return f"{axis} {getattr(at, axis)}"


def _words(at: ImageAt) -> str:
    """Return where a plane is, in words."""
    told = [at.channel_name or (f"channel {at.channel}" if at.channel is not None else "")]
    told += [f"{axis} {getattr(at, axis)}" for axis in ("field", "z", "t") if getattr(at, axis) is not None]
    return ", ".join(part for part in told if part)


def _spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many items, evenly from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[place * (len(items) - 1) // (most - 1)] for place in range(most)]
