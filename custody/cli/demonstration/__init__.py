"""The demo: a firm that does not exist takes its customers' information through all five stages."""
