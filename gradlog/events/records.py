"""Records: an event file as the records that it is made of, one after the other, and what is wrong with it.

A record is its length (8 bytes), a checksum of the length (4), that many bytes, and a checksum of these (4). The
checksums are CRC-32C (RFC 3720, appendix B.4), masked.
"""

import os
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import google_crc32c

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LONG = 1 << 20  # bytes
_MASK_DELTA = 0xA282EAD8


class Record(NamedTuple):
    """One record of an event file.

    Attributes:
        offset: Integer, the byte of the file where it begins.
        data: Bytes, its content.
    """

    offset: int
    data: bytes


def masked_crc(data: bytes) -> int:
    """Returns the masked CRC-32C of bytes, as it stands behind them in an event file.

    Example:
    >>> hex(masked_crc(b"123456789"))  # the CRC itself is 0xe3069283
    '0xc78ab0e5'
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def framed(data: bytes) -> bytes:
    """Returns the record of some content, as it stands in an event file.

    Example:
    >>> len(framed(b"content"))
    23
    """
    length = struct.pack("<Q", len(data))
    return b"".join((length, _FOOTER.pack(masked_crc(length)), data, _FOOTER.pack(masked_crc(data))))


def records(path: str | os.PathLike, note: Callable[[str], None]) -> Iterator[Record]:
    """Yields the undamaged records of an event file, and holds no more than one of them.

    Both checksums of every record are verified. After a damaged content the next record is read; after a damaged
    length nothing is, as nobody knows where the next record begins.

    Args:
        path: String or path of the file.
        note: Function that gets a sentence, which goes on after the file's name, for each record that is left out, and
            where the file was not read to its end. It is never an error.
    """
    try:
        with open(path, "rb") as file:
            yield from _records(file, note)
    except OSError as error:
        note(f"cannot be read: {error.strerror or error}.")


def _records(file, note):
    offset = 0
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, checksum = _HEADER.unpack(header)
        if checksum != masked_crc(header[:8]):
            note(_damage(offset))
            return
        end = offset + _HEADER.size + length + _FOOTER.size
        if length > _LONG and end > os.fstat(file.fileno()).st_size:  # before memory is asked for
            break
        data, footer = file.read(length), file.read(_FOOTER.size)
        if len(data) + len(footer) < length + _FOOTER.size:
            break
        if _FOOTER.unpack(footer) == (masked_crc(data),):
            yield Record(offset, data)
        else:
            note(f"is damaged in the record at byte {offset}, which is left out: its checksum is wrong.")
        offset = end
    else:
        if not header:
            if offset == 0:
                note("is empty.")
            return
    note(f"ends within a record, from byte {offset} on: it is still being written, or it was cut off.")


def _damage(offset):
    if offset == 0:
        return "is not an event file, or is damaged from its first byte."
    return f"is damaged at byte {offset}; what follows cannot be found, and is left out."
