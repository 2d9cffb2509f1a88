"""CZI, LIF and TIFF files of a few kilobytes, written by hand as their formats are documented: GENERATED, all."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

# The shape of what ZEN writes; settings nest deeper than any other XML of an instrument.
ZEN = """<?xml version="1.0"?><ImageDocument><Metadata>
<HardwareSetting>{deep}</HardwareSetting>
<Information><User Id="0"><DisplayName>Ada</DisplayName></User>
<Application><Name>ZEN (blue edition)</Name><Version>3.6.095.00000</Version></Application>
<Document><CreationDate>2022-09-30T13:03:06.2268676+02:00</CreationDate><UserName>M1ADA</UserName></Document>
<Image><SizeX>1024</SizeX><SizeY>32</SizeY><PixelType>Gray16</PixelType>
<AcquisitionDateAndTime>2022-09-30T11:03:06.2168083Z</AcquisitionDateAndTime>
<Dimensions><Channels><Channel Id="Channel:0" Name="EGFP"><ExcitationWavelength>488</ExcitationWavelength>
<EmissionWavelength>509</EmissionWavelength><ExposureTime>2000000</ExposureTime></Channel></Channels>
<T><StartTime>0001-01-01T00:00:00</StartTime></T>
<S><Scenes><Scene Index="0" Name="TR1"><Shape Name="D6" Id="4-6"/></Scene>
<Scene Index="1" Name="TR2"><Shape Name="D7" Id="4-7"/></Scene></Scenes></S></Dimensions></Image>
<Instrument><Microscopes><Microscope Id="Microscope:1" Name="Celldiscoverer 7">
<UserDefinedName>Castor of room 3</UserDefinedName></Microscope></Microscopes>
<Objectives><Objective Name="Plan-Apochromat 5x/0.35"><LensNA>0.35</LensNA>
<NominalMagnification>5</NominalMagnification></Objective></Objectives></Instrument></Information>
<Scaling><Items><Distance Id="X"><Value>4E-07</Value></Distance><Distance Id="Y"><Value>4E-07</Value></Distance></Items>
</Scaling></Metadata></ImageDocument>""".replace("{deep}", "<A>" * 90 + "</A>" * 90)
Block = tuple[Mapping[str, int], NDArray[np.generic], int]


def tiles() -> list[Block]:
    """Return two scenes of two tiles each and a level of half the size of each scene, as `czi` takes them."""
    found: list[Block] = []
    for scene in range(2):
        found += [
            ({"X": 1000 * scene + x, "Y": 0, "S": scene}, np.full((32, 32), 100 * scene + x, "<u2"), 1) for x in (0, 32)
        ]
        half = np.repeat(np.array([[100 * scene, 100 * scene + 32]], "<u2"), 16, axis=1)
        found.append(({"X": 1000 * scene, "Y": 0, "S": scene}, np.repeat(half, 16, axis=0), 2))
    return found


def czi(
    xml: str = ZEN,
    blocks: Sequence[Block] | None = None,
    pending: bool = False,
    pack: tuple[int, Callable[[NDArray[np.generic]], bytes]] = (0, lambda pixels: pixels.tobytes()),
) -> bytes:
    """Return a CZI: each block is where it begins, its pixels, and how many pixels of the image one of them covers."""

    def segment(name: bytes, body: bytes) -> bytes:
        body = body.ljust(-(-len(body) // 32) * 32, b"\0")
        return name.ljust(16, b"\0") + struct.pack("<qq", len(body), len(body)) + body

    data = bytearray(544)
    entries = []
    for start, pixels, scale in tiles() if blocks is None else blocks:
        height, width = pixels.shape[:2]
        axes = [("X", start["X"], width * scale, width), ("Y", start["Y"], height * scale, height)]
        axes += [(axis, start.get(axis, 0), 1, 1) for axis in "CZTS"]
        kind = {("u1", 2): 0, ("u2", 2): 1, ("u1", 3): 3}[(pixels.dtype.str[1:], pixels.ndim)]
        entry = struct.pack("<2siqiiB5xi", b"DV", kind, len(data), 0, pack[0], 2 * (scale > 1), len(axes))
        entry += b"".join(struct.pack("<4siifi", a.encode(), at, size, 0.0, stored) for a, at, size, stored in axes)
        entries.append(entry)
        raw = pack[1](pixels)
        data += segment(b"ZISRAWSUBBLOCK", (struct.pack("<iiq", 0, 0, len(raw)) + entry).ljust(256, b"\0") + raw)
    metadata = len(data)
    data += segment(b"ZISRAWMETADATA", struct.pack("<ii", len(xml.encode()), 0).ljust(256, b"\0") + xml.encode())
    directory = len(data)
    data += segment(b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries))
    head = struct.pack("<ii8x16x16xiqqiq", 1, 0, 0, directory, metadata, int(pending), 0)
    data[:544] = segment(b"ZISRAWFILE", head.ljust(512, b"\0"))
    return bytes(data)


LEICA_IMAGE = """<Element Name="{name}"><Data><Image><ImageDescription><Channels>{channels}</Channels>
<Dimensions>{axes}</Dimensions></ImageDescription><TimeStampList NumberOfTimeStamps="1">1d6f64bbab40b70 </TimeStampList>
<Attachment Name="HardwareSetting" Software="LAS X 3.5.7.23225" SystemTypeName="TCS SP8" DataSourceTypeName="Confocal">
<ATLConfocalSettingDefinition MicroscopeModel="DMI6000B-CS" SystemSerialNumber="8100000201"
 ObjectiveName="HC PL APO CS2    63x/1.30 GLYC " ScanMode="xyz"><BleachPoints><LMSDataContainerHeader Version="2">
<Element Name="not an image"/></LMSDataContainerHeader></BleachPoints></ATLConfocalSettingDefinition></Attachment>
</Image></Data><Memory Size="{size}" MemoryBlockID="MemBlock_{number}"/></Element>"""


def lif(images: Sequence[tuple[str, str, NDArray[np.generic]]] | None = None, version: int = 2) -> bytes:
    """Return a LIF: each image has a name, its axes from the slowest (`TCZYX`), and pixels of that shape."""
    if images is None:
        stack = np.arange(2 * 3 * 4 * 6, dtype="u1").reshape(2, 3, 4, 6)
        images = [("cells/s1", "CZYX", stack), ("section", "ZX", np.arange(40, dtype="<u2").reshape(5, 8))]
    elements, blocks = [], []
    for number, (name, axes, pixels) in enumerate(images):
        strides = dict(zip(axes, pixels.strides, strict=True))
        counts = dict(zip(axes, pixels.shape, strict=True))
        channel = '<ChannelDescription DataType="0" ChannelTag="0" Resolution="{}" LUTName="{}" BytesInc="{}"/>'
        luts = ("Green", "Red", "Gray")
        described = "".join(
            channel.format(8 * pixels.itemsize, luts[c % 3], c * strides.get("C", 0)) for c in range(counts.get("C", 1))
        )
        dimension = '<DimensionDescription DimID="{}" NumberOfElements="{}" Length="{}" Unit="m" BytesInc="{}"/>'
        listed = "".join(
            dimension.format("?XYZT".index(axis), counts[axis], (counts[axis] - 1) * 2e-7, strides[axis])
            for axis in reversed(axes)
            if axis != "C"
        )
        folder, slash, own = name.rpartition("/")
        element = LEICA_IMAGE.format(name=own, channels=described, axes=listed, size=pixels.nbytes, number=number)
        elements.append(f'<Element Name="{folder}"><Children>{element}</Children></Element>' if slash else element)
        blocks.append(_memory(f"MemBlock_{number}", pixels.tobytes(), version))
    xml = (
        f'<LMSDataContainerHeader Version="{version}"><Element Name="p.lif"><Data><Experiment'
        f' Path="C:\\Users\\Ada\\p.lif"/></Data><Children>{"".join(elements)}</Children></Element>'
        "</LMSDataContainerHeader>"
    )
    text = xml.encode("utf-16-le")
    start = struct.pack("<iiBi", 0x70, len(text) + 5, 0x2A, len(text) // 2) + text
    return start + b"".join(blocks)


def _memory(name: str, data: bytes, version: int) -> bytes:
    text = name.encode("utf-16-le")
    size = struct.pack("<q" if version == 2 else "<i", len(data))
    inner = size + b"\x2a" + struct.pack("<i", len(name)) + text
    return struct.pack("<iiB", 0x70, len(inner) + 1, 0x2A) + inner + data


Tags = Mapping[int, str | int | float | bytes]
Page = tuple[Tags, NDArray[np.uint8]]
_TEXT, _SHORT, _LONG, _RATIO, _BYTES, _FLOAT, _LONG8 = 2, 3, 4, 5, 7, 11, 16


def tiff_of_pages(pages: Sequence[Page], kind: str = "classic", tile: int = 0, base: int = 0) -> bytes:
    """Return a TIFF of several directories: `classic`, `big` or `ndpi`; of tiles where a page is tagged with 322.

    With a base, all but the head lies so many bytes further back, where the caller has to put it.
    """
    head = {"classic": 8, "big": 16, "ndpi": 12}[kind]
    data = bytearray(head)
    links: list[int] = []
    for tags, pixels in pages:
        shape = pixels.shape[:2]
        pieces = _pieces(pixels, tile) if tile and 322 in tags else [pixels.tobytes()]
        offsets = []
        for piece in pieces:
            offsets.append(base + len(data))
            data += piece
        tiled = len(pieces) > 1 or 322 in tags
        given: dict[int, str | int | float | bytes | list[int]] = {
            256: shape[1], 257: shape[0], 258: 8, 259: 1, 262: 2 if pixels.ndim == 3 else 1,
            277: pixels.shape[2] if pixels.ndim == 3 else 1, **({} if tiled else {278: shape[0]}),
            (324 if tiled else 273): offsets, (325 if tiled else 279): [len(piece) for piece in pieces], **tags,
        }  # fmt: skip
        data += b"\0" * (len(data) % 2)
        links.append(len(data))
        data += _directory(sorted(given.items()), base + len(data), kind)
    start = {
        "classic": struct.pack("<2sHI", b"II", 42, links[0]),
        "ndpi": struct.pack("<2sHQ", b"II", 42, base + links[0]),
    }
    data[:head] = start.get(kind) or struct.pack("<2sHHHQ", b"II", 43, 8, 0, links[0])
    for at, following in zip(links, [*links[1:], 0], strict=True):
        count = struct.unpack_from("<Q" if kind == "big" else "<H", data, at)[0]
        end = at + (8 + 20 * count if kind == "big" else 2 + 12 * count)
        struct.pack_into("<I" if kind == "classic" else "<Q", data, end, base + following if following else 0)
    return bytes(data)


def _pieces(pixels: NDArray[np.uint8], tile: int) -> list[bytes]:
    height, width = pixels.shape[:2]
    fill = [(0, -height % tile), (0, -width % tile)] + [(0, 0)] * (pixels.ndim - 2)
    full = np.pad(pixels, fill)
    places = product(range(0, height, tile), range(0, width, tile))
    return [full[y : y + tile, x : x + tile].tobytes() for y, x in places]


def _directory(tags: Sequence[tuple[int, object]], at: int, kind: str) -> bytes:
    big = kind == "big"
    room = {"classic": 2 + 12 * len(tags) + 4, "big": 8 + 20 * len(tags) + 8, "ndpi": 2 + 16 * len(tags) + 8}[kind]
    entries, upper, far = bytearray(), bytearray(), bytearray()
    for number, value in tags:
        form, count, raw = _encoded(number, value, big)
        inline = 8 if big else 4
        if kind == "ndpi" and isinstance(value, list) and count == 1:
            raw = struct.pack("<Q", value[0])  # the upper half stands behind the directory
        elif len(raw) > inline:
            place = at + room + len(far)
            far += raw + b"\0" * (len(raw) % 2)
            raw = struct.pack("<Q", place)
        padded = raw.ljust(8, b"\0")
        entries += struct.pack("<HHQ" if big else "<HHI", number, form, count) + padded[:inline]
        upper += padded[4:8]
    count = struct.pack("<Q" if big else "<H", len(tags))
    link = b"\0" * (4 if kind == "classic" else 8)
    return bytes(count + entries + link + (upper if kind == "ndpi" else b"") + far)


def _encoded(number: int, value: object, big: bool) -> tuple[int, int, bytes]:
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return _TEXT, len(text), text
    if isinstance(value, bytes):
        return _BYTES, len(value), value
    if isinstance(value, list):
        return (
            (_LONG8 if big else _LONG),
            len(value),
            struct.pack(f"<{len(value)}{'Q' if big else 'I'}", *(v if big else v & 0xFFFFFFFF for v in value)),
        )
    if isinstance(value, float) and number == 282:
        return _RATIO, 1, struct.pack("<II", int(value * 1000), 1000)
    if isinstance(value, float):
        return _FLOAT, 1, struct.pack("<f", value)
    assert isinstance(value, int)
    return (
        (_SHORT, 1, struct.pack("<H", value))
        if number in (258, 259, 262, 277, 296)
        else (_LONG, 1, struct.pack("<i", value))
    )


SVS = (
    "Aperio Image Library v10.0.51\r\n128x96 [0,0 128x96] (32x32) JPEG/RGB Q=30|AppMag = 20|ScanScope ID = SS1|"
    "Filename = Ada Example|Date = 12/29/09|Time = 09:59:15|User = ada|MPP = 0.4990"
)
SCN = """<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">
<collection name="Ada Example" sizeX="600000" sizeY="400000"><barcode>U0xJREUxMjM=</barcode>
<image name="macro"><creationDate>2026-01-02T03:04:00Z</creationDate><pixels sizeX="60" sizeY="40">
<dimension sizeX="60" sizeY="40" r="0" ifd="0"/></pixels>
<view sizeX="600000" sizeY="400000" offsetX="0" offsetY="0"/></image>
<image name="region 1"><creationDate>2026-01-02T03:04:05Z</creationDate><device model="Leica SCN400" version="1.4.0"/>
<pixels sizeX="128" sizeY="96"><dimension sizeX="128" sizeY="96" r="0" ifd="1"/>
<dimension sizeX="64" sizeY="48" r="1" ifd="2"/></pixels><view sizeX="64000" sizeY="48000" offsetX="1" offsetY="2"/>
<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings></scanSettings></image>
</collection></scn>"""
BIF = """<?xml version='1.0'?><Metadata><iScan Mode="brightfield" Magnification="40" ScanRes="0.25" UnitNumber="2000515"
 ScannerModel="VENTANA DP 200" Z-layers="1" UserName="Operator Ada" BuildVersion="1.1.0.15854" Barcode1D="X17"/>
</Metadata>"""
EER = """<metadata><item name="commercialName">Falcon 4i</item><item name="serialNumber">17</item>
<item name="exposureTime" unit="s">0.5</item><item name="numberOfFrames">{frames}</item>
<item name="sensorPixelSize.width" unit="m">7.5e-11</item>
<item name="timestamp">2025-03-14T17:40:48.482908+01:00</item></metadata>"""


def slide_pixels(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Return red that grows to the right and green that grows downwards, so that any level can be told."""
    rows, columns = np.mgrid[0:height, 0:width]
    values = np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 200)], axis=-1)
    return values.astype(np.uint8)


def svs() -> bytes:
    """Return an Aperio slide of two levels, with a thumbnail, a label and an overview."""
    white = np.full((8, 8, 3), 255, np.uint8)
    pages: list[Page] = [
        ({270: SVS, 322: 32, 323: 32}, slide_pixels()),
        ({270: "Aperio Image Library v10.0.51\r\n128x96 -> 16x12 - |AppMag = 20"}, slide_pixels(12, 16)),
        ({270: "Aperio Image Library v10.0.51\r\n128x96 -> 64x48", 322: 32, 323: 32}, slide_pixels(48, 64)),
        ({270: "Aperio Image Library v10.0.51\r\nlabel 8x8", 254: 1}, white),
        ({270: "Aperio Image Library v10.0.51\r\nmacro 8x8", 254: 9}, white),
    ]
    return tiff_of_pages(pages, "classic", 32)


def ndpi(base: int = 0) -> bytes:
    """Return a Hamamatsu slide of two levels and an overview; with a base as `tiff_of_pages` has it."""
    common: Tags = {271: "Hamamatsu", 272: "NanoZoomer", 305: "NDP.scan 2.5", 306: "2009/12/31 09:11:46", 65442: "A17"}
    scale: Tags = {282: 43_917.0, 296: 3, 65427: "Ada Example", 65424: 0}
    pages: list[Page] = [
        ({**common, **scale, 65421: 20.0}, slide_pixels()),
        ({**common, 65421: 5.0, 65424: 0}, slide_pixels(24, 32)),
        ({**common, 65421: -1.0}, np.full((8, 8, 3), 255, np.uint8)),
    ]
    return tiff_of_pages(pages, "ndpi", base=base)


def scn() -> bytes:
    """Return a Leica slide of one region at two levels, and an overview."""
    tiled: Tags = {322: 32, 323: 32}
    pages: list[Page] = [
        ({270: SCN}, np.full((40, 60, 3), 255, np.uint8)),
        (tiled, slide_pixels()),
        (tiled, slide_pixels(48, 64)),
    ]
    return tiff_of_pages(pages, "big", 32)


def bif() -> bytes:
    """Return a Ventana slide of two levels, and a label."""
    pages: list[Page] = [
        ({270: "Label_Image", 700: BIF.encode()}, np.full((8, 8, 3), 255, np.uint8)),
        ({270: "level=0 mag=40 quality=95", 322: 32, 323: 32}, slide_pixels()),
        ({270: "level=1 mag=20 quality=95", 322: 32, 323: 32}, slide_pixels(48, 64)),
    ]
    return tiff_of_pages(pages, "big", 32)


def eer(frames: int = 3, declared: int | None = None, edge: int = 64) -> bytes:
    """Return a movie in which frame n has an electron in every pixel of row n, packed with runs of 7 bits."""
    text = EER.format(frames=frames if declared is None else declared)
    pages: list[Page] = []
    for frame in range(frames):
        events = np.zeros((edge, edge), bool)
        events[frame] = True
        packed = np.frombuffer(_eer_packed(events), np.uint8)
        tags = {256: edge, 257: edge, 258: 1, 259: 65001, 278: edge}
        pages.append((tags | ({65001: text.encode()} if not frame else {}), packed.reshape(1, -1)))
    return tiff_of_pages(pages, "big")


def _eer_packed(events: NDArray[np.bool_]) -> bytes:
    """Return the runs between electrons in 7 bits, and 4 bits for the place within the pixel, lowest bits first."""
    bits: list[int] = []
    last = -1
    for at in [*np.flatnonzero(events).tolist(), events.size]:
        run = at - last - 1
        while run >= 127:
            bits += [1] * 7
            run -= 127
        bits += [run >> n & 1 for n in range(7)] + [0] * 4
        last = at
    packed = np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()
    return packed + b"\0" * (len(packed) % 2)
