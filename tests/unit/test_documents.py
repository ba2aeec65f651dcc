"""What the documents say of files and commands is true."""

import re
from pathlib import Path

import pytest

from volumed.client.cli import build_parser

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])

_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_link_inside_leads_somewhere(document: Path) -> None:
    broken = [target for target in _LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert broken == []


def test_the_readme_names_every_command_and_no_other() -> None:
    told = (CHECKOUT / "README.md").read_text()
    listed = told[told.index("`volumed create, list") : told.index("`, each with `--help`")]
    assert {"volumed", *_commands()} == set(re.findall(r"[a-z]+", re.sub(r"\([^)]*\)", "", listed)))


def test_the_architecture_names_every_room() -> None:
    told = (CHECKOUT / "docs" / "architecture.md").read_text()
    rooms = {path.name for path in (CHECKOUT / "volumed").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"`volumed/{room}/`" not in told} == set()


def _commands() -> list[str]:
    usage = next(action for action in build_parser()._actions if action.choices)
    return list(usage.choices or ())
