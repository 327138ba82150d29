"""What is raised: for input that cannot be used, and where a run or a computation cannot go on."""

from typing import Any


class Picklable(Exception):
    """An exception that can be pickled, and so come out of another process, although it is made of other things than
    its message."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_message, (type(self), self.args), vars(self)


def _with_message(cls: type[Exception], arguments: tuple[Any, ...]) -> Exception:
    return cls.__new__(cls, *arguments)


class InvalidInput(Picklable, ValueError):
    """Input that cannot be used: one line naming the key, the value received and what is allowed.

    The command line prints the line and exits with status 2; from Python it is an ordinary ValueError.
    """

    def __init__(self, key: str, received: Any, allowed: str) -> None:
        shown = (received or "nothing") if isinstance(received, str) else repr(received)
        super().__init__(f"{key}: received {shown}; allowed: {allowed}")
        self.key = key


class Diverged(ArithmeticError):
    """Training left the finite numbers; the message names the iteration and the likely cause."""


class Interrupted(Picklable):
    """A signal asked the run to stop, and it has stopped where it can be resumed."""

    def __init__(self, signal: int, iteration: int, done: str = "") -> None:
        super().__init__(
            f"interrupted at iteration {iteration:,}" if not done else f"interrupted with {done} trained"
        )
        self.signal = signal


class Stalled(Picklable, Diverged):
    """An adaptive solver can go no further; `what` names the time and the step, `remedy` what a run may change."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}: {remedy}" if remedy else what)
        self.what = what


class Unresolved(ArithmeticError):
    """The limit lambda -> 0 is not determined by what is known of it; the message says where and why."""
