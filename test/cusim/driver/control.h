// What tests tell the simulated driver, and ask it; found in it by name. Environment, read at each
// call so that a Node process can use it:
//   CUSIM_FAIL    FUNCTION:NTH:ERROR, as cusim_fail
//   CUSIM_ORDER   late, prompt, or a seed, as cusim_order
//   CUSIM_LIMIT   bytes of the device's memory
//   CUSIM_REPORT  a file that gets "LIVE MISUSES" in decimal and the leaks when the process ends
#ifndef GYRFALCON_CUSIM_DRIVER_CONTROL_H_
#define GYRFALCON_CUSIM_DRIVER_CONTROL_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" {

// The n-th call of `function` from now on (1: the next one) returns `error`; null: none will.
using CusimFail = void (*)(const char* function, int nth, int error);  // cusim_fail
// The n-th piece of work of a stream that is waited for from now on fails with `error`, which every
// call returns from then on.
using CusimFailWork = void (*)(int nth, int error);  // cusim_fail_work
// Calls of `function` since the last cusim_fail.
using CusimCalls = int (*)(const char* function);  // cusim_calls
// Contexts, modules, streams, events, graphs and allocations that were not given back.
using CusimLive = int (*)();  // cusim_live
// A line for each, cut to `room` with the null at its end.
using CusimLeaks = void (*)(char* text, size_t room);  // cusim_leaks
// Handles that were not known, what broke a rule, and faults of kernels and copies; the last one.
using CusimMisuses = int (*)();                             // cusim_misuses
using CusimLastMisuse = void (*)(char* text, size_t room);  // cusim_last_misuse
// "late": nothing is done before somebody waits for it; "prompt": at once; a number: some of it at
// each call, in pieces and in any order that streams, events and graphs allow.
using CusimOrder = void (*)(const char* order);         // cusim_order
using CusimLimit = void (*)(unsigned long long bytes);  // cusim_limit: of the device's memory
// Launches, warp instructions, load requests, store requests, load sectors, store sectors, bytes
// loaded, bytes stored, since the process began.
using CusimTotals = void (*)(uint64_t totals[8]);  // cusim_totals
// Forgets a failure of work, and what was reported, as a new process would.
using CusimReset = void (*)();  // cusim_reset

}  // extern "C"

namespace cusim {

// Precondition: the driver is locked.
void SetOrder(std::string_view order);

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_DRIVER_CONTROL_H_
