/* A template: a small system of one static program. The functions stand in wit/deps/template/template.wit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

typedef plugin_string_t string;
typedef exports_wxc_template_template_error_t failure;
typedef exports_wxc_template_template_request_t request;

/* The parameter for the program. [inputs.program] of plugin.toml says where it is when the user says nothing. */
#define PROGRAM "program"
#define GREETING "greeting"
#define BUSYBOX "/bin/busybox"

/* What is in the root: each after the directory that it is in. A text with %s gets the container's name, or the greeting. */
static const struct row {
  const char *path;
  uint8_t node;
  uint32_t permissions;
  const char *text;
} ROWS[] = {
  {"/bin", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/dev", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/etc", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/proc", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0555, NULL},
  {"/root", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0700, NULL},
  {"/run", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/sbin", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/sys", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0555, NULL},
  {"/tmp", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 01777, NULL},
  {"/usr", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/usr/bin", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/usr/sbin", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  {"/var", WXC_TEMPLATE_TYPES_NODE_DIRECTORY, 0755, NULL},
  /* The host puts the file there that the user, or the machine, has given: its path is never seen here. */
  {BUSYBOX, WXC_TEMPLATE_TYPES_NODE_GIVEN, 0755, PROGRAM},
  /* Names of the program before its first start; then it makes the others itself. */
  {"/bin/sh", WXC_TEMPLATE_TYPES_NODE_SYMLINK, 0777, BUSYBOX},
  {"/sbin/init", WXC_TEMPLATE_TYPES_NODE_SYMLINK, 0777, BUSYBOX},
  {"/etc/passwd", WXC_TEMPLATE_TYPES_NODE_FILE, 0644, "root:x:0:0:root:/root:/bin/sh\n"},
  {"/etc/group", WXC_TEMPLATE_TYPES_NODE_FILE, 0644, "root:x:0:\n"},
  {"/etc/hostname", WXC_TEMPLATE_TYPES_NODE_FILE, 0644, "%s\n"},
  {"/etc/hosts", WXC_TEMPLATE_TYPES_NODE_FILE, 0644, "127.0.0.1 localhost\n127.0.1.1 %s\n"},
  {"/etc/inittab", WXC_TEMPLATE_TYPES_NODE_FILE, 0644,
   "::sysinit:/bin/busybox --install -s\nconsole::askfirst:/bin/sh\n"},
  {"/etc/motd", WXC_TEMPLATE_TYPES_NODE_FILE, 0644, "%s\n"},
};

/* Room on the heap, all zero; ends the call where there is none left: the host says so then. */
static void *allocate(size_t count, size_t size) {
  void *room = calloc(count, size);
  if (!room) abort();
  return room;
}

static bool is(string text, const char *word) {
  return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

/* What the user said, or the default; none where there is neither. */
static const string *answer(const request *request, const char *name) {
  for (size_t i = 0; i < request->answers.len; i++)
    if (is(request->answers.ptr[i].name, name)) return &request->answers.ptr[i].value;
  return NULL;
}

void exports_wxc_template_template_options(exports_wxc_template_template_list_parameter_t *ret) {
  *ret = (exports_wxc_template_template_list_parameter_t){allocate(2, sizeof *ret->ptr), 2};
  plugin_string_dup(&ret->ptr[0].name, PROGRAM);
  ret->ptr[0].kind.tag = WXC_TEMPLATE_TYPES_PARAMETER_KIND_FILE;
  plugin_string_dup(&ret->ptr[0].doc, "A busybox that needs no libraries; this machine's unless told");
  plugin_string_dup(&ret->ptr[1].name, GREETING);
  ret->ptr[1].kind.tag = WXC_TEMPLATE_TYPES_PARAMETER_KIND_TEXT;
  plugin_string_dup(&ret->ptr[1].doc, "What /etc/motd says");
  ret->ptr[1].default_.is_some = true;
  plugin_string_dup(&ret->ptr[1].default_.val, "Welcome");
}

/* There is one system, and no catalogue to search. */
bool exports_wxc_template_template_search(request *request, uint32_t limit,
                                          exports_wxc_template_template_list_candidate_t *ret, failure *err) {
  (void)request, (void)limit, (void)err;
  *ret = (exports_wxc_template_template_list_candidate_t){0};
  return true;
}

bool exports_wxc_template_template_resolve(request *request, exports_wxc_template_template_manifest_t *ret, failure *err) {
  if (!answer(request, PROGRAM)) {
    err->kind = WXC_HOST_TYPES_ERROR_KIND_INVALID;
    plugin_string_dup(&err->message, "this machine has no busybox: install one that needs no libraries (Debian: "
                                     "busybox-static), or say with --program where it is");
    return false;
  }
  *ret = (exports_wxc_template_template_manifest_t){.assembly.tag = WXC_TEMPLATE_TYPES_ASSEMBLY_EMPTY};
  plugin_string_dup(&ret->product, "@WORD@");
  plugin_string_dup(&ret->serial, "");
  plugin_string_dup_n(&ret->architecture, (const char *)request->architecture.ptr, request->architecture.len);
  return true;
}

/* A text with the word in the place of %s, on the heap. */
static plugin_list_u8_t filled(const char *text, string word) {
  const char *place = strstr(text, "%s");
  size_t before = place ? (size_t)(place - text) : strlen(text), after = place ? strlen(place + 2) : 0;
  size_t middle = place ? word.len : 0;
  plugin_list_u8_t all = {allocate(1, before + middle + after + 1), before + middle + after};
  memcpy(all.ptr, text, before);
  if (middle) memcpy(all.ptr + before, word.ptr, middle);
  if (after) memcpy(all.ptr + before + middle, place + 2, after);
  return all;
}

static void render(const struct row *row, string word, wxc_template_types_rendered_t *file) {
  *file = (wxc_template_types_rendered_t){.node.tag = row->node, .permissions = row->permissions};
  plugin_string_dup(&file->path, row->path);
  if (row->node == WXC_TEMPLATE_TYPES_NODE_SYMLINK) plugin_string_dup(&file->node.val.symlink, row->text);
  if (row->node == WXC_TEMPLATE_TYPES_NODE_FILE) file->node.val.file = filled(row->text, word);
  if (row->node == WXC_TEMPLATE_TYPES_NODE_GIVEN) {
    plugin_string_dup(&file->node.val.given.parameter, row->text);
    plugin_string_dup(&file->node.val.given.path, "");
  }
}

static void set(wxc_template_types_pair_t *setting, const char *name, const char *value) {
  plugin_string_dup(&setting->name, name);
  plugin_string_dup(&setting->value, value);
}

bool exports_wxc_template_template_finish(exports_wxc_template_template_moment_t moment, request *request,
                                          exports_wxc_template_template_manifest_t *manifest,
                                          exports_wxc_template_template_list_member_t *members,
                                          exports_wxc_template_template_finished_t *ret, failure *err) {
  const size_t rows = sizeof ROWS / sizeof *ROWS;
  const string *greeting = answer(request, GREETING);
  (void)moment, (void)manifest, (void)members, (void)err;
  *ret = (exports_wxc_template_template_finished_t){0};
  /* What busybox's init understands as "halt" and "reboot". Only settings of the host's list are taken. */
  ret->settings.ptr = allocate(2, sizeof *ret->settings.ptr);
  ret->settings.len = 2;
  set(&ret->settings.ptr[0], "stop.halt", "\"SIGUSR1\"");
  set(&ret->settings.ptr[1], "stop.reboot", "\"SIGTERM\"");
  ret->files.ptr = allocate(rows, sizeof *ret->files.ptr);
  ret->files.len = rows;
  for (size_t i = 0; i < rows; i++) {
    bool motd = strcmp(ROWS[i].path, "/etc/motd") == 0;
    render(&ROWS[i], motd ? (greeting ? *greeting : (string){0}) : request->container, &ret->files.ptr[i]);
  }
  return true;
}
