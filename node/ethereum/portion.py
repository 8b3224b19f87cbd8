"""How much to ask of an endpoint at once: each bears another amount, and few say how much."""


class Portion:
    def __init__(self, most: int) -> None:
        self.count = most
        """At most so many the next time."""
        self._most = most

    def take_refusal(self, count: int) -> bool:
        """After asking for `count` in vain: half as many the next time. Returns whether that is fewer."""
        self.count = max(1, count // 2)
        return self.count < count

    def take_answer(self) -> None:
        """Slowly more: what was refused may have been a busy moment."""
        self.count = min(self._most, self.count + 1 + self.count // 16)
