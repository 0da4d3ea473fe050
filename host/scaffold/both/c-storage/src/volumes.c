/* The core, in the order of wit/deps/storage/volumes.wit. */
#include <stdlib.h>
#include <string.h>

#include "pool.h"

bool exports_wxc_storage_volumes_open(wxc_storage_types_pool_t *ret, failure *err) {
  directory pool;
  wxc_host_tree_room_t room;
  if (!pool_of_this_call(&pool, err) || !wxc_host_tree_space(pool, &room, err)) return false;
  *ret = (wxc_storage_types_pool_t){.total = room.total, .available = room.available};
  return true;
}

/* A growing list of ids. */
typedef struct { string *ptr; size_t len; } ids;

static int by_bytes(const void *one, const void *other) {
  const string *a = one, *b = other;
  int order = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
  return order ? order : (a->len > b->len) - (a->len < b->len);
}

static void add(ids *all, string base, const char *between, string name) {
  size_t middle = strlen(between), length = base.len + middle + name.len;
  uint8_t *id = allocate(NULL, length);
  memcpy(id, base.ptr, base.len);
  memcpy(id + base.len, between, middle);
  memcpy(id + base.len + middle, name.ptr, name.len);
  if (all->len % 256 == 0) all->ptr = allocate(all->ptr, (all->len + 256) * sizeof *all->ptr);
  all->ptr[all->len++] = (string){id, length};
}

/* The ids of everything that could be a volume, by the directories there are. */
static bool candidates(directory pool, ids *all, failure *err) {
  wxc_host_tree_list_entry_t tops, below;
  if (!list_directories(pool, "", &tops, err)) return false;
  for (size_t i = 0; i < tops.len; i++) {
    string top = tops.ptr[i].name;
    bool images = same(top, (string){(uint8_t *)".images", 7});
    if (top.ptr[0] == '.' && !images) continue;
    if (!images) add(all, top, "", (string){0});
    path shelf = part(top, images ? "" : "snaps");
    if (images) shelf.text[strlen(shelf.text) - 1] = 0;
    if (!list_directories(pool, shelf.text, &below, err)) return false;
    for (size_t j = 0; j < below.len; j++)
      if (below.ptr[j].name.ptr[0] != '.') add(all, top, "@", below.ptr[j].name);
  }
  qsort(all->ptr, all->len, sizeof *all->ptr, by_bytes);
  return true;
}

bool exports_wxc_storage_volumes_scan(string *maybe_after, uint32_t limit, exports_wxc_storage_volumes_list_volume_t *ret,
                                      failure *err) {
  directory pool;
  ids all = {0};
  if (!pool_of_this_call(&pool, err) || !candidates(pool, &all, err)) return false;
  size_t most = all.len < limit ? all.len : limit;
  *ret = (exports_wxc_storage_volumes_list_volume_t){allocate(NULL, most * sizeof *ret->ptr), 0};
  for (size_t i = 0; i < all.len && ret->len < most; i++) {
    bool there;
    if (maybe_after && by_bytes(&all.ptr[i], maybe_after) <= 0) continue;
    if (!find(pool, all.ptr[i], &there, &ret->ptr[ret->len], err)) return false;
    ret->len += there;
  }
  return true;
}

bool exports_wxc_storage_volumes_create(string *operation, string *id, uint64_t *maybe_size, volume *ret, failure *err) {
  directory pool;
  bool done;
  if (maybe_size)
    return fail(err, WXC_HOST_TYPES_ERROR_KIND_UNSUPPORTED, "volume ", *id, " cannot have a size: it is a directory");
  if (!pool_of_this_call(&pool, err) || !prepare(pool, *operation, *id, &done, ret, err)) return false;
  /* The note first: a root without one would be nobody's, and the repeated call would not know it as its own. */
  return done || (write_note(pool, *id, "writable", *operation, err) && make_directory(pool, part(*id, ROOT), err)
                  && sync_tree(pool, part(*id, ROOT), err) && get(pool, *id, ret, err));
}

bool exports_wxc_storage_volumes_seal(string *operation, string *id, volume *ret, failure *err) {
  directory pool;
  if (!pool_of_this_call(&pool, err) || !get(pool, *id, ret, err)) return false;
  if (ret->phase == WXC_STORAGE_TYPES_PHASE_SEALED) return true;
  return sync_tree(pool, part(*id, ROOT), err) && write_note(pool, *id, "sealed", *operation, err)
         && get(pool, *id, ret, err);
}

bool exports_wxc_storage_volumes_mounts(string *id, wxc_storage_types_access_t access,
                                        exports_wxc_storage_volumes_list_mount_t *ret, failure *err) {
  directory pool;
  volume found;
  bool read_only = access == WXC_STORAGE_TYPES_ACCESS_READ_ONLY;
  if (!pool_of_this_call(&pool, err) || !get(pool, *id, &found, err)) return false;
  if (found.phase == WXC_STORAGE_TYPES_PHASE_SEALED && !read_only)
    return fail(err, WXC_HOST_TYPES_ERROR_KIND_INVALID, "volume ", *id, " is sealed: it can only be read");
  wxc_storage_types_mount_t *mount = allocate(NULL, sizeof *mount);
  *mount = (wxc_storage_types_mount_t){.source.tag = WXC_STORAGE_TYPES_MOUNT_SOURCE_TREE, .read_only = read_only};
  plugin_string_dup(&mount->source.val.tree.handle, "pool");
  plugin_string_dup(&mount->source.val.tree.path, part(*id, ROOT).text);
  *ret = (exports_wxc_storage_volumes_list_mount_t){mount, 1};
  return true;
}

bool exports_wxc_storage_volumes_usage(string *id, wxc_storage_types_volume_usage_t *ret, failure *err) {
  directory pool;
  volume found;
  wxc_host_tree_tree_usage_t usage;
  if (!pool_of_this_call(&pool, err) || !get(pool, *id, &found, err)) return false;
  string root = {0};
  plugin_string_dup(&root, part(*id, ROOT).text);
  if (!wxc_host_tree_usage(pool, &root, &usage, err)) return false;
  *ret = (wxc_storage_types_volume_usage_t){.referenced = {true, usage.bytes}, .entries = {true, usage.entries}};
  return true;
}

bool exports_wxc_storage_volumes_remove(string *operation, string *id, failure *err) {
  directory pool;
  (void)operation;
  return pool_of_this_call(&pool, err) && discard(pool, *id, err);
}
