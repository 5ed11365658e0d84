"""What is kept outside the database: checkpoints in files, and witnesses on other hosts."""
