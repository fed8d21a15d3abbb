"""The root file system of an image, written as a tar: files of this machine, under other names."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

# What Python has for its own development: as large as all the rest.
_NOT_COPIED = frozenset({"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip"})
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class FileSystem:
    """Writes a tar of files; their folders are made as they come, readable for everybody.

    Args:
        output: where the tar goes.
    """

    def __init__(self, output: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=output, mode="w|")  # noqa: SIM115 - `close` does
        self._there: set[str] = {"/"}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the end."""
        self._tar.close()

    def folder(self, path: str, *, owner: int = 0, mode: int = 0o755) -> None:
        """Add an empty folder, owned by a user and the group of the same number.

        One that is there already stays as it is.
        """
        if path in self._there:
            return
        self._parents(path)
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type = tarfile.DIRTYPE
        self._add(path, entry, owner=owner, mode=mode)

    def text(self, path: str, content: str, *, owner: int = 0, mode: int = 0o644) -> None:
        """Add a file that does not exist here."""
        self._parents(path)
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size = len(content.encode())
        self._add(path, entry, io.BytesIO(content.encode()), owner=owner, mode=mode)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._parents(path)
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._add(path, entry, mode=0o777)

    def file(self, source: Path, path: str | None = None, *, owner: int = 0) -> None:
        """Add a copy of a file, by default at the path it has here; what a link leads to."""
        target = path or str(source)
        if target in self._there:
            return
        self._parents(target)
        entry = tarfile.TarInfo(target.lstrip("/"))
        status = source.stat()
        # Compiled modules know their source by size and time.
        entry.size, entry.mtime = status.st_size, int(status.st_mtime)
        mode = 0o755 if status.st_mode & 0o100 else 0o644
        with source.open("rb") as content:
            self._add(target, entry, content, owner=owner, mode=mode)

    def tree(
        self,
        source: Path,
        path: str | None = None,
        *,
        owner: int = 0,
        without: AbstractSet[str] = _NOT_COPIED,
    ) -> None:
        """Add a folder and all in it, links as links, without what has certain names."""
        target = path or str(source)
        self.folder(target, owner=owner)
        for entry in sorted(os.scandir(source), key=lambda e: e.name):
            below = f"{target}/{entry.name}"
            if entry.name in without:
                continue
            if entry.is_symlink():
                self.link(below, str(Path(entry.path).readlink()))
            elif entry.is_dir():
                self.tree(Path(entry.path), below, owner=owner, without=without)
            else:
                self.file(Path(entry.path), below, owner=owner)

    def programs(self, *paths: Path) -> None:
        """Add programs at the paths they have here, with the libraries they are linked with."""
        for path in (*paths, *libraries(paths)):
            self.file(path)

    def busybox(self, *, folder: str = "/bin") -> None:
        """Add busybox under all its names."""
        program = Path(_found("busybox"))
        self.file(program, f"{folder}/busybox")
        names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
        for name in names.stdout.split():
            if f"{folder}/{name}" not in self._there:
                self.link(f"{folder}/{name}", "busybox")

    def bash(self) -> None:
        """Add bash, as /bin/bash."""
        program = Path(_found("bash"))
        self.programs(program)
        if str(program) != "/bin/bash":
            self.link("/bin/bash", str(program))

    def base(self, *users: tuple[str, int]) -> None:
        """Add what every system has: users, a writable /tmp, certificates, names of services."""
        known = [("root", 0), ("nobody", 65534), *users]
        passwd = [f"{name}:x:{i}:{i}::/:/bin/sh" for name, i in known]
        self.text("/etc/passwd", "\n".join([*passwd, ""]))
        self.text("/etc/group", "".join(f"{name}:x:{i}:\n" for name, i in known))
        self.text("/etc/nsswitch.conf", "hosts: files dns\n")
        self.folder("/tmp", mode=0o1777)  # noqa: S108 - the image's, where this is its mode
        if _CERTIFICATES.exists():
            self.file(_CERTIFICATES)

    def python(self) -> None:
        """Add the Python that runs this, at its path here and as /usr/local/bin/python3."""
        version = f"python3.{sys.version_info.minor}"
        program = Path(sys.base_prefix, "bin", version)
        library = Path(os.__file__).parent
        self.programs(program, *library.glob("lib-dynload/*.so"))
        self.folder(str(library))
        for entry in sorted(library.iterdir()):
            if entry.name in {*_NOT_COPIED, "site-packages", "dist-packages"}:
                continue
            if entry.is_dir():
                if not entry.name.startswith("config-"):
                    self.tree(entry)
            else:
                self.file(entry)
        for name in ("python", "python3", version):
            for path in {program.with_name(name), Path("/usr/local/bin", name)} - {program}:
                self.link(str(path), str(program))

    def _parents(self, path: str) -> None:
        for parent in reversed(PurePosixPath(path).parents):
            if str(parent) not in self._there:
                entry = tarfile.TarInfo(str(parent).lstrip("/"))
                entry.type = tarfile.DIRTYPE
                self._add(str(parent), entry, mode=0o755)

    def _add(
        self,
        path: str,
        entry: tarfile.TarInfo,
        content: IO[bytes] | None = None,
        *,
        mode: int,
        owner: int = 0,
    ) -> None:
        entry.mode, entry.uid, entry.gid = mode, owner, owner
        self._tar.addfile(entry, content)
        self._there.add(path)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not on PATH")
    return path


def libraries(programs: Iterable[Path]) -> list[Path]:
    """The shared libraries that programs are linked with, by the paths they are looked for at."""
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    named = re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", told, re.MULTILINE)
    return [Path(name) for name in sorted(set(named))]
