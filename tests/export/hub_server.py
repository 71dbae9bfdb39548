"""A local server that speaks the part of the hub's API that an upload uses."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

TOKEN = "hf_right"


@dataclass
class Hub:
    """Users, repositories and branches.

    Attributes:
        repositories: By id: whether it is private.
        files: By repository and branch: the files of its commits.
        refused: A status to answer with, by the end of a path.
        requests: Method and path of every request.
    """

    url: str = ""
    user: str = "somebody"
    repositories: dict[str, bool] = field(default_factory=dict)
    branches: set[tuple[str, str]] = field(default_factory=set)
    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers requests from the state of a :class:`Hub`."""

    hub: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def _handle(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        self.hub.requests.append(f"{method} {path}")
        status = next((s for end, s in self.hub.refused.items() if path.endswith(end)), None)
        authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if status is not None or not (authorized or path.startswith("/objects/")):
            self._send({"error": "refused"}, status or 401)
            return
        for pattern, answer in self.routes.items():
            if match := re.fullmatch(pattern, f"{method} {path}"):
                self._send(*answer(self, body, *match.groups()))
                return
        self._send({"error": "not found"}, 404)

    def _send(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def who_am_i(self, _: bytes) -> tuple[Any, int]:
        return {"name": self.hub.user, "type": "user"}, 200

    def create(self, body: bytes) -> tuple[Any, int]:
        wanted = json.loads(body)
        repo = f"{wanted['organization'] or self.hub.user}/{wanted['name']}"
        if not repo.startswith(f"{self.hub.user}/"):
            return {"error": "forbidden"}, 403
        created = repo not in self.hub.repositories
        if created:
            self.hub.repositories[repo] = wanted.get("visibility") == "private"
        return {"url": f"{self.hub.url}/{repo}", "id": repo}, 200 if created else 409

    def info(self, _: bytes, repo: str) -> tuple[Any, int]:
        if repo not in self.hub.repositories:
            return {"error": "not found"}, 404
        return {"id": repo, "private": self.hub.repositories[repo]}, 200

    def branch(self, _: bytes, repo: str, name: str) -> tuple[Any, int]:
        self.hub.branches.add((repo, name))
        return {}, 200

    def validate_card(self, body: bytes) -> tuple[Any, int]:
        content = json.loads(body)["content"]
        return {"errors": [] if content.startswith("---\n") else [{"message": "no metadata"}]}, 200

    def preupload(self, body: bytes, repo: str, revision: str) -> tuple[Any, int]:
        if revision != "main" and (repo, revision) not in self.hub.branches:
            return {"error": "no such branch"}, 404
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        return {"files": files}, 200

    def batch(self, body: bytes, repo: str) -> tuple[Any, int]:
        objects = [
            {
                "oid": wanted["oid"],
                "size": wanted["size"],
                "actions": {"upload": {"href": f"{self.hub.url}/objects/{wanted['oid']}"}},
            }
            for wanted in json.loads(body)["objects"]
        ]
        return {"transfer": "basic", "objects": objects}, 200

    def store(self, body: bytes, oid: str) -> tuple[Any, int]:
        self.hub.objects[oid] = body
        return {}, 200

    def commit(self, body: bytes, repo: str, revision: str) -> tuple[Any, int]:
        files = self.hub.files.setdefault((repo, revision), {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        return {"commitUrl": f"{self.hub.url}/{repo}/commit/1", "commitOid": "1" * 40}, 200

    routes: ClassVar = {
        r"GET /api/whoami-v2": who_am_i,
        r"POST /api/repos/create": create,
        r"GET /api/models/([\w/.-]+)": info,
        r"POST /api/models/([\w/.-]+)/branch/([\w.-]+)": branch,
        r"POST /api/validate-yaml": validate_card,
        r"POST /api/models/([\w/.-]+)/preupload/([\w.-]+)": preupload,
        r"POST /([\w/.-]+)\.git/info/lfs/objects/batch": batch,
        r"PUT /objects/(\w+)": store,
        r"POST /api/models/([\w/.-]+)/commit/([\w.-]+)": commit,
    }
