// A hook: a role for containers, and how often they were started. Each function stands in wit/deps/hook/hook.wit.
import { emit } from "wxc:host/log@0.1.0";
import { get as setting } from "wxc:host/settings@0.1.0";
import { get, remove, set } from "wxc:host/store@0.1.0";

import * as role from "./role.js";
import { bytes, text } from "./utf8.js";

// Where the starts of a container are counted, in this hook's store for it.
const STARTS = "starts";

export const hook = {
  subscribe() {
    // `budget`: milliseconds that one call may take.
    const wish = (step) => ({ event: "pre-start", step, order: 0, onFailure: "abort", budget: 1000 });
    return ["adjust", "validate", "act"].map(wish);
  },

  adjust(context) {
    const value = roleOf(context);
    return value ? [{ tag: "set-variable", val: { name: "ROLE", value } }] : [];
  },

  validate(context, _changes) {
    const required = setting("required") === "true";
    if (!required || roleOf(context)) return { tag: "accept" };
    return { tag: "refuse", val: "every container needs a role: set `role` of this hook" };
  },

  act(context) {
    const before = get(STARTS) ?? new Uint8Array();
    const starts = role.count(text(before)) + 1;
    set(STARTS, bytes(String(starts)));
    emit("info", `${context.container.name}: start number ${starts}`);
    return before;
  },

  // Sets what was there before; doing so again changes nothing.
  undo(_context, token) {
    if (token.length) set(STARTS, token);
    else remove(STARTS);
  },
};

function roleOf(context) {
  const settings = Object.fromEntries(context.container.settings.map(({ name, value }) => [name, value]));
  try {
    return role.of(settings);
  } catch (error) {
    throw { kind: "invalid", message: error.message };
  }
}
