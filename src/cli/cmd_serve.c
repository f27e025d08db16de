/* `forerun serve`: answers over HTTP, with the base and the prefixes of a folder, until a signal asks it to end.
 *
 * The order of events: the options, the keys and the address are read and bound, so that a mistake there costs no loading. Then
 * every rank loads its stage. Rank 0 reads the prefixes and begins to listen; from then on its main thread is the engine's, and
 * the threads of the HTTP server hand requests in. The first SIGTERM or SIGINT drains: nothing new is taken, and what is under way
 * ends. The second one leaves at once.
 *
 * Everything is held in `server`, which starts as zeros, so that `finish` can release it after a failure in any phase. The order
 * there matters: the HTTP server ends before the engine and the shelf that its calls use.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/print.h"
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "cli/path_ending.h"
#include "serve/http.h"
#include "serve/listen.h"
#include "serve/peers.h"
#include "train/inference/answerer.h"
#include "train/session/cache_share.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fr_option OPTIONS[] = {
    {"model", "MODEL",
     "GGUF file, Hugging Face folder, or OWNER/NAME in the hub's cache (required)"},
    {"name", "NAME",
     "name of the base alone in requests (default: that of its file or folder)"},
    {"prefixes", "DIR",
     "folder of prefix files; FILE.h5 is the model FILE, or FILE:TASK for each of "
     "several tasks; the folder is looked at again as it changes"},
    {"listen", "ADDRESS:PORT",
     "where to listen (default 127.0.0.1:8080: this machine alone); port 0: any that "
     "is free, which is printed"},
    {"key-file", "FILE",
     "file with the keys of clients, one on a line (default: everybody is let in)"},
    {"batch", "N",
     "largest number of choices computed together (default 16; fewer if their keys "
     "and values would take more than half of the memory)"},
    {"context", "N",
     "largest number of tokens of a prefix, a prompt and its answer together "
     "(default: the base's, at most 2048)"},
    {"max-new-tokens", "N",
     "largest number of tokens of an answer (default: what the context leaves)"},
    {"max-choices", "N",
     "largest number of choices of a request: its prompts times n (default 16)"},
    {"prompt-tokens", "N",
     "largest number of tokens of prompts that are computed before answers under way "
     "go on (default 256)"},
    {"queue", "N", "largest number of choices that wait for a place (default 64)"},
    {"connections", "N", "largest number of connections (default 1100)"},
    {"max-body", "SIZE", "largest size of a request (default 4 MiB)"},
    {"read-timeout", "S",
     "seconds for a whole request to come, and for a connection to be idle (default "
     "60)"},
    {"request-timeout", "S",
     "seconds for an answer, its wait for a place included (default 600; 0: any)"},
    {"drain-timeout", "S",
     "seconds for answers under way to end after SIGTERM (default 30)"},
    {"prefix-memory", "SIZE",
     "memory of prefixes on a device, and again on the host (default: a quarter of "
     "what there is)"},
    FR_COMPUTE_OPTIONS,
    {NULL, NULL, NULL},
};

const fr_command FR_SERVE_COMMAND = {
    "serve",
    "",
    0,
    "answer requests over HTTP as OpenAI's interface has them; runs under mpirun",
    OPTIONS,
    NULL};

/* What a server holds between its phases. */
typedef struct server {
    const fr_cli *cli;
    fr_ctx *ctx;
    fr_inference_params params;
    const char *folder;
    int64_t context;        /* 0: not given */
    int64_t max_new_tokens; /* 0: not given */
    int64_t request_seconds;
    int64_t drain_seconds;
    int64_t prefix_memory; /* 0: not given */
    fr_serving_params serving_params;
    fr_http_params http_params;
    fr_answering answering;
    char *name;
    char fingerprint[FR_DIGEST_HEX + 4];
    fr_listen at;
    fr_keys *keys;
    fr_inference inference;
    fr_answerer answerer;
    fr_shelf *shelf;
    fr_serving *serving;
    fr_http *http;
    fr_peers *peers;
    atomic_bool drains;
    atomic_bool runs; /* ranks are in the engine */
} server;

static bool leads(const server *s)
{
    return fr_group_rank(s->cli->world) == 0;
}

/* ---- options ---------------------------------------------------------------------------------------- */

static fr_status read_bounds(server *s)
{
    enum { MANY = 1000000, DAY = 86400, MIB = 1 << 20 };
    const fr_options *o = s->cli->options;
    fr_generation_params *g = &s->serving_params.generation;
    fr_http_params *h = &s->http_params;
    g->places = 16;
    g->prompt_tokens = 256;
    s->serving_params.queue = 64;
    s->answering.limits.max_choices = 16;
    s->request_seconds = 600;
    s->drain_seconds = 30;
    *h = (fr_http_params){.socket = -1,
                          .connections = 1100,
                          .body_bytes = 4 * (int64_t)MIB,
                          .read_seconds = 60};
    FR_TRY(fr_options_int(s->ctx, o, "batch", 1, MANY, &g->places));
    FR_TRY(fr_options_int(s->ctx, o, "context", 2, INT32_MAX, &s->context));
    FR_TRY(
        fr_options_int(s->ctx, o, "max-new-tokens", 1, INT32_MAX, &s->max_new_tokens));
    FR_TRY(fr_options_int(s->ctx, o, "max-choices", 1, MANY,
                          &s->answering.limits.max_choices));
    FR_TRY(fr_options_int(s->ctx, o, "prompt-tokens", 1, MANY, &g->prompt_tokens));
    FR_TRY(fr_options_int(s->ctx, o, "queue", 1, MANY, &s->serving_params.queue));
    FR_TRY(fr_options_int(s->ctx, o, "connections", 4, MANY, &h->connections));
    FR_TRY(fr_options_size(s->ctx, o, "max-body", &h->body_bytes));
    FR_TRY(fr_options_int(s->ctx, o, "read-timeout", 1, DAY, &h->read_seconds));
    FR_TRY(fr_options_int(s->ctx, o, "request-timeout", 0, DAY, &s->request_seconds));
    FR_TRY(fr_options_int(s->ctx, o, "drain-timeout", 0, DAY, &s->drain_seconds));
    FR_TRY(fr_options_size(s->ctx, o, "prefix-memory", &s->prefix_memory));
    if (s->serving_params.queue < s->answering.limits.max_choices) {
        return FR_FAIL(s->ctx, FR_ERR_ARG,
                       "--queue %lld is less than --max-choices %lld: a request of so "
                       "many choices could never be taken; change one of them",
                       (long long)s->serving_params.queue,
                       (long long)s->answering.limits.max_choices);
    }
    return FR_OK;
}

/* The last part of the model's name, without ".gguf". */
static fr_status find_name(server *s)
{
    static const char ENDING[] = ".gguf";
    const char *given = fr_options_text(s->cli->options, "name");
    const char *path = given != NULL ? given : s->params.model;
    if (given == NULL) {
        size_t n = strlen(path);
        while (n > 0 && path[n - 1] == '/') {
            n--;
        }
        size_t begin = n;
        while (begin > 0 && path[begin - 1] != '/') {
            begin--;
        }
        FR_TRY(fr_copy_string(s->ctx, path + begin, &s->name));
        s->name[n - begin] = '\0';
        n -= begin;
        if (n > sizeof ENDING - 1 && fr_path_ends_with(s->name, ENDING)) {
            s->name[n - (sizeof ENDING - 1)] = '\0';
        }
    } else {
        FR_TRY(fr_copy_string(s->ctx, path, &s->name));
    }
    json_t *text = json_string(s->name);
    bool is_text = text != NULL && s->name[0] != '\0';
    json_decref(text);
    return is_text ? FR_OK
                   : FR_FAIL(s->ctx, FR_ERR_ARG,
                             "the base's name is not UTF-8 text; give one by --name");
}

/* Rank 0 alone has the keys, the folder and the address. */
static fr_status open_door(server *s)
{
    static const char HERE[] = "127.0.0.1:8080";
    const char *where = fr_options_text(s->cli->options, "listen");
    const char *keys = fr_options_text(s->cli->options, "key-file");
    if (keys != NULL) {
        FR_TRY(fr_keys_read(s->ctx, keys, &s->keys));
    }
    if (s->folder != NULL && !fr_is_folder(s->folder)) {
        return FR_FAIL(s->ctx, FR_ERR_ARG,
                       "--prefixes is %s, which is not a folder; name the one that "
                       "holds the prefix files",
                       s->folder);
    }
    FR_TRY(fr_listen_bind(s->ctx, where != NULL ? where : HERE, &s->at));
    if (!s->at.is_loopback && keys == NULL) {
        fr_log(s->ctx, FR_LOG_WARN,
               "everybody who reaches %s may use this server; --key-file asks for a "
               "key",
               s->at.name);
    }
    return FR_OK;
}

static fr_status read_options(server *s)
{
    s->at.socket = -1;
    FR_TRY(fr_inference_options(s->ctx, s->cli->options, &s->params));
    s->params.one_pipeline = true;
    s->folder = fr_options_text(s->cli->options, "prefixes");
    FR_TRY(read_bounds(s));
    FR_TRY(find_name(s));
    return leads(s) ? open_door(s) : FR_OK;
}

/* ---- the engine ------------------------------------------------------------------------------------- */

/* As `generate` divides memory: half for keys and values; here a quarter more for prefixes. */
static fr_status find_memory(server *s)
{
    int64_t half = 0;
    FR_TRY(fr_cache_share(s->ctx, s->cli->world, &s->inference.session,
                          s->params.own_products, &half));
    s->serving_params.generation.cache_bytes = half;
    if (s->prefix_memory == 0) {
        s->prefix_memory = half / 2;
    }
    s->serving_params.prefix_bytes = s->prefix_memory;
    return FR_OK;
}

/* How long a row may be: the table of positions is made for it. */
static int64_t find_context(const server *s)
{
    enum { USUAL = 2048 };
    int64_t most = fr_weights_arch(s->inference.session.weights)->context_length;
    int64_t wanted = s->context > 0 ? s->context : USUAL;
    return wanted < most ? wanted : most;
}

static fr_status load(server *s)
{
    fr_session *session = &s->inference.session;
    FR_TRY(fr_inference_open(s->ctx, s->cli->world, &s->params, &s->inference));
    fr_status status = FR_OK;
    if (session->tokenizer == NULL) {
        status =
            FR_FAIL(s->ctx, FR_ERR_UNSUPPORTED,
                    "a server reads and writes texts, but %s", session->no_tokenizer);
    }
    FR_TRY(fr_group_agree(s->cli->world, status));
    s->context = find_context(s);
    FR_TRY(fr_inference_load(&s->inference, s->context, 0.0));
    FR_TRY(find_memory(s));
    FR_TRY(
        fr_group_agree(s->cli->world, fr_answerer_open(&s->inference, &s->answerer)));
    fr_serving_params *p = &s->serving_params;
    p->world = s->cli->world;
    p->device = session->device;
    p->first_layer = session->first_layer;
    p->n_layers = session->n_layers;
    p->generator = s->answerer.generator;
    p->generation.ids = s->answerer.ids;
    p->generation.capacity = s->context;
    FR_TRY(fr_peers_open(s->ctx, s->cli->world, session->nodes, &s->peers));
    FR_TRY(fr_serving_create(s->ctx, p, &s->serving));
    enum { MIB = 1 << 20 };
    fr_serving_counters now;
    fr_serving_count(s->serving, &now);
    fr_log(
        s->ctx, FR_LOG_INFO,
        "%lld places of %lld tokens; their keys and values take %lld MiB on this rank",
        (long long)now.places, (long long)s->context,
        (long long)(fr_cache_bytes(session->stage, now.places * s->context) / MIB));
    return FR_OK;
}

/* ---- the server ------------------------------------------------------------------------------------- */

/* The launcher is about to kill this rank: clients are told before (tell_lost). While the ranks end together, one may be gone first. */
static void leave_if_lost(const server *s)
{
    enum { TEXT_BYTES = 128 };
    char text[TEXT_BYTES];
    int lost = atomic_load(&s->runs) ? fr_peers_find_lost(s->peers) : -1;
    if (lost >= 0) {
        (void)snprintf(text, sizeof text, "error: rank %d has ended; the server ends\n",
                       lost);
        fr_leave(s->cli->farewell, fr_status_exit_code(FR_ERR_COMM), text);
    }
}

/* On a thread of the HTTP server. */
static bool tick(void *user)
{
    server *s = user;
    leave_if_lost(s);
    if (fr_signals_stop_wanted(s->cli->signals) && !atomic_exchange(&s->drains, true)) {
        fr_log(s->ctx, FR_LOG_INFO,
               "nothing new is taken; answers under way have %lld s to end",
               (long long)s->drain_seconds);
        fr_serving_drain(s->serving, (double)s->drain_seconds);
    }
    return atomic_load(&s->drains);
}

/* What a client may compare: answers with the same seed are the same where it is the same. */
static void find_fingerprint(server *s)
{
    enum { SHOWN = 12 };
    char hex[FR_DIGEST_HEX];
    fr_digest_hex(s->inference.session.digest, hex);
    (void)snprintf(s->fingerprint, sizeof s->fingerprint, "fp_%.*s", SHOWN, hex);
}

static fr_status open_shelf(server *s)
{
    const fr_shelf_params params = {.folder = s->folder,
                                    .inference = &s->inference,
                                    .memory = s->prefix_memory,
                                    .capacity = s->context};
    FR_TRY(fr_shelf_open(s->ctx, &params, &s->shelf));
    return fr_shelf_start(s->ctx, s->shelf);
}

static fr_status open_http(server *s)
{
    enum { NS = 1000000000, BODIES = 64 };
    fr_http_params *h = &s->http_params;
    find_fingerprint(s);
    s->answering.serving = s->serving;
    s->answering.shelf = s->shelf;
    s->answering.tokenizer = s->inference.session.tokenizer;
    s->answering.base_name = s->name;
    s->answering.fingerprint = s->fingerprint;
    s->answering.created = fr_clock_wall_ns() / NS;
    s->answering.limits.max_new_tokens =
        s->max_new_tokens > 0 && s->max_new_tokens < s->context ? s->max_new_tokens
                                                                : s->context;
    s->answering.seconds = (double)s->request_seconds;
    h->socket = s->at.socket;
    s->at.socket = -1;
    h->answering = &s->answering;
    h->keys = s->keys;
    h->bodies_bytes = h->body_bytes * BODIES;
    h->tick = tick;
    h->user = s;
    return fr_http_start(s->ctx, h, &s->http);
}

/* The one line of standard output says where the server is, for programs that started it with port 0. */
static fr_status begin(server *s)
{
    FR_TRY(open_shelf(s));
    FR_TRY(open_http(s));
    fr_print_line(stdout, "http://%s", s->at.name);
    if (fflush(stdout) != 0) {
        return FR_FAIL(s->ctx, FR_ERR_IO, "cannot write to standard output");
    }
    fr_log(s->ctx, FR_LOG_INFO, "serving %s at http://%s", s->name, s->at.name);
    return FR_OK;
}

/* On a thread of the watch: another rank never comes. Streams get an error event, and a moment to take it. */
static void tell_lost(void *user)
{
    enum { MOMENT_NS = 500000000 };
    server *s = user;
    fr_serving_lost(s->serving, "the server cannot go on: it has lost a rank");
    fr_sleep_ns(MOMENT_NS);
}

static fr_status serve(server *s)
{
    if (!leads(s)) {
        return fr_serving_run(s->serving);
    }
    fr_farewell_tell(s->cli->farewell, tell_lost, s);
    atomic_store(&s->runs, true);
    fr_status status = fr_serving_run(s->serving);
    atomic_store(&s->runs, false);
    fr_farewell_tell(s->cli->farewell, NULL, NULL);
    return status;
}

static fr_status run(server *s)
{
    FR_TRY(fr_group_agree(s->cli->world, read_options(s)));
    FR_TRY(load(s));
    fr_signals_hold(s->cli->signals, fr_group_rank(s->cli->world));
    FR_TRY(fr_group_agree(s->cli->world, leads(s) ? begin(s) : FR_OK));
    return serve(s);
}

static void finish(server *s)
{
    enum { FLUSH_SECONDS = 5 };
    if (s->http !=
        NULL) { /* also where the engine never ran: nobody must wait for it */
        fr_serving_lost(s->serving, "the server has ended");
    }
    fr_http_stop(&s->http, FLUSH_SECONDS);
    fr_serving_destroy(&s->serving);
    fr_shelf_close(&s->shelf);
    fr_answerer_close(&s->answerer);
    fr_inference_close(&s->inference);
    fr_listen_close(&s->at);
    fr_keys_destroy(&s->keys);
    fr_peers_close(&s->peers);
    free(s->name);
}

/* A client that closes its connection must not end the server by SIGPIPE. */
fr_status fr_cmd_serve(const fr_cli *cli)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    server s = {.cli = cli, .ctx = cli->ctx, .at = {.socket = -1}};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    fr_status status = run(&s);
    finish(&s);
    return status;
}
