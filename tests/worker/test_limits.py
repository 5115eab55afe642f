"""Each limit is put on a process of its own, and then broken there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gradcheck_cli.worker import limits

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")


def in_process(code: str, folder: Path) -> str:
    code = f"from gradcheck_cli.worker import limits\nimport resource\n{code}"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


WRITE = """
try:
    with open("file", "w") as file: file.write("x")
    print("written")
except OSError as error:
    print(error.errno)
"""


def test_no_file_is_written_without_leave(tmp_path: Path) -> None:
    assert in_process(f"limits.forbid_core_dumps_and_files(may_write=False){WRITE}", tmp_path) == "27"  # EFBIG
    assert in_process(f"limits.forbid_core_dumps_and_files(may_write=True){WRITE}", tmp_path) == "written"


def test_no_core_dump(tmp_path: Path) -> None:
    code = "limits.forbid_core_dumps_and_files(may_write=True); print(resource.getrlimit(resource.RLIMIT_CORE))"
    assert in_process(code, tmp_path) == "(0, 0)"


@linux
@pytest.mark.parametrize(("size", "fits"), [(2**28, True), (2**30, False)])
def test_memory_grows_by_the_limit_and_no_further(tmp_path: Path, size: int, fits: bool) -> None:
    code = f"""
print(limits.limit_memory({2**29}) == {2**29})
try: bytearray({size}); print("fits")
except MemoryError: print("does not fit")
"""
    assert in_process(code, tmp_path).split("\n") == ["True", "fits" if fits else "does not fit"]


@linux
def test_default_is_most_of_what_is_free_and_zero_is_no_limit(tmp_path: Path) -> None:
    code = """
free = limits._free()
print(limits.limit_memory(0), resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY)
print(.8 * free < limits.limit_memory(None) < free)
"""
    assert in_process(code, tmp_path).split("\n") == ["0 True", "True"]


def test_limit_above_an_outer_one_is_the_outer_one(tmp_path: Path) -> None:
    code = """
resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
limits.limit_memory(2**40)
print(resource.getrlimit(resource.RLIMIT_AS) == (2**33, 2**33))
"""
    assert in_process(code, tmp_path) == "True"


def test_container(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 200\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert limits._free_in_container(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert limits._free_in_container(tmp_path) == 900
    assert limits._free_in_container(tmp_path / "nowhere") is None


def test_folder_for_temporary_files_is_still_known(tmp_path: Path) -> None:
    code = "limits.forbid_core_dumps_and_files(may_write=False); import tempfile; print(bool(tempfile.gettempdir()))"
    assert in_process(code, tmp_path) == "True"
