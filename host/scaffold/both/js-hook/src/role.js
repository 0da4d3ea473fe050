// What the settings of a container mean. Nothing here calls wxc, so it is tested with Node.js.

// The role of a container; an empty text where it has none.
export function of(settings) {
  const role = settings.role ?? "";
  if (!/^[a-z0-9-]*$/.test(role)) throw new Error(`the role ${JSON.stringify(role)} is none: use a-z, 0-9 and -`);
  return role;
}

// The number that the store has; none is zero.
export function count(stored) {
  return /^[0-9]+$/.test(stored) ? Number(stored) : 0;
}
