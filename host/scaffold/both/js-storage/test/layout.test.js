import assert from "node:assert/strict";
import { test } from "node:test";

import * as layout from "../src/layout.js";

test("every kind of volume has its place", () => {
  assert.equal(layout.root("web"), "web/rootfs");
  assert.equal(layout.note("web@before"), "web/snaps/before/rootfs.volume");
  assert.equal(layout.removed(".images@0a1b"), ".images/0a1b/rootfs.removed");
  assert.deepEqual(["web", ".images", ".journal"].map(layout.shelf), ["web/snaps", ".images", undefined]);
});

test("a note has a phase and an operation", () => {
  assert.deepEqual(layout.parse("sealed op-1"), { sealed: true, operation: "op-1" });
  // A root that somebody else put there, such as LXC.
  assert.deepEqual(layout.parse(""), { sealed: false, operation: null });
});
