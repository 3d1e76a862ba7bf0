"""POSTGRES: engine, migrations, queue, jobs, mailboxes, messages. The only room with SQLAlchemy and drivers."""
