"""The processes stay apart, the edge stays thin and the arithmetic stays pure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.rules.tree import ROOT

# One planted import for each contract in pyproject.toml, by the module that breaks it.
BROKEN = {
    "kit imports none of the processes": ("kit/rpc.py", "import core"),
    "edge, core and archiver never import each other": ("archiver/app.py", "import core.ledger"),
    "the edge owns no database, no payments, no archive files": ("edge/app.py", "import psycopg"),
    "only core takes payments and writes receipts": ("kit/cli.py", "import stripe"),
    "pure modules reach no network and no database": ("core/ledger/model.py", "import sqlalchemy"),
}
PURE = ("money", "charge", "hold", "canonical", "merkle", "ids")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the tree in this folder."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def plant(folder: Path) -> None:
    """A small tree that keeps every contract."""
    modules = [f"kit/{name}.py" for name in PURE]
    modules += ["core/ledger/model.py", "edge/translate/__init__.py", "archiver/app.py"]
    for module in modules:
        path = folder / module
        path.parent.mkdir(parents=True, exist_ok=True)
        for package in (path.parent, folder / module.split("/", maxsplit=1)[0]):
            (package / "__init__.py").touch()
        path.touch()
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())


def test_the_contracts_hold() -> None:
    """On the tree as it is."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("contract", BROKEN)
def test_an_import_that_breaks_a_contract_is_found(contract: str, tmp_path: Path) -> None:
    """Control: the same configuration passes a good tree and names the broken contract."""
    plant(tmp_path)
    assert lint_imports(tmp_path).returncode == 0
    module, statement = BROKEN[contract]
    path = tmp_path / module
    path.write_text(f"{statement}\n")
    if statement == "import core.ledger":
        (tmp_path / "core/ledger/__init__.py").touch()
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout
