"""Local files of a service that was killed go away with the next start; those of one that lives do not."""

import os
from pathlib import Path

from souk_imaging.adapters.lives import hold
from souk_imaging.adapters.spool import Spool, SpoolFile


async def filled(spool: Spool) -> SpoolFile:
    """A file of the spool with something in it."""
    file = spool.new_source()
    await file.write(b"photo")
    await file.finish()
    return file


async def test_files_of_a_killed_service_are_removed_whatever_process_has_its_id_now(tmp_path: Path) -> None:
    for name in (f"{os.getpid()}-left", "1-left", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo").write_bytes(b"photo")
    os.close(hold(tmp_path / "killed.lock"))
    os.close(hold(tmp_path / "killed-before-its-folder.lock"))
    spool = Spool(tmp_path)
    file = await filled(spool)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == [file.path]
    assert len(list(tmp_path.iterdir())) == 2
    spool.close()


async def test_files_of_a_service_that_lives_stay(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    file = await filled(first)
    second = Spool(tmp_path)
    assert file.path.read_bytes() == b"photo"
    second.close()
    assert file.path.read_bytes() == b"photo"
    first.close()
    assert list(tmp_path.iterdir()) == []
