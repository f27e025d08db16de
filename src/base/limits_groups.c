/*
 * Limits of control groups: where the groups of this process lie, and what each of them allows.
 *
 * proc/self/cgroup names the group of this process in each hierarchy (version 1: one for each controller; version 2:
 * one for all). proc/self/mountinfo says where hierarchies are mounted. Both together give a folder; its ancestors up
 * to the mount point bound this process too. Inside a container the upper groups may be invisible; then the visible
 * ones count.
 */
#define _GNU_SOURCE /* strsep, strchrnul */
#include "base/limits_impl.h"

#include "base/integer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Groups of real systems are nested about ten deep; a limit keeps a strange file system from holding a start up. */
enum { PATH_BYTES = 4096, DEEPEST = 64 };

/* FR_NO_LIMIT for a file that is missing, as for "max". */
static int64_t read_number(const char *folder, const char *name)
{
    char *text = fr_limits_text(folder, name);
    int64_t value = text != NULL ? fr_limits_number(text) : FR_NO_LIMIT;
    free(text);
    return value;
}

/* ---- where this process's groups lie ----------------------------------------------------------- */

/* Kinds of hierarchies. In a hybrid system controllers of version 1 stand beside version 2. */
typedef enum group_kind { KIND_V2, KIND_V1_MEMORY, KIND_V1_CPU, N_KINDS } group_kind;

static const char *const CONTROLLERS[N_KINDS] = {"", "memory", "cpu"};

/* Whether a word is in a list with commas. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, ",");
        if (n == length && strncmp(at, word, n) == 0) {
            return true;
        }
        at += n + (at[n] == ',');
    }
    return false;
}

/* Path of this process in a hierarchy, out of lines "ID:CONTROLLERS:PATH"; "" if it has none. */
static void find_group(const char *cgroup, group_kind kind, char out[PATH_BYTES])
{
    out[0] = '\0';
    for (const char *line = cgroup; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        const char *first = memchr(line, ':', length);
        const char *second =
            first != NULL ? memchr(first + 1, ':', length - (size_t)(first + 1 - line))
                          : NULL;
        if (second != NULL) {
            char list[256];
            (void)snprintf(list, sizeof list, "%.*s", (int)(second - first - 1),
                           first + 1);
            bool is_it =
                kind == KIND_V2 ? list[0] == '\0' : has_word(list, CONTROLLERS[kind]);
            size_t n = length - (size_t)(second + 1 - line);
            if (is_it && n < PATH_BYTES) {
                (void)snprintf(out, PATH_BYTES, "%.*s", (int)n, second + 1);
                return;
            }
        }
        line += length + (line[length] == '\n');
    }
}

/* Fields of mountinfo escape spaces, tabs, newlines and backslashes as three octal digits. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

typedef struct mount {
    char *root; /* the group that lies at `point` */
    char *point;
} mount;

/* A line "ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE SUPER"; false: not a mount of this kind. */
static bool parse_mount(char *line, group_kind kind, mount *out)
{
    enum { ROOT = 3, POINT = 4, N_FRONT = 5 };
    char *front[N_FRONT];
    char *tail = strstr(line, " - ");
    if (tail == NULL) {
        return false;
    }
    *tail = '\0';
    tail += strlen(" - ");
    for (int i = 0; i < N_FRONT; i++) {
        front[i] = strsep(&line, " ");
        if (front[i] == NULL) {
            return false;
        }
    }
    const char *type = strsep(&tail, " ");
    (void)strsep(&tail, " ");
    const char *options = tail != NULL ? tail : "";
    bool is_it = kind == KIND_V2 ? strcmp(type, "cgroup2") == 0
                                 : strcmp(type, "cgroup") == 0 &&
                                       has_word(options, CONTROLLERS[kind]);
    *out = (mount){front[ROOT], front[POINT]};
    unescape(out->root);
    unescape(out->point);
    return is_it;
}

/* The part of a group's path below a mount's root; NULL: it does not lie there, or not in what this process sees. */
static const char *below(const char *group, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(group, root, length) != 0 || strstr(group, "/..") != NULL ||
        (group[length] != '\0' && group[length] != '/')) {
        return NULL;
    }
    return strcmp(group + length, "/") == 0 ? "" : group + length;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/*
 * The folder of this process's group and how far up its ancestors can be seen. Where the path of the group is not below
 * any mount (a container that shows its own group alone), what is mounted is taken.
 */
static bool find_folder(const char *root, const char *mounts, const char *group,
                        group_kind kind, char out[PATH_BYTES], size_t *top)
{
    bool found = false;
    bool exact = false;
    char *copy = strdup(mounts);
    char *rest = copy;
    char *line = NULL;
    while (!exact && copy != NULL && (line = strsep(&rest, "\n")) != NULL) {
        char path[PATH_BYTES];
        mount m;
        if (!parse_mount(line, kind, &m)) {
            continue;
        }
        const char *tail = below(group, m.root);
        int length = snprintf(path, sizeof path, "%s%s%s", root, m.point,
                              tail != NULL ? tail : "");
        if (length < 0 || length >= PATH_BYTES) {
            continue;
        }
        exact = tail != NULL && is_folder(path);
        if (exact || !found) {
            *top = strlen(root) + strlen(m.point);
            if (!exact) {
                path[*top] = '\0';
            }
            memcpy(out, path, sizeof path);
            found = true;
        }
    }
    free(copy);
    return found;
}

/* ---- limits of one group ----------------------------------------------------------------------- */

static void add_memory(fr_limits *l, const fr_memory_limit *limit)
{
    int place = l->n_memory;
    if (limit->bytes >= l->machine_bytes) {
        return; /* it bounds nothing */
    }
    if (place == FR_LIMIT_LEVELS) {
        /* the list is full: it keeps the least limits, which decide */
        place = 0;
        for (int i = 1; i < FR_LIMIT_LEVELS; i++) {
            place = l->memory[i].available > l->memory[place].available ? i : place;
        }
        if (l->memory[place].available <= limit->available) {
            return;
        }
    } else {
        l->n_memory++;
    }
    l->memory[place] = *limit;
}

/* The kernel drops pages of files when memory is needed, so they count as free. Dirty and locked ones are few. */
static int64_t reclaimable(const char *stat, bool total)
{
    int64_t inactive =
        fr_limits_behind(stat, total ? "total_inactive_file" : "inactive_file");
    int64_t active =
        fr_limits_behind(stat, total ? "total_active_file" : "active_file");
    inactive = inactive == FR_NO_LIMIT ? 0 : inactive;
    active = active == FR_NO_LIMIT ? 0 : active;
    return inactive < FR_NO_LIMIT - active ? inactive + active : 0;
}

static void read_memory(const char *folder, group_kind kind, int64_t id, fr_limits *l)
{
    bool v2 = kind == KIND_V2;
    char *stat = fr_limits_text(folder, "memory.stat");
    fr_memory_limit limit = {.id = id};
    /* beyond memory.high the kernel slows a group down, so it bounds as memory.max does */
    if (v2) {
        limit.bytes = fr_min(read_number(folder, "memory.max"),
                             read_number(folder, "memory.high"));
    } else {
        limit.bytes = read_number(folder, "memory.limit_in_bytes");
        /* of groups above, seen or not */
        limit.bytes =
            fr_min(limit.bytes, fr_limits_behind(stat != NULL ? stat : "",
                                                 "hierarchical_memory_limit"));
    }
    int64_t used = read_number(folder, v2 ? "memory.current" : "memory.usage_in_bytes");
    used = used == FR_NO_LIMIT ? 0 : used;
    if (limit.bytes != FR_NO_LIMIT) {
        int64_t held = used - fr_min(used, stat != NULL ? reclaimable(stat, !v2) : 0);
        limit.available = limit.bytes > held ? limit.bytes - held : 0;
        add_memory(l, &limit);
    }
    free(stat);
}

/* Version 2 has "QUOTA PERIOD" in one file, version 1 has two files. A quota of -1 or "max" is not a limit. */
static void read_cpu(const char *folder, group_kind kind, int64_t id, fr_limits *l)
{
    int64_t quota = FR_NO_LIMIT;
    int64_t period = FR_NO_LIMIT;
    if (kind == KIND_V2) {
        char *text = fr_limits_text(folder, "cpu.max");
        if (text != NULL) {
            quota = fr_limits_number(text);
            period = fr_limits_number(strchrnul(text, ' '));
        }
        free(text);
    } else {
        quota = read_number(folder, "cpu.cfs_quota_us");
        period = read_number(folder, "cpu.cfs_period_us");
    }
    if (quota != FR_NO_LIMIT && quota > 0 && period != FR_NO_LIMIT && period > 0 &&
        l->n_cpu < FR_LIMIT_LEVELS) {
        l->cpu[l->n_cpu++] = (fr_cpu_limit){id, (double)quota / (double)period};
    }
}

/* A memory group of version 1 may be set not to count what its subgroups use. */
static bool counts_below(const char *folder, group_kind kind)
{
    return kind != KIND_V1_MEMORY || read_number(folder, "memory.use_hierarchy") != 0;
}

/* `folder` and those above it, up to `top` characters of its path. */
static void read_groups(char *folder, size_t top, group_kind kind, fr_limits *l)
{
    bool counts = true;
    for (int depth = 0; depth < DEEPEST; depth++) {
        struct stat info;
        if (depth > 0) {
            counts = counts_below(folder, kind);
        }
        if (counts && stat(folder, &info) == 0) {
            /* an identity that every process of the node sees alike: the folder's inode in its hierarchy */
            int64_t id = (int64_t)(((uint64_t)info.st_ino << 2 | (uint64_t)kind) &
                                   (uint64_t)INT64_MAX);
            if (kind != KIND_V1_CPU) {
                read_memory(folder, kind, id, l);
            }
            if (kind != KIND_V1_MEMORY) {
                read_cpu(folder, kind, id, l);
            }
        }
        char *slash = strrchr(folder, '/');
        if (!counts || slash == NULL || (size_t)(slash - folder) < top) {
            return;
        }
        *slash = '\0';
    }
}

/* Each kind of hierarchy is looked at, since a hybrid system may have limits in several. */
void fr_limits_read_groups(const char *root, fr_limits *out)
{
    char *cgroup = fr_limits_text(root, "proc/self/cgroup");
    char *mounts = fr_limits_text(root, "proc/self/mountinfo");
    for (int kind = 0; cgroup != NULL && mounts != NULL && kind < N_KINDS; kind++) {
        char group[PATH_BYTES];
        char folder[PATH_BYTES];
        size_t top = 0;
        find_group(cgroup, (group_kind)kind, group);
        if (group[0] != '\0' &&
            find_folder(root, mounts, group, (group_kind)kind, folder, &top)) {
            read_groups(folder, top, (group_kind)kind, out);
        }
    }
    free(cgroup);
    free(mounts);
}
