#!/usr/bin/env bash
# Python 3.11, numpy 2.4.6: the header of an array in a .npz file packed by bzip2 or LZMA.
# Guess: a member of an archive is a stream: reading the 128 bytes of its header takes the memory of
#        a buffer, whatever follows, as with deflate.
# Seen:  `zipfile` bounds what deflate gives at once, and not what other methods give: it unpacks
#        the next 4096 bytes of the file as a whole. Of zeros these are 28 MB by LZMA, and gigabytes
#        by bzip2: the header of 40 MB in 149 bytes takes 87 MB of memory.
# Why:   who reads the headers first, to compare what they ask for with the size of the file, has
#        taken the memory by then. numpy.load reads both, though numpy itself only writes deflate.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check numpy==2.4.6
cd "$work" && env/bin/python -I -W error - <<'PY'
import io
import tracemalloc
import zipfile

import numpy as np

array = np.zeros(5_000_000)
stream = io.BytesIO()
np.save(stream, array)
peak = {}
for name in ("ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA"):
    with zipfile.ZipFile(f"{name}.npz", "w", getattr(zipfile, name)) as archive:
        archive.writestr("x.npy", stream.getvalue())
    with np.load(f"{name}.npz") as arrays:
        tracemalloc.start()
        with arrays.zip.open("x.npy") as member:
            np.lib.format.read_magic(member)
            shape, _, _ = np.lib.format.read_array_header_1_0(member)
        peak[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        packed = arrays.zip.getinfo("x.npy").compress_size
        assert np.array_equal(arrays["x"], array)
    assert shape == array.shape
    print(f"{name}: {packed} bytes in the file, {peak[name] / 1e6:.1f} MB for the header")
assert peak["ZIP_DEFLATED"] < 1e6
assert min(peak["ZIP_BZIP2"], peak["ZIP_LZMA"]) > array.nbytes, "now they are bounded too"
PY
