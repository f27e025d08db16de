/*
 * gguf_rope.h - RoPE's settings of a GGUF file.
 */
#ifndef FR_MODEL_FAMILIES_GGUF_ROPE_H
#define FR_MODEL_FAMILIES_GGUF_ROPE_H

#include "model/families/gguf_keys.h"

/** Read the keys "rope." and the tensors of factors into the rotations of `arch`, whose sizes are checked.
 * @return FR_OK; FR_ERR_FORMAT (another type, length or range); FR_ERR_UNSUPPORTED (another scaling) */
FR_MUST_CHECK fr_status fr_gguf_read_rope(const fr_gguf_fields *fields,
                                          const fr_family *family, fr_arch *arch);

/** Refuse settings of RoPE's scaling in a file of a family without RoPE. It returns as fr_gguf_read_rope. */
FR_MUST_CHECK fr_status fr_gguf_refuse_rope(const fr_gguf_fields *fields);

/** Whether a tensor of that name holds factors that fr_gguf_read_rope reads. */
bool fr_gguf_is_rope_tensor(fr_text name);

#endif
