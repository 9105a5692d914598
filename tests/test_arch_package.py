"""The package's face: names, JSON schemas, exports, and how light it is to import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import fusemap.archspec
from fusemap.archspec import json_schema, names
from fusemap.archspec.models import ArchFileModel


def test_required_names_exist() -> None:
    assert {"fusemax-cloud", "flat-cloud", "flat-edge", "unfused-cloud"} <= set(names("arch"))
    assert names("components") == ("45nm",)


def test_json_schemas_describe_the_models() -> None:
    schemas = {kind: json_schema(kind) for kind in ("arch", "workload", "components")}
    assert json.loads(json.dumps(schemas)) == schemas
    assert set(schemas["arch"]["properties"]) == set(ArchFileModel.model_fields)
    assert "required" not in json.dumps(schemas["arch"])
    assert schemas["workload"]["required"] == ["ranks"]
    assert schemas["components"]["additionalProperties"] is False


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "('yaml', 'pydantic', 'numpy', 'sympy')"
    code = f"import sys, fusemap.archspec; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("name", fusemap.archspec.__all__)
def test_every_export_is_there(name: str) -> None:
    assert getattr(fusemap.archspec, name) is not None
    assert name in dir(fusemap.archspec)


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'load_archs'"):
        _ = fusemap.archspec.load_archs
