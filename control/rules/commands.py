"""What a caller can do to an app: each command turns one view into the next.

Pure: no I/O, no clock, no chance; `now` and new suffixes are handed in. A command that raises has
changed nothing. The reconciler makes the world follow.
"""

from control.rules.activation import (
    activate,
    cancel,
    deactivate,
    purge,
    rest,
    restart,
    rested,
    set_stopped,
    under_way,
    wake,
    woken,
)
from control.rules.configure import configure, remove_secret, set_mode, set_secrets
from control.rules.deploy import (
    SUFFIX_ALPHABET,
    SUFFIX_LENGTH,
    SUFFIX_LETTERS,
    NewSuffix,
    check_app_name,
    deploy,
)
from control.rules.faults import clear_fault, set_fault
from control.rules.traffic_rules import (
    add_label,
    forget_label,
    remove_label,
    set_traffic,
    swap_labels,
)

__all__ = [
    "SUFFIX_ALPHABET",
    "SUFFIX_LENGTH",
    "SUFFIX_LETTERS",
    "NewSuffix",
    "activate",
    "add_label",
    "cancel",
    "check_app_name",
    "configure",
    "deactivate",
    "clear_fault",
    "deploy",
    "set_fault",
    "forget_label",
    "purge",
    "remove_secret",
    "set_secrets",
    "remove_label",
    "restart",
    "rest",
    "rested",
    "set_mode",
    "set_stopped",
    "set_traffic",
    "swap_labels",
    "under_way",
    "wake",
    "woken",
]
