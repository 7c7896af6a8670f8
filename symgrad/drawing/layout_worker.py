"""Runs the Graphviz inside the `pygraphviz` wheel with the arguments of `dot`."""

import sys


def main() -> None:
    """Read DOT on standard input; write the picture on standard output."""
    import pygraphviz

    kind, *options = sys.argv[1:]
    try:
        graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
        picture = graph.draw(
            format=kind.removeprefix("-T"), prog="dot", args=" ".join(options)
        )
    except (OSError, ValueError, pygraphviz.DotError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.buffer.write(picture)


if __name__ == "__main__":
    main()
