"""Brings the wheels that the GPU benchmark needs on a bare machine into a folder, and says how large they are.

The list is `benchmarks/gpu_wheels.txt`; each wheel is for Python 3.12 on x86-64, whatever runs this. What has no wheel of
its own is built here, which only pure Python may be. `--smoke` reads the list and brings nothing.

    python -m benchmarks.tools.wheels FOLDER [--smoke]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).parents[1] / "gpu_wheels.txt"
#: What the machine that they are for takes.
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
#: Compiled, these are several times as large, and nothing here is faster for it. (soundfile's pure wheel lacks its library.)
PURE = ("fonttools",)
PYTHON = "3.12"
#: MiB that all wheels together may have.
MOST = 40.0


def read_list(path: Path = LIST) -> list[str]:
    """Requirements, each pinned. ValueError for one that isn't."""
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pins = [line for line in lines if line]
    for pin in pins:
        if pin.count("==") != 1 or not all(pin.split("==")):
            raise ValueError(f"{pin!r} in {path.name} isn't pinned: write NAME==VERSION.")
    return pins


def bring(pin: str, folder: Path) -> None:
    """One wheel; CalledProcessError where there is none and none can be built."""
    quiet = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    names = ("any",) if pin.partition("==")[0] in PURE else PLATFORMS
    wanted = ["--only-binary=:all:", "--python-version", PYTHON, *(part for name in names for part in ("--platform", name))]
    done = subprocess.run([*quiet, "download", "--no-deps", *wanted, "--dest", str(folder), pin], capture_output=True)
    if done.returncode:
        subprocess.run([*quiet, "wheel", "--no-deps", "--wheel-dir", str(folder), pin], check=True)


def weigh(folder: Path) -> dict[str, float]:
    """MiB of every wheel, the largest first."""
    wheels = sorted(folder.glob("*.whl"), key=lambda path: -path.stat().st_size)
    return {path.name: path.stat().st_size / 2**20 for path in wheels}


def find_foreign(names: list[str]) -> list[str]:
    """Wheels that another Python or machine couldn't install: built here, with compiled code in them."""
    fits = ("-any.whl", "x86_64.whl")
    pythons = ("py3-", "py2.py3-", "cp312-", "abi3-")
    return [name for name in names if not name.endswith(fits) or not any(python in name for python in pythons)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--smoke", action="store_true", help="read the list alone")
    options = parser.parse_args()
    pins = read_list()
    if options.smoke:
        print(json.dumps({"pinned": len(pins)}))
        return
    if options.folder is None:
        parser.error("give a folder for the wheels.")
    options.folder.mkdir(parents=True, exist_ok=True)
    for pin in pins:
        bring(pin, options.folder)
    sizes = weigh(options.folder)
    for name, size in sizes.items():
        print(f"{size:8.2f} MiB  {name}")
    total = sum(sizes.values())
    print(json.dumps({"wheels": len(sizes), "pinned": len(pins), "mib": round(total, 1)}))
    if total > MOST or len(sizes) != len(pins) or find_foreign(list(sizes)):
        parser.error(
            f"{total:.1f} MiB in {len(sizes)} wheels of {len(pins)}, {find_foreign(list(sizes)) or 'none'} foreign."
        )


if __name__ == "__main__":
    main()
