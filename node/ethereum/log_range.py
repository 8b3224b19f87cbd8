"""How many L1 blocks one query for logs may cover: endpoints limit it, each to a number of its own."""


class LogRange:
    def __init__(self, most: int) -> None:
        self.count = most
        """L1 blocks of the next query."""
        self._most = most

    def take_refusal(self, count: int) -> bool:
        """After a query for `count` blocks that brought nothing: the next one is for half as many. Returns whether that
        is fewer."""
        self.count = max(1, count // 2)
        return self.count < count

    def take_answer(self) -> None:
        """Slowly more: what was refused may have been a busy moment."""
        self.count = min(self._most, self.count + 1 + self.count // 16)
