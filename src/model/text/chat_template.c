/* What a chat template writes, found by rendering it.
 *
 * fr_template_read parses the template, then renders four test dialogues. From the first and shortest it learns two things
 * (learn): whether a BOS stands in front, and what default system message there is. With these it predicts the text of each
 * dialogue as ChatML (write_dialogue) and compares byte for byte. The first difference refuses the template; the reason goes
 * to the frame and is reported when a dialogue is to be encoded, since most uses of a model do not need its template.
 *
 * If all four agree, the frame keeps the parsed template. fr_chat_frame_check then renders every real dialogue in the same
 * way: a template may do something else with dialogues that the test did not show. A difference there is a fault of the row
 * (FR_ERR_DATA), not of the model.
 *
 * Why not take the rendered text as it is: ids must be flagged as counted or not, and content must be encoded without parsing
 * special tokens in it. Both need to know where content begins and ends, which a rendered text does not say. */
#define _GNU_SOURCE /* memmem */
#include "model/text/chat_template.h"

#include "base/mem.h"
#include "model/jinja/jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WHY_BYTES = 2048
}; /* of a reason: more than an error of the interpreter and the remedy take */

static const char OPENING[] = FR_CHATML_START "system\n";
static const char CLOSING[] = FR_CHATML_END "\n";

/* ---- the test dialogues ------------------------------------------------------------------- */

#define TURN(role, content)                                                            \
    {                                                                                  \
        (role), (content), sizeof(content) - 1, false                                  \
    }

/* A dialogue that a template renders. */
typedef struct dialogue {
    const char *name;
    const fr_message *turns;
    int64_t n;
    bool opens; /* an answer, for generation */
} dialogue;

/* The first dialogue is the shortest: the text in front of its turn is what the template adds. The contents of the last one
 * change if a template trims, escapes or interprets them. */
static const fr_message SHORT[] = {TURN("user", "What is red?")};
static const fr_message WHOLE[] = {TURN("system", "Be brief."),
                                   TURN("user", "What is red?"),
                                   TURN("assistant", "A colour.")};
static const fr_message GOES_ON[] = {TURN("user", "What is red?"),
                                     TURN("assistant", "A colour."),
                                     TURN("user", "And blue?")};
static const fr_message ODD[] = {
    TURN("user", " \n\t\"Caf\xC3\xA9\" {x}\n\n"),
    TURN("assistant", "\n 'a' & <b> {{ c }} \xE4\xBD\xA0\\n\n "),
    TURN("user", "\t{% d %}  ")};
#define N_TURNS(list) ((int64_t)(sizeof(list) / sizeof((list)[0])))

static const dialogue DIALOGUES[] = {
    {"a user turn", SHORT, N_TURNS(SHORT), true},
    {"system, user and assistant turns", WHOLE, N_TURNS(WHOLE), false},
    {"user, assistant and user turns", GOES_ON, N_TURNS(GOES_ON), true},
    {"turns with white space, quotes, braces and accents", ODD, N_TURNS(ODD), true}};
enum { N_DIALOGUES = sizeof DIALOGUES / sizeof DIALOGUES[0] };

/* ---- text --------------------------------------------------------------------------------- */

/* The expected text of a dialogue, as dialogue.c encodes it. */
typedef struct written {
    char *text;
    size_t bytes;
    size_t capacity;
} written;

static fr_status add_bytes(fr_ctx *ctx, written *to, const char *text, size_t bytes)
{
    if (to->bytes + bytes >= to->capacity) {
        size_t capacity = 2 * to->capacity + bytes + 256;
        char *grown = realloc(to->text, capacity);
        FR_TRY(fr_check_memory(ctx, grown != NULL, capacity));
        to->text = grown;
        to->capacity = capacity;
    }
    memcpy(to->text + to->bytes, text, bytes);
    to->bytes += bytes;
    return FR_OK;
}

static fr_status add(fr_ctx *ctx, written *to, const char *text)
{
    return add_bytes(ctx, to, text, strlen(text));
}

static fr_status add_turn(fr_ctx *ctx, written *to, const fr_message *turn)
{
    FR_TRY(add(ctx, to, FR_CHATML_START));
    FR_TRY(add(ctx, to, turn->role));
    FR_TRY(add(ctx, to, "\n"));
    FR_TRY(add_bytes(ctx, to, turn->content, turn->bytes));
    return add(ctx, to, CLOSING);
}

/* `bos` and `system`: NULL for none. */
static fr_status write_dialogue(fr_ctx *ctx, const dialogue *d, const char *bos,
                                const char *system, written *to)
{
    to->bytes = 0;
    FR_TRY(add(ctx, to, bos != NULL ? bos : ""));
    if (system != NULL && strcmp(d->turns[0].role, "system") != 0) {
        const fr_message turn = {"system", system, strlen(system), false};
        FR_TRY(add_turn(ctx, to, &turn));
    }
    for (int64_t i = 0; i < d->n; i++) {
        FR_TRY(add_turn(ctx, to, &d->turns[i]));
    }
    return d->opens ? add(ctx, to, FR_CHATML_START "assistant\n") : FR_OK;
}

/* ---- rendering ---------------------------------------------------------------------------- */

/* Reading one template, or checking one dialogue. */
typedef struct reading {
    fr_ctx *ctx;
    const fr_chat_names *names;
    fr_jinja *jinja;
    written expected;
    fr_jinja_rendered got;
    fr_chat_frame *frame;
} reading;

/* The last reason stays. */
fr_status fr_chat_frame_refuse(fr_ctx *ctx, fr_chat_frame *frame, const char *why)
{
    free(frame->refusal);
    frame->refusal = NULL;
    frame->is_chatml = false;
    return fr_copy_string(ctx, why, &frame->refusal);
}

static const char REMEDY[] =
    "give source and target with a template instead of messages";

/* Refuses the template with the error of the interpreter. */
static fr_status refuse_by_error(reading *r)
{
    char why[WHY_BYTES];
    (void)snprintf(why, sizeof why, "the model's chat template cannot be used: %s; %s",
                   fr_ctx_error(r->ctx), REMEDY);
    fr_ctx_clear_error(r->ctx);
    return fr_chat_frame_refuse(r->ctx, r->frame, why);
}

static bool set_text(json_t *variables, const char *name, const char *text)
{
    return text == NULL || json_object_set_new(variables, name, json_string(text)) == 0;
}

/* The variables that transformers sets; NULL: out of memory. */
/* json_object_set_new and json_array_append_new take over their argument and accept NULL, so one check at the end is
 * enough. */
static json_t *make_variables(const fr_chat_names *names, const dialogue *d)
{
    json_t *messages = json_array();
    bool made = messages != NULL;
    for (int64_t i = 0; made && i < d->n; i++) {
        const fr_message *turn = &d->turns[i];
        json_t *one = json_pack("{s:s, s:o}", "role", turn->role, "content",
                                json_stringn_nocheck(turn->content, turn->bytes));
        made = json_array_append_new(messages, one) == 0;
    }
    json_t *variables = json_pack("{s:b, s:n, s:n}", "add_generation_prompt",
                                  d->opens ? 1 : 0, "tools", "documents");
    made = json_object_set_new(variables, "messages", messages) == 0 && made;
    made = made && set_text(variables, "bos_token", names->bos_token) &&
           set_text(variables, "eos_token", names->eos_token);
    if (!made) {
        json_decref(variables);
        variables = NULL;
    }
    return variables;
}

static fr_status render(reading *r, const dialogue *d)
{
    json_t *variables = make_variables(r->names, d);
    const fr_jinja_given given = {variables, NULL};
    fr_jinja_rendered_fini(&r->got);
    FR_TRY(fr_check_memory(r->ctx, variables != NULL, sizeof *variables));
    fr_status status = fr_jinja_render(r->ctx, r->jinja, &given, &r->got);
    json_decref(variables);
    return status;
}

/* ---- what is learned ---------------------------------------------------------------------- */

static bool begins(const char *text, size_t bytes, const char *with)
{
    size_t length = strlen(with);
    return length <= bytes && memcmp(text, with, length) == 0;
}

/* The BOS may be the start marker itself: it counts as written only if another start marker follows. */
static bool has_bos(const reading *r)
{
    const char *bos = r->names->bos_token;
    return bos != NULL && bos[0] != '\0' && begins(r->got.text, r->got.bytes, bos) &&
           begins(r->got.text + strlen(bos), r->got.bytes - strlen(bos),
                  FR_CHATML_START);
}

/* Learns BOS and default system message from the shortest dialogue. The comparison finds everything else. */
static fr_status learn(reading *r)
{
    fr_ctx *ctx = r->ctx;
    r->frame->writes_bos = has_bos(r);
    FR_TRY(write_dialogue(ctx, &DIALOGUES[0], NULL, NULL, &r->expected));
    size_t skipped = r->frame->writes_bos ? strlen(r->names->bos_token) : 0;
    const char *text = r->got.text + skipped;
    size_t bytes = r->got.bytes - skipped;
    size_t around = sizeof OPENING - 1 + sizeof CLOSING - 1 + r->expected.bytes;
    if (!begins(text, bytes, OPENING) || bytes < around ||
        memchr(text, '\0', bytes) != NULL) {
        return FR_OK;
    }
    size_t length = bytes - around;
    FR_TRY(fr_alloc(ctx, (int64_t)length + 1, 1, &r->frame->default_system));
    memcpy(r->frame->default_system, text + sizeof OPENING - 1, length);
    return FR_OK;
}

/* How many bytes of a text to show around *at, without cutting a character: enough to see the difference on one line. */
static int shown(const char *text, size_t bytes, size_t *at)
{
    enum { MAX = 48, BEFORE = 8 };
    *at = *at > BEFORE ? *at - BEFORE : 0;
    while (*at > 0 && *at < bytes && (text[*at] & 0xC0) == 0x80) {
        --*at;
    }
    size_t length = bytes - *at < MAX ? bytes - *at : MAX;
    while (length > 0 && *at + length < bytes && (text[*at + length] & 0xC0) == 0x80) {
        length--;
    }
    return (int)length;
}

/* Says what the template writes, from where it differs. */
static void tell_difference(const reading *r, const dialogue *d, char *why,
                            size_t capacity)
{
    size_t same = 0;
    const written *e = &r->expected;
    while (same < r->got.bytes && same < e->bytes &&
           r->got.text[same] == e->text[same]) {
        same++;
    }
    size_t from[] = {same, same};
    int got = shown(r->got.text, r->got.bytes, &from[0]);
    int wanted = shown(e->text, e->bytes, &from[1]);
    (void)snprintf(why, capacity,
                   "the model's chat template is not ChatML as Forerun writes it: for "
                   "%s it writes \"%.*s\" at byte %zu, where \"%.*s\" is expected; %s",
                   d->name, got, r->got.text + from[0], same, wanted, e->text + from[1],
                   REMEDY);
}

/* Whether what was rendered is what is expected. */
static fr_status compare(reading *r, const dialogue *d, bool *same)
{
    const fr_chat_frame *frame = r->frame;
    FR_TRY(write_dialogue(r->ctx, d, frame->writes_bos ? r->names->bos_token : NULL,
                          frame->default_system, &r->expected));
    *same = r->expected.bytes == r->got.bytes &&
            memcmp(r->expected.text, r->got.text, r->got.bytes) == 0;
    return FR_OK;
}

static fr_status compare_first(reading *r, const dialogue *d)
{
    char why[WHY_BYTES];
    FR_TRY(compare(r, d, &r->frame->is_chatml));
    if (r->frame->is_chatml) {
        return FR_OK;
    }
    tell_difference(r, d, why, sizeof why);
    return fr_chat_frame_refuse(r->ctx, r->frame, why);
}

static fr_status read_all(reading *r, const char *text)
{
    FR_TRY(fr_jinja_parse(r->ctx, text, strlen(text), &r->jinja));
    for (int which = 0; which < N_DIALOGUES; which++) {
        FR_TRY(render(r, &DIALOGUES[which]));
        FR_TRY(which == 0 ? learn(r) : FR_OK);
        FR_TRY(compare_first(r, &DIALOGUES[which]));
        if (!r->frame->is_chatml) {
            return FR_OK;
        }
    }
    return FR_OK;
}

/* What fr_chat_frame_check needs. */
struct fr_chat_check {
    fr_jinja *jinja;
    char *bos_token; /* NULL: none */
    char *eos_token;
};

static fr_status copy_name(fr_ctx *ctx, const char *name, char **out)
{
    return name != NULL ? fr_copy_string(ctx, name, out) : FR_OK;
}

/* The names are copied: those of the caller end with the call. */
static fr_status keep(reading *r)
{
    fr_chat_frame *frame = r->frame;
    FR_TRY(fr_alloc(r->ctx, 1, sizeof *frame->check, &frame->check));
    FR_TRY(copy_name(r->ctx, r->names->bos_token, &frame->check->bos_token));
    FR_TRY(copy_name(r->ctx, r->names->eos_token, &frame->check->eos_token));
    frame->check->jinja = r->jinja;
    r->jinja = NULL;
    return FR_OK;
}

fr_status fr_template_read(fr_ctx *ctx, const char *text, const fr_chat_names *names,
                           fr_chat_frame *out)
{
    reading r = {.ctx = ctx, .names = names, .frame = out};
    *out = (fr_chat_frame){.start = -1, .end = -1, .bos = -1};
    if (text == NULL) {
        return FR_OK;
    }
    out->has_markers =
        strstr(text, FR_CHATML_START) != NULL && strstr(text, FR_CHATML_END) != NULL;
    fr_status status = read_all(&r, text);
    if (status == FR_ERR_UNSUPPORTED) {
        status = refuse_by_error(&r);
    } else if (status == FR_OK && out->is_chatml) {
        status = keep(&r);
    }
    fr_jinja_destroy(&r.jinja);
    free(r.expected.text);
    fr_jinja_rendered_fini(&r.got);
    if (status != FR_OK) {
        fr_chat_frame_fini(out);
    }
    return status;
}

/* Renders and compares one real dialogue. */
static fr_status check_one(reading *r, const dialogue *d)
{
    char why[WHY_BYTES];
    bool same = false;
    fr_status status = render(r, d);
    if (status == FR_ERR_UNSUPPORTED) {
        (void)snprintf(why, sizeof why,
                       "the base's chat template cannot render this dialogue: %s",
                       fr_ctx_error(r->ctx));
        fr_ctx_clear_error(r->ctx);
        return FR_FAIL(r->ctx, FR_ERR_DATA, "%s", why);
    }
    FR_TRY(status);
    FR_TRY(compare(r, d, &same));
    if (same) {
        return FR_OK;
    }
    tell_difference(r, d, why, sizeof why);
    return FR_FAIL(r->ctx, FR_ERR_DATA, "%s", why);
}

fr_status fr_chat_frame_check(fr_ctx *ctx, const fr_chat_frame *frame,
                              const fr_message *messages, int64_t n, bool opens)
{
    if (frame->check == NULL) {
        return FR_OK;
    }
    const fr_chat_names names = {frame->check->bos_token, frame->check->eos_token};
    const dialogue one = {"this dialogue", messages, n, opens};
    /* a copy, since `reading` may write to its frame; the model's frame stays as it is */
    fr_chat_frame seen = *frame;
    reading r = {
        .ctx = ctx, .names = &names, .jinja = frame->check->jinja, .frame = &seen};
    fr_status status = check_one(&r, &one);
    free(r.expected.text);
    fr_jinja_rendered_fini(&r.got);
    return status;
}

void fr_chat_frame_fini(fr_chat_frame *frame)
{
    free(frame->default_system);
    free(frame->refusal);
    if (frame->check != NULL) {
        fr_jinja_destroy(&frame->check->jinja);
        free(frame->check->bos_token);
        free(frame->check->eos_token);
        free(frame->check);
    }
    frame->check = NULL;
    frame->default_system = NULL;
    frame->refusal = NULL;
}

fr_status fr_template_copy(fr_ctx *ctx, const char *name, fr_text text, char **out)
{
    if (text.bytes > 0 && memchr(text.data, '\0', text.bytes) != NULL) {
        return FR_FAIL(ctx, FR_ERR_FORMAT, "%s contains a NUL character; remove it",
                       name);
    }
    FR_TRY(fr_alloc(ctx, (int64_t)text.bytes + 1, 1, out));
    memcpy(*out, text.data, text.bytes);
    return FR_OK;
}

fr_status fr_template_digest(fr_ctx *ctx, const char *text,
                             uint8_t out[FR_DIGEST_BYTES])
{
    return fr_digest_of(ctx, text, strlen(text), out);
}
