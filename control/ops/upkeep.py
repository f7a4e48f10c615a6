"""Regular work that no change causes: pruning the journal and old metrics, moving the log."""

from __future__ import annotations

import asyncio
import logging
import time

from control.model.errors import ControlError
from control.model.kinds import AppName, RevisionName
from control.ops.metrics import ControlCounters
from control.settings import ControlSettings
from control.store import Store
from control.store.retention import Retention

log = logging.getLogger("turnout.control")

_PAUSE_S = 5.0
# while there is more to prune: records may be written faster than one batch per normal pause
_SOON_S = 0.1


async def keep_up(store: Store, counters: ControlCounters, settings: ControlSettings) -> None:
    """Prune the journal (some records at a time) and the metrics, and move the log.

    Never returns.
    """

    def is_there(app: AppName, revision: RevisionName) -> bool:
        view = store.view(app)
        return revision in view.revisions if revision else view.app is not None

    kept = Retention(settings.journal_app_records, settings.journal_records, settings.journal_days)
    while True:
        counters.forget(is_there)
        gone = 0
        try:
            await store.move_log()
            gone = store.prune_journal(kept, time.time())
        except ControlError as error:
            log.warning("event=journal_not_pruned reason=%r", error.message)
        except Exception:  # the next turn may succeed
            log.exception("event=upkeep_failed")
        if gone:
            log.info("event=journal_pruned records=%d", gone)
        await asyncio.sleep(_SOON_S if gone else _PAUSE_S)
