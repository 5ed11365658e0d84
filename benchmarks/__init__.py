"""The figures of the README, each measured by one command: ``custody bench``."""
