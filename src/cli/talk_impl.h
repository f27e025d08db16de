/*
 * talk_impl.h - what the parts of a dialogue share: talk.c reads turns, talk_commands.c does what they ask, talk_answer.c answers.
 */
#ifndef FR_CLI_TALK_IMPL_H
#define FR_CLI_TALK_IMPL_H

#include "cli/talk.h"
#include "cli/talk_input.h"
#include "train/inference/answerer.h"

#include <jansson.h>
#include <stdio.h>

/* How turns become a prompt. */
typedef enum talk_form {
    TALK_DIALOGUE, /* all turns, by the chat template */
    TALK_SINGLE,   /* the last turn, by the prefix's template */
    TALK_PLAIN     /* all turns as one text that is continued */
} talk_form;

typedef struct talk {
    const fr_cli *cli;
    fr_ctx *ctx;
    const fr_talk_params *params;
    fr_inference inference;
    fr_answerer answerer;
    fr_generate_params options;
    int64_t context;      /* most positions of a dialogue */
    fr_talk_input *input; /* NULL on ranks other than 0 */
    bool colours;
    bool is_over;
    const fr_inference_prefix *prefix; /* in use; its task is NULL: the base alone */
    char *file;                        /* of --prefix; NULL: none */
    char *system;                      /* NULL: none */
    json_t *messages;                  /* user, assistant, user ...; without system */
    uint64_t number;                   /* of the next answer, for its random numbers */
} talk;

/* Rank 0 alone writes. A result goes to standard output, a note to standard error. */
void fr_talk_print(const talk *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fr_talk_note(const talk *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How the prefix in use reads turns. */
talk_form fr_talk_form(const talk *t);
/* Adds a message. One that is not whole, as it was cut, is not learned from a saved dialogue. */
fr_status fr_talk_add(talk *t, const char *role, const char *text, size_t bytes,
                      bool is_whole);
/* Answers the last message, which is the user's, and adds the answer. A failure leaves the messages as they were. */
fr_status fr_talk_answer(talk *t);
/* A line that begins with '/' and is a command. */
fr_status fr_talk_command(talk *t, const char *line);
/* Says what answers come from. */
void fr_talk_tell_prefix(const talk *t);

#endif
