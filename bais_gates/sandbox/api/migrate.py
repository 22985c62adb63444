"""``python -m bais_gates.sandbox.api.migrate CONFIG``: bring the database to the current schema (Alembic)."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from bais_gates.sandbox.api.config import ConfigError, load_migration

if TYPE_CHECKING:
    from bais_gates.sandbox.api.config import Migration

_CONNECT_WITHIN_S = 10


def migrate(wanted: Migration) -> None:
    """Upgrade the database at a ``postgresql://`` address to the newest revision."""
    engine = create_engine(
        wanted.database_url.replace("postgresql://", "postgresql+psycopg://", 1),
        connect_args={"connect_timeout": _CONNECT_WITHIN_S},
    )
    config = Config()
    own = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(own))
    config.set_main_option("path_separator", "os")
    config.set_main_option(
        "version_locations", os.pathsep.join(map(str, (own / "versions", *wanted.migrations)))
    )
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def main() -> int:
    """Migrate; exit status 0 when the schema is current, 2 for a configuration that can't be used."""
    try:
        wanted = load_migration(Path(sys.argv[1]))
    except IndexError:
        sys.stderr.write("usage: python -m bais_gates.sandbox.api.migrate CONFIG\n")
        return 2
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s [%(name)s] %(message)s")
    logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)  # logs each revision that runs
    migrate(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
