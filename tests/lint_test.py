#!/usr/bin/env python3
"""Holds the tree to the rules that a compiler does not know.

    lint_test.py [--source FOLDER] [--build FOLDER]

With --build also what was built: which libraries ours need. Standard library only. Every rule is a
function that yields complaints; `--self-test` shows that each rule finds what it is made for.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

COLUMNS_MAX = 100
CODE = (".cc", ".h", ".cu", ".py", ".sh")
CPP = (".cc", ".h", ".cu")

# folder: patterns of includes that it must not have. Why: DESIGN.md, "Folders".
FORBIDDEN_INCLUDES = {
    "protocol": [r"cuda", r"asio", r"transport/", r"client/", r"server/", r"conf/"],
    "transport": [r"cuda", r"protocol/", r"client/", r"server/", r"conf/"],
    "conf": [r"cuda", r"asio", r"spdlog", r"protocol/", r"transport/", r"client/", r"server/"],
    "client": [r"server/", r"spdlog", r"google/protobuf", r"control\.pb\.h"],
    "server": [r"client/", r"cuda_runtime"],
}
# Nothing but themselves includes these.
LEAVES = ("tests", "bench")
# A folder's own tests may reach further: they put parts together.
TEST_FILE = re.compile(r"(_test\.(cc|py|cu)|test_support\.(cc|h))$|/testing/|/testdata/|^tests/")

# Heavy headers that must not be in a header of ours, where everybody would pay for them.
HEAVY_IN_HEADERS = re.compile(r"asio\.hpp|asio/|toml\+\+|spdlog/|CLI/|\.pb\.h|protozero/")

SLEEPS = re.compile(
    r"\bsleep_(for|until)\b|\b(u|nano|clock_nano)?sleep\s*\(|\btime\.sleep\b|^\s*sleep\s+[0-9]")
# Device code may: it is how a test keeps a kernel running.
NO_SLEEPS = re.compile(r"__nanosleep")

# In pieces, so that this file does not find itself.
FORBIDDEN_WORDS = [re.compile(pattern) for pattern in (
    r"/wo" r"rk/(main|shared|\.library)",  # paths of one machine
    r"/ro" r"ot/", r"/ho" r"me/\w+/",
    r"\b(pk" r"ill|kill" r"all)\b",  # ends other people's processes
    r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b",  # say it in docs/ or do it
)]

FOLDERS_WITH_README = ("bench", "client", "cmake", "conf", "docs", "protocol", "scripts", "server",
                       "tests", "transport")

# What a library in somebody else's process may need: the C library's parts, and ours.
GUEST_NEEDS = re.compile(
    r"^(lib(c|m|dl|rt|pthread|resolv)\.so\.\d+|ld-linux.*|libfarlane_core\.so.*)$")


def tracked_files(source):
    """Paths of all files that belong to the tree, from git if there is one."""
    result = subprocess.run(["git", "-C", source, "ls-files", "-z"], capture_output=True, text=True)
    if result.returncode == 0 and result.stdout:
        return [p for p in result.stdout.split("\0") if p and os.path.isfile(f"{source}/{p}")]
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = [f for f in folders if f not in ("build", ".git", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, name), source) for name in names]
    return sorted(found)


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(1), match.group(2)


def check_includes(path, text, source):
    if not path.endswith(CPP):
        return
    folder = path.split("/")[0]
    is_test = TEST_FILE.search(path) is not None
    for number, _, name in includes(text):
        for leaf in LEAVES:
            if name.startswith(leaf + "/") and folder not in LEAVES and not is_test:
                yield f"{path}:{number}: nothing includes {leaf}/, but this includes {name}"
        if not is_test:
            for pattern in FORBIDDEN_INCLUDES.get(folder, ()):
                if re.match(pattern, name):
                    yield f"{path}:{number}: {folder}/ must not include {name}"
        # The supervisor's headers are read by the supervisor alone.
        heavy = HEAVY_IN_HEADERS.search(name) and not (folder == "server" and "asio" in name)
        if path.endswith(".h") and heavy and not is_test:
            yield f"{path}:{number}: {name} is too heavy for a header; include it in a .cc"


def check_quoted_includes(path, text, source):
    """Includes in quotes are from the project's root, so that a file says where it comes from."""
    if not path.endswith((".cc", ".h")) or path.startswith("tests/apps/"):
        return
    for number, quote, name in includes(text):
        if quote != '"' or name.startswith("generated/") or name.endswith(".inc"):
            continue
        if not os.path.exists(os.path.join(source, name)):
            yield f"{path}:{number}: there is no {name} from the project's root"


def check_pragma_once(path, text, source):
    if path.endswith(".h") and "#pragma once" not in text:
        yield f"{path}:1: a header needs #pragma once"


def check_sleeps(path, text, source):
    if not path.endswith(CODE) or not TEST_FILE.search(path):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if SLEEPS.search(line) and not NO_SLEEPS.search(line) and "lint_test" not in path:
            yield f"{path}:{number}: no test sleeps; wait for the condition with a deadline"


def check_words(path, text, source):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern in FORBIDDEN_WORDS:
            match = pattern.search(line)
            if match:
                yield f"{path}:{number}: \"{match.group(0)}\" does not belong into the tree"


def check_lines(path, text, source):
    if not path.endswith(CODE):
        return
    raw_end = None  # inside R"x( ... )x": another language's text, as its compiler wrote it
    for number, line in enumerate(text.splitlines(), 1):
        if raw_end is not None:
            if raw_end in line:
                raw_end = None
            continue
        raw_start = re.search(r'R"(\w*)\((?!.*\)\1")', line) if path.endswith(CPP) else None
        if raw_start:
            raw_end = f'){raw_start.group(1)}"'
        if len(line) > COLUMNS_MAX:
            yield f"{path}:{number}: {len(line)} columns (limit {COLUMNS_MAX})"
        if line != line.rstrip():
            yield f"{path}:{number}: white space at the end of the line"
        if "\t" in line:
            yield f"{path}:{number}: a tab"


def check_cuda_linking(path, text, source):
    """No CUDA library is ever linked: CMake's ways to do so do not appear."""
    if not (path.endswith("CMakeLists.txt") or path.endswith(".cmake")):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"CUDA" r"::|find_package\(CUDA|enable_language\(CUDA", line):
            yield f"{path}:{number}: nothing of ours links a CUDA library"


def check_links(path, text, source):
    """Links between pages lead somewhere."""
    if not path.endswith(".md"):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("    "):
            continue  # code, where brackets and parentheses meet too
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
            if not re.match(r"[a-z]+:", target) and not os.path.exists(
                    os.path.join(source, os.path.dirname(path), target)):
                yield f"{path}:{number}: the link to {target} leads nowhere"


def check_readmes(source):
    for folder in FOLDERS_WITH_README:
        path = os.path.join(source, folder)
        if os.path.isdir(path) and not os.path.exists(os.path.join(path, "README.md")):
            yield f"{folder}/: a top-level folder needs a README.md"


FILE_RULES = (check_includes, check_quoted_includes, check_pragma_once, check_sleeps, check_words,
              check_lines, check_cuda_linking, check_links)


def check_tree(source):
    for path in tracked_files(source):
        try:
            with open(os.path.join(source, path), encoding="utf-8") as f:
                text = f.read()
        except UnicodeDecodeError:
            continue  # golden vectors, corpora
        for rule in FILE_RULES:
            yield from rule(path, text, source)
    yield from check_readmes(source)


def needed_libraries(path):
    result = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", result.stdout)


def check_guests(build):
    """The client libraries bring what they use inside them."""
    folder = os.path.join(build, "lib", "farlane")
    if not os.path.isdir(folder):
        return
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        # The software device lives in our own server.
        if os.path.islink(path) or ".so" not in name or name.startswith("libsoftcuda"):
            continue
        for needed in needed_libraries(path):
            if not GUEST_NEEDS.match(needed):
                yield f"{name} needs {needed}: link it statically and hidden (DESIGN.md, guests)"


BAD_TREE = {
    "protocol/a.cc": '#include "transport/b.h"\n',
    "transport/b.h": "#include <asio.hpp>\n",
    "client/c.cc": '#include "server/d.h"\n#include "bench/e.h"\n#include "client/none.h"\n',
    "server/d_test.cc": "void f() { std::this_thread::sleep_" "for(1s); }\n",
    "bench/e.h": "#pragma once\n" + "x" * (COLUMNS_MAX + 1) + "\n",
    "conf/CMakeLists.txt": "target_link_libraries(conf CUDA" "::cudart)\n",
    "docs/f.md": "see /wo" "rk/main/f\nand [g](no/g.md#x), [h](https://example.org)\n",
    "tests/g.py": "import time \ntime." "sleep(1)\n",
}
BAD_TREE_COMPLAINTS = (
    r"protocol/a\.cc:1: protocol/ must not include transport/b\.h",
    r"transport/b\.h:1: asio\.hpp is too heavy", r"transport/b\.h:1: .*pragma once",
    r"client/c\.cc:1: client/ must not include", r"client/c\.cc:2: nothing includes bench/",
    r"client/c\.cc:3: there is no client/none\.h", r"server/d_test\.cc:1: no test sleeps",
    r"bench/e\.h:2: 101 columns", r"conf/CMakeLists\.txt:1: nothing of ours links",
    r"docs/f\.md:1: .*does not belong", r"docs/f\.md:2: the link to no/g.md leads nowhere",
    r"tests/g\.py:1: white space", r"tests/g\.py:2: no test sleeps",
    r"docs/: a top-level folder needs",
)


def self_test():
    """Every rule finds its own violation in a tree made of them."""
    with tempfile.TemporaryDirectory(prefix="farlane-lint-") as folder:
        for path, text in BAD_TREE.items():
            os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
            with open(f"{folder}/{path}", "w") as f:
                f.write(text)
        found = list(check_tree(folder))
    return [f"the lint does not find: {pattern}" for pattern in BAD_TREE_COMPLAINTS
            if not any(re.search(pattern, complaint) for complaint in found)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--build", help="a build tree without sanitizers")
    args = parser.parse_args()
    complaints = self_test()
    complaints += check_tree(os.path.abspath(args.source))
    if args.build:
        complaints += check_guests(args.build)
    for complaint in complaints:
        print(complaint)
    print(f"{len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
