"""Checksum: the CRC-32C of event files, masked as they have it (Castagnoli et al., 1993; RFC 3720, appendix B.4)."""

import functools
import struct

import numpy as np

_POLYNOMIAL = 0x82F63B78  # reflected
_ALL, _MASK_DELTA = 0xFFFFFFFF, 0xA282EAD8
_LANE = 256  # bytes that are taken one after the other, in all lanes at once


def masked_crc(data: bytes) -> int:
    """Returns the masked CRC-32C of bytes, as it stands behind them in an event file.

    Example:
    >>> hex(masked_crc(b"123456789"))  # the CRC itself is 0xe3069283
    '0xc78ab0e5'
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _ALL


@functools.lru_cache(maxsize=4096)
def masked_crc_of_length(length: int) -> int:
    """Returns the masked CRC-32C of a record's length, which comes many times."""
    return masked_crc(struct.pack("<Q", length))


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of bytes: the head in lanes side by side, the rest byte by byte."""
    num_lanes = len(data) // _LANE
    crc = _ALL
    if num_lanes > 1:
        crc = _of_lanes(np.frombuffer(data, np.uint8, num_lanes * _LANE).reshape(num_lanes, _LANE))
        data = data[num_lanes * _LANE :]
    table = _table_list()
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ _ALL


def _of_lanes(lanes):
    """Returns the state after lanes [n, 256]: each alone from a state of zero, then put together in their order."""
    table, states = _table(), np.zeros(len(lanes), np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        states = table[(states ^ column) & 255] ^ states >> 8
    shift, state = _shift_tables(), _ALL
    for own in states.tolist():
        state = shift[0][state & 255] ^ shift[1][state >> 8 & 255] ^ shift[2][state >> 16 & 255] ^ shift[3][state >> 24]
        state ^= own
    return state


@functools.cache
def _table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ _POLYNOMIAL, table >> 1).astype(np.uint32)
    return table


@functools.cache
def _table_list():
    return _table().tolist()


@functools.cache
def _shift_tables():
    """Returns what becomes of each byte of a state by a lane of zeros; the state is linear in its bits."""
    states = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(_LANE):
        states = _table()[states & 255] ^ states >> 8
    return states.tolist()
