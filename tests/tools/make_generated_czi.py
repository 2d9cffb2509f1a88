"""Writes tests/data/instruments/czi-generated: `python tests/tools/make_generated_czi.py FILE`, with pylibCZIrw 6.1.0.

Two scenes of 48 × 32 pixels, two channels, three planes, 16 bits, packed by zstd with low and high bytes apart.
"""

from __future__ import annotations

import sys

import numpy as np
from pylibCZIrw import czi

SCENES = ((0, 0), (500, 40))


def main() -> None:
    """Write the file; every value says where it belongs: 1000 · scene + 300 · channel + 10 · plane + row + column."""
    rows, columns = np.mgrid[0:32, 0:48]
    packing = "zstd1:ExplicitLevel=10;PreProcess=HiLoByteUnpack"
    with czi.create_czi(sys.argv[1], exist_ok=True, compression_options=packing) as file:
        for scene, place in enumerate(SCENES):
            for c in range(2):
                for z in range(3):
                    values = (1000 * scene + 300 * c + 10 * z + rows + columns).astype(np.uint16)
                    file.write(values[..., None], plane={"C": c, "Z": z, "T": 0}, scene=scene, location=place)
        names = {0: "DAPI", 1: "GFP"}
        edge = 0.325e-6
        file.write_metadata("GENERATED", channel_names=names, scale_x=edge, scale_y=edge, scale_z=1e-6)


if __name__ == "__main__":
    main()
