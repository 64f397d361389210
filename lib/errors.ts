/** The closed list of error codes; native/core/error_code.h declares the same list. */
export const ERROR_CODES = [
  'INVALID_ARGUMENT',
  'SHAPE_MISMATCH',
  'DTYPE_MISMATCH',
  'INDEX_OUT_OF_RANGE',
  'INVALID_OFFSETS',
  'DETACHED_BUFFER',
  'BATCH_IN_FLIGHT',
  'BATCH_MISMATCH',
  'MODEL_CLOSED',
  'ABORTED',
  'LIMIT_EXCEEDED',
  'OUT_OF_MEMORY',
  'IO_ERROR',
  'BUNDLE_NOT_FOUND',
  'BUNDLE_INVALID',
  'BUNDLE_VERSION',
  'CHECKSUM_MISMATCH',
  'PATH_ESCAPE',
  'ONNX_INVALID',
  'ONNX_UNSUPPORTED',
  'VERIFY_FAILED',
  'ENGINE_UNAVAILABLE',
  'ENGINE_FAILED',
  'DEVICE_UNAVAILABLE',
  'DEVICE_FAILED',
  'NATIVE_UNAVAILABLE',
  'INTERNAL',
] as const;

/** A stable, machine-readable reason; see docs/errors.md for what each one means and what to do. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** Every error that gyrfalcon raises on purpose. Programs branch on `code`, people read `message`. */
export class GyrfalconError extends Error {
  override readonly name = 'GyrfalconError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
