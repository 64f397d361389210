// Arithmetic of single instructions on register bits.
#ifndef GYRFALCON_CUSIM_ALU_H_
#define GYRFALCON_CUSIM_ALU_H_

#include <cstdint>

#include "cusim/ptx.h"

namespace cusim {

// Values are bit patterns in the low bytes of a register.
uint64_t Truncate(uint64_t bits, Type type);   // to the type's bytes, zero-extended
int64_t ToSigned(uint64_t bits, Type type);
double ToReal(uint64_t bits, Type type);
uint64_t FromReal(double value, Type type);    // rounds to nearest, ties to even

// False for a combination that no rule covers.
bool Compute(const Instruction& instruction, const uint64_t* in, uint64_t* out);
bool Compare(const Instruction& instruction, uint64_t a, uint64_t b, bool* result);
bool Convert(const Instruction& instruction, uint64_t in, uint64_t* out);
bool Atomic(const Instruction& instruction, uint64_t old, const uint64_t* in, uint64_t* next);

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_ALU_H_
