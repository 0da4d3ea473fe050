import assert from "node:assert/strict";
import { dirname } from "node:path/posix";
import { test } from "node:test";

import { all } from "../src/files.js";

test("what is in a directory comes after it", () => {
  const seen = new Set(["/"]);
  for (const { path } of all("web", "hello", "program")) {
    assert.ok(seen.has(dirname(path)), path);
    seen.add(path);
  }
});

test("names are filled in", () => {
  const motd = all("web", "hello", "program").find(({ path }) => path === "/etc/motd");
  assert.equal(new TextDecoder().decode(motd.node.val), "hello\n");
});
