"""Sources without what only their readers need: scripts and styles of components go to the browser at every run."""


def squeezed(source: str) -> str:
    """Return a script, a style sheet or a piece of HTML without indentation, empty lines and lines of comment.

    Lines stay lines and nothing inside one is touched, so that a text in quotes stays as it is.

    Args:
        source: its comments stand in lines of their own, behind ``//`` or wholly between ``/*`` and ``*/``, or stay.

    Raises:
        ValueError: a text in backquotes or a comment goes over several lines, whose spaces would be part of it.
    """
    kept: list[str] = []
    for line in source.splitlines():
        bare = line.strip()
        if bare.count("`") % 2 or bare.count("/*") != bare.count("*/"):
            raise ValueError(f"{bare}: goes on in the next line")
        if (
            bare
            and not bare.startswith("//")
            and not (bare.startswith("/*") and bare.find("*/") == len(bare) - 2)
        ):
            kept.append(bare)
    return "\n".join(kept)
