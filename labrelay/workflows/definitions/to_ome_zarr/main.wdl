version 1.1

# A plate's images, or other images, become one OME-Zarr 0.5 with a pyramid of each, zipped into a single file.

workflow to_ome_zarr {
  meta {
    description: "Images as one OME-Zarr 0.5: plate and wells, or single images, each with a pyramid, in a single file."
  }
  parameter_meta {
    name: { description: "The plate's or the image's name." }
    images: { description: "TIFF, OME-TIFF, ND2, PNG or JPEG; one plane each, or with channels, planes and times inside." }
    wells: { description: "The well of each image, such as B03; empty where it is not known." }
    fields: { description: "The field (site) of each image; empty where it is not known." }
    channels: { description: "The channel of each image; empty for a file that holds several." }
    planes: { description: "The z-plane of each image; empty for a file that holds several." }
    times: { description: "The time point of each image; empty for a file that holds several." }
    pixel_um: { description: "Edge of a pixel (µm); 0: as the files say." }
    step_um: { description: "Distance of planes (µm); 0: as the files say." }
    channel_names: { description: "Names of the channels with commas between; empty: as the files say, else numbers." }
  }
  input {
    String name = "images"
    Array[File]+ images
    Array[String]+ wells
    Array[String]+ fields
    Array[String]+ channels
    Array[String]+ planes
    Array[String]+ times
    Float pixel_um = 0.0
    Float step_um = 0.0
    String channel_names = ""
  }

  call convert {
    input: name, images, wells, fields, channels, planes, times, pixel_um, step_um, channel_names
  }

  output {
    File zarr = convert.zarr
    File images_table = convert.images_table
    File metrics = convert.metrics
    Map[String, String] tool_versions = convert.tool_versions
  }
}

task convert {
  input {
    String name
    Array[File]+ images
    Array[String]+ wells
    Array[String]+ fields
    Array[String]+ channels
    Array[String]+ planes
    Array[String]+ times
    Float pixel_um
    Float step_um
    String channel_names
    Int cpus = 2
  }
  command <<<
    set -euo pipefail
    # Labrelay's own Python where that runs the task, else the container's; the first that has the libraries.
    python=
    for each in labrelay-python python3; do
      if "$each" -c 'from importlib.util import find_spec as f; raise SystemExit(not (f("imagecodecs") and f("tifffile")))' 2> /dev/null
      then python="$each"; break; fi
    done
    if [ -z "$python" ]; then
      echo "No Python here has tifffile and imagecodecs: install Labrelay's extra imaging, or name a container that has them." >&2
      exit 1
    fi
    mkdir made
    "$python" - "~{write_lines(images)}" "~{write_lines(wells)}" "~{write_lines(fields)}" "~{write_lines(channels)}" \
      "~{write_lines(planes)}" "~{write_lines(times)}" "~{write_lines([name, channel_names])}" ~{pixel_um} ~{step_um} ~{cpus} <<'PYTHON'
    import csv, json, os, re, shutil, struct, sys, zipfile
    from collections import Counter, defaultdict
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import imagecodecs, numpy as np, tifffile

    LISTS, WORDS, PIXEL, STEP, CPUS = sys.argv[1:7], sys.argv[7], float(sys.argv[8]), float(sys.argv[9]), int(sys.argv[10])
    MOST_PIXELS = 200_000_000  # of a plane, which is held in memory whole
    CHUNK, SMALLEST = 1024, 256  # px: edge of a chunk; the pyramid ends where no edge is longer
    SHARD = 128 * 1024 * 1024  # bytes before compression that lie in one file
    TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
    COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF", "FF8C1A")
    PLATES = ((8, 12), (16, 24), (32, 48))
    UNITS = {"µm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6, "cm": 1e4}


    class Unreadable(Exception):
        pass


    class Tiff:
        """A TIFF's planes by time, channel and z; what has no name of these counts as channels."""

        def __init__(self, path):
            self.file = tifffile.TiffFile(path)
            series = self.file.series[0]
            page = series.pages[0]
            self.page_axes, self.page_shape = page.axes, page.shape
            before = len(series.shape) - len(page.shape)
            self.axes, self.shape = series.axes[:before], series.shape[:before]
            self.height, self.width, self.dtype = page.imagelength, page.imagewidth, np.dtype(page.dtype)
            self.samples = page.shape[page.axes.index("S")] if "S" in page.axes else 1
            self.sizes = [1, self.samples, 1]
            for axis, size in zip(self.axes, self.shape):
                self.sizes["T Z".find(axis) if axis in "TZ" else 1] *= size
            self.pixel, self.step, self.names = tiff_scale(self.file, page)

        def read(self, t, c, z):
            c, sample = divmod(c, self.samples)
            at, left = [], c
            for axis, size in reversed(list(zip(self.axes, self.shape))):
                if axis in "TZ":
                    at.append(t if axis == "T" else z)
                else:
                    left, place = divmod(left, size)
                    at.append(place)
            number = int(np.ravel_multi_index(at[::-1], self.shape)) if self.axes else 0
            found = self.file.asarray(series=0, key=number).reshape(self.page_shape)
            if "S" in self.page_axes:
                found = found.take(sample, axis=self.page_axes.index("S"))
            return found.reshape(self.height, self.width)

        def close(self):
            self.file.close()


    class Nd2:
        def __init__(self, path):
            import nd2

            self.file = nd2.ND2File(path)
            sizes, facts = dict(self.file.sizes), self.file.attributes
            if sizes.get("P", 1) > 1:
                raise Unreadable("several_positions")
            self.height, self.width, self.dtype = sizes["Y"], sizes["X"], self.file.dtype
            self.sizes = [sizes.get("T", 1), sizes.get("C", 1) * sizes.get("S", 1), sizes.get("Z", 1)]
            voxel = self.file.voxel_size()
            self.pixel, self.step = voxel.x, voxel.z
            told = self.file.metadata.channels if self.file.metadata else None
            self.names = [each.channel.name for each in told or []]

        def read(self, t, c, z):
            wanted = {"T": t, "Z": z}
            loops = list(self.file.loop_indices)
            number = next(n for n, at in enumerate(loops) if all(at.get(k, v) == v for k, v in wanted.items()))
            found = np.asarray(self.file.read_frame(number)).reshape(-1, self.height, self.width)
            return found[c]

        def close(self):
            self.file.close()


    class Picture:
        def __init__(self, path):
            from PIL import Image

            with Image.open(path) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise Unreadable("too_large")
                self.pixels = np.asarray(opened)
            self.pixels = self.pixels[..., None] if self.pixels.ndim == 2 else self.pixels
            self.height, self.width, channels = self.pixels.shape
            self.dtype, self.sizes, self.pixel, self.step, self.names = self.pixels.dtype, [1, channels, 1], None, None, []

        def read(self, t, c, z):
            return self.pixels[..., c]

        def close(self):
            self.pixels = None


    def tiff_scale(file, page):
        """Return the edge of a pixel and the step of planes in µm, and the channels' names, where the file tells them."""
        if file.is_ome:
            told = tifffile.xml2dict(file.ome_metadata).get("OME", {}).get("Image", {})
            pixels = (told[0] if isinstance(told, list) else told).get("Pixels", {})
            size = {a: UNITS.get(pixels.get(f"PhysicalSize{a}Unit", "µm"), 0) * float(pixels.get(f"PhysicalSize{a}", 0)) for a in "XZ"}
            told = pixels.get("Channel", [])
            names = [str(each.get("Name", "")) for each in (told if isinstance(told, list) else [told])]
            return size["X"] or None, size["Z"] or None, names if all(names) else []
        unit, step = None, None
        if file.is_imagej:
            unit, step = file.imagej_metadata.get("unit"), file.imagej_metadata.get("spacing")
            unit = {"\\u00B5m": "µm"}.get(unit, unit)
        factor = UNITS.get(unit, 0)
        resolution = page.tags.get("XResolution")
        across = resolution.value if resolution is not None else (0, 1)
        return (factor * across[1] / across[0] if across[0] else None) or None, (factor * float(step or 0)) or None, []


    def opened(path):
        """Return what reads a file's planes."""
        try:
            ending = path.lower().rpartition(".")[2]
            source = Nd2(path) if ending == "nd2" else Picture(path) if ending in ("png", "jpg", "jpeg", "bmp") else Tiff(path)
        except Unreadable:
            raise
        except Exception as error:  # a broken file of another kind breaks in another way
            print(f"{path.rpartition('/')[2]} cannot be read: {type(error).__name__}: {error}", file=sys.stderr)
            raise Unreadable("unreadable") from None
        if source.width * source.height > MOST_PIXELS:
            raise Unreadable("too_large")
        if str(source.dtype) not in TYPES:
            raise Unreadable("unknown_type")
        return source


    def crc32c(data):
        table = []
        for n in range(256):
            for _ in range(8):
                n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
            table.append(n)
        crc = 0xFFFFFFFF
        for byte in data:
            crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
        return crc ^ 0xFFFFFFFF


    class Level:
        """An array of the pyramid: planes come in the order of t, c and z; the chunks of a shard lie in one file."""

        def __init__(self, folder, shape, dtype):
            self.folder, self.shape, self.dtype = folder, shape, np.dtype(dtype).newbyteorder("<")
            self.chunk = [min(CHUNK, size) for size in shape[3:]]
            self.grid = [-(-size // edge) for size, edge in zip(shape[3:], self.chunk)]
            plane = self.grid[0] * self.chunk[0] * self.grid[1] * self.chunk[1] * self.dtype.itemsize
            self.deep = max(1, min(shape[2], SHARD // plane))
            self.at, self.out, self.index = None, None, None
            os.makedirs(folder)
            write_json(folder, self.metadata())

        def metadata(self):
            # The shard of the lowest planes may hold fewer than others: its missing chunks are marked so.
            whole = [1, 1, self.deep, *(n * edge for n, edge in zip(self.grid, self.chunk))]
            inner = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}]
            if self.dtype.itemsize == 1:
                inner[0] = {"name": "bytes"}
            index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
            shards = {"chunk_shape": [1, 1, 1, *self.chunk], "codecs": inner, "index_codecs": index, "index_location": "end"}
            return {
                "zarr_format": 3, "node_type": "array", "shape": list(self.shape), "data_type": self.dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": whole}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": 0, "codecs": [{"name": "sharding_indexed", "configuration": shards}],
                "dimension_names": list("tczyx"), "attributes": {},
            }

        def put(self, t, c, z, plane):
            at = (t, c, z // self.deep)
            if at != self.at:
                self.close()
                self.at = at
                path = os.path.join(self.folder, "c", *map(str, at), "0", "0")
                os.makedirs(os.path.dirname(path))
                self.out = open(path, "wb")
                self.index = np.full((self.deep, *self.grid, 2), 2**64 - 1, "<u8")
            for y in range(self.grid[0]):
                for x in range(self.grid[1]):
                    tile = plane[y * self.chunk[0] : (y + 1) * self.chunk[0], x * self.chunk[1] : (x + 1) * self.chunk[1]]
                    full = np.zeros(self.chunk, self.dtype)
                    full[: tile.shape[0], : tile.shape[1]] = tile
                    if full.any():  # a chunk of zeros is the fill value, and need not be there
                        data = imagecodecs.zstd_encode(full.tobytes(), level=3)
                        self.index[z % self.deep, y, x] = self.out.tell(), len(data)
                        self.out.write(data)

        def close(self):
            if self.out is not None:
                data = self.index.tobytes()
                self.out.write(data + struct.pack("<I", crc32c(data)))
                self.out.close()
                self.out = None


    def halved(plane):
        """Return a plane of half the size: means of two by two, an odd edge repeated."""
        if any(size % 2 for size in plane.shape):
            plane = np.pad(plane, [(0, size % 2) for size in plane.shape], mode="edge")
        exact = np.float32 if plane.dtype.itemsize < 3 else np.float64
        mean = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2).mean((1, 3), dtype=exact)
        return mean.astype(plane.dtype) if plane.dtype.kind == "f" else np.rint(mean).astype(plane.dtype)


    def write_json(folder, value):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "zarr.json"), "w") as out:
            json.dump(value, out, indent=1)
            out.write("\n")


    def group(folder, keys):
        write_json(folder, {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **keys}}})


    def image(work):
        """Write one image with its pyramid; return its row of the table. One that cannot be written leaves nothing."""
        folder, title, well, site, files, known, names = work
        row = [folder or ".", well, site, os.path.basename(files[0][0])]
        try:
            return [*row, *written(folder, title, files, known, names), ""]
        except Unreadable as reason:
            shutil.rmtree(os.path.join("made", folder or "."), ignore_errors=True)
            return [*row, "", "", "", "", "", "", "", "", "", str(reason)]
        except Exception as error:  # what nobody thought of names the image that it came of
            raise RuntimeError(f"{row[3]} (well {well or '?'}, field {site}): {type(error).__name__}: {error}") from error


    def facts(source):
        return source.height, source.width, source.dtype, tuple(source.sizes)


    def written(folder, title, files, known, names):
        paths = {told: path for path, told in files}
        first = source = opened(files[0][0])
        at = files[0][0]
        counts = [max(1, len(numbers)) for numbers in known]
        t, c, z = (count * size for count, size in zip(counts, first.sizes))
        place = os.path.join("made", folder)
        levels, shape = [], (t, c, z, first.height, first.width)
        while True:
            levels.append(Level(os.path.join(place, str(len(levels))), shape, first.dtype))
            if max(shape[3:]) <= SMALLEST:
                break
            shape = (*shape[:3], *(-(-size // 2) for size in shape[3:]))
        low, high, there = [None] * c, [None] * c, 0
        for at_t in range(t):
            for at_c in range(c):
                for at_z in range(z):
                    parts = [divmod(n, size) for n, size in zip((at_t, at_c, at_z), first.sizes)]
                    told = tuple(known[n][part[0]] if known[n] else "" for n, part in enumerate(parts))
                    if told not in paths:
                        continue
                    if paths[told] != at:  # one at a time is open: a field may have hundreds
                        source.close()
                        at, source = paths[told], opened(paths[told])
                        if facts(source) != facts(first):
                            raise Unreadable("sizes_differ")
                    try:
                        plane = source.read(*(part[1] for part in parts))
                    except Exception as error:
                        print(f"{title}: {type(error).__name__}: {error}", file=sys.stderr)
                        raise Unreadable("unreadable") from None
                    there += 1
                    for number, level in enumerate(levels):
                        plane = plane if number == 0 else halved(plane)
                        level.put(at_t, at_c, at_z, plane)
                    ends = [float(value) for value in np.nan_to_num(np.percentile(plane, [0.1, 99.9]))]
                    low[at_c] = min(ends[0], ends[0] if low[at_c] is None else low[at_c])
                    high[at_c] = max(ends[1], ends[1] if high[at_c] is None else high[at_c])
        source.close()
        for level in levels:
            level.close()
        pixel, step = PIXEL or first.pixel, STEP or first.step
        group(place, description(title, levels, pixel, step, names or first.names, low, high, first.dtype))
        return [t, c, z, first.height, first.width, first.dtype.name, len(levels), there, t * c * z - there]


    def description(title, levels, pixel, step, names, low, high, dtype):
        """Return the metadata of an image: axes, levels with scales (a level's first pixel lies amid those it is made of)."""
        space = [("z", step), ("y", pixel), ("x", pixel)]
        axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
        axes += [{"name": axis, "type": "space", **({"unit": "micrometer"} if edge else {})} for axis, edge in space]
        datasets = []
        for number in range(len(levels)):
            scale = [1.0, 1.0, step or 1.0, *[(pixel or 1.0) * 2**number] * 2]
            moves = [{"type": "scale", "scale": scale}]
            if number:
                offset = (pixel or 1.0) * (2**number - 1) / 2
                moves.append({"type": "translation", "translation": [0.0, 0.0, 0.0, offset, offset]})
            datasets.append({"path": str(number), "coordinateTransformations": moves})
        ends = (0.0, float(np.iinfo(dtype).max)) if dtype.kind == "u" else (min([v for v in low if v is not None], default=0.0), max([v for v in high if v is not None], default=1.0))
        channels = [
            {
                "label": names[n] if n < len(names) else f"channel {n + 1}", "color": COLOURS[n % len(COLOURS)] if len(low) > 1 else "FFFFFF",
                "active": n < 4,
                "window": {"min": ends[0], "max": ends[1], "start": low[n] or 0.0, "end": ends[1] if high[n] is None else high[n]},
            }
            for n in range(len(low))
        ]
        return {
            "multiscales": [{"name": title, "axes": axes, "datasets": datasets, "type": "mean"}],
            "omero": {"channels": channels, "rdefs": {"model": "color" if len(low) > 1 else "greyscale"}},
        }


    def numeric(text):
        return [(int(part) if part.isdigit() else 0) for part in re.split(r"[^0-9]+", text) if part], text


    def spot(well):
        """Return row and column of a well from 0, None for what is no well's name."""
        found = re.fullmatch(r"([A-Za-z]{1,2})0*([1-9][0-9]?)", well)
        if found is None:
            return None
        row = 0
        for letter in found[1].upper():
            row = row * 26 + ord(letter) - 64
        return row - 1, int(found[2]) - 1


    def row_name(row):
        return (chr(64 + row // 26) if row >= 26 else "") + chr(65 + row % 26)


    def images_of(lists):
        """Return {(well, field): [(path, (t, c, z as told))]} in order, and the times, channels and planes that there are."""
        groups, seen = defaultdict(list), Counter()
        for path, well, site, c, z, t in zip(*lists, strict=True):
            well = well if spot(well) else ""
            seen[(well, site, c, z, t)] += 1
            again = seen[(well, site, c, z, t)]  # nothing tells two such images apart: they are two
            groups[(well, (site or str(again)) if again == 1 or not site else f"{site}.{again}")].append((path, (t, c, z)))
        known = [sorted({told[n] for files in groups.values() for _, told in files} - {""}, key=numeric) for n in range(3)]
        for number, values in enumerate(known):
            if values and any(told[number] == "" for files in groups.values() for _, told in files):
                sys.exit(f"Some images tell their {('time', 'channel', 'plane')[number]} and others do not; convert them apart.")
        order = sorted(groups, key=lambda key: (spot(key[0]) or (-1, -1), numeric(key[1])))
        return {key: groups[key] for key in order}, known


    def folders_of(groups):
        """Return the folder of each image: the root for one alone, numbers for several, else its well's."""
        wells = {well for well, _ in groups}
        if "" in wells and len(wells) > 1:
            sys.exit("Some images have a well and others have none; convert them apart.")
        if wells == {""}:
            return [""] if len(groups) == 1 else [str(n) for n in range(len(groups))]
        places, found = Counter(), []
        for well, _ in groups:
            row, column = spot(well)
            found.append(f"{row_name(row)}/{column + 1}/{places[well]}")
            places[well] += 1
        return found


    def describe(title, good):
        """Write the groups above the images that were written: a plate with its wells, or a list of images."""
        wells = defaultdict(list)
        for folder, well, *_ in good:
            wells[well].append(folder.rpartition("/")[2])
        if "" in wells:
            if good[0][0] != ".":
                group("made", {"bioformats2raw.layout": 3})
                group("made/OME", {"series": wells[""]})
            return
        spots = {well: spot(well) for well in wells}
        rows, columns = (max(place[n] for place in spots.values()) + 1 for n in range(2))
        rows, columns = next(((r, c) for r, c in PLATES if r >= rows and c >= columns), (rows, columns))
        for well, (row, column) in spots.items():
            write_json(f"made/{row_name(row)}", {"zarr_format": 3, "node_type": "group", "attributes": {}})
            group(f"made/{row_name(row)}/{column + 1}", {"well": {"version": "0.5", "images": [{"path": each} for each in wells[well]]}})
        told = [{"path": f"{row_name(r)}/{c + 1}", "rowIndex": r, "columnIndex": c} for r, c in spots.values()]
        plate = {"version": "0.5", "name": title, "rows": [{"name": row_name(n)} for n in range(rows)], "columns": [{"name": str(n + 1)} for n in range(columns)]}
        group("made", {"plate": {**plate, "wells": told, "field_count": max(map(len, wells.values()))}})


    def packed(path):
        """Zip what was made as RFC 9 of NGFF recommends: nothing compressed again, metadata first, breadth first."""
        found = sorted(os.path.relpath(os.path.join(at, name), "made") for at, _, names in os.walk("made") for name in names)
        metadata = sorted((each for each in found if each.endswith("zarr.json")), key=lambda each: (each.count("/"), each))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as out:
            out.comment = json.dumps({"ome": {"version": "0.5"}}).encode() + b"\0"
            for each in (*metadata, *(each for each in found if not each.endswith("zarr.json"))):
                entry = zipfile.ZipInfo(each, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                entry.file_size = os.path.getsize(os.path.join("made", each))
                with open(os.path.join("made", each), "rb") as source, out.open(entry, "w", force_zip64=True) as target:
                    while block := source.read(1 << 20):
                        target.write(block)
                os.unlink(os.path.join("made", each))


    def main():
        lists = []
        for name in LISTS:
            with open(name, encoding="utf-8") as handle:
                lists.append(handle.read().split("\n")[:-1])
        with open(WORDS, encoding="utf-8") as handle:
            title, names = handle.read().split("\n")[:2]
        names = [each.strip() for each in names.split(",") if each.strip()]
        groups, known = images_of(lists)
        work = []
        for folder, ((well, site), files) in zip(folders_of(groups), groups.items()):
            shown = title if len(groups) == 1 else " ".join(filter(None, (well or title, f"field {site}" if well else site)))
            work.append((folder, shown, well, site, files, known, names or known[1]))
        with ProcessPoolExecutor(max(1, min(CPUS, len(work))), get_context("fork")) as pool:
            rows = list(pool.map(image, work))
        with open("images.csv", "w", newline="") as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow(["path", "well", "field", "file", *"tcz", "height", "width", "type", "levels", "planes", "missing", "flag"])
            table.writerows(rows)
        good = [row for row in rows if not row[-1]]
        if not good:
            sys.exit(f"None of {len(rows)} images could be converted; the first: {rows[0][3]} ({rows[0][-1]}).")
        describe(title, good)
        packed(re.sub(r"[^A-Za-z0-9._-]+", "_", title).strip("._-")[:80] + ".ozx" if re.search(r"[A-Za-z0-9]", title) else "images.ozx")
        metrics = {
            "images_written": len(good), "wells": len({row[1] for row in good} - {""}) or None,
            "planes_written": sum(row[-3] for row in good), "planes_missing": sum(row[-2] for row in good),
            "images_left_out": len(rows) - len(good),
        }
        with open("metrics.json", "w") as out:
            json.dump(metrics, out, indent=2)
            out.write("\n")
        with open("versions.tsv", "w") as out:
            out.write(f"tifffile\t{tifffile.__version__}\nimagecodecs\t{imagecodecs.__version__}\n")


    main()
    PYTHON
    rm -rf made
  >>>
  output {
    File zarr = glob("*.ozx")[0]
    File images_table = "images.csv"
    File metrics = "metrics.json"
    Map[String, String] tool_versions = read_map("versions.tsv")
  }
  runtime {
    container: "quay.io/biocontainers/scikit-image:0.24.0"
    cpu: cpus
    memory: "6 GB"
  }
}
