"""The encoding of a text, from its first bytes."""

import re

from pyro_vae.data.stored import Fault

BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
ONE_BYTE_ENCODINGS = ("cp1252", "latin-1")
NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")


def encoding_of(head: bytes) -> str:
    """The encoding of a text.

    Raises:
        Fault: bytes that no text has.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if _every_other_is_null(head[1::2], head[::2]):
        return "utf-16-le"
    if _every_other_is_null(head[::2], head[1::2]):
        return "utf-16-be"
    found = NOT_TEXT.search(head)
    if found:
        raise Fault(
            f"expected text, got a binary file (byte {found.start()} is {found.group()[0]}); give "
            "the file the suffix of its format, or write it again as text"
        )
    return next(name for name in ("utf-8", *ONE_BYTE_ENCODINGS) if _decodes(head, name))


def _every_other_is_null(these: bytes, others: bytes) -> bool:
    return len(these) > 1 and these.count(0) > 0.9 * len(these) and 0 not in others


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        head.decode(encoding)
    except UnicodeDecodeError as error:
        # The last letter of the head may be cut.
        return encoding == "utf-8" and error.start >= len(head) - 3
    return True
