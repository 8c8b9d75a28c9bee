"""What a killed compiler leaves in its cache: half a library, which every later run would take for the whole one."""

from pathlib import Path


def removed(error: Exception) -> bool:
    """Whether a library that can't be loaded was behind the compiler's error; it is gone then, and can be built again.

    Example:
        >>> import tempfile
        >>> half = Path(tempfile.mkdtemp(), "half.so")
        >>> half.touch()
        >>> removed(ImportError("file too short", path=str(half))), half.exists()
        (True, False)
    """
    cause = getattr(error, "inner_exception", error)
    library = cause.path if isinstance(cause, ImportError) else None
    if library is None or not library.endswith(".so"):
        return False
    Path(library).unlink(missing_ok=True)
    return True
