/* Clones and snapshots: copies that share their blocks where the file system can. The host copies whole trees; what is
 * left to do here is the order of the steps. */
#include "pool.h"

/* A copy of `from` that is durable, and not yet a volume. */
static bool copied(directory pool, string from, string to, failure *err) {
  return remove_tree(pool, part(to, COPY), err) && copy_tree(pool, part(from, ROOT), part(to, COPY), err)
         && sync_tree(pool, part(to, COPY), err);
}

/* A new volume with the content of another: unfinished until the rename, whatever its note says. */
static bool new_copy(directory pool, string operation, string from, string id, const char *phase, volume *ret, failure *err) {
  bool done;
  if (!prepare(pool, operation, id, &done, ret, err)) return false;
  return done || (write_note(pool, id, phase, operation, err) && copied(pool, from, id, err)
                  && move(pool, part(id, COPY), part(id, ROOT), err)
                  && sync_tree(pool, part(id, NOTE), err) /* and with it the names beside it: the one given just now */
                  && get(pool, id, ret, err));
}

bool exports_wxc_storage_clones_describe(exports_wxc_storage_clones_traits_t *ret, failure *err) {
  (void)err;
  /* Sharing blocks is quick, but it is done file by file. */
  *ret = (exports_wxc_storage_clones_traits_t){.instant = false, .pins_parent = false};
  return true;
}

bool exports_wxc_storage_clones_clone(string *operation, string *parent, string *id, uint64_t *maybe_size, volume *ret,
                                      failure *err) {
  directory pool;
  if (maybe_size)
    return fail(err, WXC_HOST_TYPES_ERROR_KIND_UNSUPPORTED, "volume ", *id, " cannot have a size: it is a directory");
  if (!pool_of_this_call(&pool, err) || !get(pool, *parent, ret, err)) return false;
  if (ret->phase != WXC_STORAGE_TYPES_PHASE_SEALED)
    return fail(err, WXC_HOST_TYPES_ERROR_KIND_INVALID, "volume ", *parent, " is not sealed, and cannot be cloned");
  return new_copy(pool, *operation, *parent, *id, "writable", ret, err);
}

bool exports_wxc_storage_clones_unseal(string *operation, string *id, volume *ret, failure *err) {
  directory pool;
  if (!pool_of_this_call(&pool, err) || !get(pool, *id, ret, err)) return false;
  return ret->phase == WXC_STORAGE_TYPES_PHASE_WRITABLE
         || (write_note(pool, *id, "writable", *operation, err) && get(pool, *id, ret, err));
}

bool exports_wxc_storage_snapshots_describe(exports_wxc_storage_snapshots_traits_t *ret, failure *err) {
  (void)err;
  *ret = (exports_wxc_storage_snapshots_traits_t){.live = false, .instant = false, .pins_volume = false};
  return true;
}

bool exports_wxc_storage_snapshots_take(string *operation, string *of, string *snapshot, volume *ret, failure *err) {
  directory pool;
  return pool_of_this_call(&pool, err) && get(pool, *of, ret, err)
         && new_copy(pool, *operation, *of, *snapshot, "sealed", ret, err);
}

bool exports_wxc_storage_snapshots_at_rest_describe(exports_wxc_storage_snapshots_at_rest_traits_t *ret, failure *err) {
  (void)err;
  *ret = (exports_wxc_storage_snapshots_at_rest_traits_t){.instant = false};
  return true;
}

/* The same as without a container in it: only read from, the volume may be mounted. */
bool exports_wxc_storage_snapshots_at_rest_take(string *operation, string *of, string *snapshot, volume *ret, failure *err) {
  return exports_wxc_storage_snapshots_take(operation, of, snapshot, ret, err);
}

/* Copies depend on nothing, so nothing is ever in the way. */
bool exports_wxc_storage_snapshots_restore_blockers(string *snapshot, exports_wxc_storage_snapshots_list_volume_id_t *ret,
                                                    failure *err) {
  (void)snapshot, (void)err;
  *ret = (exports_wxc_storage_snapshots_list_volume_id_t){0};
  return true;
}

/* Repeated from the start after an interruption, also one after the exchange: the snapshot is still there, and a second
 * restore ends with the same content. */
bool exports_wxc_storage_snapshots_restore(string *operation, string *snapshot, volume *ret, failure *err) {
  directory pool;
  string of = base_of(*snapshot);
  (void)operation;
  if (!pool_of_this_call(&pool, err) || !get(pool, *snapshot, ret, err) || !get(pool, of, ret, err)) return false;
  if (ret->phase != WXC_STORAGE_TYPES_PHASE_WRITABLE)
    return fail(err, WXC_HOST_TYPES_ERROR_KIND_INVALID, "volume ", of, " is sealed: it never changes");
  return copied(pool, *snapshot, of, err) && exchange(pool, part(of, ROOT), part(of, COPY), err)
         && sync_tree(pool, part(of, NOTE), err) && remove_tree(pool, part(of, COPY), err) && get(pool, of, ret, err);
}
