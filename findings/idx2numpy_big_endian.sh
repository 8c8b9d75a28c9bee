#!/usr/bin/env bash
# idx2numpy 1.2.3: an array that it has read from an IDX file it refuses to write.
# Guess: convert_from_file returns an ordinary array of the machine, and convert_to_file of it
#        writes the same file again.
# Seen:  all types of more than a byte come back in big-endian order (>i2, >i4, >f4, >f8), and
#        convert_to_file of exactly this array raises FormatError: "numpy ndarray type not supported
#        by IDX format", and of its copy too; astype to the native order is written. Bytes (MNIST)
#        go round. All arrays are read-only.
# Why:   code tested on MNIST fails on the first IDX file of floats; torch.from_numpy refuses
#        big-endian arrays as well, and arrays that stay big-endian are slow everywhere.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 idx2numpy==1.2.3
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import idx2numpy
import numpy as np

for name in ("uint8", "int8", "int16", "int32", "float32", "float64"):
    native = np.arange(6).reshape(2, 3).astype(name)
    idx2numpy.convert_to_file("first.idx", native)
    read = idx2numpy.convert_from_file("first.idx")
    assert np.array_equal(read, native) and not read.flags.writeable
    answers = []
    for array in (read, read.copy(), read.astype(name)):
        try:
            idx2numpy.convert_to_file("second.idx", array)
            answers.append("written")
        except idx2numpy.converters.FormatError as error:
            answers.append(str(error))
    print(f"{name}: read as {read.dtype.str}; written again, as a copy, in native order: {answers}")
    wide = native.itemsize > 1
    assert (read.dtype.str[0] == ">") == wide, "the byte order has changed"
    assert (answers[0] != "written") == (answers[1] != "written") == wide, "it writes it now"
    assert answers[2] == "written"
PY
