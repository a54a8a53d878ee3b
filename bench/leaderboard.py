"""Writes what `bench/results/` holds into `bench/LEADERBOARD.md`, a section for each benchmark, day and machine.

    python bench/leaderboard.py [NAME …]

A section that is there already gets its table anew; what people wrote below the table stays. Results of `--quick` and
of code that was not committed are left out, with a word.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from measuring import RESULTS, ROOT

BOARD = ROOT / "bench" / "LEADERBOARD.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of files in bench/results/; all by default")
    names = parser.parse_args().names
    text = BOARD.read_text(encoding="utf-8")
    for file in sorted(RESULTS.glob("*.json")):
        if names and file.stem not in names:
            continue
        result = json.loads(file.read_text(encoding="utf-8"))
        if result.get("is_quick") or not result["is_committed"] or "summary" not in result:
            print(f"{file.name}: left out ({'quick' if result.get('is_quick') else 'not committed, or not finished'})")
            continue
        text = placed(text, heading(file.stem, result), table(result))
    BOARD.write_text(text, encoding="utf-8")


def heading(name: str, result: dict[str, Any]) -> str:
    return f"## {name}, {result['when'][:10]}, {machine(result)}"


def machine(result: dict[str, Any]) -> str:
    """The kind of machine in a few words: what runs, and how fast it multiplies matrices."""
    chip = ", ".join(result["gpus"]) or f"{result['cpu']}, {result['cores']} cores, {result['capability']}"
    peaks = ", ".join(f"{name} {value}" for name, value in result["peak_gflops"].items())
    return f"{chip} ({peaks} GFLOP/s)"


def table(result: dict[str, Any]) -> list[str]:
    """Markdown lines, each beginning with a bar."""
    torch = result["libraries"]["torch"]
    lines = [f"| {result['unit']}; commit {result['commit']}, torch {torch} | median | lowest | highest | n |"]
    lines.append("|---|---|---|---|---|")
    for label, spread in result["summary"].items():
        numbers = " | ".join(shown(spread[key]) for key in ("median", "low", "high"))
        lines.append(f"| {label} | {numbers} | {len(result['rounds'][label])} |")
    return lines


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def placed(text: str, title: str, lines: list[str]) -> str:
    """`text` with the table in the section `title`, which is added at the end where it is missing."""
    sections = text.split("\n## ")
    for i, section in enumerate(sections[1:], 1):
        head, _, body = section.partition("\n")
        if f"## {head}" == title:
            prose = "\n".join(line for line in body.splitlines() if not line.startswith("|")).strip("\n")
            sections[i] = "\n".join([head, "", *lines, "", *([prose, ""] if prose else [])])
            return "\n## ".join(sections)
    return text.rstrip("\n") + "\n\n" + "\n".join([title, "", *lines, ""])


if __name__ == "__main__":
    main()
