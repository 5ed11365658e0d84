"""Packages to recipients: a sheet no spreadsheet mistakes, encrypted, with a signed manifest."""
