// What tests tell the driver of sim_driver.cc, and ask it; found in it by name.
#ifndef GYRFALCON_TEST_CUDA_SIM_DRIVER_H_
#define GYRFALCON_TEST_CUDA_SIM_DRIVER_H_

extern "C" {

// The n-th call of `function` from now on (1: the next one) returns `error`; null: none will.
using SimFail = void (*)(const char* function, int nth, int error);  // cudasim_fail
// Calls of `function` since the last cudasim_fail.
using SimCalls = int (*)(const char* function);  // cudasim_calls
// Contexts, modules, streams, events, graphs and allocations that were not given back.
using SimLive = int (*)();  // cudasim_live
// Handles that were not known, and faults of kernels and copies.
using SimMisuse = int (*)();  // cudasim_misuse
// Whether work is done at once, or only when somebody waits for it.
using SimPrompt = void (*)(int prompt);               // cudasim_prompt
using SimLimit = void (*)(unsigned long long bytes);  // cudasim_limit: of the device's memory

}  // extern "C"

#endif  // GYRFALCON_TEST_CUDA_SIM_DRIVER_H_
