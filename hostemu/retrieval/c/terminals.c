/* terminals CONFIG.json: many terminals, each with an address and a power cycle of its own, in one event loop.

   The same program as hostemu/retrieval/terminals.py, for guests that have no room for Python: the same
   configuration, the same conversation (hostemu/retrieval/control.py documents it), the same bytes on the wire.

   stdout  {"event": "ready", …}
   stdin   {"do": "start", "at_ns": 123}, {"do": "report"} → stdout {"event": "report", …}
   stdin's end, SIGTERM or SIGINT → stdout {"event": "result", …}, exit code 0
   a failure → stdout {"event": "error", …}, a message on stderr, exit code 1 (run), 2 (input) or 3 (host) */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "console.h"
#include "farm.h"

#define NS_PER_S 1000000000
#define MAX_START_NS ((int64_t)1 << 61) /* of at_ns, so that sums with durations stay within 64 bits */
#define PIECE_BYTES 4096

struct program {
    struct reactor reactor;
    struct console console;
    struct farm farm;
    struct text line;    /* the one that is being made; has room for LINE_BYTES */
    int64_t cpu_base_ns; /* CPU time before the run */
};

static int64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * NS_PER_S + used.tv_nsec;
}

/* Most memory that was resident at a time.  Not getrusage's, which includes the parent's from before exec. */
static uint64_t peak_rss_bytes(void)
{
    char status[PIECE_BYTES];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, status, sizeof status - 1);
    status[size > 0 ? size : 0] = 0;
    close(fd);
    const char *line = strstr(status, "VmHWM:");
    return line == NULL ? 0 : strtoull(line + strlen("VmHWM:"), NULL, 10) * 1024;
}

static struct text *new_line(struct program *program)
{
    text_clear(&program->line, LINE_BYTES);
    return &program->line;
}

static void emit_ready(struct program *program)
{
    struct text *line = new_line(program);
    text_add(line, "{\"event\": \"ready\", \"pid\": %d, \"terminals\": %" PRIu64 ", \"port\": %d}", getpid(),
             program->farm.terminal_count, program->farm.config.port);
    console_emit(&program->console, line);
}

static void emit_counters(struct program *program, const char *event)
{
    const struct lateness *lateness = &program->reactor.lateness;
    struct text *line = new_line(program);
    text_add(line, "{\"event\": \"%s\"", event);
    farm_counters(&program->farm, line);
    text_add(line, ", \"cpu_ns\": %" PRId64, cpu_ns() - program->cpu_base_ns);
    text_add(line, ", \"max_lag_ns\": %" PRId64, lateness->max_ns);
    text_add(line, ", \"p99_lag_ns\": %" PRId64, lateness_quantile_ns(lateness, 0.99));
    text_add(line, ", \"timers\": %" PRIu64, lateness->count);
    text_add(line, ", \"maxrss_bytes\": %" PRIu64 "}", peak_rss_bytes());
    console_emit(&program->console, line);
}

static void emit_failure(struct program *program, const struct failure *failure)
{
    struct text *line = new_line(program);
    text_add(line, "{\"event\": \"error\", \"kind\": \"%s\", \"message\": ", failure_name(failure->kind));
    text_put_json(line, failure->text.data, failure->text.size);
    text_add(line, "}");
    console_emit(&program->console, line);
}

static void unknown_command(struct json command)
{
    struct text text = {0};
    json_repr(command, &text);
    fprintf(stderr, "unknown command: %s\n", text.size > 0 ? text.data : "");
    text_free(&text);
}

/* Whether the command is a start that makes sense; at_ns: when. */
static bool is_start(struct json command, int64_t *at_ns)
{
    struct json value;
    if (!json_find(command, "at_ns", &value) || json_kind(value) != JSON_INTEGER)
        return false;
    wide number = json_integer(value);
    *at_ns = (int64_t)number;
    return -MAX_START_NS <= number && number <= MAX_START_NS;
}

static void obey(void *owner, struct json command)
{
    struct program *program = owner;
    struct json what;
    int64_t at_ns;
    bool is_said = json_find(command, "do", &what) && json_kind(what) == JSON_STRING;
    if (is_said && json_equals(what, "start") && is_start(command, &at_ns)) {
        program->cpu_base_ns = cpu_ns();
        farm_start(&program->farm, at_ns);
    } else if (is_said && json_equals(what, "report")) {
        emit_counters(program, "report");
    } else {
        unknown_command(command);
    }
}

/* Opens the farm and lets it work.  False with the failure. */
static bool serve(struct program *program, const struct text *text, const char *file, struct failure *failure)
{
    struct farm_config config;
    if (!config_read(&config, text->data, text->size, file, failure) ||
        !farm_open(&program->farm, &config, &program->reactor, failure))
        return false;
    emit_ready(program);
    console_run(&program->console);
    *failure = program->farm.failure;
    if (failure->kind == 0)
        emit_counters(program, "result");
    farm_close(&program->farm);
    return failure->kind == 0;
}

/* Says what went wrong, and returns the exit code. */
static int complain(struct failure *failure)
{
    int code = failure->kind;
    fprintf(stderr, "%s\n", failure->text.size > 0 ? failure->text.data : "out of memory");
    text_free(&failure->text);
    return code;
}

static int conduct(const struct text *text, const char *file)
{
    static struct program program; // too large for a stack
    struct failure failure = {0};
    int code = 0;
    raise_file_limit();
    program.cpu_base_ns = cpu_ns();
    if (!text_reserve(&program.line, LINE_BYTES) || !reactor_open(&program.reactor) ||
        !console_open(&program.console, &program.reactor, obey, &program)) {
        fail(&failure, HOST_ERROR, "cannot make an event loop: %s", strerror(errno));
        return complain(&failure);
    }
    if (!serve(&program, text, file, &failure)) {
        emit_failure(&program, &failure);
        code = complain(&failure);
    }
    console_close(&program.console);
    text_free(&program.line);
    reactor_close(&program.reactor);
    return code;
}

static bool is_utf8(const struct text *text)
{
    unsigned code;
    const char *end = text->data + text->size;
    for (const char *at = text->data; at < end;) {
        size_t size = utf8_character(at, end, &code);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

static bool read_file(const char *file, struct text *text, struct failure *failure)
{
    char piece[PIECE_BYTES];
    size_t size;
    FILE *stream = fopen(file, "re");
    bool is_read = stream != NULL;
    while (is_read && (size = fread(piece, 1, sizeof piece, stream)) > 0)
        text_put(text, piece, size);
    is_read = is_read && !ferror(stream);
    if (!is_read || text->is_cut || !is_utf8(text)) {
        fail(failure, INPUT_ERROR, "cannot read the configuration %s", file);
        fail_more(failure, "found", "%s", !is_read ? strerror(errno) : text->is_cut ? "too long" : "not UTF-8");
        is_read = false;
    }
    if (stream != NULL)
        fclose(stream);
    return is_read;
}

int main(int argc, char **argv)
{
    static const char USAGE[] = "usage: terminals CONFIG.json\nA farm of terminals, driven by JSON lines.\n";
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (argc != 2) {
        fputs(USAGE, stderr);
        return INPUT_ERROR;
    }
    struct text text = {0};
    struct failure failure = {0};
    int code = read_file(argv[1], &text, &failure) ? conduct(&text, argv[1]) : complain(&failure);
    text_free(&text);
    return code;
}
