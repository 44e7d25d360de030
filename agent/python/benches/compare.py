"""Plasmon beside Ray: the same operations on both, in turn, medians of several rounds; ratios, and the same as JSON.

    compare.py OUTPUT PLASMON_PYTHON [RAY_PYTHON]

The interpreters are those of virtual environments that have the packages. Without Ray's, Plasmon is measured alone. ``README=1`` in the
environment puts the table into the project's README.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7
#: How often each side is begun anew for what can be measured once only.
STARTS = 3
#: What is measured, and how many times better than Ray it has to be.
GOALS = {
    "started": 20,
    "put call": 60,
    "get call": 30,
    "put array of 1 MiB": None,
    "put 100 MiB, warm": None,
    "put 100 MiB, fresh": 2,
    "task, sync": 15,
    "task, async": 15,
    "actor call, sync": 10,
    "actor call, async": 15,
    "actor call with an argument, async": 15,
    "actor calls, 2:2": 15,
    "wait on 1,000 that are there": 20,
    "submit 1,000 and wait for one after the other": 10,
    "get an object of 10,000 references": 20,
    "idle memory, bytes": 10,
}
ONCE = ("started", "put 100 MiB, fresh", "idle memory, bytes")
#: Seconds that a call site may cost, and how much of what memcpy takes a warm put may take.
SITE_AT_MOST, WARM_AT_LEAST = 1e-6, 0.9


class Side:
    """One of both, in a process of its own."""

    def __init__(self, python, name, what):
        script = Path(__file__).with_name("side.py")
        self.process = subprocess.Popen(
            [python, script, name, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        # Whatever else is printed comes before.
        for line in self.process.stdout:
            if line.startswith("["):
                return
        raise SystemExit(f"error: {name} does not start\nhint: run {python} {script} {name} {what} to see why")

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def shown(what, value):
    if value is None:
        return "-"
    if "bytes" in what:
        return f"{value / 2**20:.1f} MiB"
    if value < 1:
        return f"{value * 1e3:.2f} ms" if value >= 1e-3 else f"{value * 1e6:.1f} us"
    return f"{value:.3f} s"


#: Between these is the table in the README.
README = Path(__file__).parents[3] / "README.md"
MARKS = ("<!-- python bench -->\n", "<!-- /python bench -->\n")


def write_readme(table, versions):
    """Puts the table, which is of these versions, between its marks."""
    with open("/proc/cpuinfo") as told:
        processor = next((line.split(":")[1].strip() for line in told if line.startswith("model name")), platform.machine())
    day = time.strftime("%-d %B %Y", time.gmtime())
    lines = [
        f"{len(os.sched_getaffinity(0))} cores of {processor}, Linux {platform.release()}, {versions}; {day}; medians of {ROUNDS} rounds in turns.",
        "",
        "| what | Plasmon | Ray | times | goal |",
        "|---|---|---|---|---|",
    ]
    for row in table:
        what, goal = row["metric"], row["goal"]
        ratio = f"{row['ratio']:.1f}" if row["ratio"] else ""
        if row["met"] is False:
            goal = f"**{goal}, missed**"
        lines.append(f"| {what} | {shown(what, row['value'])} | {shown(what, row['ray'])} | {ratio} | {goal} |")
    judged = [row["met"] for row in table if row["met"] is not None]
    lines += ["", f"{sum(judged)} of {len(judged)} goals met.", ""]
    text = README.read_text()
    before, mark, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        raise SystemExit(f"error: {README} has no marks around the table\nhint: put {MARKS[0].strip()} and {MARKS[1].strip()} where it belongs")
    README.write_text(before + mark + "\n".join(lines) + end + after)


def begun_anew(pythons):
    """What is measured of a node that has just begun: each side in turn, and each as often first as second."""
    figures = {what: {name: [] for name in pythons} for what in ONCE}
    for start in range(STARTS):
        for name in sorted(pythons, reverse=start % 2 == 1):
            side = Side(pythons[name], name, "begin")
            for what in ONCE:
                figures[what][name].append(side.ask(what))
            side.end()
    return figures


def main(output, plasmon, ray=None):
    pythons = {"plasmon": plasmon}
    if ray:
        pythons["ray"] = ray
    else:
        print("ray cannot be installed: plasmon alone")
    table = []
    print(f"{'':46} {'plasmon':>14} {'ray':>14} {'ratio':>8}   goal")

    def tell(what, figures, **more):
        medians = {name: statistics.median(values) for name, values in figures.items()}
        ours, theirs = medians["plasmon"], medians.get("ray")
        ratio = theirs / ours if theirs is not None and ours else None
        goal = GOALS.get(what)
        met = None if goal is None or ratio is None else ratio >= goal
        entry = {"metric": what, "value": ours, "ray": theirs, "ratio": ratio, "goal": f">= {goal}" if goal else "", "met": met, **more}
        table.append(entry)
        told = f"{ratio:.1f}" if ratio else "-"
        missed = "" if entry["met"] in (None, True) else "  missed"
        print(f"{what:46} {shown(what, ours):>14} {shown(what, theirs):>14} {told:>8}   {entry['goal']}{missed}", flush=True)

    for what, figures in begun_anew(pythons).items():
        tell(what, figures)
    sides = {name: Side(python, name, "all") for name, python in pythons.items()}
    for what in GOALS:
        if what in ONCE:
            continue
        figures, more = {name: [] for name in sides}, {}
        floors = []
        for _ in range(ROUNDS):
            for name, side in sides.items():
                figures[name].append(side.ask(what))
            if what == "put 100 MiB, warm":
                floors.append(sides["plasmon"].ask("memcpy 100 MiB"))
        if floors:
            floor, ours = statistics.median(floors), statistics.median(figures["plasmon"])
            more = {"floor": floor, "goal": f">= {WARM_AT_LEAST} of memcpy, {floor / ours:.2f}", "met": floor / ours >= WARM_AT_LEAST}
        tell(what, figures, **more)
    site = statistics.median(sides["plasmon"].ask("call site of a put") for _ in range(ROUNDS))
    tell("call site of a put", {"plasmon": [site]}, goal="< 1 us", met=site < SITE_AT_MOST)
    for side in sides.values():
        side.end()
    Path(output).write_text(json.dumps(table, indent=2) + "\n")
    if os.environ.get("README") == "1":
        if not ray:
            raise SystemExit("error: README=1 writes the table with Ray's figures, and Ray cannot be installed\nhint: it is installed from PyPI")
        version = "import importlib.metadata as m, platform as p; print(f'CPython {p.python_version()}, ray {m.version(\"ray\")}')"
        write_readme(table, subprocess.run([ray, "-c", version], capture_output=True, text=True, check=True).stdout.strip())


if __name__ == "__main__":
    main(*sys.argv[1:])
