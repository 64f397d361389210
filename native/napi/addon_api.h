// The only place that includes node-addon-api; everything under napi/ includes this header.
#ifndef GYRFALCON_NAPI_ADDON_API_H_
#define GYRFALCON_NAPI_ADDON_API_H_

#include <napi.h>

#endif  // GYRFALCON_NAPI_ADDON_API_H_
