/*
 * jinja_tree.h - what parsing needs: the arena, the tokens, the tree of a template, and the parser. Private to jinja*.c.
 */
#ifndef FR_MODEL_JINJA_JINJA_TREE_H
#define FR_MODEL_JINJA_JINJA_TREE_H

#include "base/text_map.h"
#include "model/jinja/jinja.h"

#include <stdint.h>

/* ---- memory that is released as a whole --------------------------------------------------- */

typedef struct fr_jinja_chunk fr_jinja_chunk;

typedef struct fr_jinja_arena {
    fr_ctx *ctx;
    fr_jinja_chunk *chunks;
    char *next;
    size_t left;
    size_t used; /* bytes handed out */
    size_t max;  /* limit of used */
} fr_jinja_arena;

/** Zeroed memory, 16-byte aligned; the message names `line` if the arena's limit is reached. @return FR_OK; FR_ERR_UNSUPPORTED; FR_ERR_NO_MEMORY */
FR_MUST_CHECK fr_status fr_jinja_new(fr_jinja_arena *arena, int32_t line, size_t bytes,
                                     void *out);
void fr_jinja_arena_fini(fr_jinja_arena *arena);

/* ---- tokens ------------------------------------------------------------------------------- */

typedef enum fr_jinja_token_kind {
    FR_JINJA_END,
    FR_JINJA_DATA,         /* text between tags */
    FR_JINJA_OUTPUT_BEGIN, /* {{ */
    FR_JINJA_OUTPUT_END,
    FR_JINJA_TAG_BEGIN, /* {% */
    FR_JINJA_TAG_END,
    FR_JINJA_WORD,
    FR_JINJA_TEXT, /* string literal, escapes resolved */
    FR_JINJA_WHOLE,
    FR_JINJA_FRACTION,
    FR_JINJA_SIGN /* operator or bracket */
} fr_jinja_token_kind;

/** An operator of one or two characters as a number. */
#define FR_JINJA_OP(a, b) ((a) + (b)*256)

typedef struct fr_jinja_token {
    fr_jinja_token_kind kind;
    int32_t line;
    int op; /* of a sign: FR_JINJA_OP of its characters, 0 for none */
    fr_text text;
    int64_t whole;
    double fraction;
} fr_jinja_token;

typedef struct fr_jinja_lexer {
    fr_jinja_arena *arena;
    const char *at;
    const char *begin;
    const char *end;
    int32_t line;
    char tag; /* 0: in text; '{' or '%': in a tag of that kind */
    char
        pending; /* kind of the tag that begins here, once the text before it is returned; else 0 */
    bool
        at_line_start; /* the current text begins a line: it follows a newline that a tag took, or begins the template */
    int n_open;
    char open[FR_JINJA_MAX_NESTING]; /* brackets that are not closed yet */
} fr_jinja_lexer;

/** Copies the text. Line ends become \n, and one at the very end is removed, as in jinja2; the text must be UTF-8. */
FR_MUST_CHECK fr_status fr_jinja_lex_open(fr_jinja_arena *arena, const char *text,
                                          size_t bytes, fr_jinja_lexer *out);
FR_MUST_CHECK fr_status fr_jinja_lex(fr_jinja_lexer *lexer, fr_jinja_token *out);

/**
 * Reads the escape whose backslash is in front of `text` (not empty); one that Python does not know stays as it is.
 * @param[out] out      capacity of 4 bytes
 * @param[out] written  bytes of it
 * @return bytes read of `text`, 0 if the escape is not supported
 */
size_t fr_jinja_escape(fr_text text, char *out, size_t *written);

/* ---- the tree ----------------------------------------------------------------------------- */

/* The comment of each kind says what its parts are. */
typedef enum fr_jinja_kind {
    FR_JINJA_NOTHING,   /* None */
    FR_JINJA_TRUTH,     /* whole: 0 or 1 */
    FR_JINJA_INTEGER,   /* whole */
    FR_JINJA_REAL,      /* fraction */
    FR_JINJA_STRING,    /* text */
    FR_JINJA_NAME,      /* text */
    FR_JINJA_LIST,      /* a: elements */
    FR_JINJA_TUPLE,     /* a: elements */
    FR_JINJA_DICT,      /* a: pairs */
    FR_JINJA_PAIR,      /* a, b: key and value; in `with` target and value */
    FR_JINJA_ATTRIBUTE, /* a.text */
    FR_JINJA_ITEM,      /* a[b] */
    FR_JINJA_SLICE,     /* a:b:c, as b of an item; each may be NULL */
    FR_JINJA_CALL,      /* a(b...) */
    FR_JINJA_KEYWORD,   /* among arguments: text=a */
    FR_JINJA_SPREAD,    /* among arguments: *a, or **a (op) */
    FR_JINJA_FILTER,    /* a | text(b...) */
    FR_JINJA_TEST,      /* a is text(b...) */
    FR_JINJA_BLOCK_VALUE, /* what the body of a block has written: the operand of its filters */
    FR_JINJA_NOT,         /* a */
    FR_JINJA_NEGATIVE, /* -a */
    FR_JINJA_POSITIVE, /* +a */
    FR_JINJA_BINARY,   /* a op b */
    FR_JINJA_CONCAT,   /* a ~ b */
    FR_JINJA_COMPARE,  /* a, then each of b: op a */
    FR_JINJA_AND,      /* a, b */
    FR_JINJA_OR,
    FR_JINJA_CONDITION, /* b if a else c (NULL: undefined) */
    /* statements */
    FR_JINJA_PLAIN,  /* text */
    FR_JINJA_OUTPUT, /* a */
    FR_JINJA_IF,     /* a: branches */
    FR_JINJA_BRANCH, /* a: condition, NULL for else; b: body */
    FR_JINJA_FOR, /* a: target; b: iterated; c: condition or NULL; d: branch (body), then one for else */
    FR_JINJA_SET,          /* a: target; b: value */
    FR_JINJA_SET_BLOCK,    /* a: target; b: filters; c: body */
    FR_JINJA_MEMBER,       /* a target: attribute `text` of the namespace a */
    FR_JINJA_MACRO,        /* text; a: parameters; b: body */
    FR_JINJA_PARAMETER,    /* text; a: default or NULL */
    FR_JINJA_CALL_BLOCK,   /* c: call; d: the macro that is its caller */
    FR_JINJA_FILTER_BLOCK, /* b: filters; c: body */
    FR_JINJA_WITH,         /* a: pairs; c: body */
    FR_JINJA_GENERATION,   /* c: body */
    FR_JINJA_BREAK,
    FR_JINJA_CONTINUE
} fr_jinja_kind;

/** "in" and "not in" as operators of a comparison. */
enum { FR_JINJA_IN = FR_JINJA_OP('i', 'n'), FR_JINJA_NOT_IN = FR_JINJA_OP('n', 'i') };

typedef struct fr_jinja_node fr_jinja_node;
struct fr_jinja_node {
    fr_jinja_kind kind;
    int32_t line;
    int op;
    fr_text text;
    union {
        int64_t whole;
        double fraction;
    } number;
    fr_jinja_node *a;
    fr_jinja_node *b;
    fr_jinja_node *c;
    fr_jinja_node *d;
    fr_jinja_node *next; /* in the list that it is part of */
};

struct fr_jinja {
    fr_jinja_arena arena;
    fr_jinja_node *body; /* statements */
};

/* ---- the parser --------------------------------------------------------------------------- */

typedef struct fr_jinja_parser {
    fr_jinja_arena *arena;
    fr_jinja_lexer lexer;
    fr_jinja_token now;
    fr_jinja_token ahead;
    int depth;
} fr_jinja_parser;

/** A list of nodes that grows at its end. */
typedef struct fr_jinja_list {
    fr_jinja_node *first;
    fr_jinja_node **end; /* NULL: empty */
} fr_jinja_list;
void fr_jinja_append(fr_jinja_list *list, fr_jinja_node *node);

FR_MUST_CHECK fr_status fr_jinja_take(fr_jinja_parser *parser); /* the next token */
FR_MUST_CHECK fr_status fr_jinja_node_new(fr_jinja_parser *parser, fr_jinja_kind kind,
                                          fr_jinja_node **out);
bool fr_jinja_at_word(const fr_jinja_parser *parser, const char *word);
bool fr_jinja_at_sign(const fr_jinja_parser *parser, int op);
/** Steps over a sign that must come next. */
FR_MUST_CHECK fr_status fr_jinja_expect(fr_jinja_parser *parser, int op);
/** FR_ERR_UNSUPPORTED: "line N: `wanted` is expected, found ..." */
fr_status fr_jinja_unexpected(const fr_jinja_parser *parser, const char *wanted);
/** Enters one level of nesting. */
FR_MUST_CHECK fr_status fr_jinja_deeper(fr_jinja_parser *parser);

/** A node of `kind` with one or two parts, at the line of the first. */
FR_MUST_CHECK fr_status fr_jinja_wrap(fr_jinja_parser *parser, fr_jinja_kind kind,
                                      fr_jinja_node *a, fr_jinja_node *b,
                                      fr_jinja_node **out);
FR_MUST_CHECK fr_status fr_jinja_take_word(fr_jinja_parser *parser, fr_text *out);

/* Parts of an expression: an operand (literal, name or bracket); then its calls, members and items; then its filters and
 * tests. */
FR_MUST_CHECK fr_status fr_jinja_primary(fr_jinja_parser *parser, fr_jinja_node **out);
FR_MUST_CHECK fr_status fr_jinja_postfix(fr_jinja_parser *parser,
                                         fr_jinja_node **operand);
FR_MUST_CHECK fr_status fr_jinja_filters_and_tests(fr_jinja_parser *parser,
                                                   fr_jinja_node **operand);

/** An expression; with `commas` several make a tuple, as between {{ and }}; without `conditions` no "a if b". */
FR_MUST_CHECK fr_status fr_jinja_expression(fr_jinja_parser *parser, bool commas,
                                            bool conditions, fr_jinja_node **out);
/** Parses filters that apply to `node`; NULL: to what a block has written. */
FR_MUST_CHECK fr_status fr_jinja_filters(fr_jinja_parser *parser, bool begun,
                                         fr_jinja_node **node);
/** Names, or a tuple of them; with `members` also NAMESPACE.NAME. */
FR_MUST_CHECK fr_status fr_jinja_target(fr_jinja_parser *parser, bool members,
                                        fr_jinja_node **out);

/** Bytes of the white space character (Python's str.isspace) that `text` begins with; 0 if it is not white space. */
size_t fr_jinja_space(const char *text, size_t bytes);
/** The text without white space at the chosen ends. */
fr_text fr_jinja_strip(fr_text text, bool left, bool right);

#endif
