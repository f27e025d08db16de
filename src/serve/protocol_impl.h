/*
 * protocol_impl.h - what protocol_*.c share.
 */
#ifndef FR_SERVE_PROTOCOL_IMPL_H
#define FR_SERVE_PROTOCOL_IMPL_H

#include "serve/protocol.h"

enum { FR_API_WHAT_BYTES = 256 };

/** The word for programs where something is not supported. */
#define FR_API_UNSUPPORTED "unsupported_parameter"

/** One call of fr_api_request_read. */
typedef struct fr_api_reading {
    fr_ctx *ctx;
    const fr_api_limits *limits;
    fr_api_request *out;
    fr_api_error *error;
    bool has_max_tokens;
} fr_api_reading;

/** "PARAM" and what is wrong with it. @return FR_ERR_ARG */
fr_status fr_api_refuse(fr_api_reading *r, const char *param, const char *code,
                        const char *what);

/** Readers of members that hold what is to be answered. */
FR_MUST_CHECK fr_status fr_api_read_prompt(fr_api_reading *r, const char *name,
                                           json_t *value);
FR_MUST_CHECK fr_status fr_api_read_messages(fr_api_reading *r, const char *name,
                                             json_t *value);
FR_MUST_CHECK fr_status fr_api_read_tools(fr_api_reading *r, const char *name,
                                          json_t *value);
FR_MUST_CHECK fr_status fr_api_read_tool_choice(fr_api_reading *r, const char *name,
                                                json_t *value);

#endif
