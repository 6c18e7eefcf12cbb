"""docs/coverage.md: every function and whether it works."""

from __future__ import annotations

from .api_model import Function, Library

INTRO = """# Coverage

Every function that the libraries export, and whether it works. Made from `protocol/api/*.api` by
`protocol/gen/generate.py coverage`; a test keeps it current.

*local*: answered in the client. *posted*: put into the session's log, returns at once. *asked*:
waits for the server; the note says why, and where a function asks only sometimes, when. A function
that is not listed as one of these is *unsupported*: it is exported, says so once in the log, and
returns `cudaErrorNotSupported` or `CUDA_ERROR_NOT_SUPPORTED`; NVML's say nothing, and return
`NVML_ERROR_NOT_SUPPORTED` or, where they would change a device, `NVML_ERROR_NO_PERMISSION`.
"""


def _twins(f: Function) -> str:
    return "".join(f", `{abi.symbol[len(f.name):]}`" for abi in f.twins)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _others(f: Function) -> str:
    return "".join(f", `{abi.symbol}`" for abi in f.also if not abi.is_twin)


def _note(f: Function) -> str:
    parts = [part for part in (f.note, f.why) if part]
    without = ", ".join(f"`{abi.symbol}`" for abi in f.without if not abi.is_twin)
    if without:
        parts.append(f"unsupported ABI: {without}")
    return _cell("; ".join(parts))


def _library(library: Library) -> str:
    sections: dict[str, list[Function]] = {}
    for f in library.functions:
        sections.setdefault(f.section, []).append(f)
    supported = sum(f.is_supported for f in library.functions)
    names = len(library.symbols)
    works = sum(len(f.supported) for f in library.functions)
    text = (f"\n## {library.title}\n\n{supported} of {len(library.functions)} functions work: "
            f"{works} of {names} exported names, counting twins and older ABIs.\n\n"
            "| Section | works | of |\n|---|---|---|\n")
    for section, functions in sections.items():
        text += f"| {section} | {sum(f.is_supported for f in functions)} | {len(functions)} |\n"
    for section, functions in sections.items():
        text += f"\n### {library.name}: {section}\n\n"
        works_here = [f for f in functions if f.is_supported]
        if works_here:
            text += "| Function | | Note |\n|---|---|---|\n"
            for f in works_here:
                text += f"| `{f.name}`{_twins(f)}{_others(f)} | {f.mode} | {_note(f)} |\n"
            text += "\n"
        missing = [f"`{f.name}`" for f in functions if not f.is_supported]
        if missing:
            text += "Unsupported: " + ", ".join(missing) + ".\n"
    return text


def coverage_md(libraries: list[Library]) -> str:
    text = INTRO + "".join(_library(library) for library in libraries)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip("\n") + "\n"
