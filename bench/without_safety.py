"""``volumed`` without what tells of an operation and proves it: to measure what these cost, and for nothing else.

Run as ``python -m bench.without_safety up ...``. What is switched off, in this process only:

* crash points: the calls are taken out of the source before it is compiled;
* the timeline: no step is noted, the row keeps an empty list;
* the outbox: no event is written, nobody looks for events to publish.

What stays is the operation's row with its claim, its steps and its end: without it a request would not be carried out.
"""

import ast
import contextlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any


class _NoPoints(ast.NodeTransformer):
    """A statement that only passes a crash point becomes ``pass``."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "crash_point":
            return ast.copy_location(ast.Pass(), node)
        return node


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles what it loads itself; byte code is neither read nor written."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return compile(_NoPoints().visit(ast.parse(self.get_data(path), path)), path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds our modules where they are, and has them loaded without their crash points."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in {"volumed", "volumed_drivers"}:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _nothing(*args: Any, **more: Any) -> None:
    """Instead of what is switched off."""


@contextlib.contextmanager
def _unnoted(*args: Any, **more: Any) -> Iterator[dict[str, Any]]:
    yield {}


def _switch_off() -> Callable[[], int]:
    """Import ``volumed`` without all that; returns its main()."""
    sys.meta_path.insert(0, _Finder())
    from volumed.launch.concurrency import choose_threading

    choose_threading()
    from volumed.cmd.volumed import main
    from volumed.operations import notifications, publisher, timeline

    replaced: Sequence[tuple[Any, str, Any]] = (
        (notifications, "of_volume", _nothing),
        (notifications, "of_snapshot", _nothing),
        (publisher.Publisher, "publish", _nothing),
        (timeline.Timeline, "step", _unnoted),
    )
    for owner, name, instead in replaced:
        if not hasattr(owner, name):
            raise SystemExit(f"{owner.__name__}.{name} is no more: it cannot be switched off")
        setattr(owner, name, instead)
    return main


if __name__ == "__main__":
    sys.exit(_switch_off()())
