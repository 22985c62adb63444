"""Failures that no exception brings to a gate's test, heard where no filter and no hook of a gate is asked.

- A thread dies: ``threading.excepthook`` can be replaced, but every thread passes ``Thread.start``.
- A destructor or callback fails: ``sys.unraisablehook`` can be replaced, but its audit event is sent anyway.
- A coroutine was never awaited: a filter can ignore the warning, so what the interpreter calls to make it is
  replaced; Python has no public hook for it.
- An exception stays in a future that nobody reads: asyncio reports it when the future is destroyed, and so do
  here the futures of concurrent.futures and the results of multiprocessing's pools.
- A thread outlives its gate, or a task its loop, and would have recorded checks: it leads to the evidence.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import sys
import threading
import time
import traceback
import types
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NoReturn

from bais_gates.pytest_plugin.evidence import Evidence
from bais_gates.pytest_plugin.outcome import format_error

_GRACE_S = 1.0
"""How long a thread that could still record checks has to end after its gate."""
_MAX_REFERENTS = 5000
_UNREAD = "_bais_gates_unread"
"""The attribute of a failed future that nobody has read yet: what will say so when it is destroyed."""
_LEADS_EVERYWHERE = frozenset({"_pytest", "pluggy", "bais_gates", "_asyncio", "asyncio", "uvloop"})
"""Packages whose objects are not followed: from an item or a loop everything can be reached."""
_NOT_FOLLOWED = (types.ModuleType, type, types.CoroutineType, types.GeneratorType, types.FrameType)
_CANCEL = "_cancel_all_tasks"  # what every asyncio.Runner does at its end; there is no public hook for it
_NEVER_AWAITED = "_warn_unawaited_coroutine"
_LAST_OF_ASYNCIO = "asyncio.unix_events"
"""What the package asyncio imports when all that is replaced here is there, in every version from 3.11 on."""

_heard: deque[str] = deque()
_undo: list[Callable[[], None]] = []
_last_chance: list[bool] = []
"""Not empty where pytest comes too late to say for itself what fails: its last tear-down is over."""
_audited: list[bool] = []
"""Whether the audit hook is there: one that was added stays for the life of the process."""


class HiddenFailure(Exception):  # noqa: N818 - it reads as what it says
    """Something failed in a thread, a destructor, a future or a coroutine that nobody awaited."""


def listen() -> bool:
    """Hear of hidden failures in this process from now on; return False where another run in it does."""
    if _undo:
        return False
    _heard.clear()
    _replace(threading.Thread, "start", _start)
    _replace(Future, "set_exception", _set_exception)
    _replace(Future, "result", _read)
    _replace(Future, "exception", _read)
    _replace(Future, "add_done_callback", _add_callback)
    if hasattr(warnings, _NEVER_AWAITED):
        _replace(warnings, _NEVER_AWAITED, _never_awaited)
    if _LAST_OF_ASYNCIO in sys.modules:
        _listen_to_asyncio()
    if not _audited:
        _audited.append(True)
        sys.addaudithook(_audit)
    return True


def stop() -> None:
    """Hear of nothing any more, and leave the process as it was."""
    while _undo:
        _undo.pop()()
    _heard.clear()


def end_forked(error: BaseException | None) -> NoReturn:
    """End a forked process as an interpreter ends after this error, or none: its parent has its status."""
    status = error.code if isinstance(error, SystemExit) else 0 if error is None else 1
    if not isinstance(status, int | None):  # as sys.exit prints what it is given
        sys.stderr.write(f"{status}\n")
        status = 1
    elif status and not isinstance(error, SystemExit):
        traceback.print_exception(error)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status or 0)


def raise_heard() -> None:
    """Raise HiddenFailure for everything that was heard of since the last time."""
    __tracebackhide__ = True
    if not _heard:
        return
    texts = dict.fromkeys(_heard.popleft() for _ in range(len(_heard)))
    raise HiddenFailure("\n".join(texts)) from None


def search() -> None:
    """Hear of what is kept alive, or waits for the garbage collector, when nobody can look at it any more."""
    objects = gc.get_objects()  # before a collection, which takes from a task what it was working with
    kinds = {id(kind): kind for kind in map(type, objects)}  # few; by id, as a class may be unhashable
    watched = {number for number, kind in kinds.items() if _is_watched(kind)}
    for thing in [thing for thing in objects if id(type(thing)) in watched]:
        kind = type(thing)
        if kind is types.CoroutineType and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            _hear_unawaited(thing)
        elif issubclass(kind, Future) and _UNREAD in vars(thing):
            vars(thing)[_UNREAD]()
        elif kind.__module__ == "_asyncio" and getattr(thing, "_log_traceback", False):
            _hear("a task that nobody awaited failed with", thing.exception())
        elif kind.__module__ == "_asyncio" and hasattr(thing, "get_coro") and not thing.done():
            _hear_unfinished(thing)
    del objects
    _last_chance.append(True)
    gc.collect()
    _last_chance.clear()


def _is_watched(kind: type) -> bool:
    return kind is types.CoroutineType or issubclass(kind, Future) or kind.__module__ == "_asyncio"


def _hear(what: str, error: BaseException | None) -> None:
    if error is not None:
        _heard.append(_text(what, error))


def _text(what: str, error: BaseException) -> str:
    places = [
        f" ({frame.f_code.co_filename}:{line})" for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return f"{what} {format_error(error)}{''.join(places[-1:])}"


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    replacement = make(original)
    setattr(owner, name, replacement)

    def undo() -> None:
        if getattr(owner, name) is replacement:  # else another library has wrapped it since
            setattr(owner, name, original)

    _undo.append(undo)


def _start(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start_and_hear(thread: threading.Thread) -> None:
        run = thread.run

        def run_and_hear() -> None:
            try:
                run()
            except SystemExit:  # ends a thread quietly
                raise
            except BaseException as error:
                _hear(f"the thread {thread.name} died of", error)
                raise
            finally:
                vars(thread).pop("run", None)  # it refers to the thread

        vars(thread)["run"] = run_and_hear
        _listen_to_pools()  # a pool starts threads before it has results
        start(thread)

    return start_and_hear


def _set_exception(set_exception: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def set_and_watch(future: Any, exception: BaseException | None) -> None:
        if exception is not None:
            # Of text alone: what refers to the exception may refer to the future, and keep it.
            text = _text("a future that nobody read failed with", exception)
            unread = weakref.finalize(future, _heard.append, text)
            unread.atexit = False
            vars(future)[_UNREAD] = unread
        set_exception(future, exception)

    return set_and_watch


def _read(method: Callable[..., Any]) -> Callable[..., Any]:
    def read(future: Any, timeout: float | None = None) -> Any:
        try:
            return method(future, timeout)
        finally:
            if future.done() and (unread := vars(future).pop(_UNREAD, None)) is not None:
                unread.detach()

    return read


def _add_callback(add: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def add_and_hear(future: Any, callback: Callable[[Any], object]) -> None:
        def call_and_hear(future: Any) -> None:
            try:
                callback(future)
            except Exception as error:  # which concurrent.futures logs, and no more
                _hear("the callback of a future failed with", error)
                raise

        add(future, call_and_hear)

    return add_and_hear


def _listen_to_pools() -> None:
    # Absent as well while another thread is importing the module: then there is no pool yet.
    pool = sys.modules.get("multiprocessing.pool")
    result, iterator = getattr(pool, "ApplyResult", None), getattr(pool, "IMapIterator", None)
    if iterator is not None and "__del__" not in vars(iterator):
        iterator.__del__ = _end_iterator
        _undo.append(lambda: delattr(iterator, "__del__"))
    if result is not None and "__del__" not in vars(result):
        _replace(result, "get", _read_result)
        _replace(result, "successful", _read_result)
        result.__del__ = _end_result
        _undo.append(lambda: delattr(result, "__del__"))


def _read_result(method: Callable[..., Any]) -> Callable[..., Any]:
    def read(result: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return method(result, *arguments, **named)
        finally:
            vars(result)[_UNREAD] = not result.ready()

    return read


def _end_result(result: Any) -> None:
    if result.ready() and vars(result).get(_UNREAD, True) and not vars(result).get("_error_callback"):
        try:
            result.get(0)
        except BaseException as error:  # noqa: BLE001 - whatever the function raised
            _hear("a pool's result that nobody read failed with", error)


def _end_iterator(iterator: Any) -> None:
    for success, value in (*iterator._items, *iterator._unsorted.values()):  # noqa: SLF001 - there is no other way
        if not success:
            _hear("a pool's result that nobody read failed with", value)


def _never_awaited(warn: Callable[[Any], None]) -> Callable[[Any], None]:
    def hear_and_warn(coroutine: Any) -> None:
        if not _hear_unawaited(coroutine):
            warn(coroutine)

    return hear_and_warn


def _hear_unawaited(coroutine: types.CoroutineType[Any, Any, Any]) -> bool:
    code = coroutine.cr_code
    if code.co_filename.endswith("unittest/mock.py"):  # a mocked call has nothing in it that could fail
        return False
    place = f"{code.co_filename}:{code.co_firstlineno}"
    _heard.append(f"the coroutine {coroutine.__qualname__} ({place}) was never awaited: nothing in it ran")
    return True


def _listen_to_asyncio() -> None:
    loop = sys.modules["asyncio.base_events"].BaseEventLoop
    _replace(loop, "call_exception_handler", _loop_error)
    _replace(loop, "close", _end_tasks)
    _replace(sys.modules["asyncio.log"].logger, "error", _logged_error)
    runners = sys.modules["asyncio.runners"]
    if hasattr(runners, _CANCEL):
        _replace(runners, _CANCEL, _end_tasks)


def _loop_error(handle: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def hear_and_handle(loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        _hear_of_loop(context.get("message", ""), error)
        if error is None and "task" in context:  # destroyed before it was finished
            _hear_unfinished(context["task"])
        handle(loop, context)

    return hear_and_handle


def _hear_of_loop(message: object, error: object) -> None:
    # One that was never raised is a library's message to itself, e.g. that a page was closed.
    if isinstance(error, BaseException) and error.__traceback__ is not None:
        _hear(f"asyncio: {message}:", error)


def _logged_error(log: Callable[..., None]) -> Callable[..., None]:
    """Hear of what other loops than asyncio's own log when they have no better way to say it."""

    def hear_and_log(message: object, *arguments: object, exc_info: Any = None, **named: Any) -> None:
        _hear_of_loop(str(message).partition("\n")[0], exc_info[1] if isinstance(exc_info, tuple) else None)
        log(message, *arguments, exc_info=exc_info, **named)

    return hear_and_log


def _end_tasks(end: Callable[[Any], None]) -> Callable[[Any], None]:
    def hear_and_end(loop: Any) -> None:
        for task in sys.modules["asyncio.tasks"].all_tasks(loop):
            _hear_unfinished(task)
        for handle in getattr(loop, "_scheduled", ()):  # asyncio's own loops have it
            if not handle.cancelled() and _leads_to_evidence(None, handle._callback, handle._args):  # noqa: SLF001 - as above
                _heard.append(
                    "a callback that was to be called later was not, as its loop ended; wait for it"
                )
        end(loop)

    return hear_and_end


def _hear_unfinished(task: Any) -> None:
    coroutine = task.get_coro()
    if _leads_to_evidence(getattr(coroutine, "cr_frame", None)):
        _heard.append(f"the task {coroutine.__qualname__} was not finished when its loop ended; await it")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _undo:
        return
    if event == "sys.unraisablehook":
        error = arguments[1].exc_value
        # A filter made a warning an error, and may as well ignore it; at the end pytest can't say so itself.
        if _last_chance or not isinstance(error, Warning):
            _hear("an exception that nobody could catch:", error)
    elif event == "import" and arguments[0] == _LAST_OF_ASYNCIO:
        _listen_to_asyncio()


def wait_for_threads(before: set[threading.Thread]) -> None:
    """Hear of each thread that could record checks after its gate's end; give it a moment to end first.

    ``before`` are the threads that were there when the gate began.
    """
    until = time.monotonic() + _GRACE_S
    for thread in threading.enumerate():
        # Documented, for looking at what threads do.
        frame = sys._current_frames().get(thread.ident or 0) if thread not in before else None  # noqa: SLF001
        if not _leads_to_evidence(frame):
            continue
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            text = "still runs, and could record checks after the gate's end; join it"
            _heard.append(f"the thread {thread.name} {text}")


def _leads_to_evidence(frame: types.FrameType | None, *others: object) -> bool:
    """Return whether what some code works with, or has called it, leads to the evidence of a gate."""
    reached: list[Any] = list(others)
    while frame is not None:
        reached += [*frame.f_locals.values(), *_globals_of(frame.f_code, frame.f_globals)]
        frame = frame.f_back
    seen = {id(thing) for thing in reached}
    for thing in reached:  # which grows
        if issubclass(type(thing), Evidence):
            return True
        if len(reached) > _MAX_REFERENTS or _package(type(thing).__module__) in _LEADS_EVERYWHERE:
            continue
        if isinstance(thing, types.FunctionType):
            parts = [thing.__closure__, thing.__defaults__, thing.__kwdefaults__]
            parts += _globals_of(thing.__code__, thing.__globals__)
        else:
            parts = [] if isinstance(thing, _NOT_FOLLOWED) else gc.get_referents(thing)
        for part in parts:
            if id(part) not in seen:
                seen.add(id(part))
                reached.append(part)
    return False


def _globals_of(code: types.CodeType, names: dict[str, Any]) -> list[Any]:
    """Return the values of the globals that code uses; those of the standard library lead everywhere."""
    if _package(names.get("__name__")) in sys.stdlib_module_names:
        return []
    return [names[name] for name in code.co_names if name in names]


def _package(module: object) -> str:
    return str(module).partition(".")[0]
