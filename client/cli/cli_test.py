#!/usr/bin/env python3
"""Runs the `farlane` command as a person does, in a folder that looks like an installation.

    cli_test.py PATH/TO/farlane PATH/TO/libfarlane_open.so
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

FARLANE = None
OPEN = None


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="farlane-cli-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.libraries = os.path.join(self.folder, "lib", "farlane")
        os.makedirs(os.path.join(self.folder, "bin"))
        os.makedirs(self.libraries)
        self.farlane = os.path.join(self.folder, "bin", "farlane")
        shutil.copy(FARLANE, self.farlane)
        # Libraries that can be preloaded and do nothing: what the command does is the subject here.
        for name in ("libcudart.so.13", "libcuda.so.1"):
            subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-o",
                            os.path.join(self.libraries, name)], check=True)

    def run_farlane(self, *arguments, **variables):
        environment = {"PATH": os.environ["PATH"], "HOME": self.folder}
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update(variables)
        return subprocess.run([self.farlane, *arguments], env=environment, capture_output=True,
                              text=True, cwd=self.folder, timeout=60)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def environment_of(self, *arguments, **variables):
        result = self.run_farlane("run", *arguments, "--", "/usr/bin/env", "-0", **variables)
        self.assertEqual(result.returncode, 0, result.stderr)
        return dict(entry.split("=", 1) for entry in result.stdout.split("\0") if entry)

    def test_run_sets_the_environment(self):
        seen = self.environment_of("--server", "gpu7:99", LD_PRELOAD="", LD_LIBRARY_PATH="/x")
        self.assertEqual(seen["FARLANE_SERVER"], "gpu7:99")
        self.assertEqual(seen["LD_PRELOAD"].split(":"),
                         [f"{self.libraries}/libcudart.so.13", f"{self.libraries}/libcuda.so.1"])
        self.assertEqual(seen["LD_LIBRARY_PATH"], f"{self.libraries}:/x")
        self.assertEqual(seen["TRITON_LIBCUDA_PATH"], self.libraries)
        self.assertNotIn("FARLANE_DEVICES", seen)
        self.assertEqual(self.environment_of("--devices", "0")["FARLANE_DEVICES"], "0")
        wrong = self.run_farlane("run", "--devices", "many", "--", "/bin/true")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("FARLANE_DEVICES", wrong.stderr)
        seen = self.environment_of(TRITON_LIBCUDA_PATH="/mine")
        self.assertEqual(seen["TRITON_LIBCUDA_PATH"], "/mine")
        self.assertNotIn("FARLANE_CONFIG", seen)

    def test_run_makes_the_config_path_absolute(self):
        self.write("my.toml", 'server = "gpu8:1"\n')
        seen = self.environment_of("--config=my.toml")
        self.assertEqual(seen["FARLANE_CONFIG"], os.path.join(self.folder, "my.toml"))
        self.assertNotIn("FARLANE_SERVER", seen)

        # The same for a path that the environment names.
        seen = self.environment_of(FARLANE_CONFIG="my.toml")
        self.assertEqual(seen["FARLANE_CONFIG"], os.path.join(self.folder, "my.toml"))

    def test_run_takes_a_socket_as_the_server(self):
        seen = self.environment_of("--server", "unix:/run/farlane.sock")
        self.assertEqual(seen["FARLANE_SERVER"], "unix:/run/farlane.sock")

    def test_run_starts_scripts_as_shells_do(self):
        self.write("script", 'echo "$0,$1,$LD_LIBRARY_PATH"; exit 5\n', 0o755)
        result = self.run_farlane("run", "--", "./script", "a b")
        self.assertEqual(result.returncode, 5)
        self.assertEqual(result.stdout, f"./script,a b,{self.libraries}\n")
        with open(os.path.join(self.folder, "binary"), "wb") as f:
            f.write(b"\0\1\2")
        os.chmod(f.name, 0o755)
        result = self.run_farlane("run", "--", "./binary")
        self.assertEqual(result.returncode, 126)
        self.assertIn("Exec format error", result.stderr)

    def test_run_passes_arguments_untouched(self):
        result = self.run_farlane("run", "--", "/usr/bin/printf", "%s,", "--server", "-h", "--", "")
        self.assertEqual(result.stdout, "--server,-h,--,,")
        result = self.run_farlane("run", "/usr/bin/printf", "%s,", "--help")
        self.assertEqual(result.stdout, "--help,")

    def test_run_passes_the_exit_code(self):
        for code in (0, 1, 77, 255):
            self.assertEqual(
                self.run_farlane("run", "--", "sh", "-c", f"exit {code}").returncode, code)
        result = self.run_farlane("run", "--", "sh", "-c", "kill -TERM $$")
        self.assertEqual(result.returncode, -signal.SIGTERM)

    def test_run_says_what_is_wrong(self):
        result = self.run_farlane("run", "--", "no-such-program")
        self.assertEqual(result.returncode, 127)
        self.assertIn("no program no-such-program in PATH", result.stderr)
        result = self.run_farlane("run", "--", "./missing")
        self.assertEqual(result.returncode, 127)
        self.write("plain", "text")
        result = self.run_farlane("run", "--", "./plain")
        self.assertEqual(result.returncode, 126)
        self.assertIn("cannot be started", result.stderr)
        self.write("lost", "#!/no/such/interpreter\n", 0o755)
        result = self.run_farlane("run", "--", "./lost")
        self.assertEqual(result.returncode, 127)
        self.assertIn("interpreter", result.stderr)
        result = self.run_farlane("run", "--", "./lib")
        self.assertEqual(result.returncode, 126)
        self.assertIn("is a folder", result.stderr)
        result = self.run_farlane("run")
        self.assertEqual(result.returncode, 2)
        self.assertIn("farlane run -- PROGRAM", result.stderr)

    def test_run_without_libraries(self):
        os.remove(os.path.join(self.libraries, "libcuda.so.1"))
        result = self.run_farlane("run", "--", "true")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"there is no {self.libraries}/libcuda.so.1", result.stderr)

    def test_run_from_a_folder_that_the_loader_would_cut(self):
        for name in ("my programs", "a:b"):
            os.makedirs(os.path.join(self.folder, name))
            moved = os.path.join(self.folder, name)
            for part in ("bin", "lib"):
                shutil.copytree(os.path.join(self.folder, part), os.path.join(moved, part))
            self.farlane = os.path.join(moved, "bin", "farlane")
            result = self.run_farlane("run", "--", "true")
            self.assertEqual(result.returncode, 1)
            self.assertIn("a space, a colon or a semicolon", result.stderr)

    def test_wrong_settings_stop_the_run(self):
        path = self.write("bad.toml", 'servr = "x:1"\n')
        result = self.run_farlane("run", "--config", path, "--", "true")
        self.assertEqual(result.returncode, 2)
        self.assertIn(f"{path}:1: there is no setting servr; did you mean server?", result.stderr)
        result = self.run_farlane("run", "--server", "nowhere", "--", "true")
        self.assertEqual(result.returncode, 2)
        self.assertIn("HOST:PORT", result.stderr)

    def test_settings_and_their_sources(self):
        path = self.write("client.toml", "[timeouts]\ncall_timeout_ms = 123\n")
        result = self.run_farlane("settings", FARLANE_CONFIG=path, FARLANE_DEVICES="2")
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
        self.assertEqual(lines["timeouts.call_timeout_ms"], ["123", f"{path}:2"])
        self.assertEqual(lines["devices"], ["2", "FARLANE_DEVICES"])
        self.assertEqual(lines["batching.enabled"], ["true", "default"])

    def test_a_full_disk_is_no_success(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([self.farlane, "settings"], stdout=full, text=True,
                                    stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left", result.stderr)

    def test_unknown_words_are_usage_errors(self):
        for arguments in ((), ("fly",), ("run", "--fast", "--", "true"), ("settings", "--x")):
            result = self.run_farlane(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertNotEqual(result.stderr, "")
        self.assertEqual(self.run_farlane("--help").returncode, 0)
        self.assertRegex(self.run_farlane("--version").stdout, r"^farlane \d+\.\d+\.\d+\n$")

    def test_doctor_without_a_server(self):
        # Port 1 of this machine: nobody listens there without being root and asked to.
        result = self.run_farlane("doctor", "--server", "127.0.0.1:1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("connection refused", result.stdout)
        self.assertIn("There are problems", result.stdout)

    def test_doctor_names_mistyped_variables(self):
        result = self.run_farlane("doctor", "--server", "127.0.0.1:1", FARLANE_SEVRER="x")
        self.assertIn("did you mean FARLANE_SERVER?", result.stdout)

    def test_devices_without_a_usable_library(self):
        result = self.run_farlane("devices")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot be used", result.stderr)


# Opens a library and says whose it is; with a name in front of it, through that library.
OPENER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char** names) {
  void* (*open)(const char*, int) = dlopen;
  if (count > 2) open = dlsym(dlopen(names[1], RTLD_NOW), "open_for_me");
  void* const library = open(names[count - 1], RTLD_NOW);
  if (library == NULL) return printf("%s\\n", dlerror()), 3;
  void* const counts = dlsym(RTLD_DEFAULT, "farlane_opened_instead");
  printf("%d %lu\\n", ((int (*)(void))dlsym(library, "whose"))(),
         counts == NULL ? 0 : ((unsigned long (*)(void))counts)());
  return 0;
}
"""


class OpenByPath(unittest.TestCase):
    """A vendor's library that is opened by its path is ours. Whose: ours 1, the vendor's 2."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="farlane-open-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for folder in ("bin", "lib/farlane", "vendor/mates"):
            os.makedirs(os.path.join(cls.folder, folder))
        shutil.copy(FARLANE, os.path.join(cls.folder, "bin", "farlane"))
        shutil.copy(OPEN, os.path.join(cls.folder, "lib", "farlane"))
        for name in ("libcudart.so.13", "libcuda.so.1"):
            cls.library("lib/farlane/" + name, "int whose(void) { return 1; }", name)
        for name in ("libcudart.so.13", "libcudart.so.12", "libother.so.1", "mates/libmate.so"):
            cls.library("vendor/" + name, "int whose(void) { return 2; }", os.path.basename(name))
        cls.library("vendor/libcudart.so.13.2.75", "int whose(void) { return 2; }",
                    "libcudart.so.13")
        for link, name in (("libcudart.so", "libcudart.so.13.2.75"),
                           ("libother.so", "libother.so.1"), ("libgone.so", "libcudart.so.13.9")):
            os.symlink(name, os.path.join(cls.folder, "vendor", link))
        # Only who opens it from there finds libmate.so by name.
        cls.library("vendor/libuser.so", "#include <dlfcn.h>\n"
                    "void* open_for_me(const char* n, int f) { void* h = dlopen(n, f); return h; }",
                    "libuser.so", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/mates")
        cls.compile(OPENER, "opener")

    @classmethod
    def compile(cls, text, path, *options):
        subprocess.run(["cc", "-x", "c", "-", "-o", os.path.join(cls.folder, path), *options],
                       input=text, text=True, check=True)

    @classmethod
    def library(cls, path, text, soname, *options):
        cls.compile(text, path, "-shared", "-fPIC", "-Wl,-soname," + soname, *options)

    def opened(self, *names, **variables):
        """The exit code and what is printed: whose, and how many were exchanged."""
        done = subprocess.run(
            ["bin/farlane", "run", "--", "./opener", *names], cwd=self.folder, text=True,
            env={"PATH": os.environ["PATH"], "HOME": self.folder, **variables},
            capture_output=True, timeout=60)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout.strip()

    def test_ours_in_the_place_of_the_vendors(self):
        for path in ("vendor/libcudart.so.13", "vendor/libcudart.so.13.2.75",
                     "vendor/libcudart.so", f"{self.folder}/vendor/libcudart.so.13"):
            self.assertEqual(self.opened(path), (0, "1 1"), path)
        self.assertEqual(self.opened("libcudart.so.13"), (0, "1 0"))  # by name: the loader's work

    def test_whatever_else_is_what_it_was(self):
        for path in ("vendor/libcudart.so.12", "vendor/libother.so.1", "vendor/libother.so"):
            self.assertEqual(self.opened(path), (0, "2 0"), path)
        for path in ("vendor/libcuda.so.1", "vendor/libgone.so", "libnone.so.1"):
            code, said = self.opened(path)
            self.assertEqual(code, 3, path)
            self.assertIn("cannot open shared object file", said)

    def test_the_caller_is_still_known(self):
        self.assertEqual(self.opened("libmate.so")[0], 3)
        self.assertEqual(self.opened("vendor/libuser.so", "libmate.so"), (0, "2 0"))

    def test_switched_off(self):
        off = {"FARLANE_LIBRARIES_BY_PATH": "false"}
        self.assertEqual(self.opened("vendor/libcudart.so.13", **off), (0, "2 0"))
        # Also inside a run that has it on. An inner `farlane` that is built with ASan must not mind
        # that our library is loaded before its runtime.
        inner = subprocess.run(
            ["bin/farlane", "run", "--", "env", "FARLANE_LIBRARIES_BY_PATH=false",
             "ASAN_OPTIONS=verify_asan_link_order=0", "bin/farlane",
             "run", "--", "./opener", "vendor/libcudart.so.13"], cwd=self.folder, text=True,
            env={"PATH": os.environ["PATH"], "HOME": self.folder}, capture_output=True, timeout=60)
        self.assertEqual((inner.stdout, inner.stderr), ("2 0\n", ""))


if __name__ == "__main__":
    FARLANE = os.path.abspath(sys.argv.pop(1))
    OPEN = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
