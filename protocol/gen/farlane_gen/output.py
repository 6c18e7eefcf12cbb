"""Writes generated files; one whose text stays the same is not touched, so little rebuilds."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def banner(source: str) -> str:
    return f"// Made from {source} by protocol/gen/generate.py. Edit that, not this.\n"
