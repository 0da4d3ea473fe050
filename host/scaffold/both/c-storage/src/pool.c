/* The host's verbs, with paths as C strings, and "not there" as an answer where that is one. */
#include <stdlib.h>
#include <string.h>

#include "pool.h"

static string view(const char *text) {
  return (string){(uint8_t *)text, strlen(text)};
}

bool pool_of_this_call(directory *pool, failure *err) {
  wxc_storage_scope_own_directory_t own;
  if (!wxc_storage_scope_pool(&own, err)) return false;
  *pool = wxc_host_handles_borrow_directory(own);
  return true;
}

bool is_directory(directory pool, path at, bool *there, failure *err) {
  string name = view(at.text);
  wxc_host_tree_status_t status;
  *there = wxc_host_tree_inspect(pool, &name, &status, err);
  if (!*there) return err->kind == WXC_HOST_TYPES_ERROR_KIND_NOT_FOUND;
  *there = status.kind == WXC_HOST_TREE_NODE_KIND_DIRECTORY;
  return true;
}

/* All that are in a directory, which come in pages; none where it is missing. */
bool list_directories(directory pool, const char *at, wxc_host_tree_list_entry_t *found, failure *err) {
  const uint32_t most = 1000;
  string name = view(at), after = {0};
  wxc_host_tree_list_entry_t page;
  *found = (wxc_host_tree_list_entry_t){0};
  do {
    if (!wxc_host_tree_entries(pool, &name, after.ptr ? &after : NULL, most, &page, err))
      return err->kind == WXC_HOST_TYPES_ERROR_KIND_NOT_FOUND;
    if (page.len == 0) break;
    size_t size = (found->len + page.len) * sizeof *found->ptr;
    found->ptr = allocate(found->ptr, size);
    for (size_t i = 0; i < page.len; i++)
      if (page.ptr[i].kind == WXC_HOST_TREE_NODE_KIND_DIRECTORY) found->ptr[found->len++] = page.ptr[i];
    after = page.ptr[page.len - 1].name;
  } while (page.len == most);
  return true;
}

bool make_directory(directory pool, path at, failure *err) {
  string name = view(at.text);
  return wxc_host_tree_make_directory(pool, &name, 0755, err);
}

/* Nothing where there is no such file. */
bool read_file(directory pool, path at, plugin_list_u8_t *content, failure *err) {
  string name = view(at.text);
  if (wxc_host_tree_read(pool, &name, 1024, content, err)) return true;
  *content = (plugin_list_u8_t){0};
  return err->kind == WXC_HOST_TYPES_ERROR_KIND_NOT_FOUND;
}

bool write_file(directory pool, path at, const char *text, failure *err) {
  string name = view(at.text);
  plugin_list_u8_t content = {(uint8_t *)text, strlen(text)};
  return wxc_host_tree_write(pool, &name, &content, 0644, err);
}

bool move(directory pool, path from, path to, failure *err) {
  string old = view(from.text), new = view(to.text);
  return wxc_host_tree_rename(pool, &old, &new, err);
}

bool sync_tree(directory pool, path at, failure *err) {
  string name = view(at.text);
  return wxc_host_tree_sync(pool, &name, err);
}

bool remove_file(directory pool, path at, failure *err) {
  string name = view(at.text);
  return wxc_host_tree_remove(pool, &name, err);
}

bool remove_tree(directory pool, path at, failure *err) {
  string name = view(at.text);
  return wxc_host_tree_remove_tree(pool, &name, err);
}

void *allocate(void *old, size_t size) {
  void *new = realloc(old, size ? size : 1);
  if (!new) abort();
  return new;
}

bool fail(failure *err, wxc_host_types_error_kind_t kind, const char *before, string id, const char *after) {
  size_t head = strlen(before), tail = strlen(after);
  uint8_t *text = allocate(NULL, head + id.len + tail);
  memcpy(text, before, head);
  memcpy(text + head, id.ptr, id.len);
  memcpy(text + head + id.len, after, tail);
  *err = (failure){kind, {text, head + id.len + tail}};
  return false;
}
