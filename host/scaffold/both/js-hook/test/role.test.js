import assert from "node:assert/strict";
import { test } from "node:test";

import { count, of } from "../src/role.js";

test("a role is a word", () => {
  assert.equal(of({ other: "x", role: "web-1" }), "web-1");
  assert.equal(of({}), "");
  assert.throws(() => of({ role: "two words" }));
});

test("starts are counted from none", () => {
  assert.deepEqual(["", "7", "seven"].map(count), [0, 7, 0]);
});
