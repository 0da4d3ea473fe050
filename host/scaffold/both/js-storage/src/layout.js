// Where the parts of a volume are, and what its note says. Nothing here calls wxc, so it is tested with Node.js.

// What images are "snapshots" of.
const IMAGES = ".images";

// The directory that the host makes for a volume: web, web/snaps/before, .images/DIGEST.
export function home(id) {
  const [base, rest] = id.split("@");
  if (rest === undefined) return base;
  return base === IMAGES ? `${IMAGES}/${rest}` : `${base}/snaps/${rest}`;
}

// The root file system itself.
export const root = (id) => `${home(id)}/rootfs`;

// What is remembered of a volume: beside its root, because inside it the container could change it.
export const note = (id) => `${home(id)}/rootfs.volume`;

// Where a root goes that is being removed.
export const removed = (id) => `${home(id)}/rootfs.removed`;

// The directory whose entries are volumes too, for a directory at the top of the pool; undefined where there are none.
export function shelf(top) {
  if (top === IMAGES) return IMAGES;
  return top.startsWith(".") ? undefined : `${top}/snaps`;
}

// Whether the volume is sealed, and the operation that made it so, or made it.
export function parse(note) {
  const [phase, operation] = note.split(" ");
  return { sealed: phase === "sealed", operation: operation ?? null };
}
