import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, text } from "../src/utf8.js";

test("texts are the bytes that Node.js makes of them", () => {
  for (const word of ["", "web%1", "grüße €", "\u{1f980}\n"]) {
    assert.deepEqual(bytes(word), new Uint8Array(Buffer.from(word)));
    assert.equal(text(bytes(word)), word);
  }
});
