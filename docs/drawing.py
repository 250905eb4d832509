"""The drawing of the rooms in architecture.md: who imports whom, as an SVG that loads nothing.

A layered drawing (Sugiyama, Tagawa & Toda, 1981): rooms stand on the floors of the package's docstring, an arrow that passes
a floor gets a place on it, and places are ordered by the mean of their neighbours' so that few arrows cross.
"""

import ast
from itertools import pairwise

from reference import PACKAGE, ROOMS

#: Sizes in pixels.
WIDTH, ROOM, HEIGHT, FLOOR, MARGIN = 720, 124, 34, 74, 20

#: Rounds of ordering; the drawing of thirteen rooms settles after a few.
ROUNDS = 8

STYLE = (
    "text{font:15px system-ui,sans-serif;fill:#1a1a1a}rect.room{fill:#e8f0fa;stroke:#2b5d9b}path{fill:none;stroke:#5b6b7d;\
stroke-width:1.4}#head path{fill:#5b6b7d;stroke:none}"
)

Place = str | tuple[str, str]


def draw_rooms() -> str:
    """Rooms on their floors and an arrow from each to those it imports; arrows that follow from others are left out."""
    arrows = [(one, other) for one, others in sorted(reduce_arrows(read_imports()).items()) for other in sorted(others)]
    floors = _order(arrows)
    at = {
        (floor, place): (_spread(number, len(places)), _rise(floor))
        for floor, places in enumerate(floors)
        for number, place in enumerate(places)
    }
    tall = MARGIN * 2 + FLOOR * (len(floors) - 1) + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" width="{WIDTH}" height="{tall}" role="img">',
        f"<title>{describe_rooms()}</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{tall}" rx="8" fill="#ffffff"/>',
    ]
    parts += [_draw_arrow([at[step] for step in _list_steps(*arrow)]) for arrow in arrows]
    for (_, place), (x, y) in at.items():
        if isinstance(place, str):
            parts.append(f'<rect class="room" x="{x - ROOM / 2:g}" y="{y:g}" width="{ROOM}" height="{HEIGHT}" rx="6"/>')
            parts.append(f'<text x="{x:g}" y="{y + 22:g}" text-anchor="middle">{place}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def describe_rooms() -> str:
    """The same in words, for those who don't see it."""
    arrows = reduce_arrows(read_imports())
    return " ".join(f"{one} imports {_list(sorted(others))}." for one, others in sorted(arrows.items()) if others)


def _list(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def read_imports() -> dict[str, set[str]]:
    """Rooms that each room's modules import; faces don't count, for they import for type checkers only."""
    rooms: dict[str, set[str]] = {room: set() for floor in ROOMS for room in floor}
    for path in PACKAGE.rglob("*.py"):
        if path.name in ("__init__.py", "__main__.py"):
            continue
        room = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("musiclime_torch."):
                rooms[room].add((node.module or "").split(".")[1])
        rooms[room].discard(room)
    return rooms


def reduce_arrows(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The transitive reduction: `a -> c` goes where `a -> b -> ... -> c` is there too."""

    def reach(room: str) -> set[str]:
        return set().union(*({other} | reach(other) for other in arrows[room]))

    return {
        room: {other for other in others if not any(other in reach(third) for third in others - {other})}
        for room, others in arrows.items()
    }


def _floor(room: str) -> int:
    return next(number for number, floor in enumerate(ROOMS) if room in floor)


def _list_steps(one: str, other: str) -> list[tuple[int, Place]]:
    """(floor, place) of an arrow from above to below: its rooms, and itself on each floor between them."""
    top, bottom = _floor(one), _floor(other)
    return [(top, one), *((floor, (one, other)) for floor in range(top - 1, bottom, -1)), (bottom, other)]


def _order(arrows: list[tuple[str, str]]) -> list[list[Place]]:
    """Places of each floor from left to right."""
    floors: list[list[Place]] = [list(floor) for floor in ROOMS]
    for one, other in arrows:
        for floor in range(_floor(other) + 1, _floor(one)):
            floors[floor].append((one, other))
    beside: dict[tuple[int, Place], list[tuple[int, Place]]] = {}
    for one, other in arrows:
        for upper, lower in pairwise(_list_steps(one, other)):
            beside.setdefault(upper, []).append(lower)
            beside.setdefault(lower, []).append(upper)
    for turn in range(ROUNDS):
        for floor in range(len(floors))[:: 1 if turn % 2 else -1]:
            x = {
                (level, place): _spread(number, len(row))
                for level, row in enumerate(floors)
                for number, place in enumerate(row)
            }

            def mean(place: Place, floor: int = floor, x: dict[tuple[int, Place], float] = x) -> float:
                near = [x[neighbour] for neighbour in beside.get((floor, place), [])]
                return sum(near) / len(near) if near else x[floor, place]

            floors[floor].sort(key=mean)
    return floors


def _spread(number: int, count: int) -> float:
    """Horizontal centre of one of `count` places."""
    return WIDTH * (number + 0.5) / count


def _rise(floor: int) -> float:
    """The upper edge of a floor's rooms; the lowest floor is at the bottom."""
    return MARGIN + FLOOR * (len(ROOMS) - 1 - floor)


def _draw_arrow(points: list[tuple[float, float]]) -> str:
    """A smooth line downwards: from the lower edge of a room, straight through floors it passes, to an upper edge."""
    x, y = points[0][0], points[0][1] + HEIGHT
    path = f"M{x:.0f} {y:.0f}"
    for number, (next_x, top) in enumerate(points[1:], 1):
        middle = (y + top) / 2
        path += f"C{x:.0f} {middle:.0f} {next_x:.0f} {middle:.0f} {next_x:.0f} {top:.0f}"
        x, y = next_x, top
        if number < len(points) - 1:
            y = top + HEIGHT
            path += f"V{y:.0f}"
    return f'<path d="{path}" marker-end="url(#head)"/>'
