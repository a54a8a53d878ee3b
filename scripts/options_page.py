"""Write docs/options.md: every option of a run, from `RunConfig` and the tables that own the names."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "options.md"


def main() -> None:
    from vitscope.workflows.reference import options_page

    PAGE.write_text(options_page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
