from typing import Any

class SeparableFloat:
    def __init__(self, z: tuple[Any, ...], y: tuple[Any, ...], x: tuple[Any, ...]) -> None: ...
    def run(self, array: Any, out: Any, truncate: bool, outside: bytes, values: Any, threads: int) -> None: ...

class SeparableDouble(SeparableFloat): ...

class Nearest:
    def __init__(self, z: tuple[Any, ...], y: tuple[Any, ...], x: tuple[Any, ...]) -> None: ...
    def run(self, array: Any, out: Any, outside: bytes, threads: int) -> None: ...

class Label(Nearest): ...

class SplineFloat:
    def __init__(
        self,
        z: tuple[Any, ...],
        y: tuple[Any, ...],
        x: tuple[Any, ...],
        poles: list[tuple[float, int]],
        z_first: bool,
    ) -> None: ...
    @property
    def between(self) -> int: ...
    def run(
        self, array: Any, out: Any, between: Any, truncate: bool, outside: bytes, values: Any, threads: int
    ) -> None: ...
    def coefficients(self, array: Any, out: Any, values: Any, threads: int) -> None: ...

class SplineDouble(SplineFloat): ...

class Oblique:
    def __init__(
        self,
        matrix: Any,
        source: tuple[int, ...],
        target: tuple[int, ...],
        edge: bool,
        first_source: tuple[int, ...],
        first_target: tuple[int, ...],
    ) -> None: ...
    def run(
        self,
        array: Any,
        out: Any,
        compute: str,
        degree: int,
        truncate: bool,
        outside: bytes,
        values: Any,
        displacement: Any,
        threads: int,
    ) -> None: ...
