"""Who may do which action on a volume."""

from volumed.api.policies import manageable, volumes
from volumed.api.policies.rules import ADMIN, MEMBER, Rule

EXTEND = "volume:extend"
REVERT = "volume:revert_to_snapshot"
RESET = "volume_extension:volume_admin_actions:reset_status"
RESERVE = "volume_extension:volume_actions:reserve"
UNRESERVE = "volume_extension:volume_actions:unreserve"
BEGIN_DETACHING = "volume_extension:volume_actions:begin_detaching"
ROLL_DETACHING = "volume_extension:volume_actions:roll_detaching"
ATTACH = "volume_extension:volume_actions:attach"
DETACH = "volume_extension:volume_actions:detach"
FORCE_DETACH = "volume_extension:volume_admin_actions:force_detach"
INITIALIZE = "volume_extension:volume_actions:initialize_connection"
TERMINATE = "volume_extension:volume_actions:terminate_connection"

_ACTION = ("POST /volumes/{volume_id}/action",)

RULES = (
    Rule(EXTEND, MEMBER, "Extend a volume.", _ACTION),
    Rule(REVERT, MEMBER, "Revert a volume to its latest snapshot.", _ACTION),
    Rule(RESET, ADMIN, "Set a volume's status.", _ACTION),
    Rule(RESERVE, MEMBER, "Mark a volume as about to be attached.", _ACTION),
    Rule(UNRESERVE, MEMBER, "Take that mark back.", _ACTION),
    Rule(BEGIN_DETACHING, MEMBER, "Mark a volume as about to be detached.", _ACTION),
    Rule(ROLL_DETACHING, MEMBER, "Take that mark back.", _ACTION),
    Rule(ATTACH, MEMBER, "Say that a volume is in use.", _ACTION),
    Rule(DETACH, MEMBER, "Say that a volume is no longer in use.", _ACTION),
    Rule(FORCE_DETACH, ADMIN, "Put a connector out although it is logged in.", _ACTION),
    Rule(INITIALIZE, MEMBER, "Let a connector in.", _ACTION),
    Rule(TERMINATE, MEMBER, "Put a connector out.", _ACTION),
)

#: The rule of each action.
OF_ACTION = {
    "os-extend": EXTEND,
    "revert": REVERT,
    "os-reset_status": RESET,
    "os-force_delete": volumes.FORCE_DELETE,
    "os-reserve": RESERVE,
    "os-unreserve": UNRESERVE,
    "os-begin_detaching": BEGIN_DETACHING,
    "os-roll_detaching": ROLL_DETACHING,
    "os-attach": ATTACH,
    "os-detach": DETACH,
    "os-force_detach": FORCE_DETACH,
    "os-initialize_connection": INITIALIZE,
    "os-terminate_connection": TERMINATE,
    "os-unmanage": manageable.UNMANAGE,
}
