"""What the demo may delete."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.demo.folder import MARK, NotOursError, emptied


def test_a_new_and_an_empty_folder_become_the_demos(tmp_path: Path) -> None:
    for folder in (tmp_path / "to" / "it", tmp_path / "empty"):
        if folder.name == "empty":
            folder.mkdir()
        emptied(folder)
        assert [path.name for path in folder.iterdir()] == [MARK]


def test_what_an_earlier_demo_wrote_is_deleted(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "demo", tmp_path / "elsewhere"
    emptied(folder)
    (folder / "files").mkdir()
    (folder / "files" / "traces.jsonl").touch()
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    (folder / "link").symlink_to(elsewhere)
    emptied(folder)
    assert [path.name for path in folder.iterdir()] == [MARK]
    assert (elsewhere / "mine").exists()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_not_the_demos_is_left_alone(tmp_path: Path, kind: str) -> None:
    named = tmp_path / "home"
    real = tmp_path / "real" if kind == "link" else named
    if kind == "file":
        real.write_text("mine")
    else:
        real.mkdir()
        (real / "mine").touch()
    if kind == "link":
        (real / MARK).touch()
        named.symlink_to(real)
    with pytest.raises(NotOursError, match="--folder"):
        emptied(named)
    assert real.read_text() == "mine" if kind == "file" else (real / "mine").exists()
