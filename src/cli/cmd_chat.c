/* `forerun chat`: a dialogue with a base and its prefixes, typed or piped. talk.h does the work. */
#include "cli/commands.h"
#include "cli/inference_options.h"
#include "cli/talk.h"

#include <stdlib.h>

static const fr_option OPTIONS[] = {
    FR_INFERENCE_OPTIONS,
    {"system", "TEXT", "system turn of the dialogue (also /system)"},
    {"context", "N",
     "most tokens of a dialogue with its prefix (default 8192, or the base's context "
     "if "
     "that is less)"},
    {"max-new-tokens", "N", "largest number of tokens of an answer (default 1024)"},
    FR_SAMPLING_OPTIONS,
    {NULL, NULL, NULL},
};

const fr_command FR_CHAT_COMMAND = {
    "chat",  "",  0, "talk with a base and its prefixes; /help in it lists commands",
    OPTIONS, NULL};

static fr_status read_options(const fr_cli *cli, fr_talk_params *p,
                              char **template_text)
{
    enum { CONTEXT = 8192, NEW_TOKENS = 1024, LEAST = 2 };
    const fr_options *o = cli->options;
    p->context = CONTEXT;
    p->sampling.max_new_tokens = NEW_TOKENS;
    FR_TRY(fr_inference_options(cli->ctx, o, &p->inference));
    FR_TRY(fr_template_option(cli->ctx, o, template_text));
    p->inference.template_text = *template_text;
    p->prefix = p->inference.prefix;
    p->inference.prefix = NULL;
    p->inference.one_pipeline = true;
    p->system = fr_options_text(o, "system");
    FR_TRY(fr_options_int(cli->ctx, o, "context", LEAST, INT32_MAX, &p->context));
    return fr_sampling_options(cli->ctx, o, &p->sampling);
}

fr_status fr_cmd_chat(const fr_cli *cli)
{
    fr_talk_params params = {.context = 0};
    char *template_text = NULL;
    fr_status status =
        fr_group_agree(cli->world, read_options(cli, &params, &template_text));
    if (status == FR_OK) {
        status = fr_talk(cli, &params);
    }
    fr_sampling_fini(&params.sampling);
    free(template_text);
    return status;
}
