"""Regular work that no change asks for: the journal, the log, and metrics of what is gone."""

from __future__ import annotations

import asyncio
import logging
import time

from control.errors import ControlError
from control.metrics import ControlCounters
from control.settings import ControlSettings
from control.store import Store
from control.store.retention import Kept

log = logging.getLogger("turnout.control")

_PAUSE_S = 5.0


async def keep_up(store: Store, counters: ControlCounters, settings: ControlSettings) -> None:
    """Prune the journal, a few records at a time, and the metrics, and move the log; for ever."""

    def is_there(app: str, revision: str) -> bool:
        return revision in store.view(app).revisions

    kept = Kept(settings.journal_app_records, settings.journal_records, settings.journal_days)
    while True:
        await asyncio.sleep(_PAUSE_S)
        counters.forget(is_there)
        await store.move_log()
        try:
            gone = store.prune_journal(kept, time.time())
        except ControlError as error:
            log.warning("event=journal_not_pruned reason=%r", error.message)
        else:
            if gone:
                log.info("event=journal_pruned records=%d", gone)
