/*
 * families.h - the families of models that are taken, and what is said of the others.
 */
#ifndef FR_MODEL_FAMILIES_FAMILIES_H
#define FR_MODEL_FAMILIES_FAMILIES_H

#include "model/families/family.h"

/** Why a mixture of experts is refused, for messages of both formats. */
#define FR_IS_EXPERTS "it is a mixture of experts; give a dense model"

#include <stdio.h>

extern const fr_family FR_FAMILY_LLAMA;
extern const fr_family FR_FAMILY_MISTRAL;
extern const fr_family FR_FAMILY_QWEN2;
extern const fr_family FR_FAMILY_QWEN3;
extern const fr_family FR_FAMILY_GEMMA2;
extern const fr_family FR_FAMILY_GEMMA3;
extern const fr_family FR_FAMILY_SMOLLM3;
extern const fr_family FR_FAMILY_GRANITE;
extern const fr_family FR_FAMILY_OLMO2;
extern const fr_family FR_FAMILY_PHI3;
extern const fr_family FR_FAMILY_GPT2;
extern const fr_family FR_FAMILY_GPT_NEOX;
extern const fr_family FR_FAMILY_OPT;
extern const fr_family FR_FAMILY_BLOOM;

/** The families in the order of the documentation; NULL past the last. */
const fr_family *fr_family_at(int index);

/** The family of a model_type of config.json; NULL: none. */
const fr_family *fr_family_of_hf(const char *type);
/** The family whose description a model of several parts holds as its text_config without naming its type; NULL: none. */
const fr_family *fr_family_of_text(const char *type);
/** The family of a general.architecture of GGUF; NULL: none. */
const fr_family *fr_family_of_gguf(fr_text type);

/** What rules a type out ("it is a mixture of experts"), whichever format names it; NULL if it is not known. */
const char *fr_family_refusal(fr_text type);

/** "llama, mistral, ...": the names of one format that are taken. */
typedef struct fr_family_names {
    char text[256];
} fr_family_names;
fr_family_names fr_families_supported(bool gguf);

/** A family as a line of the table in docs/models.md, without a newline. */
typedef struct fr_family_line {
    char text[384];
} fr_family_line;
fr_family_line fr_family_describe(const fr_family *family);

/** Print all of them below a heading. */
void fr_families_print(FILE *out);

/** Whether the family's reader of config.json looks at a key, or its models have no use for it. */
bool fr_family_knows_key(const fr_family *family, const char *key);
/** The same for a key of GGUF, without its architecture. */
bool fr_family_knows_gguf_key(const fr_family *family, const char *key);

#endif
