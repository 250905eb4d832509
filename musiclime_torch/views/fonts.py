"""Fonts for names in any script: those that are set, and behind them what is installed for other scripts.

matplotlib draws a letter in the first font of the list that has it. Its own font has Latin, Greek, Cyrillic, Arabic and
Hebrew letters. From 3.11 on it lays text out by itself, right to left where the script is, with letters joined.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.text import Text

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


def list_fallbacks() -> list[str]:
    """Those that are installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in FALLBACKS if name in installed]


def in_any_script(draw: Callable[Drawing, Axes]) -> Callable[Drawing, Axes]:
    """The function, its texts with the fallbacks behind their own fonts. No setting of matplotlib is changed: figures may be
    drawn in several threads.
    """

    @wraps(draw)
    def drawn(*args: Drawing.args, **more: Drawing.kwargs) -> Axes:
        ax, fallbacks = draw(*args, **more), list_fallbacks()
        for text in ax.findobj(Text) if fallbacks else ():
            assert isinstance(text, Text), "asked for these alone"
            text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *fallbacks])))
        return ax

    return drawn
