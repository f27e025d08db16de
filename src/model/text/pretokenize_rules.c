/* The splitting rules that GGUF files name, as the steps that the models' own tokenizer.json files have.
 *
 * Several names share a rule, since converters name the model and not the rule. The patterns are put together from the parts
 * that most of them share. llama.cpp writes some of them otherwise (its engine has no classes of case, and no (?i:)), with the
 * same meaning for the texts that its tests have. */
#include "model/text/pretokenize_impl.h"

#include <string.h>

/* Parts. Order matters within a pattern: the first alternative that matches wins. */
#define SHORT_FORMS "'s|'t|'re|'ve|'m|'ll|'d"
#define ANY_CASE "(?i:" SHORT_FORMS ")"
#define WHITE_RUNS "\\s+(?!\\S)|\\s+"
#define LINES "\\s*[\\r\\n]+"
#define WORDS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define OTHERS " ?[^\\s\\p{L}\\p{N}]+"
#define OTHERS_LINES OTHERS "[\\r\\n]*"
#define OTHERS_PATHS OTHERS "[\\r\\n/]*"
#define CAPITALS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALLS "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define JOINT "[^\\r\\n\\p{L}\\p{N}]?"

#define GPT2 SHORT_FORMS "| ?\\p{L}+| ?\\p{N}+|" OTHERS "|" WHITE_RUNS
/* The shape that Llama 3 has from GPT-4: only the numbers differ among its kin. */
#define MODERN(numbers)                                                                \
    ANY_CASE "|" WORDS "|" numbers "|" OTHERS_LINES "|" LINES "|" WHITE_RUNS
#define MARKED                                                                         \
    ANY_CASE "|" JOINT                                                                 \
             "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES      \
             "|" WHITE_RUNS
#define CASED(forms, numbers)                                                          \
    JOINT CAPITALS "*" SMALLS "+" forms "|" JOINT CAPITALS "+" SMALLS "*" forms        \
                   "|" numbers "|" OTHERS_PATHS "|" LINES "|" WHITE_RUNS
#define SYMBOL_WORDS                                                                   \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"                           \
    "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES    \
    "|" WHITE_RUNS
#define CJK "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define WIDE_CJK "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
/* Letters with case, but for Armenian, Georgian and the newer ones. */
#define DEEPSEEK_LETTERS                                                               \
    "\\s?[\\p{Lu}\\p{Ll}\\p{Lt}&&[^\\x{560}-\\x{588}\\x{10C7}-\\x{10FF}"               \
    "\\x{1C80}-\\x{1C88}\\x{2D00}-\\x{2D2D}\\x{A790}-\\x{AB68}"                        \
    "\\x{10570}-\\x{105BC}\\x{16E40}-\\x{1DF1E}]]+"
#define DEEPSEEK_SIGNS                                                                 \
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}"             \
    "\\x{3000}-\\x{3002}]+"
/* "\s+$", written so that a long run is read once: a run ends a line from its beginning, or not at all. */
#define LINE_ENDS "(?:(?<!\\s)|(?<=$))\\s+$"
#define BLOOM                                                                          \
    " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"

#define AT(text)                                                                       \
    {                                                                                  \
        .kind = FR_SPLIT_AT, .pattern = {text, sizeof(text) - 1}, .is_regex = true     \
    }
#define TO_BYTES                                                                       \
    {                                                                                  \
        .kind = FR_SPLIT_BYTES                                                         \
    }

#define PUNCTUATION "[!-/:-@\\[-`{-~\\p{P}]"

static const fr_split_rule RULES[] = {
    {"gpt-2", 2, {AT(GPT2), TO_BYTES}},
    {"smollm", 3, {AT("\\p{N}"), AT(GPT2), TO_BYTES}},
    {"llama-bpe", 2, {AT(MODERN("\\p{N}{1,3}")), TO_BYTES}},
    {"qwen2", 2, {AT(MODERN("\\p{N}")), TO_BYTES}},
    {"qwen35", 2, {AT(MARKED), TO_BYTES}},
    {"minicpm5", 3, {AT("\\p{N}{1,3}"), AT(MODERN("\\p{N}+")), TO_BYTES}},
    {"tekken", 2, {AT(CASED("", "\\p{N}")), TO_BYTES}},
    {"gpt-4o", 2, {AT(CASED(ANY_CASE "?", "\\p{N}{1,3}")), TO_BYTES}},
    {"deepseek-llm",
     7,
     {AT("[\r\n]"), AT(DEEPSEEK_LETTERS), AT(DEEPSEEK_SIGNS), AT(LINE_ENDS),
      AT(WIDE_CJK), AT("\\p{N}+"), TO_BYTES}},
    {"deepseek-coder",
     6,
     {AT("[\r\n]"), AT("\\s?\\p{L}+"), AT("\\s?\\p{P}+"), AT(WIDE_CJK), AT("\\p{N}"),
      TO_BYTES}},
    {"deepseek-v3", 4, {AT("\\p{N}{1,3}"), AT(CJK), AT(SYMBOL_WORDS), TO_BYTES}},
    {"falcon",
     4,
     {{.kind = FR_SPLIT_AT,
       .pattern = {PUNCTUATION, sizeof PUNCTUATION - 1},
       .is_regex = true,
       .behavior = FR_SPLIT_CONTIGUOUS},
      AT(GPT2),
      AT("[0-9][0-9][0-9]"),
      TO_BYTES}},
    {"bloom", 2, {AT(BLOOM), TO_BYTES}},
    {"viking", 3, {AT(BLOOM), AT("\\p{N}"), TO_BYTES}},
    {"seed-coder",
     2,
     {AT(ANY_CASE "|" WORDS "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINES
                  "|" WHITE_RUNS),
      TO_BYTES}},
    {"bailingmoe",
     2,
     {AT("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}|"
         " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|" WHITE_RUNS),
      TO_BYTES}},
    {"ufakzeka",
     2,
     {AT(WORDS "|\\p{N}|" OTHERS_LINES "|" LINES "|" WHITE_RUNS), TO_BYTES}}};

/* Every name that is taken, with its rule. `whole`: a piece that is a token is not merged (ignore_merges). `composes`: the
 * tokenizer.json of the model that the name is of has the normalizer NFC, which GGUF files do not mention. */
static const struct {
    const char *name;
    const char *rule;
    bool whole;
    bool composes;
} NAMES[] = {{"gpt-2", "gpt-2", false, false},
             {"phi-2", "gpt-2", false, false},
             {"mpt", "gpt-2", false, true},
             {"olmo", "gpt-2", false, true},
             {"jais", "gpt-2", false, false},
             {"trillion", "gpt-2", false, false},
             {"granite-docling", "gpt-2", false, false},
             {"exaone4", "gpt-2", false, false},
             {"gigachat", "gpt-2", false, false},
             {"a.x-4.0", "gpt-2", false, false},
             {"mellum", "gpt-2", false, false},
             {"modern-bert", "gpt-2", false, true},
             {"smollm", "smollm", false, false},
             {"starcoder", "smollm", false, false},
             {"refact", "smollm", false, false},
             {"command-r", "smollm", false, true},
             {"codeshell", "smollm", false, false},
             {"exaone", "smollm", false, false},
             {"minerva-7b", "smollm", false, false},
             {"mellum2", "smollm", false, false},
             {"llama-bpe", "llama-bpe", true, false},
             {"llama3", "llama-bpe", true, false},
             {"llama-v3", "llama-bpe", true, false},
             {"falcon3", "llama-bpe", true, false},
             {"falcon-h1", "llama-bpe", true, false},
             {"pixtral", "llama-bpe", true, false},
             {"midm-2.0", "llama-bpe", true, false},
             {"lfm2", "llama-bpe", true, false},
             {"dbrx", "llama-bpe", false, false},
             {"smaug-bpe", "llama-bpe", false, false},
             {"chatglm-bpe", "llama-bpe", false, false},
             {"glm4", "llama-bpe", true, false},
             {"glm5", "llama-bpe", true, false},
             {"qwen2", "qwen2", false, true},
             {"deepseek-r1-qwen", "qwen2", false, false},
             {"kormo", "qwen2", false, false},
             {"f2llmv2", "qwen2", false, false},
             {"stablelm2", "qwen2", false, false},
             {"hunyuan", "qwen2", false, false},
             {"solar-open", "qwen2", false, false},
             {"megrez", "qwen2", false, false},
             {"grok-2", "qwen2", false, false},
             {"qwen35", "qwen35", false, false},
             {"minicpm5", "minicpm5", true, false},
             {"tekken", "tekken", true, false},
             {"gpt-4o", "gpt-4o", false, false},
             {"llama4", "gpt-4o", false, false},
             {"kanana2", "gpt-4o", false, false},
             {"minimax-m2", "gpt-4o", false, false},
             {"deepseek-llm", "deepseek-llm", false, false},
             {"deepseek-coder", "deepseek-coder", false, false},
             {"deepseek-v3", "deepseek-v3", false, false},
             {"hunyuan-dense", "deepseek-v3", false, false},
             {"joyai-llm", "deepseek-v3", false, false},
             {"falcon", "falcon", false, false},
             {"bloom", "bloom", false, false},
             {"poro-chat", "bloom", false, false},
             {"gpt3-finnish", "bloom", false, false},
             {"viking", "viking", false, false},
             {"seed-coder", "seed-coder", false, false},
             {"bailingmoe", "bailingmoe", false, false},
             {"bailingmoe2", "bailingmoe", false, false},
             {"llada-moe", "bailingmoe", false, false},
             {"ufakzeka", "ufakzeka", false, false}};

const char *fr_split_names(void)
{
    return "gpt-2, phi-2, mpt, olmo, jais, trillion, granite-docling, "
           "exaone4, gigachat, a.x-4.0, mellum, modern-bert, smollm, "
           "starcoder, refact, command-r, codeshell, exaone, minerva-7b, "
           "mellum2, llama-bpe, llama3, llama-v3, falcon3, falcon-h1, "
           "pixtral, midm-2.0, lfm2, dbrx, smaug-bpe, chatglm-bpe, glm4, "
           "glm5, qwen2, deepseek-r1-qwen, kormo, f2llmv2, stablelm2, "
           "hunyuan, solar-open, megrez, grok-2, qwen35, minicpm5, tekken, "
           "gpt-4o, llama4, kanana2, minimax-m2, deepseek-llm, "
           "deepseek-coder, deepseek-v3, hunyuan-dense, joyai-llm, falcon, "
           "bloom, poro-chat, gpt3-finnish, viking, seed-coder, bailingmoe, "
           "bailingmoe2, llada-moe, ufakzeka";
}

/* Position in NAMES; -1: not there. */
static int find_name(fr_text name)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (fr_text_is(name, NAMES[i].name)) {
            return (int)i;
        }
    }
    return -1;
}

bool fr_split_name_ignores_merges(fr_text name)
{
    int at = find_name(name);
    return at >= 0 && NAMES[at].whole;
}

bool fr_split_name_composes(fr_text name)
{
    int at = find_name(name);
    return at >= 0 && NAMES[at].composes;
}

bool fr_split_rule_find(fr_text name, fr_split_rule *out)
{
    int at = find_name(name);
    for (size_t i = 0; at >= 0 && i < sizeof RULES / sizeof *RULES; i++) {
        if (strcmp(RULES[i].name, NAMES[at].rule) == 0) {
            *out = RULES[i];
            return true;
        }
    }
    return false;
}

const char *fr_split_name_regex(const char *name)
{
    fr_split_rule rule;
    return fr_split_rule_find(fr_text_of(name), &rule) ? rule.steps[0].pattern.data
                                                       : NULL;
}

static bool same_text(fr_text a, fr_text b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static bool same_step(const fr_split_step *a, const fr_split_step *b)
{
    return a->kind == b->kind && same_text(a->pattern, b->pattern) &&
           same_text(a->content, b->content) && a->is_regex == b->is_regex &&
           a->behavior == b->behavior && a->invert == b->invert &&
           a->first_only == b->first_only;
}

const char *fr_split_rule_with(const fr_split_step *steps, int64_t n)
{
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        bool same = RULES[i].n == n;
        for (int64_t s = 0; same && s < n; s++) {
            same = same_step(&RULES[i].steps[s], &steps[s]);
        }
        if (same) {
            return RULES[i].name;
        }
    }
    return NULL;
}
