"""The firm's signed policy: its model, its strict reader and its plain rendering."""
