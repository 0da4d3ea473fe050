/* A hook: a role for containers, and how often they were started. Each function stands in wit/deps/hook/hook.wit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

typedef plugin_string_t string;
typedef exports_wxc_hook_hook_context_t context;
typedef exports_wxc_hook_hook_error_t failure;

/* Where the starts of a container are counted, in this hook's store for it. */
#define STARTS "starts"

/* For arguments only: what is returned has to be on the heap. */
static string view(const char *text) {
  return (string){(uint8_t *)text, strlen(text)};
}

static bool is(string text, const char *word) {
  return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

/* Room on the heap; ends the call where there is none left: the host says so then. */
static void *allocate(size_t size) {
  void *room = malloc(size ? size : 1);
  if (!room) abort();
  return room;
}

/* The role of a container: an empty text where it has none. False, with the error, when it is no word. */
static bool role_of(const context *context, string *role, failure *err) {
  *role = (string){0};
  for (size_t i = 0; i < context->container.settings.len; i++)
    if (is(context->container.settings.ptr[i].name, "role")) *role = context->container.settings.ptr[i].value;
  for (size_t i = 0; i < role->len; i++) {
    uint8_t c = role->ptr[i];
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-') continue;
    err->kind = WXC_HOST_TYPES_ERROR_KIND_INVALID;
    plugin_string_dup(&err->message, "the setting role has to be a word of a-z, 0-9 and -");
    return false;
  }
  return true;
}

bool exports_wxc_hook_hook_subscribe(exports_wxc_hook_hook_list_subscription_t *ret, failure *err) {
  static const wxc_hook_types_step_t steps[] = {WXC_HOOK_TYPES_STEP_ADJUST, WXC_HOOK_TYPES_STEP_VALIDATE,
                                                WXC_HOOK_TYPES_STEP_ACT};
  const size_t count = sizeof steps / sizeof *steps;
  (void)err;
  *ret = (exports_wxc_hook_hook_list_subscription_t){allocate(count * sizeof *ret->ptr), count};
  for (size_t i = 0; i < count; i++)
    ret->ptr[i] = (exports_wxc_hook_hook_subscription_t){
      .event = WXC_HOOK_TYPES_EVENT_PRE_START,
      .step = steps[i],
      .on_failure = WXC_HOOK_TYPES_ON_FAILURE_ABORT,
      .budget = 1000, /* milliseconds that one call may take */
    };
  return true;
}

bool exports_wxc_hook_hook_adjust(context *context, exports_wxc_hook_hook_list_patch_t *ret, failure *err) {
  string role;
  if (!role_of(context, &role, err)) return false;
  *ret = (exports_wxc_hook_hook_list_patch_t){0};
  if (!role.len) return true;
  *ret = (exports_wxc_hook_hook_list_patch_t){allocate(sizeof *ret->ptr), 1};
  ret->ptr->tag = WXC_HOOK_TYPES_PATCH_SET_VARIABLE;
  plugin_string_dup(&ret->ptr->val.set_variable.name, "ROLE");
  plugin_string_dup_n(&ret->ptr->val.set_variable.value, (const char *)role.ptr, role.len);
  return true;
}

bool exports_wxc_hook_hook_validate(context *context, exports_wxc_hook_hook_list_change_t *changes,
                                    exports_wxc_hook_hook_verdict_t *ret, failure *err) {
  string key = view("required"), required, role;
  (void)changes;
  if (!role_of(context, &role, err)) return false;
  ret->tag = WXC_HOOK_TYPES_VERDICT_ACCEPT;
  if (role.len || !wxc_host_settings_get(&key, &required) || !is(required, "true")) return true;
  ret->tag = WXC_HOOK_TYPES_VERDICT_REFUSE;
  plugin_string_dup(&ret->val.refuse, "every container needs a role: set `role` of this hook");
  return true;
}

bool exports_wxc_hook_hook_act(context *context, plugin_option_list_u8_t *ret, failure *err) {
  string key = view(STARTS);
  plugin_option_list_u8_t before;
  char number[24] = {0}, line[64 + 64];
  if (!wxc_host_store_get(&key, &before, err)) return false;
  if (!before.is_some) before = (plugin_option_list_u8_t){true, {allocate(0), 0}};
  memcpy(number, before.val.ptr, before.val.len < sizeof number - 1 ? before.val.len : sizeof number - 1);
  snprintf(number, sizeof number, "%llu", strtoull(number, NULL, 10) + 1);
  plugin_list_u8_t now = {(uint8_t *)number, strlen(number)};
  if (!wxc_host_store_set(&key, &now, err)) return false;
  snprintf(line, sizeof line, "%.*s: start number %s", (int)context->container.name.len,
           (const char *)context->container.name.ptr, number);
  string message = view(line);
  wxc_host_log_emit(WXC_HOST_LOG_LEVEL_INFO, &message);
  *ret = before;
  return true;
}

/* Sets what was there before; doing so again changes nothing. */
bool exports_wxc_hook_hook_undo(context *context, plugin_list_u8_t *token, failure *err) {
  string key = view(STARTS);
  (void)context;
  return token->len ? wxc_host_store_set(&key, token, err) : wxc_host_store_remove(&key, err);
}
