"""``--auth token``: whoever brings a token of the file is the principal that it names.

It must never know how tokens are given out.
"""

from __future__ import annotations

import hmac
import logging
import time

from livethread.model import Principal
from livethread_server.auth.admission import Admission, unauthorized
from livethread_server.auth.digest import digest_of
from livethread_server.auth.token_file import Stamp, TokenFile, TokenRecord
from livethread_server.settings import SettingsError

log = logging.getLogger(__name__)


class TokenAuth:
    """The tokens of a file, read again when it changes. `SettingsError` where it cannot be read at the start.

    A file that cannot be read later lets nobody new in; who is in stays, until it can be read again.
    """

    def __init__(self, file: TokenFile) -> None:
        self._file = file
        self._stamp: Stamp | str | None = file.stamp()
        self._tokens = {record.digest: record for record in file.read()}
        self._readable = True
        if not self._tokens:
            log.warning("Nobody can come in yet. Give out a token with 'livethread token new NAME'.")

    async def admit(self, token: str) -> Admission:
        self.refresh()
        record = self._find(digest_of(token)) if self._readable else None
        if record is None:
            raise unauthorized("This token is not one of this server's, or was revoked. Ask its operator for one.")
        admission = Admission(
            principal=Principal(record.name, record.name), proof=record.digest, expires=record.expires
        )
        if not self.holds(admission):
            raise unauthorized("This token has expired. Ask the server's operator for a new one.")
        return admission

    def refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp, self._readable = stamp, False
        try:
            self._tokens = {record.digest: record for record in self._file.read()}
            self._readable = True
        except SettingsError as error:
            log.error("%s Until it can be read again, nobody new comes in.", error)

    def holds(self, admission: Admission) -> bool:
        record = self._tokens.get(admission.proof)
        return record is not None and (record.expires is None or record.expires > time.time())

    def _look(self) -> Stamp | str | None:
        """The file's stamp. Where there is none to be had, why: so that each trouble is noticed, and logged, once."""
        try:
            return self._file.stamp()
        except SettingsError as error:
            return str(error)

    def _find(self, digest: str) -> TokenRecord | None:
        """Every digest is compared, and each as a whole, so that the time tells nothing."""
        found = None
        for known, record in self._tokens.items():
            if hmac.compare_digest(known, digest):
                found = record
        return found
