"""The study in the browser, on the server of `labkit serve`: `labkit serve --study FOLDER`, page ``study.html``."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from typing import Any

from tornado.web import HTTPError

from labkit.app.server import Handler, Site
from labkit.app.study import Session, Study, to_csv
from labkit.errors import LabkitError

SESSIONS_AT_MOST = 1000  # the oldest is dropped; its answers are on disk


class Desk:
    """The sessions under way, by a key that nobody can guess.

    Args:
        study: see `labkit.app.study.read_study`.
    """

    def __init__(self, study: Study) -> None:
        """Begin without sessions."""
        self.study = study
        self.sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, rater: str) -> str:
        """Begin a session; return its key."""
        key = secrets.token_urlsafe(12)
        self.sessions[key] = Session(self.study, rater)
        if len(self.sessions) > SESSIONS_AT_MOST:
            self.sessions.popitem(last=False)
        return key


class StudyHandler(Handler):
    """What the study's requests share."""

    def initialize(self, site: Site, desk: Desk) -> None:  # type: ignore[override]
        """Keep site and sessions."""
        super().initialize(site)
        self.desk = desk

    def session(self, key: str) -> Session:
        """Return a session.

        Raises:
            HTTPError: there is none of that key.
        """
        if key not in self.desk.sessions:
            raise HTTPError(404, "This session is over. Begin again.")
        return self.desk.sessions[key]

    def told(self) -> dict[str, Any]:
        """Return the JSON object of the body.

        Raises:
            HTTPError: it is none.
        """
        try:
            value = json.loads(self.request.body[:10_000])
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise HTTPError(400, "The answer is not JSON.")
        return value

    def state(self, session: Session) -> dict[str, Any]:
        """Return what the page needs to know, and nothing that tells the method."""
        done = len(session.answers)
        pictures = 0 if session.done else len(session.pictures())
        return {"kind": session.study.kind, "trials": len(session.trials), "done": done, "pictures": pictures}


class Begin(StudyHandler):
    """Begin a session."""

    def post(self) -> None:
        """Send its key and its first state."""
        try:
            key = self.desk.begin(str(self.told().get("rater", ""))[:100])
        except LabkitError as error:
            raise HTTPError(400, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        session = self.session(key)
        self.finish({"key": key, "rater": session.rater, **self.state(session)})


class Picture(StudyHandler):
    """One picture of the trial at hand; its address says nothing but its place."""

    def get(self, key: str, trial: str, place: str) -> None:
        """Send it."""
        session = self.session(key)
        if session.done or int(trial) != len(session.answers):
            raise HTTPError(404, "This trial is over.")
        pictures = session.pictures()
        if int(place) >= len(pictures):
            raise HTTPError(404)
        self.set_header("Content-Type", "image/png")
        self.finish(pictures[int(place)].read_bytes())


class Choose(StudyHandler):
    """The answer to a trial."""

    def post(self, key: str) -> None:
        """Keep it, and send the next state."""
        session, told = self.session(key), self.told()
        if told.get("trial") == len(session.answers):  # an answer that is sent twice counts once
            try:
                session.answer(str(told.get("answer")), told.get("seconds"))  # type: ignore[arg-type]
            except LabkitError as error:
                raise HTTPError(400, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        self.finish(self.state(session))


class Table(StudyHandler):
    """The rater's own answers."""

    def get(self, key: str) -> None:
        """Send them as CSV, when all are given: before, they would tell what is shown."""
        session = self.session(key)
        if not session.done:
            raise HTTPError(403, "The answers can be had when all trials are done.")
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{session.file.name}"')
        self.finish(to_csv(session.answers))


def study_rules(site: Site, study: Study) -> list[tuple[str, Any, Any]]:
    """Return what `labkit.app.server.serve` is given to show a study."""
    shared = {"site": site, "desk": Desk(study)}
    return [
        (r"/api/study/begin", Begin, shared),
        (r"/api/study/([\w-]{16})/(\d{1,6})/([01])\.png", Picture, shared),
        (r"/api/study/([\w-]{16})/answer", Choose, shared),
        (r"/api/study/([\w-]{16})/answers\.csv", Table, shared),
    ]
