"""Write the theme into Streamlit's configuration: ``python -m ui.config``."""

from pathlib import Path

from charts.theme import theme_toml

_FILE = Path(__file__).parent.parent / ".streamlit" / "config.toml"
_FIRST = "[theme.light]"


def main() -> None:
    """Replace the color tables, which are the end of the file, and leave the settings above them alone."""
    settings = _FILE.read_text(encoding="utf-8").split(_FIRST)[0]
    _FILE.write_text(settings + theme_toml(), encoding="utf-8")


if __name__ == "__main__":
    main()
