/** Every limit on a number that comes from an ONNX file; tests stand on both sides of each. */

/**
 * Subgraphs inside subgraphs that the reader follows; the main graph is depth 0. PyTorch 2.x nests
 * an unoptimised EmbeddingBag 6 deep.
 */
export const MAX_GRAPH_DEPTH = 16;
/** The same for a dense graph that is written (docs/bundle-format.md). */
export const MAX_DENSE_DEPTH = 4;
/** Bytes of a name (node, value, tensor, domain, attribute). */
export const MAX_NAME_BYTES = 64 * 1024;
/** Bytes of a string attribute. */
export const MAX_STRING_BYTES = 1024 * 1024;
/** Bytes of an attribute that is kept without being interpreted. */
export const MAX_RAW_ATTRIBUTE_BYTES = 64 * 1024;
export const MAX_RANK = 64;
/** Elements of one tensor; byte counts stay exact in a double. */
export const MAX_ELEMENTS = 2 ** 48;
/** What the decoded metadata of one model may take, counted as it is decoded. */
export const MAX_METADATA_BYTES = 256 * 1024 * 1024;
/** Counted against MAX_METADATA_BYTES for each message, so that empty ones are not free. */
export const MESSAGE_COST = 64;
/** The same for each integer of a repeated field: a bigint and its place in an array. */
export const INTEGER_COST = 32;
/** Tensor bytes up to this size are copied into memory, longer ones stay in their file. */
export const INLINE_TENSOR_BYTES = 64 * 1024;
export const MAX_FUNCTIONS = 4096;
/** Function calls inside function calls. */
export const MAX_CALL_DEPTH = 32;
/** Protobuf's own limit on a message. */
export const MAX_MODEL_FILE_BYTES = 2 ** 31 - 1;
/** Rows are streamed in blocks of at most this many bytes (one row, if a row is longer). */
export const BLOCK_BYTES = 16 * 1024 * 1024;
