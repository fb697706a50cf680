"""Runs the benchmarks behind docs/benchmarks.md: `python -m benchmarks [NAME]...`."""

import argparse
import pkgutil
import subprocess
import sys

import benchmarks

PREFIX = "bench_"


def main() -> int:
    """Run each benchmark in a process of its own; 1 when one of them failed."""
    names = sorted(
        module.name.removeprefix(PREFIX)
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name.startswith(PREFIX)
    )
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names)}")
    wanted = parser.parse_args().names or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(names)}")
    failed = 0
    for name in wanted:
        print(f"\n== {name} ==", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{PREFIX}{name}"]
        failed |= bool(subprocess.run(command, check=False).returncode)
    return failed


if __name__ == "__main__":
    sys.exit(main())
