"""``python -m plasmon memory`` and ``python -m plasmon agent``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from typing import Any, Optional, Sequence

from . import _plasmon
from .exceptions import PlasmonError

#: How many references that match are named.
_NAMED = 10


def _seconds(text: str) -> float:
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if text.endswith(unit):
            try:
                return float(text[: -len(unit)]) * factor
            except ValueError:
                break
    raise argparse.ArgumentTypeError(f"'{text}' is no time such as 10s or 2m")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m plasmon", description="See inside the shared memory of parallel programs")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("agent", help="run the agent of this node without a dashboard", add_help=False)
    memory = commands.add_parser("memory", help="print every reference: who holds which object, why, and from which line of code")
    memory.add_argument("--address", metavar="URL", help="the agent's stream, such as ws://127.0.0.1:6480 [default: this user's newest live agent]")
    memory.add_argument("--token-file", metavar="FILE", default=os.environ.get("PLASMON_TOKEN_FILE"), help="the file with the agent's token")
    memory.add_argument("--group-by", default="NODE_ADDRESS", choices=["NODE_ADDRESS", "STACK_TRACE", "PID", "REFERENCE_TYPE"], type=str.upper)
    memory.add_argument("--sort-by", default="OBJECT_SIZE", choices=["OBJECT_SIZE", "PID", "REFERENCE_TYPE", "AGE"], type=str.upper)
    memory.add_argument("--reverse", action="store_true", help="smallest first")
    memory.add_argument("--units", default="B", choices=["B", "KB", "MB", "GB", "AUTO"], help="powers of 1000", type=str.upper)
    memory.add_argument("-n", "--num-entries", type=int, metavar="N", help="print at most this many rows of each group")
    memory.add_argument("--stats-only", action="store_true", help="print the sums only")
    memory.add_argument("--no-format", action="store_true", help='separate whole values by " | " instead of aligning them')
    memory.add_argument("--json", action="store_true", help="print JSON")
    memory.add_argument("--filter", metavar="EXPR", help="print only references that match, such as 'site:cache.py size>1m age<10m'")
    memory.add_argument(
        "--fail-on",
        metavar="EXPR|growth",
        action="append",
        default=[],
        help="exit with 1 when a reference matches, or with 'growth' when a creation site keeps more and more",
    )
    memory.add_argument("--growth-time", metavar="TIME", type=_seconds, default=10.0, help="how long --fail-on growth watches [10s]")
    memory.add_argument("--watch", action="store_true", help="print again every second, until interrupted; with --json, one line each time")
    return parser


def _fails(report: _plasmon.Report, condition: str, seconds: float) -> bool:
    word, _, rest = condition.strip().partition(" ")
    if word == "growth":
        lines = report.growth(seconds, rest)
        for line in lines:
            print(f"fail-on: {line}", file=sys.stderr)
        return bool(lines)
    matching = report.filtered(condition)
    if len(matching):
        _tell(json.loads(matching.json()), condition)
    return bool(len(matching))


def _tell(matching: dict[str, Any], condition: str) -> None:
    """Says which references match, how many, and of how many bytes."""
    rows, totals = matching["references"], matching["totals"]

    def count(number: int, noun: str) -> str:
        return f"{number} {noun}{'' if number == 1 else 's'}"

    objects = count(totals["unique_objects"], "unique object")
    print(f"fail-on: {count(len(rows), 'reference')} to {objects}, {totals['unique_bytes']} B, match {condition!r}", file=sys.stderr)
    for row in rows[:_NAMED]:
        size = "size unknown" if row["size_bytes"] is None else f"{row['size_bytes']} B"
        # Names of files and functions are the program's: nothing in them moves the cursor.
        site = "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in row["call_site"])
        print(f"  {row['object_id']} {row['reference_type']} {size} held by {row['pid']} at {site}", file=sys.stderr)
    if len(rows) > _NAMED:
        print(f"  … {len(rows) - _NAMED} more", file=sys.stderr)


def _memory(options: argparse.Namespace) -> int:
    while True:
        report = _plasmon.Report(options.address, options.token_file)
        shown = report.filtered(options.filter) if options.filter else report
        if options.json:
            # Again and again, one line is one report.
            text = (json.dumps(json.loads(shown.json()), separators=(",", ":")) if options.watch else shown.json()) + "\n"
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            text = shown.text(
                options.group_by,
                options.sort_by,
                options.reverse,
                options.units,
                options.num_entries,
                options.stats_only,
                options.no_format,
                width,
            )
            if options.watch:
                text = "\x1b[H\x1b[2J" + text
        sys.stdout.write(text)
        sys.stdout.flush()
        if any([_fails(report, condition, options.growth_time) for condition in options.fail_on]):
            return 1
        if not options.watch:
            return 0
        time.sleep(1)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command; its exit code: 0 done, 1 a condition asked for holds, 2 an error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] == "agent":
        return _plasmon.agent_command(list(arguments[1:]))
    try:
        parser = _parser()
        options = parser.parse_args(arguments)
        for one, other in (("json", "no_format"), ("json", "stats_only"), ("fail_on", "watch")):
            if getattr(options, one) and getattr(options, other):
                parser.error(f"--{one} cannot be used with --{other}".replace("_", "-"))
        return _memory(options)
    except BrokenPipeError:
        # Whoever read has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (PlasmonError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
