"""The key adapter: the keystore file, the key database, and what people keep themselves."""
