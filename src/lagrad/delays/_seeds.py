"""The states of many workers' random numbers at once: what NumPy makes one by one."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

#: From this worker on, a number is of two words.
MOST = 2**32
#: Workers whose states are computed at a time.
_BLOCK = 256

_MASK = MOST - 1
_WORDS, _SHIFT = 4, 16
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_LEFT, _RIGHT = 0xCA01F9DD, 0x4973F715


class Seeds(ISeedSequence):
    """Stands for `np.random.SeedSequence(seed, spawn_key=(worker,))` where a PCG64 is made of it.

    Making NumPy's, and asking it, takes five times as long as the generator itself.

    >>> wanted = np.random.SeedSequence(3, spawn_key=(7,)).generate_state(4, np.uint64)
    >>> bool((Seeds(3, 7).generate_state(4, np.uint64) == wanted).all())
    True
    """

    def __init__(self, seed: int, worker: int) -> None:
        self._state: NDArray[np.uint64] = states(seed, worker // _BLOCK)[worker % _BLOCK]

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        """The four words of 64 bits that a PCG64 asks for."""
        assert (n_words, dtype) == (4, np.uint64)
        return self._state


@lru_cache(maxsize=256)
def states(seed: int, block: int) -> NDArray[np.uint64]:
    """Of each worker of a block, four words: [_BLOCK, 4].

    Source: O'Neill's seed_seq as in NumPy's SeedSequence, which promises never to change.
    """
    words = [seed >> 32 * i & _MASK for i in range(max(_WORDS, -(-seed.bit_length() // 32)))]
    constant = _INIT_A

    def hashed(value: Any) -> Any:
        nonlocal constant
        value = value ^ constant
        constant = constant * _MULT_A & _MASK
        value = value * constant & _MASK
        return value ^ value >> _SHIFT

    def mixed(x: Any, y: Any) -> Any:
        found = (_LEFT * x & _MASK) - (_RIGHT * y & _MASK) & _MASK
        return found ^ found >> _SHIFT

    pool = [hashed(word) for word in words[:_WORDS]]
    for source in range(_WORDS):
        for target in range(_WORDS):
            if source != target:
                pool[target] = mixed(pool[target], hashed(pool[source]))
    # 64 bits hold all products of 32.
    workers = np.arange(block * _BLOCK, (block + 1) * _BLOCK, dtype=np.uint64)
    for word in [*words[_WORDS:], workers]:
        for target in range(_WORDS):
            pool[target] = mixed(pool[target], hashed(word))
    found = np.empty((_BLOCK, 2 * _WORDS), np.uint32)
    constant = _INIT_B
    for place in range(2 * _WORDS):
        value = pool[place % _WORDS] ^ constant
        constant = constant * _MULT_B & _MASK
        value = value * constant & _MASK
        found[:, place] = value ^ value >> _SHIFT
    return found.view("<u8")
