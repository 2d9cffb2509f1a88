version development

# Cells (or nuclei) of a plate's images: each field is segmented, its objects are measured, wells and plate are summed up.

workflow cell_count {
  meta {
    description: "Segment bright objects in one channel of a plate's images; count and measure them by well."
  }
  parameter_meta {
    folders: { description: "Folders with TIFF, PNG, JPEG or OME-Zarr; a file holds one plane, or channels and z-planes." }
    table: { description: "Tab-separated, a line an image or a hierarchy of Zarr: folder (from 0), path in it, well, field, channel (from 1; empty for a file that holds several), plane, time, pixel_um. Planes of a field are projected to their brightest; of its times the first is counted." }
    channel: { description: "The channel whose objects are counted, from 1." }
    min_diameter: { description: "Objects smaller than a disc of this diameter are left out (px)." }
    max_diameter: { description: "Objects larger than a disc of this diameter are left out (px); 0: none is too large." }
    smoothing: { description: "Sigma of the Gaussian that the image is smoothed with (px)." }
    positive_channel: { description: "A second channel; an object that is bright in it is positive. 0: none." }
    positive_above: { description: "The intensity above which it is bright; 0: found in each field, as for the objects." }
    pixel_um: { description: "Edge of a pixel (µm), for areas in µm²; 0: as the table or the OME-Zarr says." }
    overlays: { description: "How many fields get a picture with the objects' outlines." }
  }
  input {
    Array[Directory]+ folders
    File table
    Int channel = 1
    Float min_diameter = 7.0
    Float max_diameter = 0.0
    Float smoothing = 1.5
    Int positive_channel = 0
    Float positive_above = 0.0
    Float pixel_um = 0.0
    Int overlays = 6
  }

  call segment {
    input: folders, table, channel, min_diameter, max_diameter, smoothing, positive_channel, positive_above, pixel_um,
      overlays
  }
  call summarise { input: objects = segment.objects, fields = segment.field_table }

  output {
    File objects = segment.objects
    File fields_table = segment.field_table
    File wells_table = summarise.well_table
    File metrics = summarise.metrics
    Array[File] overlay_images = segment.overlay_images
    Map[String, String] tool_versions = segment.tool_versions
  }
}

task segment {
  input {
    Array[Directory]+ folders
    File table
    Int channel
    Float min_diameter
    Float max_diameter
    Float smoothing
    Int positive_channel
    Float positive_above
    Float pixel_um
    Int overlays
    Int cpus = 2
  }
  command <<<
    set -euo pipefail
    # Labrelay's own Python where that runs the task, else the container's; the first that has the libraries.
    python=
    for each in labrelay-python python3; do
      if "$each" -c 'from importlib.util import find_spec as f; raise SystemExit(not (f("skimage") and f("tifffile")))' 2> /dev/null
      then python="$each"; break; fi
    done
    if [ -z "$python" ]; then
      echo "No Python here has scikit-image and tifffile: install Labrelay's extra imaging, or name a container that has them." >&2
      exit 1
    fi
    mkdir overlays
    "$python" - "~{write_lines(folders)}" "~{table}" ~{channel} ~{min_diameter} ~{max_diameter} ~{smoothing} \
      ~{positive_channel} ~{positive_above} ~{pixel_um} ~{overlays} ~{cpus} <<'PYTHON'
    import csv, re, sys
    from collections import Counter, defaultdict
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from pathlib import Path
    from typing import NamedTuple

    import numpy as np
    import skimage, tifffile
    from PIL import Image
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.filters import threshold_otsu
    from skimage.segmentation import find_boundaries, watershed

    FOLDERS, TABLE, *NUMBERS = sys.argv[1:]
    CHANNEL, POSITIVE, OVERLAYS, CPUS = (int(NUMBERS[n]) for n in (0, 4, 7, 8))
    SMALLEST, LARGEST, SMOOTHING, BRIGHT, PIXEL = (float(NUMBERS[n]) for n in (1, 2, 3, 5, 6))
    MOST_PIXELS = 40_000_000  # of a plane; what is larger is no field of a plate and would need too much memory
    # Brightness of objects over background, in standard deviations of the background, of images without any object
    # is 2.7 (noise) to 3.5 (a slope of light).
    LEAST_CONTRAST = 4.0
    LEAST_CONTRAST_UNEVEN = 6.0  # after light was taken off, whose remains look like objects
    UNEVEN = 0.25  # of the objects' brightness over background, from which light is taken off
    TILES = 10  # along each edge of a field
    SATURATED = 0.05  # of the objects' pixels at the brightest value that the file can hold
    POSITIVE_PART = 0.25  # of an object's pixels that have to be bright in the second channel
    PICTURE = 512  # px, longest edge of an overlay


    class Unreadable(Exception):
        pass


    class Source(NamedTuple):
        """A file of images, or an image in a hierarchy of Zarr; its channel is empty when it may hold several."""

        path: str
        channel: str
        pixel: float = 0.0
        group: str = ""  # within the hierarchy

        @property
        def name(self):
            where = [] if self.group in ("", ".") else [self.group]
            return "/".join([Path(self.path).name, *where])


    def plane(source, inside):
        """Return one plane as it is in a file, the brightest over z; `inside` is its channel, None when it is the only one."""
        path = source.path
        try:
            if source.group:
                return zarr_plane(Path(path), source.group, inside)
            if not path.lower().endswith((".tif", ".tiff")):
                with Image.open(path) as opened:
                    if opened.width * opened.height > MOST_PIXELS:
                        raise Unreadable("too_large")
                    found = np.asarray(opened)
                return found if found.ndim == 2 else found[..., :3].max(axis=2)
            with tifffile.TiffFile(path) as opened:
                return tiff_plane(opened, inside)
        except Unreadable:
            raise
        except Exception as error:  # a broken file of another kind breaks in another way
            print(f"{source.name} cannot be read: {type(error).__name__}: {error}", file=sys.stderr)
            raise Unreadable("unreadable") from None


    def zarr_plane(root, group, inside):
        """Return one plane of an OME-Zarr image at its first time, the brightest over z."""
        from labrelay.parsers.preview_zarr import full_plane, sizes_of

        sizes = sizes_of(root, group)
        if sizes["y"] * sizes["x"] > MOST_PIXELS:
            raise Unreadable("too_large")
        if inside is not None and inside > sizes.get("c", 1):
            raise Unreadable("no_channel")
        brightest = None
        for z in range(sizes.get("z", 1)):
            found = full_plane(root, group, {"c": (inside or 1) - 1, "z": z})
            brightest = found if brightest is None else np.maximum(brightest, found)
        return brightest


    def tiff_plane(opened, inside):
        series = opened.series[0]
        page = series.pages[0]
        if page.imagewidth * page.imagelength > MOST_PIXELS:
            raise Unreadable("too_large")
        # A page is a plane, with its samples (RGB) if it has any; the axes before it are spread over pages.
        before = len(series.shape) - len(page.shape)
        axes, shape = series.axes[:before], series.shape[:before]
        channels = next((name for name in "CIQ" if name in axes), None) if inside is not None else None
        at = [inside - 1 if name == channels else 0 for name in axes]
        if any(place >= size for place, size in zip(at, shape)):
            raise Unreadable("no_channel")
        if "C" in page.axes and inside is not None and inside > page.shape[page.axes.index("C")]:
            raise Unreadable("no_channel")
        deep = axes.index("Z") if "Z" in axes else None
        brightest = None
        for z in range(shape[deep] if deep is not None else 1):
            if deep is not None:
                at[deep] = z
            number = int(np.ravel_multi_index(at, shape)) if before else 0
            found = opened.asarray(series=0, key=number).reshape(page.shape)
            for axis in sorted(range(len(page.axes)), key=lambda n: -n):
                if page.axes[axis] == "C" and inside is not None:
                    found = found.take(inside - 1, axis=axis)
                elif page.axes[axis] not in "YX":
                    found = found.max(axis=axis)
            brightest = found if brightest is None else np.maximum(brightest, found)
        return brightest


    def channel_of(files, wanted):
        """Return the plane of a channel of a field, the brightest over its files of several z; None when no file has it."""
        brightest = None
        for source in files:
            if source.channel in ("", str(wanted)):
                found = plane(source, wanted if source.channel == "" else None)
                if found.ndim != 2 or found.dtype.kind not in "buif":
                    raise Unreadable("unreadable")
                if brightest is not None and found.shape != brightest.shape:
                    raise Unreadable("sizes_differ")
                brightest = found if brightest is None else np.maximum(brightest, found)
        return brightest


    def bright(image):
        """Return the smoothed image, Otsu's threshold in it, the contrast, and a flag: why nothing is in it, or `uneven_light`.

        Light that differs over the field by a good part of what the objects are brighter than it is taken off.
        """
        plain = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
        if plain.min() == plain.max():
            return plain, None, None, "flat"
        light = light_of(plain)
        if light is not None:
            smooth = ndimage.gaussian_filter(plain - light, SMOOTHING)
            limit, apart, contrast = parted(smooth)
            span = float(np.ptp(light))
            if span > UNEVEN * apart:
                seen = apart > 1e-3 * span and contrast >= LEAST_CONTRAST_UNEVEN
                return smooth, limit, contrast, "uneven_light" if seen else "no_signal"
        smooth = ndimage.gaussian_filter(plain, SMOOTHING)
        limit, _, contrast = parted(smooth)
        if limit is None:
            return smooth, None, None, "flat"
        return smooth, limit, contrast, "" if contrast >= LEAST_CONTRAST else "no_signal"


    def parted(smooth):
        """Return Otsu's threshold, how far the means above and below it lie apart, and that in deviations of what is below."""
        limit = float(threshold_otsu(smooth)) if smooth.min() < smooth.max() else None
        above = smooth > limit if limit is not None else np.zeros(smooth.shape, bool)
        if not above.any() or above.all():
            return None, 0.0, 0.0
        apart = float(smooth[above].mean()) - float(smooth[~above].mean())
        return limit, apart, apart / max(float(smooth[~above].std()), 1e-6 * apart)


    def light_of(image):
        """Return the light of the background over a field, None of one that is too small to tell.

        The dark quarter of each tile is background. A surface of the second order is laid through them without those
        that objects fill, and what is left is followed from tile to tile.
        """
        height, width = image.shape
        if min(height, width) < 8 * TILES:
            return None
        few = image[:: max(1, height // 512), :: max(1, width // 512)]
        tiles = np.array([
            [np.percentile(part, 25) for part in np.array_split(band, TILES, axis=1)]
            for band in np.array_split(few, TILES, axis=0)
        ])
        middles = (np.arange(TILES) + 0.5) / TILES - 0.5
        y, x = np.meshgrid(middles, middles, indexing="ij")
        terms = np.stack([np.ones_like(x), y, x, x * y, y * y, x * x], -1)
        keep = np.ones(tiles.shape, bool)
        for _ in range(5):
            factors = np.linalg.lstsq(terms[keep], tiles[keep], rcond=None)[0]
            left = tiles - terms @ factors
            spread = 1.4826 * float(np.median(np.abs(left[keep] - np.median(left[keep]))))
            again = left <= max(2.5 * spread, 1e-9)
            if again.sum() < 2 * len(factors) or (again == keep).all():
                break
            keep = again
        y, x = ((np.arange(size)[:, None] + 0.5) / size - 0.5 for size in (height, width))
        one, a, b, ab, aa, bb = factors
        surface = one + a * y + aa * y * y + (b * x + bb * x * x).T + ab * y * x.T
        rest = np.pad(ndimage.median_filter(left, 3), 1, mode="reflect", reflect_type="odd")
        return (surface + spread_out(height) @ rest @ spread_out(width).T).astype(np.float32)


    def spread_out(size):
        """Return what makes so many pixels of values of tiles and of one beyond each end: lines between their middles, rounded."""
        at = (np.arange(size) + 0.5) / size * TILES + 0.5
        lines = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(TILES + 2)))
        return ndimage.gaussian_filter1d(lines, size / TILES / 2, axis=0, mode="nearest")


    def bright_places(second):
        """Return where the channel of positives is bright: above what was asked for, else where something is in it."""
        if BRIGHT:
            return ndimage.gaussian_filter(np.nan_to_num(second.astype(np.float32), posinf=0, neginf=0), SMOOTHING) > BRIGHT
        smooth, limit, _, flag = bright(second)
        return smooth > (np.inf if flag in ("flat", "no_signal") else limit)


    def objects_in(mask):
        """Return the labels of a mask's objects: touching ones are parted where the distance to the background has its valleys."""
        pieces, _ = ndimage.label(mask)
        small = np.bincount(pieces.ravel()) < np.pi * SMALLEST**2 / 4
        mask &= ~small[pieces]
        if not mask.any():
            return np.zeros(mask.shape, np.int32)
        distance = ndimage.distance_transform_edt(mask).astype(np.float32)
        pieces[~mask] = 0
        # The usual radius here, so that the same objects are parted in the same way at any magnification.
        tops = ndimage.maximum(distance, pieces, np.flatnonzero(~small)[1:])
        radius = float(np.median(tops))
        distance = ndimage.gaussian_filter(distance, max(1.0, 0.45 * radius))
        seeds = np.zeros(mask.shape, np.int32)
        apart = max(1, round(1.1 * radius))
        # The largest square within a circle of that radius; of two peaks nearer than that the higher one stays.
        square = np.ones((2 * max(1, int(apart / 2**0.5)) + 1,) * 2)
        peaks = peak_local_max(distance, min_distance=apart, footprint=square, p_norm=2, labels=pieces, exclude_border=False)
        seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        return watershed(-distance, seeds, mask=mask).astype(np.int32)


    def kept(labels):
        """Return the labels from 1 without those of the wrong size, and how many were too small and too large."""
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        small = (areas > 0) & (areas < np.pi * SMALLEST**2 / 4)
        large = areas > np.pi * LARGEST**2 / 4 if LARGEST else np.zeros(areas.shape, bool)
        stay = (areas > 0) & ~small & ~large
        new = np.zeros(areas.shape, np.int32)
        new[stay] = np.arange(1, stay.sum() + 1)
        return new[labels], int(small.sum()), int(large.sum())


    def measured(labels, image, second, lit, pixel):
        """Yield one row an object: label, areas, mean intensities, whether positive, middle, whether it is cut by the edge.

        `lit` is where the second channel is bright, `pixel` its edge in micrometres, 0 when that is not known.
        """
        count, flat = int(labels.max()), labels.ravel()
        areas = np.bincount(flat, minlength=count + 1)
        rows, columns = np.divmod(np.arange(flat.size), labels.shape[1])

        def mean(values):
            return np.bincount(flat, np.asarray(values, float).ravel(), minlength=count + 1) / np.maximum(areas, 1)

        light, y, x = mean(np.nan_to_num(image)), mean(rows), mean(columns)
        other = (mean(np.nan_to_num(second)), mean(lit)) if second is not None else None
        cut = set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).tolist())
        for n in range(1, count + 1):
            told = ["", ""] if other is None else [f"{other[0][n]:.2f}", int(other[1][n] >= POSITIVE_PART)]
            um2 = f"{areas[n] * pixel**2:.3f}" if pixel else ""
            yield [n, int(areas[n]), um2, f"{light[n]:.2f}", *told, f"{x[n]:.1f}", f"{y[n]:.1f}", int(n in cut)]


    def overlay(labels, image, name, positives):
        """Write a small picture: grey, outlines of objects orange, of positive ones cyan."""
        step = max(1, -(-max(image.shape) // PICTURE))
        low, high = np.percentile(image, [1, 99.8])
        grey = np.clip((image[::step, ::step].astype(np.float32) - low) / max(float(high - low), 1e-9), 0, 1)
        few = labels[::step, ::step]
        picture = (grey * 200).astype(np.uint8)
        edges = find_boundaries(few, mode="inner")
        picture[edges] = np.where(np.isin(few[edges], positives), 255, 254)
        drawn = Image.fromarray(picture // 4 * 4 + (picture >= 254) * (picture % 4), "P")
        palette = [min(255, level * 255 // 200) for level in range(256) for _ in range(3)]
        palette[254 * 3:] = [255, 140, 26, 64, 224, 255]
        drawn.putpalette(palette)
        drawn.save(f"overlays/{name}.png", optimize=True)


    def field(work):
        """Return the row of a field and the rows of its objects; a field that cannot be counted has no count, not 0."""
        number, (well, site, files) = work
        shown = next((each for each in files if each.channel in ("", str(CHANNEL))), files[0])
        base = [well, site, shown.name]
        pixel = PIXEL or next((each.pixel for each in files if each.pixel), 0.0)
        try:
            image = channel_of(files, CHANNEL)
            second = channel_of(files, POSITIVE) if POSITIVE else None
            if image is None:
                raise Unreadable("no_channel")
            if second is not None and second.shape != image.shape:
                raise Unreadable("sizes_differ")
            smooth, limit, contrast, flag = bright(image)
            nothing = flag in ("flat", "no_signal")
            mask = ndimage.binary_fill_holes(smooth > limit) if not nothing else np.zeros(image.shape, bool)
            if mask.all():  # light around dark things: a bright field, or dirt
                raise Unreadable("all_bright")
        except Unreadable as reason:
            return [*base, "", "", "", "", "", "", str(reason)], []
        labels, small, large = kept(objects_in(mask))
        top = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else np.inf
        if labels.any() and (image[labels > 0] >= top).mean() > SATURATED:
            flag = "saturated"
        if POSITIVE and second is None:
            flag = flag or "no_positive_channel"
        lit = None
        if second is not None:
            lit = bright_places(second)
        rows = list(measured(labels, image, second, lit, pixel))
        if number < OVERLAYS:
            place = "-f".join(re.sub(r"[^A-Za-z0-9.]", "_", part) for part in (well or "image", site))
            overlay(labels, image, f"overlay-{number + 1:02d}-{place}", [row[0] for row in rows if row[5] == 1])
        positives = sum(row[5] for row in rows) if second is not None else ""
        numbers = [f"{value:.2f}" if value is not None else "" for value in (limit, contrast)]
        return [*base, len(rows), positives, small, large, *numbers, flag], [[well, site, *row] for row in rows]


    def named_field(work):
        """Return what `field` does; what nobody thought of names the image that it came of."""
        try:
            return field(work)
        except Exception as error:
            well, site, files = work[1]
            raise RuntimeError(f"{files[0].name} (well {well or '?'}, field {site}): {error}") from error


    def rows_of(folders, table):
        """Yield well, field, plane, time and source of each image; the images of a Zarr as it tells them itself."""
        for row in table:
            path = Path(folders[int(row["folder"])], row["path"])
            if path.is_dir():
                yield from zarr_rows(path)
            else:
                source = Source(str(path), row["channel"], float(row["pixel_um"] or 0))
                yield row["well"], row["field"], row["plane"], row["time"], source


    def zarr_rows(path):
        try:
            from labrelay.parsers import ome_zarr
            from labrelay.parsers.listing import walk
        except ImportError:
            sys.exit("OME-Zarr needs Labrelay itself where the task runs: install it there with its extra imaging.")
        images = ome_zarr.read(path, walk(path)).images
        if not images:
            print(f"{path.name} is Zarr and no image of OME-Zarr is described in it.", file=sys.stderr)
        pixels = {image.pixel_um for image in images if image.pixel_um}
        for number, image in enumerate(images, 1):
            well, site = (image.at.well, image.at.field) if image.at else (None, number if len(images) > 1 else None)
            # Of very large plates only the first images are looked into, and all have the same pixels.
            pixel = image.pixel_um or (next(iter(pixels)) if len(pixels) == 1 else 0.0)
            yield well or "", str(site or ""), "", "", Source(str(path), "", pixel, image.path)


    def fields_of(rows):
        """Return (well, field, sources) of every field, in order of the plate; of its times only the first."""
        groups, seen, sites, known = defaultdict(list), Counter(), {}, set()
        for well, site, z, t, source in rows:
            said = source.channel
            known.add(said)
            seen[(well, site, said, z, t)] += 1
            again = seen[(well, site, said, z, t)]  # nothing tells two such images apart: they are two fields
            name = (site or str(again)) if again == 1 or not site else f"{site}.{again}"
            groups[(well, name, t)].append(source)
        for wanted in filter(None, (CHANNEL, POSITIVE)):
            if "" not in known and str(wanted) not in known:
                sys.exit(f"No image has the channel {wanted}; there are the channels {', '.join(sorted(known))}.")
        for well, site, t in sorted(groups, key=lambda key: numeric(key[2])):
            sites.setdefault((well, site), groups[(well, site, t)])
        if len(sites) < len(groups):
            print(f"{len(groups) - len(sites)} later time points of fields are not counted.", file=sys.stderr)
        order = sorted(sites, key=lambda key: (len(key[0].rstrip("0123456789")), key[0], numeric(key[1])))
        return [(well, site, sites[(well, site)]) for well, site in order]


    def numeric(text):
        return [int(part) if part.isdigit() else 0 for part in text.split(".")], text


    def main():
        folders = Path(FOLDERS).read_text(encoding="utf-8").split("\n")[:-1]
        with open(TABLE, encoding="utf-8", newline="") as handle:
            work = list(enumerate(fields_of(rows_of(folders, csv.DictReader(handle, delimiter="\t")))))
        with open("fields.csv", "w", newline="") as one, open("objects.csv", "w", newline="") as two:
            fields, objects = csv.writer(one), csv.writer(two)
            fields.writerow(["well", "field", "image", "count", "positives", "too_small", "too_large", "threshold", "contrast", "flag"])
            objects.writerow(["well", "field", "label", "area_px", "area_um2", "mean_intensity", "positive_intensity", "positive", "x", "y", "at_edge"])
            with ProcessPoolExecutor(max(1, min(CPUS, len(work))), get_context("fork")) as pool:
                for row, rows in pool.map(named_field, work):
                    fields.writerow(row)
                    objects.writerows(rows)
        with open("versions.tsv", "w") as out:
            out.write(f"scikit-image\t{skimage.__version__}\ntifffile\t{tifffile.__version__}\n")


    main()
    PYTHON
  >>>
  output {
    File objects = "objects.csv"
    File field_table = "fields.csv"
    Array[File] overlay_images = glob("overlays/*.png")
    Map[String, String] tool_versions = read_map("versions.tsv")
  }
  runtime {
    container: "quay.io/biocontainers/scikit-image:0.24.0"
    cpu: cpus
    memory: "4 GB"
  }
}

task summarise {
  input {
    File objects
    File fields
  }
  command <<<
    set -euo pipefail
    python3 - "~{objects}" "~{fields}" <<'PYTHON'
    import csv, json, sys
    from collections import defaultdict
    from statistics import median

    BLIND = ("unreadable", "too_large", "no_channel", "sizes_differ", "all_bright")  # such a field was not counted


    class Well:
        def __init__(self):
            self.fields, self.count, self.positives, self.judged, self.flags = 0, 0, None, 0, []
            self.areas, self.um2, self.light = [], [], []


    def rounded(value, digits=2):
        return None if value is None else round(value, digits)


    def middle(values):
        return median(values) if values else None


    def mean(values):
        return sum(values) / len(values) if values else None


    def percent(part, whole):
        return round(100 * part / whole, 2) if whole and part is not None else None


    wells, fields = defaultdict(Well), []
    with open(sys.argv[2], newline="") as handle:
        for row in csv.DictReader(handle):
            fields.append(row)
            well = wells[row["well"]]
            if row["flag"] and row["flag"] not in well.flags:
                well.flags.append(row["flag"])
            if row["count"]:
                well.fields += 1
                well.count += int(row["count"])
            if row["positives"]:
                well.positives = (well.positives or 0) + int(row["positives"])
                well.judged += int(row["count"])
    with open(sys.argv[1], newline="") as handle:
        for row in csv.DictReader(handle):
            well = wells[row["well"]]
            well.areas.append(int(row["area_px"]))
            well.light.append(float(row["mean_intensity"]))
            if row["area_um2"]:
                well.um2.append(float(row["area_um2"]))

    with open("wells.csv", "w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["well", "fields", "count", "area_median_px", "area_median_um2", "mean_intensity", "positives", "positive_percent", "flags"])
        for name, well in wells.items():
            counted = well.count if well.fields else None
            shown = [well.fields, counted, middle(well.areas), rounded(middle(well.um2)), rounded(mean(well.light))]
            row = [name, *shown, well.positives, percent(well.positives, well.judged), " ".join(well.flags)]
            table.writerow(["" if value is None else value for value in row])

    named = {name: well for name, well in wells.items() if name}
    seen = [well for well in named.values() if well.fields]
    everything = list(wells.values())
    counts = [int(row["count"]) for row in fields if row["count"]]
    areas = [area for well in everything for area in well.areas]
    positives = [well.positives for well in everything if well.positives is not None]
    flagged = {flag: sum(row["flag"] == flag for row in fields) for flag in (*BLIND, "flat", "no_signal", "uneven_light", "saturated")}
    blind = sum(flagged[flag] for flag in BLIND)
    cells = sum(counts) if counts else None
    metrics = {
        "cells": cells,
        "wells": len(named) or None,
        "fields": len(fields),
        "cells_per_well_median": middle([well.count for well in seen]),
        "cells_per_field_median": middle(counts),
        "empty_wells": sum(well.count == 0 for well in seen) if seen else None,
        "empty_wells_percent": percent(sum(well.count == 0 for well in seen), len(seen)),
        "empty_fields_percent": percent(counts.count(0), len(counts)),
        "area_median": middle(areas),
        "area_median_um2": rounded(middle([area for well in everything for area in well.um2])),
        "mean_intensity": rounded(mean([light for well in everything for light in well.light])),
        "positives": sum(positives) if positives else None,
        "positive_percent": percent(sum(positives), sum(well.judged for well in everything)) if positives else None,
        "fields_not_counted": blind,
        "fields_not_counted_percent": percent(blind, len(fields)),
        "fields_without_signal": flagged["flat"] + flagged["no_signal"],
        "fields_with_uneven_light": flagged["uneven_light"],
        "fields_saturated": flagged["saturated"],
    }
    with open("metrics.json", "w") as out:
        json.dump(metrics, out, indent=2)
        out.write("\n")
    PYTHON
  >>>
  output {
    File well_table = "wells.csv"
    File metrics = "metrics.json"
  }
  runtime {
    container: "quay.io/biocontainers/scikit-image:0.24.0"
    cpu: 1
    memory: "2 GB"
  }
}
