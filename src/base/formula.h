/*
 * formula.h - how formulas are inlined that more than one kind of device computes with: written once, so that their bits are the
 * same on each. A device whose functions need words of its compiler defines FR_FORMULA before it includes them.
 */
#ifndef FR_BASE_FORMULA_H
#define FR_BASE_FORMULA_H

#ifndef FR_FORMULA
#define FR_FORMULA static inline
/** One whose arguments are constants, so that it must become a part of its caller. */
#define FR_FORMULA_WHOLE static inline __attribute__((always_inline))
#endif

#endif
