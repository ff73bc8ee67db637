"""Records: an event file as the records that it is made of, one after the other, and what is wrong with it.

A record is its length (8 bytes), a checksum of the length (4), that many bytes, and a checksum of these (4).
"""

import os
import struct
from collections.abc import Callable, Iterator

from gradlog.events.checksum import masked_crc, masked_crc_of_length

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LONG = 1 << 20


class Record:
    """One record of an event file.

    Attributes:
        offset: Integer, the byte of the file where it begins.
        data: Bytes, its content.
    """

    __slots__ = ("_checksum", "_is_whole", "data", "offset")

    def __init__(self, offset: int, data: bytes, checksum: int):
        self.offset, self.data, self._checksum, self._is_whole = offset, data, checksum, None

    def is_whole(self) -> bool:
        """Returns whether the checksum of the content is right; it is computed when this is first asked."""
        if self._is_whole is None:
            self._is_whole = masked_crc(self.data) == self._checksum
        return self._is_whole


def records(path: str | os.PathLike, note: Callable[[str], None]) -> Iterator[Record]:
    """Yields the records of an event file, and holds no more than one of them.

    The checksum of each length is verified, that of the content is not: `Record.is_whole` does.

    Args:
        path: String or path of the file.
        note: Function that is told, in a sentence that goes on after the file's name, why the file was not read to
            its end. It is never an error.
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
        if checksum != masked_crc_of_length(length):
            note(_damage(offset))
            return
        end = offset + _HEADER.size + length + _FOOTER.size
        if length > _LONG and end > os.fstat(file.fileno()).st_size:  # before memory is asked for
            break
        data, footer = file.read(length), file.read(_FOOTER.size)
        if len(data) + len(footer) < length + _FOOTER.size:
            break
        yield Record(offset, data, *_FOOTER.unpack(footer))
        offset = end
    else:
        if not header:
            if offset == 0:
                note("is empty.")
            return
    note(f"ends within a record, from byte {offset} on: it is still being written, or it was cut off.")


def _damage(offset):
    if offset == 0:
        return "is no event file, or is damaged from its first byte on."
    return f"is damaged at byte {offset}; what follows cannot be found, and is left out."
