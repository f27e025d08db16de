/*
 * formula.h - the formulas that kinds of devices share say how they are inlined as those of src/base do.
 */
#ifndef FR_DEVICE_FORMULA_H
#define FR_DEVICE_FORMULA_H

#include "base/formula.h"

#endif
