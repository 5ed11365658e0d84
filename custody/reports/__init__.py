"""Documents for people: what custody did, as pages that need nothing but a browser or a printer.

An adapter. It is given counts, codes and identifiers, never a customer's data, and fetches nothing.
"""
