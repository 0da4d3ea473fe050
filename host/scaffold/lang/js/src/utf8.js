// Texts as bytes and back: the engine in the component is small, and has no TextEncoder.

export function bytes(text) {
  const escaped = encodeURIComponent(text);
  return Uint8Array.from(escaped.match(/%..|[^%]/g) ?? [], (part) => (part.length > 1 ? parseInt(part.slice(1), 16) : part.charCodeAt(0)));
}

export function text(bytes) {
  return decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""));
}
