"""Runs benchmarks and writes RESULTS.md: every table as its script printed it, with machine, versions, date and command.

What a script printed is kept in `results/NAME.PLACE.json` (PLACE is `cpu` or the kind of device, and the precision where it
isn't plain, as in `cuda-bfloat16-compiled`), so that one can be run again alone; RESULTS.md is made from all of them, by
question. Names on the command line choose scripts; without one all run, which takes hours on a CPU. Options after `--` go to
the scripts that have them: `-m benchmarks.run scaling -- --device cuda` fills in a GPU's tables, kept apart from the CPU's.
Scripts without `--device` are left out where one is given.

    python -m benchmarks.run [--smoke] [--write-only] [NAME ...] [-- OPTION ...]
    python -m benchmarks.run --gpu [PART ...] [-- OPTION ...]
"""

import argparse
import ast
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE / "results"
PACKAGES = ("torch", "torchaudio", "transformers", "captum", "numpy", "scikit-learn", "shap", "shapiq", "mllm-shap")
IMPORTED_AS = {"scikit-learn": "sklearn", "mllm-shap": "mllm_shap"}


#: Folders of scripts, each with its question.
QUESTIONS = {
    "accuracy": "Are explanations right?",
    "cost": "What does a given accuracy cost in model passes?",
    "overhead": "What is spent outside the model?",
    "catalogues": "Many songs, and training runs",
    "pages": "Can every page be read?",
}

#: Parts of one run on a GPU, which are no scripts of their own.
GPU = {"gpu": "On a GPU"}


def list_scripts() -> dict[str, Path]:
    """All benchmarks by name: files in the folders of `QUESTIONS` that run by themselves.

    A name is the file's, after its folder's where two folders have it: `accuracy_answers`, `cost_answers`.
    """
    files = [file for folder in QUESTIONS for file in sorted((HERE / folder).glob("*.py"))]
    scripts = [file for file in files if '__name__ == "__main__"' in file.read_text(encoding="utf-8")]
    shared = Counter(file.stem for file in scripts)
    return {file.stem if shared[file.stem] == 1 else f"{file.parent.name}_{file.stem}": file for file in scripts}


def find_script(name: str) -> Path:
    """The file of a result: a script, or a part of the GPU's run."""
    return HERE / "gpu" / f"{name.removeprefix('gpu_')}.py" if name.startswith("gpu_") else list_scripts()[name]


def name_module(name: str) -> str:
    """A script as `python -m` takes it."""
    return ".".join(("benchmarks", list_scripts()[name].parent.name, list_scripts()[name].stem))


def describe_machine() -> dict[str, str]:
    """Processor, or GPU where there is one."""
    import torch

    about = Path("/proc/cpuinfo")
    models = [line for line in about.read_text().splitlines() if line.startswith("model name")] if about.exists() else []
    machine = {"processor": f"{models[0].split(': ')[-1] if models else platform.processor()}, {os.cpu_count()} cores"}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
        machine["driver"] = f"{tell_driver()}, CUDA {torch.version.cuda}"
    return machine


def tell_driver() -> str:
    """The version of NVIDIA's driver, as its own tool says it."""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if shutil.which(asked[0]) is None:
        return "unknown"
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip().split("\n")[0] or "unknown"


def list_versions() -> dict[str, str]:
    """Python's, and of the packages that count those that are there: a bare machine lacks some."""
    installed = {package: version(package) for package in PACKAGES if find_spec(IMPORTED_AS.get(package, package))}
    return {"python": platform.python_version()} | installed


def tell_revision() -> str:
    """The commit that is measured, and whether files have been changed since; results themselves don't count."""
    commit, changed = (
        subprocess.run(["git", *asked], capture_output=True, text=True, cwd=HERE).stdout.strip()
        for asked in (
            ["rev-parse", "--short", "HEAD"],
            ["status", "--porcelain", "--", "..", ":!results", ":!RESULTS.md", ":!../README.md"],
        )
    )
    return (commit or "unknown") + (" with changes" if changed else "")


def run(name: str, options: list[str]) -> dict[str, Any]:
    """What a script printed, its last line read as JSON, and the machine it ran on. CalledProcessError if it fails."""
    command = [sys.executable, "-m", name_module(name), *options]
    revision, started = tell_revision(), time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    *printed, last = done.stdout.rstrip().splitlines()
    return {
        "name": name,
        "command": f"python -m {name_module(name)} {' '.join(options)}".strip(),
        "date": date.today().isoformat(),
        "revision": revision,
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "machine": describe_machine(),
        "load": round(os.getloadavg()[1], 1),
        "versions": list_versions(),
        "printed": "\n".join(line.rstrip() for line in printed).strip("\n"),
        "figures": json.loads(last),
    }


def tell_tuning(known: list[str]) -> str:
    """A suffix that keeps results of another precision, or compiled ones, apart from the plain ones."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", action="store_true")
    tuning = parser.parse_known_args(known)[0]
    return (f"-{tuning.precision}" if tuning.precision != "float32" else "") + ("-compiled" if tuning.compile else "")


def write_results() -> None:
    """RESULTS.md from all that is kept."""
    kept = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
    (HERE / "RESULTS.md").write_text(lay_out(kept), encoding="utf-8")


def lay_out(kept: list[dict[str, Any]]) -> str:
    """Results as a page, by question; a question without any result is left out where it is a GPU's."""
    parts = [
        "# Results\n",
        "Written by `python -m benchmarks.run`; nothing here is typed by hand. Each script's docstring says what it "
        "measures; its figures are in `results/`. Commands are those of the day of measurement: before version 0.2.0 "
        "scripts were files of one folder. Times are of machines shared with other work (the load is given): ratios are "
        "taken within one run, and mean more than seconds.\n",
    ]
    for folder, question in (QUESTIONS | GPU).items():
        if folder in GPU and not any(result["name"].startswith("gpu_") for result in kept):
            continue
        parts.append(f"## {question}\n")
        for result in kept:
            if find_script(result["name"]).parent.name == folder:
                parts += describe_result(result)
    return "\n".join(parts)


def describe_result(result: dict[str, Any]) -> list[str]:
    """Paragraphs about one script: what it measures, where it was measured, what it printed."""
    machine, packages = (
        ", ".join(f"{key} {value}" for key, value in result[about].items()) for about in ("machine", "versions")
    )
    return [
        f"### {result['name']}\n",
        f"{summarise(result['name'])}\n",
        f"`{result['command']}`, {result['date']}, {result.get('revision', 'revision not kept')}, "
        f"{result['minutes']:g} minutes; {machine}, load {result['load']:g}; {packages}\n",
        f"```text\n{result['printed']}\n```\n",
    ]


def summarise(name: str) -> str:
    """The first sentence of a script's docstring."""
    docstring = ast.get_docstring(ast.parse(find_script(name).read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def pick_place(scripts: list[str], passed: list[str]) -> tuple[list[str], str]:
    """Which scripts run where `--device` says, and that kind of device; ends the process where no device is given."""
    parser = argparse.ArgumentParser(prog="benchmarks.run ... --", add_help=False, allow_abbrev=False)
    parser.add_argument("--device")
    device = parser.parse_known_args(passed)[0].device
    if device is None:
        return scripts, "cpu"
    return [name for name in scripts if has_option(name, "--device")], device.split(":")[0]


def has_option(name: str, option: str) -> bool:
    """Whether a script has an option, of its own or among those that several share."""
    source = list_scripts()[name].read_text(encoding="utf-8")
    for shared in re.findall(r"^from benchmarks\.tools\.(\w+) import .*\badd_options\b", source, re.MULTILINE):
        source += (HERE / "tools" / f"{shared}.py").read_text(encoding="utf-8")
    return f'"{option}"' in source


def keep_known(name: str, passed: list[str]) -> list[str]:
    """Of options with their values those that a script has."""
    kept, known = [], True
    for part in passed:
        if part.startswith("--"):
            known = has_option(name, part.split("=")[0])
        if known:
            kept.append(part)
    return kept


def measure_gpu(passed: list[str]) -> None:
    """Run the GPU's parts, which keep their results themselves, and put them into RESULTS.md."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu.suite", *passed], cwd=HERE.parent)
    if list(KEPT.glob("gpu_*.json")):
        write_results()
    sys.exit(done.returncode)


def main() -> None:
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="run one script in seconds, and keep nothing")
    parser.add_argument(
        "--gpu", action="store_true", help="all that one short run on a GPU settles; see benchmarks/gpu/suite.py"
    )
    parser.add_argument("--write-only", action="store_true", help="make RESULTS.md from what is kept")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options, passed = parser.parse_args(given[:split]), given[split + 1 :]
    scripts = list_scripts()
    if options.gpu:
        measure_gpu([*options.names, *passed, *(["--smoke"] if options.smoke else [])])
        return
    if options.smoke:
        print(json.dumps(run("overhead", ["--smoke"])["figures"]))
        return
    strange = [name for name in options.names if name not in scripts]
    if strange:
        parser.error(f"there is no benchmark {strange[0]!r}: choose of {', '.join(scripts)}.")
    asked = options.names or list(scripts)
    able, place = pick_place(asked, passed)
    if options.names and able != asked:
        parser.error(
            f"{', '.join(name for name in asked if name not in able)} have no --device: leave them out, or the option."
        )
    unknown = [part for part in passed if part.startswith("--") and not any(keep_known(name, [part]) for name in able)]
    if unknown:
        parser.error(f"no benchmark that runs has {unknown[0]}: leave it out.")
    KEPT.mkdir(exist_ok=True)
    for name in () if options.write_only else able:
        print(f"{name} ...", file=sys.stderr, flush=True)
        known = keep_known(name, passed)
        result = run(name, known)
        kept = KEPT / f"{name}.{place}{tell_tuning(known)}.json"
        kept.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        write_results()
    write_results()
    print(json.dumps({"kept": len(list(KEPT.glob("*.json")))}))


if __name__ == "__main__":
    main()
