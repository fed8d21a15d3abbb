"""The folder of the journals, on real files; of mounts, as the kernel writes of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from otel_dify.cli.doctor import journal
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, Severity
from otel_dify.cli.doctor.mounts import Mount, mount_of

MIB = 1 << 20
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def looked(folder: Path | str, proc: Path = Path("/proc"), /, **environ: str) -> dict[str, Finding]:
    known = {"OTEL_DIFY_JOURNAL_DIR": str(folder), **environ}
    return {finding.about: finding for finding in journal.check(Examined(known, proc=proc))}


def mounted(folder: Path, *lines: str) -> Path:
    """Write the kernel's list of mounts, and return where it lies."""
    (folder / "self").mkdir(parents=True)
    (folder / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_a_folder_that_is_as_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir(mode=0o700)
    told = looked(tmp_path)
    for about in ("journal.writable", "journal.mode", "journal.waiting"):
        assert told[about].severity is Severity.OK
    assert "Nothing waits" in told["journal.waiting"].what
    # It is looked at, and left as it was.
    assert [path.name for path in tmp_path.iterdir()] == ["dify"]


def test_a_folder_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    finding = looked(folder)["journal.writable"]
    assert finding.severity is Severity.OK
    assert f"can be made in {tmp_path}" in finding.what
    assert not folder.exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """By anybody, root included: a file stands where it would be."""
    (tmp_path / "file").touch()
    finding = looked(tmp_path / "file" / "journal")["journal.writable"]
    assert finding.severity is Severity.PROBLEM
    assert "cannot be written" in finding.what
    assert "lost with a process that is killed" in finding.what


def test_journals_in_memory_are_told() -> None:
    told = looked("none")
    assert list(told) == ["journal.folder"]
    assert told["journal.folder"].severity is Severity.WARNING


@pytest.mark.parametrize(
    ("content", "severity"), [("no_content", "note"), ("span_only", "warning")]
)
def test_a_folder_that_others_may_enter(tmp_path: Path, content: str, severity: str) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "dify").mkdir()
    (tmp_path / "dify").chmod(0o755)
    finding = looked(tmp_path, **{CONTENT: content})["journal.mode"]
    assert finding.severity == severity
    assert f"{tmp_path / 'dify'} (mode 0755)" in finding.what


@pytest.mark.parametrize(("free", "severity"), [(4, "problem"), (200, "warning"), (900, "ok")])
def test_the_space_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, severity: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * MIB))
    finding = looked(tmp_path)["journal.space"]
    assert finding.severity == severity
    assert finding.what.startswith(f"{free} MiB are free, and one process may use 128")


@pytest.mark.parametrize(
    ("lines", "severity", "said"),
    [
        (("1 0 0:1 / / rw - overlay overlay rw",), "warning", "in the container's own layer"),
        (
            ("1 0 0:1 / / rw - overlay overlay rw", "2 1 0:2 / /var rw - tmpfs tmpfs rw"),
            *("warning", "lies in memory (tmpfs at /var)"),
        ),
        (
            (
                "1 0 0:1 / / rw - overlay overlay rw",
                "2 1 8:1 /x /var/lib/otel_dify rw,relatime shared:1 - ext4 /dev/sda1 rw",
            ),
            *("ok", "It is on ext4 mounted at /var/lib/otel_dify"),
        ),
        (("1 0 8:1 / / rw - ext4 /dev/sda1 rw",), "ok", "It is on ext4 mounted at /"),
    ],
)
def test_whether_it_lasts(tmp_path: Path, lines: tuple[str, ...], severity: str, said: str) -> None:
    finding = looked("/var/lib/otel_dify/journal", mounted(tmp_path, *lines))["journal.volume"]
    assert finding.severity == severity
    assert said in finding.what


def test_a_folder_among_temporary_files(tmp_path: Path) -> None:
    proc = mounted(tmp_path, "1 0 8:1 / / rw - ext4 /dev/sda1 rw")
    folder = Path(tempfile.gettempdir()) / "otel_dify-none" / "journal"
    finding = looked(folder, proc)["journal.volume"]
    assert finding.severity is Severity.NOTE
    assert "OTEL_DIFY_STATE_PATH" in finding.do


def test_mounts_with_spaces_in_their_names_and_over_one_another(tmp_path: Path) -> None:
    proc = mounted(
        tmp_path,
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        r"2 1 8:2 / /my\040disk rw - xfs /dev/sdb1 rw",
        r"3 2 0:9 / /my\040disk rw - nfs4 host:/x rw",
    )
    assert mount_of(Path("/my disk/a"), proc) == Mount(Path("/my disk"), "nfs4")
    assert mount_of(Path("/my"), proc) == Mount(Path("/"), "ext4")


def test_where_the_kernel_tells_no_mounts_nothing_is_said(tmp_path: Path) -> None:
    assert mount_of(tmp_path, tmp_path / "none") is None
    assert "journal.volume" not in looked(tmp_path, tmp_path / "none")


def test_the_real_list_of_mounts_is_read() -> None:
    found = mount_of(Path("/proc/self"), Path("/proc"))
    assert found is not None
    assert (found.at, found.kind) == (Path("/proc"), "proc")
    assert os.path.ismount(found.at)
