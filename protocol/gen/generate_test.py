#!/usr/bin/env python3
"""The generator's refusals, the coverage page's currency, and what the built façades export.

    generate_test.py [--nm NM] [LIBRARY.so=NAME ...]     NAME: cudart or cuda
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import generate
from farlane_gen import (api_model, cudax_model, emit_coverage, emit_cudax, emit_driver_table,
                         emit_facade, output, wire_model)

LIBRARIES: dict[str, str] = {}  # façade: path of the built library
LIMITS = {"name_bytes_max"}


def wire(text: str) -> wire_model.Wire:
    return wire_model.read_wire(text, "test.api", LIMITS)


def api(text: str) -> api_model.Library:
    return api_model.read_api("library cudart\nreason wait waits\n" + text, "test.api")


class WireRefusals(unittest.TestCase):
    def refused(self, text: str, part: str) -> None:
        with self.assertRaises(wire_model.ApiError) as caught:
            wire(text)
        self.assertIn(part, str(caught.exception))

    def test_mistakes_are_named_with_their_line(self) -> None:
        self.refused("post a = 1 { }\npost b = 1 { }", "test.api:2: b = 1 is taken by a = 1")
        self.refused("post a = 1 { }\npost a = 2 { }", "is taken")
        self.refused("post a = 0 { }", "not in 1..65535")
        self.refused("post a = 1 { u32 x  u64 y }", "a.y would leave a hole at byte 4")
        self.refused("struct s { u32 x  addr y }", "would leave a hole")
        self.refused("post a = 1 { bytes<nothing> x }", "nothing is not a constant of limits.h")
        self.refused("post a = 1 { list<nothing, name_bytes_max> x }", "no type or struct")
        self.refused("post a = 1 { u32 x  u32 x }", "two fields of one name")
        self.refused("post a = 1 { body  u32 x }", "body stands at the end")
        self.refused("ask a = 1 { body } -> { }", "only a post or tell has a body")
        self.refused("ask a = 1 { }", "the file ends")
        self.refused("pos a = 1 { }", "'pos' where struct, post, ask or tell was expected")
        self.refused("post a = 1 { u32 x ! }", "cannot read")

    def test_layout(self) -> None:
        message = wire("post a = 1 { u64 x  string<name_bytes_max> s  u32 y }").messages[0]
        self.assertEqual([(f.name, at) for f, at in message.fields.layout()[0]],
                         [("x", 0), ("s", 8), ("y", 12)])
        reply = wire("ask a = 1 { } -> { u64 x }").messages[0].reply
        self.assertEqual([f.name for f in reply.fields], ["result", "pad", "executed", "x"])


class ApiRefusals(unittest.TestCase):
    def refused(self, text: str, part: str) -> None:
        with self.assertRaises(wire_model.ApiError) as caught:
            api(text)
        self.assertIn(part, str(caught.exception))

    def test_mistakes_are_named_with_their_line(self) -> None:
        self.refused("asked int f(void);", "test.api:3: f is asked")
        self.refused("local int f(void); why=wait", "exactly when it is asked")
        self.refused("asked int f(void); why=fun", "is no attribute")
        self.refused("local int f(void)", "semicolon")
        self.refused("loca int f(void);", "'loca' where a mode")
        self.refused("local int f(void);\nlocal int f(int x);", "f stands already at test.api:3")
        self.refused("local int f(void); ptsz\nlocal int f_ptsz(void);", "f_ptsz stands already")
        self.refused("unsupported int f(void); without(g)", "stand in also")
        self.refused("local int f(void); ptzs", "is no attribute")
        self.refused("local int f(void); ptsz !", "cannot read the attributes from '!' on")

    def test_attributes(self) -> None:
        f = api('asked int f_v2(int a); since=3020 ptsz=7000 also(f@2000) without(g@1) why=wait '
                'note("n")').functions[0]
        self.assertEqual([(abi.symbol, abi.since, abi.base) for abi in f.supported],
                         [("f_v2", 3020, "f"), ("f_v2_ptsz", 7000, "f"), ("f", 2000, "f")])
        self.assertEqual([abi.symbol for abi in f.unsupported], ["g"])
        self.assertEqual((f.why, f.note, f.parameters), ("waits", "n", "int a"))

    def test_one_word_makes_a_stub_of_a_function(self) -> None:
        for mode, stub, supported in (("local", False, True), ("unsupported", True, False)):
            text = emit_facade.stubs_cc(api(f"{mode} int f(void); ptsz"))
            for symbol in ("f", "f_ptsz"):
                self.assertEqual(f"EXPORTED int {symbol}() {{" in text, stub)
                self.assertEqual(f"    {symbol},\n" in text, supported)


def cudax(text: str) -> cudax_model.CudaxLibrary:
    head = "library x\nnumber 3\npointers device\nobject handle h_t\nobject matrix m_t\n"
    statuses = "".join(f"status {key} X_{key}\n" for key in cudax_model.STATUSES)
    return cudax_model.read_cudax(head + statuses + "reason fact a fact\n" + text, "test.api")


class Cudax(unittest.TestCase):
    def refused(self, text: str, part: str) -> None:
        with self.assertRaises(wire_model.ApiError) as caught:
            cudax(text)
        self.assertIn(part, str(caught.exception))

    def test_mistakes_are_named(self) -> None:
        self.refused("1 posted int f(h_t h, int n); computes(n)", "f has no object n")
        self.refused("1 posted int f(h_t h, m_t m); fills(k)", "f has no object k")
        self.refused("1 posted int f(h_t h, int *n); n:out", "out parameter and is not asked")
        self.refused("1 asked int f(h_t h, int *n); n:out", "asked without why=REASON")
        self.refused("posted int f(h_t h);", "a number exactly when it travels")
        self.refused("1 posted int f(h_t h);\n1 posted int g(h_t h);", "stands already")
        self.refused("1 posted int f(h_t h); m:out", "names no parameter and role")
        self.refused("posted void f(int n); on(g) header(old.h)", "g is no function that travels")
        self.refused("1 posted int g(h_t h);\nasked void f(void); on(g) header(old.h) why=fact",
                     "f is asked, and g is not")
        self.refused("1 posted int g(h_t h);\nposted void f(void); on(g)", "say which header")

    def test_what_a_call_finds_out_is_said(self) -> None:
        library = cudax("1 posted int f(h_t h, m_t m, float *x); computes(m)")
        calls = "".join(emit_cudax.client_parts(library, 1))
        for line in ("call.object(m, 0x302);", "call.address(x);", "call.computes(m);"):
            self.assertIn(line, calls)

    def test_a_name_that_no_header_has_is_checked(self) -> None:
        check = emit_cudax.check_cc(cudax("1 posted int f(h_t h);\n"
                                          "unsupported int g(void); undeclared"))
        self.assertIn("template struct Declared<int (*)(h_t h), &::f>;", check)
        self.assertIn("template struct Undeclared<g>;", check)
        self.assertNotIn("Undeclared<f>", check)


    def test_the_first_api_is_made_of_the_other(self) -> None:
        library = cudax(
            "1 posted int g_v2(h_t h, cublasOperation_t t, int n, const float *a, float *x);\n"
            "2 asked int d_v2(h_t h, const float *x, float *r); r:out why=fact\n"
            "posted void g(char t, int n, float a, float *x); on(g_v2) header(old.h)\n"
            "asked float d(const float *x); on(d_v2) why=fact header(old.h)")
        first = emit_cudax.first_cc(library)
        for line in ("#include <old.h>", "void g(char t, int n, float a, float *x) {",
                     "first_posted(is_operation(t), [&](cublasHandle_t handle) {",
                     "return g_v2(handle, operation(t), n, &a, x);",
                     "first_asked(true, [&](cublasHandle_t handle) {",
                     "return d_v2(handle, x, &result);", "  return result;",
                     "template struct Declared<float (*)(const float *x), &::d>;"):
            self.assertIn(line, first)
        self.assertNotIn("&::d>", emit_cudax.check_cc(library))
        with self.assertRaises(wire_model.ApiError):
            emit_cudax.first_cc(cudax("1 posted int g_v2(h_t h, int n);\n"
                                      "posted void g(int n, int m); on(g_v2) header(old.h)"))


class Output(unittest.TestCase):
    def test_a_file_that_stays_the_same_is_not_touched(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sub" / "file"
            output.write(path, "text")
            before = path.stat().st_mtime_ns
            output.write(path, "text")
            self.assertEqual(path.stat().st_mtime_ns, before)
            output.write(path, "other")
            self.assertEqual(path.read_text(), "other")


class Described(unittest.TestCase):
    def test_the_coverage_page_is_current(self) -> None:
        page = generate.PROTOCOL.parent / "docs" / "coverage.md"
        libraries = generate.read_libraries() + generate.read_cudax()
        self.assertEqual(page.read_text(), emit_coverage.coverage_md(libraries),
                         "make it again: protocol/gen/generate.py coverage docs")

    def test_every_name_of_the_vendors_libraries_is_described(self) -> None:
        counts = {library.name: len(library.symbols) for library in generate.read_libraries()}
        self.assertEqual(counts, {"cudart": 422, "cuda": 637, "nvml": 398})

    def test_the_driver_table_names_each_function_once(self) -> None:
        text = (generate.PROTOCOL / "api" / "driver.api").read_text()
        self.assertGreater(len(emit_driver_table.read_driver(text)), 100)
        with self.assertRaises(wire_model.ApiError):
            emit_driver_table.read_driver("required cuInit\noptional cuInit")

    def test_the_built_libraries_export_what_is_described(self) -> None:
        for library in generate.read_libraries():
            if library.name not in LIBRARIES:
                continue
            listing = subprocess.run(
                ["nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARIES[library.name]],
                check=True, capture_output=True, text=True).stdout
            found: dict[str, str] = {}
            nodes = set()
            for line in listing.splitlines():
                _, kind, versioned = line.split(None, 2)
                symbol, _, node = versioned.partition("@")
                if kind == "A":
                    continue  # the version node itself
                found[symbol] = kind
                nodes.add(node.lstrip("@"))
            self.assertEqual(sorted(found), library.symbols, library.name)
            self.assertEqual(nodes, {library.node}, library.name)
            # A façade that makes its stubs weak shows what it has written itself.
            if "W" not in found.values():
                continue
            written = {symbol for symbol, kind in found.items() if kind == "T"}
            described = {abi.symbol for f in library.functions for abi in f.supported}
            self.assertEqual(written - described, set(), f"{library.name}: written, not described")
            self.assertEqual(described - written, set(), f"{library.name}: described, not written")


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if "=" in a]
    for argument in arguments:
        path, _, name = argument.rpartition("=")
        LIBRARIES[name] = path
    unittest.main(argv=sys.argv[:1] + [a for a in sys.argv[1:] if a and "=" not in a])
