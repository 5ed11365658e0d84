"""One flow per stage: the order of steps, nothing else."""
