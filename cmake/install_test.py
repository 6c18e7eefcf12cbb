#!/usr/bin/env python3
"""Installs a build tree into a scratch folder and tries what is there.

    install_test.py --cmake CMAKE --build FOLDER
"""
import argparse
import os
import subprocess
import sys
import tempfile

EXPECTED = (
    "bin/farlane", "bin/gpuserverd", "bin/farlane-bench",
    "lib/farlane/libcudart.so.13", "lib/farlane/libcudart.so", "lib/farlane/libcuda.so.1",
    "lib/farlane/libfarlane_core.so", "lib/farlane/libfarlane_open.so",
    "lib/farlane/libsoftcuda.so",
    "etc/farlane/client.example.toml", "etc/farlane/server.example.toml",
    "share/doc/farlane/README.md", "share/doc/farlane/LICENSE",
    "share/doc/farlane/docs/configuration.md",
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--build", required=True)
    args = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="farlane-install-") as stage:
        # DESTDIR, as packagers do it.
        subprocess.run([args.cmake, "--install", args.build, "--prefix", "/opt/farlane"],
                       env={**os.environ, "DESTDIR": stage}, check=True,
                       stdout=subprocess.DEVNULL)
        prefix = os.path.join(stage, "opt/farlane")
        wrong += [f"{path} is not installed" for path in EXPECTED
                  if not os.path.exists(os.path.join(prefix, path))]
        outside = set(os.listdir(prefix)) - {"bin", "lib", "etc", "share"}
        wrong += [f"{name} does not belong there" for name in sorted(outside)]
        # The installed command finds the installed libraries, not the build's.
        result = subprocess.run([os.path.join(prefix, "bin/farlane"), "run", "--", "env"],
                                capture_output=True, text=True)
        if f"LD_LIBRARY_PATH={prefix}/lib/farlane" not in result.stdout:
            wrong.append(f"farlane run does not use {prefix}/lib/farlane: {result.stderr}")
        for name in ("libfarlane_core.so", "libcudart.so.13", "libcuda.so.1"):
            text = subprocess.run(["readelf", "-d", os.path.join(prefix, "lib/farlane", name)],
                                  capture_output=True, text=True).stdout
            if args.build in text:
                wrong.append(f"{name} still names the build folder")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
