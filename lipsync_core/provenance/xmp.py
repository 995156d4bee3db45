"""IPTC's kind of source in XMP, in a box of its own at the end of an MP4 or MOV file.

Sources: XMP Specification Part 3, 1.1.4 (the box); IPTC Photo Metadata Standard (Digital Source Type).
"""

import re
import struct
from pathlib import Path

from lipsync_core.provenance.statement import DIGITAL_SOURCE_TYPE, PRODUCT, product_version
from lipsync_core.structure.boxes import whole

#: The UUID by which XMP names its box.
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="{tool}"
    Iptc4xmpExt:DigitalSourceType="{kind}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_KIND = re.compile(rb'DigitalSourceType(?:="|>)\s*([^"<\s]{1,200})')
_MOST_BYTES = 1 << 20


def add_xmp(path: Path) -> None:
    """Put XMP that names the kind of source at the end of the file; raises OSError."""
    packet = _PACKET.format(tool=f"{PRODUCT} {product_version()}", kind=DIGITAL_SOURCE_TYPE).encode()
    box = struct.pack(">I4s16s", 24 + len(packet), b"uuid", XMP_BOX) + packet
    with path.open("ab") as file:
        file.write(box)


def digital_source_type(path: Path) -> str | None:
    """The kind of source that the file's XMP names; None where it names none. Raises OSError."""
    with path.open("rb") as file:
        for box in whole(file, path.stat().st_size).children():
            if box.name == b"uuid" and box.content(0, len(XMP_BOX)) == XMP_BOX:
                found = _KIND.search(box.content(len(XMP_BOX), _MOST_BYTES))
                return found[1].decode("utf-8", "replace") if found else None
    return None
