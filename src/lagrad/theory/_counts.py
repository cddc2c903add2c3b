"""What is asked of a number of workers and a quorum."""


def require_counts(workers: int, quorum: int) -> None:
    """ValueError for less than one of either."""
    if workers < 1 or quorum < 1:
        raise ValueError(
            f"Expected workers and quorum >= 1, got {workers} workers and quorum {quorum}; "
            "a quorum of 1 waits for nobody."
        )


def require_at_most(workers: int, quorum: int) -> None:
    """ValueError for a quorum of which each worker can bring one, beyond the workers."""
    require_counts(workers, quorum)
    if quorum > workers:
        raise ValueError(
            f"Expected a quorum of at most {workers} (the workers), got {quorum}; "
            "where a worker may bring several gradients, ask for K-batch-sync or K-batch-async."
        )
