"""The PostgreSQL adapter: engines, migrations, and one module of statements per group of tables."""
