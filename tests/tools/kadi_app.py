"""The real Kadi4Mat server as one process: `.venv-kadi/bin/python tests/tools/kadi_app.py CONFIG.json`.

Runs in Kadi's own environment and imports nothing of ours. CONFIG.json holds `database`, `redis`, `folder`, `port`,
and `ready`: the file that it writes when it answers, with the tokens of its users.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

SCOPES = (
    "record.create record.read record.update record.link record.delete record.permissions "
    "collection.create collection.read collection.link misc.manage_trash user.read"
)
PASSWORD = "a-password-of-the-tests"


def settings(told: dict[str, Any]) -> dict[str, Any]:
    """Return Kadi's configuration; given as values, because a config file named kadi.py would shadow the package."""
    folder = Path(told["folder"])
    return {
        "SQLALCHEMY_DATABASE_URI": told["database"],
        "CELERY_BROKER_URL": told["redis"],
        "RATELIMIT_STORAGE_URI": told["redis"],
        "ELASTICSEARCH_ENABLE_FALLBACK": True,
        "ELASTICSEARCH_HOSTS": "http://127.0.0.1:9",  # nobody: only an error of the connection leads to the fallback
        "ELASTICSEARCH_CONFIG": {"max_retries": 0, "timeout": 1},
        "SERVER_NAME": f"127.0.0.1:{told['port']}",
        "SECRET_KEY": "of-the-tests",
        "PREFERRED_URL_SCHEME": "http",
        "STORAGE_PATH": str(folder / "storage"),
        "MISC_UPLOADS_PATH": str(folder / "uploads"),
        "WTF_CSRF_ENABLED": False,
    }


def make_users(app: Any) -> dict[str, str]:
    """Make the users that tests speak as, and return their personal access tokens by what they are for."""
    from datetime import timedelta

    from kadi.ext.db import db
    from kadi.lib.api.models import PersonalToken
    from kadi.lib.utils import utcnow
    from kadi.modules.accounts.providers import LocalProvider

    with app.app_context():
        robot, person = (
            LocalProvider.register(username=name, displayname=shown, email=f"{name}@lab.test", password=PASSWORD).user
            for name, shown in (("labrelay", "Labrelay"), ("person", "A Person"))
        )
        wanted = {
            "robot": (robot, SCOPES, None),
            "person": (person, SCOPES, None),
            "expired": (robot, SCOPES, utcnow() - timedelta(days=1)),
            "powerless": (robot, "", None),
        }
        made = {}
        for name, (user, scope, until) in wanted.items():
            made[name] = PersonalToken.new_token()
            PersonalToken.create(user=user, name=name, scope=scope, expires_at=until, token=made[name])
        db.session.commit()
        return made | {"person_id": str(person.id), "robot_id": str(robot.id)}


def main() -> None:
    """Make the database, the users and serve until killed."""
    told = json.loads(Path(sys.argv[1]).read_text())
    for name in ("storage", "uploads"):
        (Path(told["folder"]) / name).mkdir(parents=True, exist_ok=True)
    os.environ["KADI_ENV"] = "development"

    from flask_migrate import upgrade
    from kadi.app import create_app
    from kadi.ext.db import db
    from kadi.lib.licenses.utils import initialize_builtin_licenses
    from kadi.lib.permissions.utils import initialize_system_roles
    from werkzeug.serving import make_server

    app = create_app(config=settings(told))
    app.debug = False
    with app.app_context():
        upgrade(directory=app.config["MIGRATIONS_PATH"], revision="head")
        initialize_system_roles()
        initialize_builtin_licenses()
        db.session.commit()
    tokens = make_users(app)
    server = make_server("127.0.0.1", told["port"], app, threaded=True)
    ready = Path(told["ready"])
    ready.with_suffix(".part").write_text(json.dumps(tokens))
    ready.with_suffix(".part").rename(ready)
    server.serve_forever()


if __name__ == "__main__":
    main()
