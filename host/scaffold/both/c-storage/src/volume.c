/* What a volume is on the disk: where its parts are, what its note says, and in which phase that is. */
#include <string.h>

#include "pool.h"

static void append(path *to, const void *bytes, size_t length) {
  size_t used = strlen(to->text);
  /* Ids are checked by the host, and fit. */
  if (used + length >= sizeof to->text) __builtin_trap();
  memcpy(to->text + used, bytes, length);
  to->text[used + length] = 0;
}

/* Where an id has its `@`, or its length. */
static size_t at_sign(string id) {
  const uint8_t *found = memchr(id.ptr, '@', id.len);
  return found ? (size_t)(found - id.ptr) : id.len;
}

/* `web` is in web/, `web@before` in web/snaps/before/, `.images@1234` in .images/1234/. */
path part(string id, const char *name) {
  path result = {0};
  size_t base = at_sign(id);
  append(&result, id.ptr, base);
  if (base < id.len) {
    bool image = id.ptr[0] == '.';
    append(&result, image ? "/" : "/snaps/", image ? 1 : 7);
    append(&result, id.ptr + base + 1, id.len - base - 1);
  }
  append(&result, "/", 1);
  append(&result, name, strlen(name));
  return result;
}

bool same(string one, string other) {
  return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0;
}

/* The note is "PHASE OPERATION". It replaces an older one in one step, and is durable when this returns. */
bool write_note(directory pool, string id, const char *phase, string operation, failure *err) {
  path note = {0};
  append(&note, phase, strlen(phase));
  append(&note, " ", 1);
  append(&note, operation.ptr, operation.len);
  return write_file(pool, part(id, NOTE), note.text, err);
}

/* A root without a note is a writable volume that somebody else put there, such as a container of LXC's. */
static void read_note(plugin_list_u8_t note, volume *found) {
  const char sealed[] = "sealed ";
  if (note.len >= strlen(sealed) && memcmp(note.ptr, sealed, strlen(sealed)) == 0)
    found->phase = WXC_STORAGE_TYPES_PHASE_SEALED;
  const uint8_t *space = memchr(note.ptr, ' ', note.len);
  if (!space) return;
  size_t start = (size_t)(space - note.ptr) + 1;
  found->operation.is_some = true;
  plugin_string_dup_n(&found->operation.val, (const char *)note.ptr + start, note.len - start);
}

/* The volume as the pool shows it. What is there decides, and the note only tells more about it. */
bool find(directory pool, string id, bool *there, volume *found, failure *err) {
  bool root, removed;
  plugin_list_u8_t note;
  if (!is_directory(pool, part(id, ROOT), &root, err)) return false;
  if (!read_file(pool, part(id, NOTE), &note, err)) return false;
  *found = (volume){.phase = WXC_STORAGE_TYPES_PHASE_WRITABLE};
  plugin_string_dup_n(&found->id, (const char *)id.ptr, id.len);
  if (note.len) read_note(note, found);
  *there = root;
  if (root) return true;
  if (!is_directory(pool, part(id, REMOVED), &removed, err)) return false;
  found->phase = WXC_STORAGE_TYPES_PHASE_REMOVING;
  *there = removed;
  return true;
}

/* The volume, for verbs that need a whole one. */
bool get(directory pool, string id, volume *found, failure *err) {
  bool there;
  if (!find(pool, id, &there, found, err)) return false;
  if (there && found->phase != WXC_STORAGE_TYPES_PHASE_REMOVING) return true;
  return fail(err, WXC_HOST_TYPES_ERROR_KIND_NOT_FOUND, "there is no volume ", id, "");
}

/* Makes room for a new volume. `done`: this very operation has made it already. */
bool prepare(directory pool, string operation, string id, bool *done, volume *made, failure *err) {
  bool there;
  *done = false;
  if (!find(pool, id, &there, made, err)) return false;
  if (!there) return true;
  if (made->phase == WXC_STORAGE_TYPES_PHASE_REMOVING) return discard(pool, id, err);
  *done = made->operation.is_some && same(made->operation.val, operation);
  return *done || fail(err, WXC_HOST_TYPES_ERROR_KIND_ALREADY_EXISTS, "volume ", id, " exists already");
}

/* Removes whatever there is of a volume. The first step makes it one that is being removed, and the last one ends
 * that, so that it can be cut short anywhere. */
bool discard(directory pool, string id, failure *err) {
  path root = part(id, ROOT), removed = part(id, REMOVED);
  bool whole;
  if (!is_directory(pool, root, &whole, err)) return false;
  if (whole && (!remove_tree(pool, removed, err) || !move(pool, root, removed, err))) return false;
  return remove_file(pool, part(id, NOTE), err) && remove_tree(pool, removed, err);
}
