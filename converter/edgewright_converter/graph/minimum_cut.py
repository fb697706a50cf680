"""Minimum s-t cut by Dinic's algorithm (E. A. Dinic, 1970), for graphs of some thousand
vertices.
"""

from __future__ import annotations

from collections import deque

UNCUTTABLE = 1 << 60


class FlowNetwork:
    """A directed graph with capacities; vertices are numbered from 0, 0 is the source,
    1 the sink.
    """

    def __init__(self) -> None:
        self._edges: list[list[int]] = [[], []]
        self._heads: list[int] = []
        self._capacities: list[int] = []

    def vertex(self) -> int:
        """Adds a vertex and returns its number."""
        self._edges.append([])
        return len(self._edges) - 1

    def edge(self, tail: int, head: int, capacity: int) -> None:
        """Adds an edge; cutting it costs `capacity`, paid when only `tail` is on the
        source's side.
        """
        for start, end, size in ((tail, head, capacity), (head, tail, 0)):
            self._edges[start].append(len(self._heads))
            self._heads.append(end)
            self._capacities.append(size)

    def source_side(self) -> set[int]:
        """The smallest set of vertices on the source's side of a minimum cut."""
        while True:
            levels = self._levels()
            if levels[1] < 0:
                return {vertex for vertex, level in enumerate(levels) if level >= 0}
            self._saturate(levels)

    def _levels(self) -> list[int]:
        levels = [-1] * len(self._edges)
        levels[0] = 0
        queue = deque([0])
        while queue:
            vertex = queue.popleft()
            for edge in self._edges[vertex]:
                head = self._heads[edge]
                if self._capacities[edge] > 0 and levels[head] < 0:
                    levels[head] = levels[vertex] + 1
                    queue.append(head)
        return levels

    def _saturate(self, levels: list[int]) -> None:
        position = [0] * len(self._edges)
        path: list[int] = []
        vertex = 0
        while True:
            if vertex == 1:
                flow = min(self._capacities[edge] for edge in path)
                for edge in path:
                    self._capacities[edge] -= flow
                    self._capacities[edge ^ 1] += flow
                path, vertex = [], 0
                continue
            edges = self._edges[vertex]
            while position[vertex] < len(edges):
                edge = edges[position[vertex]]
                head = self._heads[edge]
                if self._capacities[edge] > 0 and levels[head] == levels[vertex] + 1:
                    path.append(edge)
                    vertex = head
                    break
                position[vertex] += 1
            else:
                if not path:
                    return
                edge = path.pop()
                vertex = self._heads[edge ^ 1]
                position[vertex] += 1
