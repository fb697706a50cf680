"""The main job end to end, by the public commands: `make demo`.

Three simulated devices of different kinds join a fleet. A first model is converted, signed
and rolled out; a better one follows, canary first; then two bad ones are sent, each bad in a
way that really happens: the devices refuse the one and take back the other. Real images are
classified without a pause all the while.
"""

import argparse
import shutil
import signal
import socket
import sys
import time
from datetime import datetime
from pathlib import Path

from examples.demo import screenshot
from examples.demo.programs import CommandFailed, Programs
from examples.demo.traffic import failures, summarise

FASHION = Path(__file__).resolve().parents[1] / "fashion"
MODELS, DATA = FASHION / "models", FASHION / "data"
LIVE_CLIENT = Path(__file__).with_name("live_client.py")

DEVICES = {"gateway-1": "x86-gateway", "pi-1": "raspberry-pi-5", "box-1": "generic"}
"""Device name -> profile; each profile prefers another engine."""
TARGETS = ("--target", "onnx", "--target", "openvino", "--target", "tflite")
"""Those that this machine can run; Core ML and TensorRT would be written too."""
FIRST = ("--canary", "0", "--probation", "1", "--min-requests", "0")
"""Nothing is served yet, so there is nothing to be careful about and no traffic to judge by."""
CANARY = ("--canary", "1", "--probation", "6", "--min-requests", "40", "--max-latency-ratio")
"""A minute of probation would be usual; the demo has not the time. The budget follows."""
BIGGER, EQUAL = "5", "1.5"
"""v2 is a larger network than v1 and may take its time; v3 and v4 are to be as fast as v2."""
MARK = ".edgewright-demo"


class Demo:
    """The tour. Each method is one stop; `main` walks them in order."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.folder = programs.folder
        self.http = {name: f"127.0.0.1:{free_port()}" for name in DEVICES}
        self.logs = [self.folder / f"client-{name}.jsonl" for name in DEVICES]
        self.marks: list[tuple[str, float]] = []

    def convert(self) -> None:
        """One command a model; the int8 figures are measured on the engine that will serve."""
        samples = ("--calibration", str(DATA / "calibration.npz"))
        held_out = ("--evaluate", str(DATA / "evaluation.npz"))
        for version, model in (("1", "v1"), ("2", "v2"), ("4", "v4-dense")):
            self.programs.run(
                "convert", str(MODELS / f"{model}.onnx"), "--name", "fashion",
                "--release-version", version, *TARGETS, *samples, *held_out,
                "--out", f"v{version}.bundle",
            )  # fmt: skip  # reads as the command line that it is
        self.programs.run("bundle", "check", "v2.bundle")

    def assemble_the_wrong_one(self) -> None:
        """v3 was built by hand around the converter, with the figure from somebody's notebook."""
        self.programs.run(
            "convert", str(MODELS / "v3.onnx"), "--name", "fashion", "--precision", "float",
            "--release-version", "3", *TARGETS, "--out", "v3-unmeasured.bundle",
        )  # fmt: skip  # as above
        variants = []
        for target, file in (("onnx", "v3.onnx"), ("openvino", "v3.xml"), ("tflite", "v3.tflite")):
            self.programs.run(
                "bundle", "extract", "v3-unmeasured.bundle", "--target", target, "--out", file
            )
            variants += ["--variant", f"{target}={file}"]
        self.programs.run(
            "bundle", "assemble", "--name", "fashion", "--release-version", "3", *variants,
            "--golden-from", "v2.bundle", "--accuracy", "0.92", "--out", "v3.bundle",
        )  # fmt: skip  # as above

    def start_fleet(self) -> None:
        """Keys first: root and targets stay with the operator, only the online ones serve."""
        self.programs.run("keys", "init", "--dir", "keys")
        self.programs.start("fleet", "fleet", "serve", "--data", "fleet", "--keys", "keys/online")
        ready = self.folder / "fleet" / "server.json"
        self.programs.wait_for("the fleet's start", ready.exists)
        for version in ("1", "2"):
            self.publish(version)

    def publish(self, version: str) -> None:
        """Sign a bundle's digests with the offline targets key and upload what is new."""
        self.programs.run(
            "fleet", "publish", f"v{version}.bundle", "--keys", "keys/offline", "--data", "fleet"
        )

    def enrol(self) -> None:
        """Each device makes its own key; the fleet's CA signs its request."""
        for name, profile in DEVICES.items():
            token = self.programs.ask("fleet", "token", "create", "--data", "fleet")["token"]
            self.programs.run(
                "runtime", "enroll", "--token", token, "--state", name,
                "--name", name, "--profile", profile,
            )  # fmt: skip  # as above
            self.programs.start(
                name, "runtime", "serve", "--state", name, "--http", self.http[name]
            )

    def roll_out(self, version: str, *options: str, ticket: str) -> int:
        """Start a rollout and follow it to its end; 0 complete, 1 halted."""
        self.mark(f"rolling out v{version}")
        return self.programs.run(
            "fleet", "rollout", "start", f"fashion@{version}", "--id", f"v{version}", *options,
            "--change-ticket", ticket, "--data", "fleet", "--wait", may_fail=True,
        )  # fmt: skip  # as above

    def start_clients(self) -> None:
        """One client a device, 25 requests a second each, until the end of the demo."""
        for name, log in zip(DEVICES, self.logs, strict=True):
            self.programs.start_python(
                f"client-{name}", LIVE_CLIENT, "--url", self.http[name],
                "--images", str(DATA / "evaluation.npz"), "--out", str(log),
            )  # fmt: skip  # as above
        self.programs.wait_for(
            "the first answers",
            lambda: all(log.exists() and log.stat().st_size > 1000 for log in self.logs),
        )
        self.mark("v1 serving")

    def mark(self, label: str) -> None:
        """A new row in the table of what the clients saw."""
        self.marks.append((label, time.time()))

    def active_versions(self) -> dict[str, str]:
        """Device -> version that it says it serves."""
        devices = self.programs.ask("fleet", "devices", "list", "--data", "fleet")
        return {d["id"]: (d["active"] or {}).get("version", "-") for d in devices}

    def settle(self, version: str) -> None:
        """Wait until every device reports `version`."""
        self.programs.wait_for(
            f"v{version} on every device",
            lambda: set(self.active_versions().values()) == {version},
        )

    def sum_up(self) -> int:
        """Print what the clients saw; the number of failed requests."""
        self.programs.stop("client-")
        print(
            f"\n  {'while':<34}{'requests':>9}{'failed':>8}{'accuracy':>10}{'p50 ms':>8}  served by"
        )
        ends = [at for _, at in self.marks[1:]] + [float("inf")]
        for (label, since), until in zip(self.marks, ends, strict=True):
            seen = summarise(self.logs, since, until)
            if seen.requests:
                print(
                    f"  {label:<34}{seen.requests:>9}{seen.failed:>8}{seen.accuracy:>10.1%}"
                    f"{seen.latency_ms_p50:>8.1f}  {', '.join(seen.releases)}"
                )
        total = summarise(self.logs)
        print(
            f"  {'in all':<34}{total.requests:>9}{total.failed:>8}{total.accuracy:>10.1%}"
            f"{total.latency_ms_p50:>8.1f}"
        )
        for error in failures(self.logs)[:5]:
            print(f"  failed: {error}")
        return total.failed


def main() -> int:
    """Walk the tour; 0 when everything went as it must."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run-folder", type=Path, default=Path("demo-run"))
    parser.add_argument("--keep", action="store_true", help="leave the fleet up to play with")
    arguments = parser.parse_args()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, like Ctrl-C
    with Programs(fresh_folder(arguments.run_folder)) as programs:
        try:
            shortfalls = tour(Demo(programs), started)
            if arguments.keep:
                wait_for_enter()
        except CommandFailed as error:
            print(f"\ndemo: {error}", file=sys.stderr)
            print(f"demo: the logs are in {programs.folder}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\ndemo: interrupted; ending what was started", file=sys.stderr)
            return 130
    for shortfall in shortfalls:
        print(f"demo: {shortfall}", file=sys.stderr)
    return 1 if shortfalls else 0


def tour(demo: Demo, started: float) -> list[str]:
    """All stops in order; what did not go as it must, in words."""
    shortfalls = []

    def expect(fact: bool, otherwise: str) -> None:
        if not fact:
            shortfalls.append(otherwise)

    title(started, "1 · Convert: a trained model becomes one bundle with a variant per target")
    say(
        "Nothing is taken on faith: each candidate is run on the engine that will serve it, on",
        "images that calibration never saw. The bundle carries golden vectors, inputs with the",
        "answers that any device must be able to repeat.",
    )
    demo.convert()

    title(
        started, "2 · Sign and publish: no machine that is online can make a device install things"
    )
    demo.start_fleet()

    title(
        started, "3 · Enrol three devices: a gateway, a Raspberry Pi and a generic box (simulated)"
    )
    demo.enrol()

    title(started, "4 · Roll out v1, then send real images to all three until the end")
    demo.roll_out("1", *FIRST, ticket="DEMO-1")
    demo.settle("1")
    demo.start_clients()
    time.sleep(4)

    title(
        started,
        "5 · Roll out v2: first one device, the canary; the others only when it has held up",
    )
    code = demo.roll_out("2", *CANARY, BIGGER, ticket="DEMO-2")
    expect(code == 0, "the rollout of v2 did not complete")
    demo.settle("2")
    demo.mark("v2 everywhere")
    time.sleep(2)

    title(started, "6 · v3 promises 92 %: somebody's notebook said so. The golden vectors say no")
    say(
        "The team normalised the images in its training script and forgot to export that step.",
        "The file loads, runs and is fast. The canary tries it on its own engine before it goes",
        "anywhere near a client.",
    )
    demo.assemble_the_wrong_one()
    demo.publish("3")
    code = demo.roll_out("3", *CANARY, EQUAL, ticket="DEMO-3")
    expect(code == 1, "v3 was not refused")
    demo.settle("2")
    demo.mark("v2 still everywhere")

    title(
        started, "7 · v4 is right, but too slow under live load: the device takes it back by itself"
    )
    demo.publish("4")
    code = demo.roll_out("4", *CANARY, EQUAL, ticket="DEMO-4")
    expect(code == 1, "v4 was not taken back")
    demo.settle("2")
    demo.mark("v2 again everywhere")
    time.sleep(3)

    title(started, "8 · What the clients saw, and the log that cannot be rewritten")
    failed = demo.sum_up()
    expect(failed == 0, f"{failed} requests failed")
    expect(demo.programs.run("fleet", "audit", "verify", "--data", "fleet") == 0, "audit")
    show_update_times(demo)
    show_console(demo)
    print(f"\n  Done in {time.monotonic() - started:.0f} s.")
    return shortfalls


def show_update_times(demo: Demo) -> None:
    """How each rollout ended, and how long its devices took, from the fleet's own records."""
    print()
    for version in ("1", "2", "3", "4"):
        status = demo.programs.ask("fleet", "rollout", "status", f"v{version}", "--data", "fleet")
        rollout = status["rollout"]
        print(f"  fashion@{version}: {rollout['state']}; {rollout['reason']}")
        for device in status["devices"]:
            if device["assigned_at"] and device["settled_at"]:
                took = datetime.fromisoformat(device["settled_at"]) - datetime.fromisoformat(
                    device["assigned_at"]
                )
                print(
                    f"    {device['device']:<10} {device['outcome']:<12} "
                    f"{took.total_seconds():.1f} s after it was assigned"
                )


def show_console(demo: Demo) -> None:
    """The console's address, and a picture of it where Chromium is installed."""
    access = demo.programs.ask("fleet", "console", "--data", "fleet")
    print(f"\n  The console: {access['url']}")
    browser = screenshot.find_browser()
    if browser is not None:
        picture = demo.folder / "console.png"
        screenshot.take(browser, access["url"], picture, demo.folder / "browser")
        print(f"  A picture of it: {picture}")


def fresh_folder(folder: Path) -> Path:
    """An empty run folder; one of an earlier demo is removed, anything else is left alone."""
    folder = folder.resolve()
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise SystemExit(f"demo: {folder} is not empty and no demo made it; choose another")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    return folder


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def title(started: float, text: str) -> None:
    """A heading, with the seconds since the start."""
    print(f"\n\033[1m[{time.monotonic() - started:4.0f} s] {text}\033[0m", flush=True)


def say(*lines: str) -> None:
    """A few words on why this matters."""
    for line in lines:
        print(f"  {line}", flush=True)


def wait_for_enter() -> None:
    """Keep everything up until a person is done."""
    try:
        input("\n  The fleet is up. Press Enter to end it. ")
    except EOFError:
        while True:
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
