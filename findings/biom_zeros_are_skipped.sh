#!/usr/bin/env bash
# biom-format 2.1.18: a table of counts whose zeros don't take part, and sums that are means.
# Guess: Table.min is the smallest count; transform(lambda data, id, metadata: data + 1) adds a
#        pseudo-count to each cell; collapse of genes to groups adds the counts of the genes.
# Seen:  for a sample with counts 0, 3, 10 the minimum is 3; adding 1 gives 0, 4, 11, as the
#        function gets the entries that aren't zero; ranks are those of the entries too. collapse
#        divides by the number of members (norm=True is the default): of 1 and 0 it makes 0.5. The
#        sums are right, and so is collapse(norm=False).
# Why:   log ratios after such a "pseudo-count" are -inf where it was needed, min() > 0 says that no
#        cell is empty, and means of groups aren't the counts that a Poisson or negative binomial
#        likelihood is for, nor comparable between groups of different sizes.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 h5py==3.16.0 biom-format==2.1.18
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import numpy as np
from biom import Table

COUNTS = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 5.0], [10.0, 20.0, 0.0]])
table = Table(COUNTS, ["gene a", "gene b", "gene c"], ["s1", "s2", "s3"])


def group(name, metadata):
    return "c" if name == "gene c" else "a and b"


plus_one = table.transform(lambda data, name, metadata: data + 1, inplace=False)
ranks = table.rankdata(inplace=False).matrix_data.toarray()
means = table.collapse(group, axis="observation").matrix_data.toarray()
sums = table.collapse(group, axis="observation", norm=False).matrix_data.toarray()
print("smallest counts of the samples:", table.min("sample"), "of the table:", table.min("whole"))
print("plus one:", plus_one.matrix_data.toarray().tolist())
print("ranks:", ranks.tolist())
print("genes a and b collapsed:", means[0].tolist(), "with norm=False:", sums[0].tolist())
assert table.min("sample").tolist() == [3, 1, 2] and table.min("whole") == 1, "zeros count now"
assert plus_one.matrix_data.toarray().tolist() == np.where(COUNTS, COUNTS + 1, 0).tolist(), (
    "transform reaches the zeros now"
)
assert ranks.tolist() == [[0, 1, 1], [1, 0, 2], [2, 2, 0]], "the ranks have changed"
assert means[0].tolist() == [1.5, 0.5, 3.5], "collapse has changed"
assert sums[0].tolist() == [3, 1, 7] and table.sum("sample").tolist() == [13, 21, 7]
PY
