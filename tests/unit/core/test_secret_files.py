"""What operators are told about the secret files is what works."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from core.keyring import parse_keyring
from core.platform_key import parse_platform_key
from tests.architecture.rules.tree import ROOT

PAGE = ROOT / "docs" / "operations.md"
BEGIN, END = ".venv/bin/python - <<'END'\n", "    END\n"
VARIABLES = ("ONEAPI_PEPPER_FILE", "ONEAPI_KEY_ENCRYPTION_FILE", "ONEAPI_PLATFORM_KEY_FILE")


def test_the_documented_commands_make_the_three_files(tmp_path: Path) -> None:
    """Private, of the shape that core reads, and left alone by a second run."""
    page = PAGE.read_text()
    assert all(f"`{variable}`" in page for variable in VARIABLES)
    program = page.partition(BEGIN)[2].partition(END)[0]
    lines = [line.removeprefix("    ") for line in program.splitlines()]
    found = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, check=True)
        found.append({file.name: file.read_text() for file in (tmp_path / "keys").iterdir()})
    assert found[0] == found[1]
    files = found[0]
    assert files.keys() == {"pepper.json", "kek.json", "platform.json"}
    assert parse_keyring(files["pepper.json"]).newest != parse_keyring(files["kek.json"]).newest
    assert parse_platform_key(files["platform.json"]).key_id
    modes = {stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) for name in files}
    assert modes == {0o600}
