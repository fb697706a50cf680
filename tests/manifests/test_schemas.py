from pathlib import Path

from edgewright_manifests import schemas


def test_the_published_schemas_equal_the_types() -> None:
    """When this fails: `python -m edgewright_manifests.schemas --write`, and look at the diff."""
    assert schemas.outdated() == []


def test_writing_makes_a_folder_equal_and_drops_strays(tmp_path: Path) -> None:
    (tmp_path / "stray.json").write_text("{}")
    (tmp_path / "event.json").write_text("{}")
    assert "stray.json" in schemas.outdated(tmp_path)
    assert "event.json" in schemas.outdated(tmp_path)
    schemas.write(tmp_path)
    assert schemas.outdated(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == len(schemas.DOCUMENTS)
