"""The command line: it reads what people type, calls the acts, and says what came of it."""
