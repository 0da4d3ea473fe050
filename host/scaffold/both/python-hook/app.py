"""A hook: a role for containers, and how often they were started. Each function stands in wit/deps/hook/hook.wit."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import log, settings, store
from wit_world.imports.wxc_hook_types import (
    Event,
    OnFailure,
    Patch_SetVariable,
    Step,
    Subscription,
    Verdict_Accept,
    Verdict_Refuse,
)
from wit_world.imports.wxc_host_types import Error, ErrorKind, Pair

import role

# Where the starts of a container are counted, in this hook's store for it.
STARTS = "starts"


class Hook(exports.Hook):
    def subscribe(self):
        def wish(step):
            # The last number: milliseconds that one call may take.
            return Subscription(Event.PRE_START, step, 0, OnFailure.ABORT, 1000)

        return [wish(step) for step in (Step.ADJUST, Step.VALIDATE, Step.ACT)]

    def adjust(self, context):
        word = role_of(context)
        return [Patch_SetVariable(Pair("ROLE", word))] if word else []

    def validate(self, context, changes):
        if settings.get("required") == "true" and not role_of(context):
            return Verdict_Refuse("every container needs a role: set `role` of this hook")
        return Verdict_Accept()

    def act(self, context):
        before = store.get(STARTS) or b""
        starts = role.count(before) + 1
        store.set(STARTS, str(starts).encode())
        log.emit(log.Level.INFO, f"{context.container.name}: start number {starts}")
        return before

    def undo(self, context, token):
        """Sets what was there before; doing so again changes nothing."""
        if token:
            store.set(STARTS, token)
        else:
            store.remove(STARTS)


def role_of(context):
    try:
        return role.of({pair.name: pair.value for pair in context.container.settings})
    except ValueError as error:
        raise Err(Error(ErrorKind.INVALID, str(error)))
