"""Songs decoded and taken apart ahead of the device, in other processes, and handed on in order."""

import hashlib
import multiprocessing
import os
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import cycle
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from os.path import isdir  # pathlib's raise where a folder may not be looked into
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musiclime_torch.basics.arguments import keep_bands
from musiclime_torch.basics.errors import InputError
from musiclime_torch.song.lyrics.files import read_text
from musiclime_torch.song.manifest import Entry
from musiclime_torch.song.track import Track, load_track

#: Songs per worker that may wait for the device: each holds its stems in memory.
AHEAD = 2
#: A song is given up when its process has died this often.
DEATHS = 3
#: The run is given up when processes died this often in a row without having begun a song.
FALSE_STARTS = 10


def load_entry(entry: Entry, loading: Mapping[str, Any]) -> Track | str:
    """A manifest's song as a track, or in one sentence why it can't be one."""
    try:
        source = entry.audio or entry.stems
        if source is None:
            raise InputError("it has no audio: give a file or a folder of stems.")
        stems = entry.stems if entry.audio is not None else None
        given = dict(loading)
        if stems or isdir(source):
            given["separator"] = keep_bands(given.get("separator"))
        lyrics = read_text(entry.lyrics) if isinstance(entry.lyrics, str) else entry.lyrics
        return load_track(source, lyrics=lyrics, stems=stems, **given)
    except InputError as error:
        return str(error)
    # Decoders, separators and parsers raise their own classes of errors, and a catalogue's files come from anywhere. What
    # was raised becomes the song's row among the failures, and the run continues.
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def prepare_readers() -> BaseContext:
    """Start the process that readers are forked from, which imports what they need, without waiting for it.

    Called before a model is loaded, it costs no time. The process is a fresh one, without this one's threads and devices.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    forkserver.ensure_running()
    return context


def load_ahead(
    entries: Sequence[Entry], loading: Mapping[str, Any], workers: int
) -> Generator[tuple[Entry, Track | str], None, None]:
    """Every entry with its track, or why it has none; without workers in this process, one after the other."""
    if not workers:
        yield from ((entry, load_entry(entry, loading)) for entry in entries)
        return
    waiting, deaths, in_vain = deque(entries), Counter[str](), 0
    while waiting:
        before = len(waiting), deaths.total()
        # What a dead process left undone is begun again by new ones.
        yield from _load_until_death(waiting, loading, workers, deaths)
        in_vain = in_vain + 1 if (len(waiting), deaths.total()) == before else 0
        if in_vain == FALSE_STARTS:
            raise InputError(
                f"the processes that read ahead died {in_vain} times before any began a song: use "
                "workers=0, which reads in this process.",
                argument="workers",
            )


def _load_until_death(
    waiting: deque[Entry], loading: Mapping[str, Any], workers: int, deaths: Counter[str]
) -> Generator[tuple[Entry, Track | str], None, None]:
    """Songs until a process dies. A song suspected of having killed its process is loaded alone, as the only one."""
    alone = bool(deaths[waiting[0].id])
    # One pool per process: within a pool, a process may hang for ever if another dies just as it starts (CPython 3.11).
    pools = [ProcessPoolExecutor(1, prepare_readers(), initializer=_begin_worker) for _ in range(1 if alone else workers)]
    running: deque[tuple[Entry, Future[tuple[Track, np.ndarray] | str]]] = deque()
    rest = zip([waiting[0]] if alone else list(waiting), cycle(pools), strict=False)
    died = False
    with tempfile.TemporaryDirectory() as marks:
        try:
            while waiting:
                while len(running) < AHEAD * workers and (task := next(rest, None)) is not None:
                    entry, pool = task
                    running.append((entry, pool.submit(_load_marked, load_light, entry, loading, _mark(marks, entry))))
                if not running:
                    return
                entry, future = running[0]
                loaded = future.result()
                _mark(marks, entry).unlink(missing_ok=True)
                running.popleft()
                waiting.popleft()
                yield entry, loaded if isinstance(loaded, str) else unpack(*loaded)
        except BrokenProcessPool:
            died = True
        finally:
            # Where this process is itself a child of multiprocessing's, not waiting can hang: its exit closes the queue
            # through which a pool tells its worker to stop.
            for pool in pools:
                pool.shutdown(wait=True, cancel_futures=True)
        # Suspected are songs that were begun and haven't arrived: a process may die while it sends a song, too. No song is
        # to blame for a process that dies before or between songs.
        if died:
            lost = [entry for entry, future in running if not future.done() or future.cancelled() or future.exception()]
            deaths.update(entry.id for entry in lost if _mark(marks, entry).exists())
    if died and deaths[waiting[0].id] >= DEATHS:
        yield waiting.popleft(), f"its process died {DEATHS} times: is there enough memory for its stems?"


def _mark(folder: str, entry: Entry) -> Path:
    """A file that exists from when a process begins a song until the song has arrived."""
    return Path(folder, hashlib.sha256(entry.id.encode()).hexdigest())


def _load_marked(
    load: Callable[[Entry, Mapping[str, Any]], Any], entry: Entry, loading: Mapping[str, Any], mark: Path
) -> Any:
    mark.touch()
    return load(entry, loading)


def _begin_worker() -> None:
    """Use one thread, and end when the parent does: a killed run leaves no workers behind."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def load_light(entry: Entry, loading: Mapping[str, Any]) -> tuple[Track, np.ndarray] | str:
    """A track with its samples apart as an array: tensors would travel through shared memory, of which containers have
    little.
    """
    track = load_entry(entry, loading)
    if isinstance(track, str):
        return track
    return replace(track, stems=track.stems[:, :, :1].clone()), track.stems.numpy()


def unpack(track: Track, stems: np.ndarray) -> Track:
    """The track that `load_light` took apart."""
    return replace(track, stems=torch.from_numpy(stems if stems.flags.writeable else stems.copy()))
