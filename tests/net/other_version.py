"""Rewrite the first block of a journal segment as one of format version 9, with a checksum that fits."""
import struct
import sys

BLOCK = 4096
CRC_AT = 60


def crc32c(data):
    """CRC-32C (Castagnoli), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


with open(sys.argv[1], "r+b") as segment:
    block = bytearray(segment.read(BLOCK))
    struct.pack_into("<H", block, 4, 9)
    struct.pack_into("<I", block, CRC_AT, crc32c(block[:CRC_AT] + block[CRC_AT + 4 :]))
    segment.seek(0)
    segment.write(block)
