"""The rows of fronts as the content of a CSV or parquet file."""

from __future__ import annotations

import csv
import io

from fusemap.diagnostics import input_error
from fusemap.validation.pareto import Pareto

FORMATS = ("csv", "parquet")


def exported(found: Pareto, suffix: str) -> bytes:
    """All rows of all fronts, with every column of the store, as `csv` or `parquet`.

    InputError where parquet's package is not installed. Equal fronts give equal bytes (parquet: of one pyarrow).
    """
    return {"csv": _csv, "parquet": _parquet}[suffix](found)


def _csv(found: Pareto) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found.layout.kinds)
    for front in found.fronts:
        writer.writerows(row.values() for row in front.rows)
    return text.getvalue().encode()


def _parquet(found: Pareto) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        hint = "pip install 'fusemap[sweep]', or write .csv"
        raise input_error("parquet needs the package pyarrow", hint=hint) from None
    types = {"INTEGER": pyarrow.int64(), "REAL": pyarrow.float64(), "TEXT": pyarrow.string()}
    about = {"fusemap.version": found.layout.version, "fusemap.digest": found.layout.digest}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in found.layout.kinds.items()], metadata=about)
    rows = [dict(row) for front in found.fronts for row in front.rows]
    content = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), content)
    return content.getvalue()
