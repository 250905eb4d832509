"""What all figures share: one palette, fonts for any script, a time axis, and labels that don't lie on each other.

Names may be in any script: behind the fonts that are set stand those that are installed for other scripts. matplotlib
draws a letter in the first font of the list that has it. Its own font has Latin, Greek, Cyrillic, Arabic and Hebrew
letters. From 3.11 on it lays text out by itself, right to left where the script is, with letters joined.

Labels are parted after they are laid out, for only then are their sizes known: they are shrunk first, and left out where
they still have no room.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import pairwise
from typing import ParamSpec
from weakref import WeakSet

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from musiclime_torch.basics.choices import Timeline

#: Fonts of Chinese, Japanese and Korean, then of other scripts, as Linux, macOS and Windows have them.
FALLBACKS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC",
    "Noto Sans TC", "Noto Sans KR", "Source Han Sans", "Source Han Sans JP", "Source Han Sans SC", "Hiragino Sans",
    "Hiragino Sans GB", "Hiragino Kaku Gothic ProN", "PingFang SC", "PingFang TC", "PingFang HK", "Heiti TC",
    "Apple SD Gothic Neo", "AppleGothic", "Yu Gothic", "Meiryo", "MS Gothic", "Microsoft YaHei", "Microsoft JhengHei",
    "SimHei", "SimSun", "Malgun Gothic", "IPAexGothic", "IPAGothic", "TakaoPGothic", "VL PGothic", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "AR PL UMing CN", "NanumGothic", "UnDotum", "Baekmuk Gulim", "Droid Sans Fallback",
    "Noto Sans Arabic", "Noto Naskh Arabic", "Geeza Pro", "Noto Sans Hebrew", "Arial Hebrew", "Noto Sans Devanagari",
    "Kohinoor Devanagari", "Nirmala UI", "Mangal", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai", "Thonburi",
    "Leelawadee UI", "Tahoma", "Noto Sans Georgian", "Noto Sans Armenian", "Noto Sans Ethiopic", "Arial Unicode MS",
    "Unifont",
)  # fmt: skip

Drawing = ParamSpec("Drawing")

#: Axes that hold a figure of ours.
_DRAWN: WeakSet[Axes] = WeakSet()


def list_fallbacks() -> list[str]:
    """Those that are installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in FALLBACKS if name in installed]


def finishing(draw: Callable[Drawing, Axes]) -> Callable[Drawing, Axes]:
    """The function, its texts with the fallbacks behind their own fonts, and parted. No setting of matplotlib is changed:
    figures may be drawn in several threads.
    """

    @wraps(draw)
    def drawn(*args: Drawing.args, **more: Drawing.kwargs) -> Axes:
        ax = draw(*args, **more)
        part_labels(ax)
        # Once more, for what was written since.
        _set_fonts(ax)
        return ax

    return drawn


def _set_fonts(ax: Axes) -> None:
    fallbacks = list_fallbacks()
    for text in ax.findobj(Text) if fallbacks else ():
        assert isinstance(text, Text), "asked for these alone"
        text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *fallbacks])))


#: Colours for and against, distinct for the colour-blind too (Okabe & Ito), and for what is not significant.
FOR, AGAINST, NOT_SIGNIFICANT = "#0072B2", "#D55E00", "#9a9a9a"

#: Sound, words and both together, as on the pages; and colours of further curves (Okabe & Ito).
HEARD, READ, BOTH = "#2f8f83", "#b58a1b", "#7a6ba8"
FURTHER = ("#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#000000")

#: From against over white, which is zero, to for.
DIVERGING = LinearSegmentedColormap.from_list("musiclime", [AGAINST, "#ffffff", FOR])

#: The smallest letters, in points, and the fewest characters of a name that is cut.
SMALLEST, FEWEST = 4.5, 8

#: Where a name may stand beside its point: steps across and up.
_AROUND = ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0))

#: Names beside the rows are so wide at most, as a share of the axes' width.
MOST_OF_NAMES = 1.2

#: Seconds between marks of a time axis, and the most marks.
_STEPS, _MARKS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600), 8


def make_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or new ones on their own figure of this size in inches."""
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def pick_colour(value: float, significant: bool = True) -> str:
    """A colour by sign, grey for what is not significant."""
    return NOT_SIGNIFICANT if not significant else FOR if value > 0 else AGAINST


def escape(name: str) -> str:
    """The text without formulas: matplotlib would typeset what is between dollars."""
    return name.replace("$", r"\$")


def say_nothing(ax: Axes) -> None:
    """In place of bars, where there is none."""
    ax.text(0.5, 0.5, "nothing is significant", ha="center", va="center", transform=ax.transAxes, color=NOT_SIGNIFICANT)


def mark_time(ax: Axes, first: float, last: float, timeline: Timeline | None) -> None:
    """Minutes and seconds along the time axis; where bars are known, marks stand at bars and name them too."""
    bars = [] if timeline is None else [(n, time) for n, time in enumerate(timeline.bars, 1) if first <= time <= last]
    if bars:
        # Every bar, every second, fourth, ...: groups of bars are powers of two nearly everywhere.
        step = next(2**power for power in range(31) if len(bars) / 2**power <= _MARKS)
        ax.set_xticks([time for _, time in bars[::step]], [f"{_clock(time)}\nbar {n}" for n, time in bars[::step]])
        ax.set_xlabel("minutes:seconds, and bar")
        return
    step = next((step for step in _STEPS if (last - first) / step <= _MARKS), _STEPS[-1])
    marks = [step * number for number in range(int(-(-first // step)), int(last // step) + 1)]
    ax.set_xticks(marks, [_clock(mark) for mark in marks])
    ax.set_xlabel("minutes:seconds")


def _clock(seconds: float) -> str:
    """Minutes and seconds; decimals only where there are some.

    >>> _clock(75), _clock(0.25), _clock(60.0)
    ('1:15', '0:00.25', '1:00')
    """
    hundredths = round(100 * seconds)
    text = f"{hundredths // 6000}:{hundredths // 100 % 60:02d}"
    return text + f".{hundredths % 100:02d}".rstrip("0") if hundredths % 100 else text


def leave_column(ax: Axes, texts: Sequence[Text]) -> None:
    """Move everything drawn to the left of these texts, which stand at the right edge of the axes."""
    _lay_out(ax)
    _shrink(texts, lambda: min(_bound(text).x0 for text in texts) < ax.bbox.x0 + 0.5 * ax.bbox.width)
    # Half as much again, for axes that become smaller when others beside them are drawn.
    start = ax.bbox.x1 - 1.5 * (ax.bbox.x1 - min(_bound(text).x0 for text in texts)) - 4
    low, high = ax.get_xlim()
    ax.set_xlim(low, low + (high - low) / max((start - ax.bbox.x0) / ax.bbox.width, 0.3))


def add_legend(ax: Axes) -> None:
    """A legend along the upper edge of the axes, as wide as they are at most, and everything drawn moved below it."""
    for size, columns in ((8, 3), (8, 2), (8, 1), (6, 2), (6, 1), (SMALLEST, 1)):
        legend = ax.legend(fontsize=size, loc="upper left", ncols=columns, frameon=False)
        _lay_out(ax)
        box = legend.get_window_extent()
        if box.width <= ax.bbox.width and box.height <= 0.5 * ax.bbox.height:
            break
    low, high = ax.get_ylim()
    ax.set_ylim(low, low + (high - low) / max((box.y0 - 4 - ax.bbox.y0) / ax.bbox.height, 0.3))


def mark_cells(ax: Axes, centres: Sequence[tuple[float, float]], mark: str, cells: tuple[int, int]) -> None:
    """Grey marks in some of (columns, rows) cells that fill the axes, small enough to stay apart in smaller ones."""
    _lay_out(ax)
    room = min(ax.bbox.width / cells[0], ax.bbox.height / cells[1]) * 72 / ax.figure.dpi
    size = min(6.0 if mark == "x" else 3.0, 0.4 * room)
    ax.plot(*zip(*centres, strict=True) if centres else ((), ()), mark, color=NOT_SIGNIFICANT, markersize=size)


def place_names(
    ax: Axes, points: Sequence[tuple[float, float]], names: Sequence[str], others: Sequence[tuple[float, float]]
) -> None:
    """Names beside their points, the first ones first; what finds no place that is free of names and of all points is left
    out.
    """
    _lay_out(ax)
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in ax.transData.transform([*points, *others])] if points else []
    for place, (point, name) in enumerate(zip(points, names, strict=True)):
        for across, up in _AROUND:
            text = ax.annotate(
                name, point, xytext=(5 * across, 4 * up), textcoords="offset points", fontsize="small",
                ha="left" if across > 0 else "right", va="bottom" if up > 0 else "top" if up < 0 else "center",
            )  # fmt: skip
            box = _bound(text)
            free = not any(_overlap(box, other) for other in (*taken[:place], *taken[place + 1 :]))
            if free and ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1:
                taken.append(box)
                break
            text.remove()


def part_labels(ax: Axes) -> None:
    """Tick labels, names of axes, names above the picture and the title: none lies on another. Axes beside it that were
    drawn before may have become smaller by it, and are parted again.
    """
    _DRAWN.add(ax)
    drawn = [one for one in ax.figure.axes if one in _DRAWN]
    # Labels that become smaller leave more room to the axes: nothing is cut or hidden before the last round.
    for is_last in (False, True) if len(drawn) > 1 else (True,):
        _lay_out(ax)
        for one in drawn:
            _part_axes(one, is_last)


def _part_axes(ax: Axes, cut: bool) -> None:
    rows = [text for text in ax.get_yticklabels() if text.get_text()]
    names = [text.get_text() for text in rows]
    _fit(rows, lambda: max(_bound(text).width for text in rows) > MOST_OF_NAMES * ax.bbox.width, cut)
    shown = [text.get_text() for text in rows]
    if shown != names:
        # matplotlib writes tick labels again whenever it draws.
        ax.set_yticks(ax.get_yticks(), shown)
    _fit([ax.xaxis.label], lambda: _bound(ax.xaxis.label).width > 1.2 * ax.bbox.width, cut)
    _fit([ax.yaxis.label], lambda: _bound(ax.yaxis.label).height > 1.2 * ax.bbox.height, cut)
    for axis in (ax.xaxis, ax.yaxis):
        labels = [text for text in axis.get_ticklabels() if text.get_text()]
        _part(labels, cut)
        if labels:
            # Also those that come with another range.
            axis.set_tick_params(labelsize=labels[0].get_fontsize())
    named = [text for text in ax.texts if isinstance(text, Annotation) and text.get_rotation() == 90]
    _part(named, cut)
    height = max((_bound(text).y1 for text in named), default=ax.bbox.y1) - ax.bbox.y1
    if cut:
        _fit_title(ax, 72 * height / ax.figure.dpi)


def _lay_out(ax: Axes) -> None:
    """Have matplotlib settle where everything is, without drawing it. Sizes depend on the fonts, which are set before."""
    _set_fonts(ax)
    root = ax.get_figure(root=True)
    assert root is not None, "axes are on a figure"
    root.draw_without_rendering()


def _part(texts: Sequence[Text], hide: bool) -> None:
    """Shrink texts in a row until they don't overlap, then hide as many as it takes."""
    for text in texts:
        text.set_visible(True)
    _shrink(texts, lambda: _any_overlap(texts))
    last = None
    for text in texts if hide and _any_overlap(texts) else ():
        box = _bound(text)
        text.set_visible(last is None or not _overlap(last, box))
        last = box if text.get_visible() else last


def _shrink(texts: Sequence[Text], too_large: Callable[[], bool]) -> None:
    while texts and float(texts[0].get_fontsize()) > SMALLEST and too_large():
        for text in texts:
            text.set_fontsize(max(float(text.get_fontsize()) - 0.75, SMALLEST))


def _fit(texts: Sequence[Text], too_large: Callable[[], bool], cut: bool) -> None:
    """Shrink texts, and then cut the longest lines among them."""
    _shrink(texts, lambda: bool(texts) and too_large())
    while cut and texts and too_large():
        rows = [(len(row), text, number) for text in texts for number, row in enumerate(text.get_text().split("\n"))]
        longest, text, number = max(rows, key=lambda row: row[0])
        if longest <= FEWEST:
            return
        lines = text.get_text().split("\n")
        lines[number] = lines[number].rstrip("…")[:-1] + "…"
        text.set_text("\n".join(lines))


def _any_overlap(texts: Iterable[Text]) -> bool:
    """Of texts in their order along an axis, or in rows: neighbours are looked at alone."""
    return any(_overlap(_bound(one), _bound(other)) for one, other in pairwise(texts))


def _bound(text: Text) -> Bbox:
    """The letters' box; that of an annotation would include its line, but settles where the letters are."""
    text.get_window_extent()
    return Text.get_window_extent(text)


def _overlap(one: Bbox, other: Bbox) -> bool:
    return bool(min(one.x1, other.x1) - max(one.x0, other.x0) > 0.5 and min(one.y1, other.y1) - max(one.y0, other.y0) > 0.5)


def _fit_title(ax: Axes, above: float) -> None:
    """The title so many points above the axes, in one line or, broken before its remark, in two; then smaller, and last
    cut, until it is no wider than the axes.
    """
    title = ax.set_title(ax.get_title("left"), loc="left", fontsize="medium", pad=6 + above)

    def is_too_wide() -> bool:
        return bool(_bound(title).width > ax.bbox.width)

    if is_too_wide() and "\n" not in title.get_text():
        title.set_text("\n(".join(title.get_text().rsplit(" (", 1)))
    _fit([title], is_too_wide, cut=True)
