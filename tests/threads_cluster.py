"""A cluster whose nodes are names and whose actors are threads of this process."""

import copy
import itertools
import sys
import threading
import traceback
from unittest.mock import patch

from lagrad.runtimes.ray import _ray, _shard, _worker
from lagrad.runtimes.ray._cluster import End


class Threads:
    """What `runtimes.ray._cluster.Cluster` is, without Ray: nothing starts, nothing dies.

    nodes: their names; the server is on the first.
    """

    def __init__(self, nodes):
        self.nodes = nodes
        self.node, self.host = nodes[0], "127.0.0.1"
        self._turn = itertools.cycle(nodes)
        self._actors = {}
        self._here = threading.local()

    def own_node(self):
        return self._here.node

    def gpus_of_each(self, workers):
        return 1 / workers

    def start(self, key, kind, *arguments, cpus, gpus=0.0, node=None, calls=1):
        del cpus, gpus, calls
        actor, ends = kind(sys.path), []

        def live(node):
            self._here.node = node
            try:
                actor.work(*arguments)
            except BaseException:
                ends.append(traceback.format_exc())

        there = next(self._turn) if node is None else node
        thread = threading.Thread(target=live, args=(there,), daemon=True)
        self._actors[key] = (actor, thread, ends)
        thread.start()

    def hand_over(self, giver, number, taker):
        one, other = self._actors[giver][0], self._actors[taker][0]
        threading.Thread(target=lambda: other.take(copy.deepcopy(one.frozen(number)))).start()

    def fetch(self, keys, number, *, patience):
        del patience
        actors = [self._actors[key][0] for key in keys]
        return lambda: [copy.deepcopy(actor.frozen(number)) for actor in actors]

    def settled(self, key, node, process):
        pass

    def alive(self):
        return self.nodes

    def ended(self):
        over = [key for key, (_, thread, _) in self._actors.items() if not thread.is_alive()]
        found = []
        for key in over:
            _, _, ends = self._actors.pop(key)
            words = ends[0] if ends else "ended"
            found.append(End(key, words, node_lost=False, failed=bool(ends)))
        return found

    def stop(self, *keys):
        for key in keys:
            self._actors.pop(key, None)

    def await_end(self, seconds):
        for _, thread, _ in self._actors.values():
            thread.join(seconds)

    def stop_all(self):
        self._actors.clear()

    def leave(self):
        pass


def instead_of_ray(*nodes):
    """Runs on Ray have these nodes, as long as this lasts."""
    cluster = Threads(list(nodes))
    stack = [
        patch.object(_ray, "Cluster", lambda *_, **__: cluster),
        patch.object(_worker, "own_node", cluster.own_node),
        patch.object(_shard, "own_node", cluster.own_node),
        patch.object(_shard, "own_host", lambda: cluster.host),
    ]
    return _All(stack)


class _All:
    def __init__(self, patches):
        self.patches = patches

    def __enter__(self):
        for each in self.patches:
            each.start()

    def __exit__(self, *_):
        for each in self.patches:
            each.stop()
