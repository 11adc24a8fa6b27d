"""The database: connection, roles, migrations, and our own server on one machine."""
