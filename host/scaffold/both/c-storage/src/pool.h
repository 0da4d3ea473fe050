/* What all files of this backend share: shorter names for the generated types, the parts of a volume, and
 * the verbs of the host with paths as C strings.
 *
 * Every call of the host gets an instance of its own, which is thrown away afterwards: what was allocated goes with it, so
 * nothing here is freed. Two rules of the generated code remain: what a function *returns* to the host is freed
 * there, so each text in it is a copy on the heap (plugin_string_dup), never a literal; and `err` is only
 * set where false is returned. */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin.h"

typedef plugin_string_t string;
typedef wxc_host_types_error_t failure;
typedef wxc_host_handles_borrow_directory_t directory;
typedef wxc_storage_types_volume_t volume;

/* The longest is CONTAINER/snaps/SNAPSHOT/rootfs.removed: 63 + 7 + 64 + 15 characters. */
typedef struct { char text[192]; } path;

/* The parts of a volume, in the directory that the host gave it. */
#define ROOT "rootfs"             /* the root file system: it is there, so the volume is there */
#define NOTE "rootfs.volume"      /* phase and operation; beside the root, where the container cannot write */
#define REMOVED "rootfs.removed"  /* a root that is being taken apart */

/* pool.c: the host's verbs. Each returns false, with the error, when it fails. */
bool pool_of_this_call(directory *pool, failure *err);
bool is_directory(directory pool, path at, bool *there, failure *err);
bool list_directories(directory pool, const char *at, wxc_host_tree_list_entry_t *found, failure *err);
bool make_directory(directory pool, path at, failure *err);
bool read_file(directory pool, path at, plugin_list_u8_t *content, failure *err);
bool write_file(directory pool, path at, const char *text, failure *err);
bool move(directory pool, path from, path to, failure *err);
bool sync_tree(directory pool, path at, failure *err);
bool remove_file(directory pool, path at, failure *err);
bool remove_tree(directory pool, path at, failure *err);

/* As realloc, and ends the call where there is no memory left: the host says so then. */
void *allocate(void *old, size_t size);

/* Sets an error of two texts with an id between them; false, to be returned. */
bool fail(failure *err, wxc_host_types_error_kind_t kind, const char *before, string id, const char *after);

/* volume.c: what there is of a volume. */
path part(string id, const char *name);
bool same(string one, string other);
bool write_note(directory pool, string id, const char *phase, string operation, failure *err);
bool find(directory pool, string id, bool *there, volume *found, failure *err);
bool get(directory pool, string id, volume *found, failure *err);
bool prepare(directory pool, string operation, string id, bool *done, volume *made, failure *err);
bool discard(directory pool, string id, failure *err);

#endif
