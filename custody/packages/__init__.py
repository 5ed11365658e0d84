"""Packages to recipients: a sheet that no spreadsheet can mistake, encrypted, with a signed manifest."""
