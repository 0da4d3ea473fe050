/* A guest that uses its C library as a program would, to see what it gets. `open` does what the setting says and
 * answers with an error that tells the result; nothing else is implemented. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plugin.h"

typedef plugin_string_t string;
typedef wxc_host_types_error_t failure;
typedef wxc_storage_types_volume_t volume;

extern char **environ;

static bool say(failure *err, const char *text) {
  err->kind = WXC_HOST_TYPES_ERROR_KIND_UNSUPPORTED;
  plugin_string_dup(&err->message, text);
  return false;
}

/* How many of these ways to a file lead to one. */
static int files(void) {
  struct stat status;
  const char *paths[] = {"/etc/passwd", "/", ".", "..", "/proc/self/environ", "plugin.toml", "/var/lib/wxc"};
  int found = 0;
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    found += open(paths[i], O_RDONLY) >= 0;
    found += open(paths[i], O_RDWR | O_CREAT, 0600) >= 0;
    found += stat(paths[i], &status) == 0;
    found += opendir(paths[i]) != NULL;
    found += mkdir(paths[i], 0700) == 0;
    found += unlink(paths[i]) == 0;
    found += rename(paths[i], "/tmp/moved") == 0;
  }
  /* Descriptors that nobody opened: behind the three of every program. */
  char byte;
  for (int fd = 3; fd < 64; fd++) found += read(fd, &byte, 1) >= 0 || fstat(fd, &status) == 0;
  return found;
}

static bool random_is_random(void) {
  unsigned char one[16] = {0}, other[16] = {0};
  return getentropy(one, 16) == 0 && getentropy(other, 16) == 0 && memcmp(one, other, 16) != 0;
}

static bool clocks_run(void) {
  struct timespec wall, before, after;
  if (clock_gettime(CLOCK_REALTIME, &wall) || clock_gettime(CLOCK_MONOTONIC, &before)) return false;
  if (clock_gettime(CLOCK_MONOTONIC, &after)) return false;
  bool forward = after.tv_sec > before.tv_sec || (after.tv_sec == before.tv_sec && after.tv_nsec >= before.tv_nsec);
  return forward && wall.tv_sec > 1700000000;
}

bool exports_wxc_storage_volumes_open(wxc_storage_types_pool_t *ret, failure *err) {
  char told[128] = "nothing was asked";
  string key = {(uint8_t *)"does", 4}, does;
  (void)ret;
  if (!wxc_host_settings_get(&key, &does)) return say(err, told);
#define DOES(word) (does.len == strlen(word) && memcmp(does.ptr, word, does.len) == 0)
  if (DOES("print")) {
    printf("to standard output, number %d\n", 1);
    fflush(stdout);
    fprintf(stderr, "to standard error, \033[31mred\n");
    snprintf(told, sizeof told, "printed");
  } else if (DOES("environment")) {
    int count = 0;
    while (environ && environ[count]) count++;
    snprintf(told, sizeof told, "variables: %d, HOME: %s", count, getenv("HOME") ? "set" : "not set");
  } else if (DOES("files")) {
    snprintf(told, sizeof told, "files found: %d", files());
  } else if (DOES("input")) {
    snprintf(told, sizeof told, "first character: %d", getchar());
  } else if (DOES("clock")) {
    snprintf(told, sizeof told, "clocks: %s", clocks_run() ? "run" : "stand");
  } else if (DOES("random")) {
    snprintf(told, sizeof told, "random: %s", random_is_random() ? "yes" : "no");
  } else if (DOES("exit")) {
    exit(0);
  } else if (DOES("leave")) {
    _Exit(3);
  } else if (DOES("abort")) {
    abort();
  }
  return say(err, told);
}

bool exports_wxc_storage_volumes_scan(string *after, uint32_t limit, exports_wxc_storage_volumes_list_volume_t *ret, failure *err) {
  (void)after, (void)limit, (void)err;
  *ret = (exports_wxc_storage_volumes_list_volume_t){0};
  return true;
}

bool exports_wxc_storage_volumes_create(string *operation, string *id, uint64_t *size, volume *ret, failure *err) {
  (void)operation, (void)id, (void)size, (void)ret;
  return say(err, "it keeps nothing");
}

bool exports_wxc_storage_volumes_seal(string *operation, string *id, volume *ret, failure *err) {
  (void)operation, (void)id, (void)ret;
  return say(err, "it keeps nothing");
}

bool exports_wxc_storage_volumes_mounts(string *id, wxc_storage_types_access_t access, exports_wxc_storage_volumes_list_mount_t *ret,
                                        failure *err) {
  (void)id, (void)access, (void)ret;
  return say(err, "it keeps nothing");
}

bool exports_wxc_storage_volumes_usage(string *id, wxc_storage_types_volume_usage_t *ret, failure *err) {
  (void)id, (void)ret;
  return say(err, "it keeps nothing");
}

bool exports_wxc_storage_volumes_remove(string *operation, string *id, failure *err) {
  (void)operation, (void)id;
  return say(err, "it keeps nothing");
}
