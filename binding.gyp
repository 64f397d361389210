{
  # The same addon as CMakeLists.txt builds, from the same native/sources.json.
  "variables": {
    # GYP_DEFINES=gyrfalcon_static_stdlib=1 links libstdc++ and libgcc in, for prebuilt binaries.
    "gyrfalcon_static_stdlib%": 0,
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "defines": ["GYRFALCON_VERSION=\"<!(node scripts/sources.mjs version)\""],
    "cflags": ["-fvisibility=hidden", "-fPIC"],
    "cflags_cc": [
      "-std=c++20", "-Wall", "-Wextra", "-ffp-contract=off", "-fvisibility-inlines-hidden",
    ],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
    "configurations": {
      "Release": {"cflags": ["-O3"], "cflags!": ["-O2"], "defines": ["NDEBUG"]},
    },
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
    },
  },
  "targets": [
    {
      "target_name": "gyrfalcon_core",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.mjs list core bundle backends engines)"],
      # Made while this file is read, empty where there is no nvcc; the compiler runs in build/.
      "variables": {"cuda_kernels": "<!(node scripts/cuda-kernels.mjs build/cuda)"},
      "defines": ["GYRFALCON_CUDA_FATBIN=\"cuda/gyrfalcon.fatbin\""],
      "conditions": [
        ["target_arch=='arm64'", {"sources": ["<!@(node scripts/sources.mjs list neon)"]}],
      ],
    },
    {
      "target_name": "gyrfalcon",
      "type": "loadable_module",
      "sources": ["<!@(node scripts/sources.mjs list napi)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "dependencies": ["gyrfalcon_core"],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
      ],
      "conditions": [
        ["target_arch=='x64'", {"dependencies": [
          "gyrfalcon_avx2", "gyrfalcon_avx512", "gyrfalcon_avx512bf16", "gyrfalcon_avx512vnni",
          "gyrfalcon_amx",
        ]}],
        ["OS=='linux'", {
          "ldflags": ["-Wl,-z,nodelete", "-Wl,--version-script='<(module_root_dir)/cmake/addon.map'"],
          "libraries": ["-ldl", "-lpthread"],
        }],
        ["OS=='linux' and gyrfalcon_static_stdlib==1", {
          "ldflags": ["-static-libstdc++", "-static-libgcc"],
        }],
      ],
    },
  ],
  "conditions": [
    # Instruction sets are targets of their own because gyp has no flags for single files.
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "gyrfalcon_avx2",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.mjs list avx2)"],
          "cflags_cc": ["<!@(node scripts/sources.mjs flags avx2)"],
          "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.mjs flags avx2)"]},
        },
        {
          "target_name": "gyrfalcon_avx512",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.mjs list avx512)"],
          "cflags_cc": ["<!@(node scripts/sources.mjs flags avx512)"],
          "xcode_settings": {
            "OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.mjs flags avx512)"],
          },
        },
        {
          "target_name": "gyrfalcon_avx512bf16",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.mjs list avx512bf16)"],
          "cflags_cc": ["<!@(node scripts/sources.mjs flags avx512bf16)"],
          "xcode_settings": {
            "OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.mjs flags avx512bf16)"],
          },
        },
        {
          "target_name": "gyrfalcon_avx512vnni",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.mjs list avx512vnni)"],
          "cflags_cc": ["<!@(node scripts/sources.mjs flags avx512vnni)"],
          "xcode_settings": {
            "OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.mjs flags avx512vnni)"],
          },
        },
        {
          "target_name": "gyrfalcon_amx",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.mjs list amx)"],
          "cflags_cc": ["<!@(node scripts/sources.mjs flags amx)"],
          "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<!@(node scripts/sources.mjs flags amx)"]},
        },
      ],
    }],
  ],
}
