# SPDX-License-Identifier: MIT
"""OUCH 5.0: what a client sends, encoded, and what the venue answers, decoded strictly.

Each outbound type is a named tuple whose fields are the document's, alpha fields as text without
their padding, plus `tags`: the appendage as {tag: value}. A wrong length, an element that overruns,
a tag that the message may not carry or carries twice, a letter that the field does not have: all
raise OuchError.
"""

import struct
from collections import namedtuple

PRICE_MAX = 0x7735939C  # 199,999.9900
PRICE_MARKET = 0x7FFFFFFF
QUANTITY_MAX = 999_999  # shares an order, or a chain of replacements, may execute

FIRM, MIN_QTY, CUSTOMER_TYPE, MAX_FLOOR, PRICE_TYPE, PEG_OFFSET = 2, 3, 4, 5, 6, 7
POST_ONLY, EXPIRE_TIME, GROUP_ID, SHARES_LOCATED, SIDE, USER_REF_INDEX = 12, 15, 24, 25, 27, 28
SECONDARY_REF, RANDOM_RESERVES, DISPLAY_QUANTITY = 1, 13, 22

# Tag: (size, kind); u unsigned, s signed, a text.
TAGS = {
    1: (8, "u"), 2: (4, "a"), 3: (4, "u"), 4: (1, "a"), 5: (4, "u"), 6: (1, "a"), 7: (4, "s"),
    9: (8, "u"), 10: (1, "a"), 11: (4, "s"), 12: (1, "a"), 13: (4, "u"), 14: (4, "a"),
    15: (4, "u"), 16: (1, "a"), 17: (1, "a"), 18: (1, "a"), 22: (4, "u"), 23: (8, "u"),
    24: (2, "u"), 25: (1, "a"), 26: (4, "a"), 27: (1, "a"), 28: (1, "u"), 29: (1, "a"),
    30: (2, "a"),
}  # fmt: skip


class OuchError(Exception):
    """Not an OUCH 5.0 message."""


# Encoding.


def element(tag, value):
    """One TagValue element of an appendage."""
    size, kind = TAGS[tag]
    if kind == "a":
        data = value.encode("ascii").ljust(size)
    else:
        data = value.to_bytes(size, "big", signed=kind == "s")
    return bytes([1 + len(data), tag]) + data


def appendage(tags, optional=False):
    """Appendage Length and elements; nothing at all where the length may be left out."""
    if optional and not tags:
        return b""
    elements = b"".join(element(tag, value) for tag, value in (tags or {}).items())
    return struct.pack(">H", len(elements)) + elements


def _alpha(text, size):
    return text.encode("ascii").ljust(size)


_ENTER = struct.Struct(">cIcI8sQccccc14s")
_REPLACE = struct.Struct(">cIIIQccc14s")


def enter(urn, side, quantity, symbol, price, tif="0", display="Y", capacity="A", sweep="N",
          cross="N", client_id="", tags=None):  # fmt: skip
    """O, Enter Order."""
    letters = [letter.encode("ascii") for letter in (side, tif, display, capacity, sweep, cross)]
    fixed = _ENTER.pack(
        b"O", urn, letters[0], quantity, _alpha(symbol, 8), price, *letters[1:],
        _alpha(client_id, 14),
    )  # fmt: skip
    return fixed + appendage(tags)


def replace(orig_urn, urn, quantity, price, tif="0", display="Y", sweep="N", client_id="",
            tags=None):  # fmt: skip
    """U, Replace Order; `quantity` is the total the chain is liable for."""
    letters = [letter.encode("ascii") for letter in (tif, display, sweep)]
    fixed = _REPLACE.pack(b"U", orig_urn, urn, quantity, price, *letters, _alpha(client_id, 14))
    return fixed + appendage(tags)


def cancel(urn, quantity=0, tags=None):
    """X, Cancel Order; `quantity` is the intended total, 0 for all."""
    return struct.pack(">cII", b"X", urn, quantity) + appendage(tags, optional=True)


def modify(urn, side, quantity, tags=None):
    """M, Modify Order; `quantity` is the intended total."""
    fixed = struct.pack(">cIcI", b"M", urn, side.encode("ascii"), quantity)
    return fixed + appendage(tags, optional=True)


def mass_cancel(urn, firm="", symbol="", tags=None):
    """C, Mass Cancel; without a firm or a symbol, of any."""
    fixed = struct.pack(">cI4s8s", b"C", urn, _alpha(firm, 4), _alpha(symbol, 8))
    return fixed + appendage(tags)


def query(tags=None):
    """Q, Account Query."""
    return b"Q" + appendage(tags, optional=True)


# Decoding. A layout is: struct format after type and timestamp, field names, which appendage, the
# tags it may hold, and the letters its one-letter fields may have.

ALWAYS, NEVER, CHANNEL = "always", "never", "only with a channel"
_CHANNEL_TAGS = frozenset({USER_REF_INDEX})
_ORDER_LETTERS = {
    "side": "BSTE", "tif": "0356E", "display": "YNAZ", "capacity": "APRO", "sweep": "YN",
    "cross": "NOCHSREA", "state": "LD",
}  # fmt: skip
_LAYOUTS = {
    "S": ("SystemEvent", "c", "code", NEVER, (), {"code": "SE"}),
    "A": (
        "Accepted", "IcI8sQccQcccc14s",
        "urn side quantity symbol price tif display ref capacity sweep cross state client_id",
        ALWAYS, (2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 25, 28, 29, 30),
        _ORDER_LETTERS,
    ),
    "U": (
        "Replaced", "IIcI8sQccQcccc14s",
        "orig_urn urn side quantity symbol price tif display ref capacity sweep cross state "
        "client_id",
        ALWAYS, (2, 3, 5, 6, 12, 15, 16, 17, 18, 28, 29, 30), _ORDER_LETTERS,
    ),
    "C": ("Canceled", "IIc", "urn quantity reason", CHANNEL, _CHANNEL_TAGS,
          {"reason": "UITDEFGKQSXZeH"}),
    "D": (
        "AiqCanceled", "IIcIQcc",
        "urn quantity reason prevented price liquidity strategy", CHANNEL, _CHANNEL_TAGS,
        {"reason": "Q"},
    ),
    "E": ("Executed", "IIQcQ", "urn quantity price liquidity match", ALWAYS, _CHANNEL_TAGS,
          {"liquidity": "AROMCLHKJkmNnuei0782359"}),
    "B": ("BrokenTrade", "IQc14s", "urn match reason client_id", CHANNEL, _CHANNEL_TAGS,
          {"reason": "ECSX"}),
    "J": ("Rejected", "IH14s", "urn reason client_id", CHANNEL, _CHANNEL_TAGS, {}),
    "P": ("CancelPending", "I", "urn", CHANNEL, _CHANNEL_TAGS, {}),
    "I": ("CancelReject", "I", "urn", CHANNEL, _CHANNEL_TAGS, {}),
    "T": ("PriorityUpdate", "IQcQ", "urn price display ref", CHANNEL, _CHANNEL_TAGS,
          {"display": "Y"}),
    "M": ("Modified", "IcI", "urn side quantity", CHANNEL, (25, 26, 28), {"side": "BSTE"}),
    "R": ("Restated", "Ic", "urn reason", ALWAYS, (1, 22, 23, 28), {"reason": "RP"}),
    "X": ("MassCancelResponse", "I4s8s", "urn firm symbol", ALWAYS, (24, 27, 28), {}),
    "G": ("DisableResponse", "I4s", "urn firm", ALWAYS, _CHANNEL_TAGS, {}),
    "K": ("EnableResponse", "I4s", "urn firm", ALWAYS, _CHANNEL_TAGS, {}),
    "Q": ("QueryResponse", "I", "next_urn", CHANNEL, _CHANNEL_TAGS, {}),
}  # fmt: skip

NS_PER_DAY = 86_400 * 10**9


def _compile():
    """Per type byte: how to unpack it, what to make of it, and what to demand of it."""
    table = {}
    for letter, (name, fields, names, rule, tags, letters) in _LAYOUTS.items():
        record = namedtuple(name, f"type time {names} tags")
        globals()[name] = record
        allowed = [(record._fields.index(field), text) for field, text in letters.items()]
        table[ord(letter)] = (struct.Struct(">cQ" + fields), record, rule, frozenset(tags), allowed)
    return table


_DECODE = _compile()


def _decode_tags(message, offset, allowed):
    tags = {}
    while offset < len(message):
        size = message[offset]
        if size < 1 or offset + 1 + size > len(message):
            raise OuchError(f"appendage element of {size} bytes at {offset} of {len(message)}")
        tag, data = message[offset + 1], message[offset + 2 : offset + 1 + size]
        if tag not in allowed or tag in tags:
            raise OuchError(f"tag {tag} in {chr(message[0])}, unexpected or repeated")
        width, kind = TAGS[tag]
        if len(data) != width:
            raise OuchError(f"tag {tag} of {len(data)} bytes")
        if kind == "a":
            tags[tag] = data.decode("ascii").rstrip()
        else:
            tags[tag] = int.from_bytes(data, "big", signed=kind == "s")
        offset += 1 + size
    return tags


def _decode_appendage(message, size, rule, allowed):
    extra = len(message) - size
    if extra == 0 and rule != ALWAYS:
        return {}
    if rule == NEVER or extra < 2:
        raise OuchError(f"{chr(message[0])} of {len(message)} bytes, fixed part {size}")
    (length,) = struct.unpack_from(">H", message, size)
    if length != extra - 2:
        raise OuchError(f"appendage length {length}, {extra - 2} bytes follow")
    tags = _decode_tags(message, size + 2, allowed)
    if rule == CHANNEL and not tags.get(USER_REF_INDEX):
        raise OuchError(f"{chr(message[0])} with an appendage that names no channel")
    return tags


def decode(message):
    """The named tuple of one outbound message."""
    if not message or message[0] not in _DECODE:
        raise OuchError(f"type {message[:1]!r}")
    layout, record, rule, allowed, letters = _DECODE[message[0]]
    if len(message) < layout.size:
        raise OuchError(f"{chr(message[0])} of {len(message)} bytes, fixed part {layout.size}")
    values = [
        value.decode("ascii").rstrip(" ") if isinstance(value, bytes) else value
        for value in layout.unpack_from(message)
    ]
    if values[1] >= NS_PER_DAY:
        raise OuchError(f"timestamp {values[1]} is beyond the day")
    for index, text in letters:
        if len(values[index]) != 1 or values[index] not in text:
            raise OuchError(f"{record._fields[index]} {values[index]!r} in {chr(message[0])}")
    return record(*values, _decode_appendage(message, layout.size, rule, allowed))
