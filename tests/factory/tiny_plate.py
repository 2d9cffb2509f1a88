"""A made-up plate of two wells with known counts, as OME-TIFF and as OME-Zarr of both formats."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import tifffile

WELLS = {"B02": 7, "C11": 12}
PIXEL = 0.65


def field(number: int, seed: int) -> np.ndarray:
    """Draw so many discs on a grid, as one field of a made-up plate."""
    rng = np.random.default_rng(seed)
    image = rng.normal(400, 60, (200, 256))
    rows, columns = np.mgrid[:200, :256]
    for place in range(number):
        y, x = 30 + 45 * (place // 5), 30 + 45 * (place % 5)
        image[np.hypot(rows - y, columns - x) <= 9] += 9_000 * rng.uniform(0.8, 1.2)
    return image.astype("<u2")


def as_tiff(folder: Path) -> Path:
    folder.mkdir()
    for well, number in WELLS.items():
        description = f"""<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Plate ID="Plate:0" Name="{folder.name}"><Well ID="Well:0" Row="{ord(well[0]) - 65}" Column="{int(well[1:]) - 1}">
<WellSample ID="WellSample:0" Index="0"><ImageRef ID="Image:0"/></WellSample></Well></Plate>
<Image ID="Image:0" Name="{well}"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="256" SizeY="200"
SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="{PIXEL}" PhysicalSizeY="{PIXEL}"><TiffData/></Pixels></Image></OME>"""
        image = field(number, number)
        tifffile.imwrite(folder / f"{well}.ome.tif", image, description=description, metadata=None)
    return folder


def put(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def as_zarr(folder: Path, version: int) -> Path:
    """Write the same plate as OME-Zarr of NGFF 0.4 (Zarr 2) or 0.5 (Zarr 3)."""
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [PIXEL, PIXEL]}]
    told = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    paths = {well: f"{well[0]}/{int(well[1:])}" for well in WELLS}
    wells = [{"path": path, "rowIndex": ord(w[0]) - 65, "columnIndex": int(w[1:]) - 1} for w, path in paths.items()]
    rows, columns = ([{"name": part} for part in each] for each in ("ABC", [str(n) for n in range(1, 12)]))
    group(folder, version, {"plate": {"name": "PLATE", "rows": rows, "columns": columns, "wells": wells}})
    for well, path in paths.items():
        group(folder / path[0], version, {})
        group(folder / path, version, {"well": {"images": [{"path": "0"}]}})
        group(folder / path / "0", version, {"multiscales": [told]})
        array(folder / path / "0" / "0", version, field(WELLS[well], WELLS[well]))
    return folder


def group(folder: Path, version: int, attributes: dict[str, object]) -> None:
    if version == 3:
        content = {"zarr_format": 3, "node_type": "group"}
        put(folder / "zarr.json", content | {"attributes": {"ome": {"version": "0.5", **attributes}}})
        return
    put(folder / ".zgroup", {"zarr_format": 2})
    put(folder / ".zattrs", attributes)


def array(folder: Path, version: int, image: np.ndarray) -> None:
    size = 128
    if version == 3:
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip", "configuration": {}}]
        grid = {"name": "regular", "configuration": {"chunk_shape": [size, size]}}
        told = {"zarr_format": 3, "node_type": "array", "shape": image.shape, "data_type": "uint16", "fill_value": 0}
        put(folder / "zarr.json", told | {"chunk_grid": grid, "codecs": codecs})
    else:
        told = {"zarr_format": 2, "shape": image.shape, "chunks": [size, size], "dtype": "<u2", "order": "C"}
        put(folder / ".zarray", told | {"compressor": {"id": "zlib"}, "fill_value": 0, "filters": None})
    for row in range(2):
        for column in range(2):
            chunk = np.zeros((size, size), "<u2")
            part = image[row * size : (row + 1) * size, column * size : (column + 1) * size]
            chunk[: part.shape[0], : part.shape[1]] = part
            packed = zlib.compressobj(wbits=31 if version == 3 else 15)
            path = folder / (f"c/{row}/{column}" if version == 3 else f"{row}.{column}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.compress(chunk.tobytes()) + packed.flush())
