"""The demo's legacy system: synthetic Chinese customers with known defects, made at run time.

An adapter: it writes files and reads nothing but its own table of defects. It knows neither the
policy nor the checks, so that a mistake there cannot hide here.
"""
