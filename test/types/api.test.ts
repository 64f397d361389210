/** What the compiler makes of the API; `npm test -- --only=types` checks this file. */
import { expect, expectTypeOf, test } from 'vitest';
import {
  type AnyInput,
  type Batch,
  type BatchInputs,
  loadModel,
  type Model,
  type RaggedInput,
  type Scores,
  type TypedArray,
} from '../../lib/index.js';

interface Inputs {
  user: Int32Array;
  dense: Float32Array;
  genres: RaggedInput<Int32Array, undefined>;
  tags: RaggedInput<BigInt64Array, Float32Array>;
}
interface Outputs {
  score: Float32Array;
}

// Never called: only their types are of interest.
const known = async (model: Model<Inputs, Outputs>) => {
  const batch = model.createBatch(4);
  batch.inputs.user.set([1, 2]);
  batch.inputs.dense[0] = 0.5;
  batch.inputs.genres.indices[0] = 3;
  batch.inputs.genres.offsets.set([0, 1]);
  batch.inputs.tags.indices[0] = 3n;
  batch.inputs.tags.weights[0] = 0.5;
  // @ts-expect-error: the model has no such input
  batch.inputs.item;
  // @ts-expect-error: ids of this input are 32 bits wide
  batch.inputs.user[0] = 1n;
  // @ts-expect-error: ids of this input are 64 bits wide
  batch.inputs.tags.indices[0] = 1;
  // @ts-expect-error: a ragged input is not an array
  batch.inputs.genres.set([1]);
  // @ts-expect-error: inputs stay what they are
  batch.inputs.genres.offsets = new Int32Array(5);
  const { score } = model.scoreSync(batch);
  // @ts-expect-error: the model has no such output
  (await model.score(batch)).other;
  return score;
};

const unknown = (model: Model) => {
  const { dense, user, genres } = model.createBatch(2).inputs as Record<string, AnyInput> & {
    [name in 'dense' | 'user' | 'genres']: AnyInput;
  };
  dense.set([0.5]);
  user[0] = 3;
  user[1] = 3n;
  genres.indices.set([1, 2]);
  genres.offsets.set([0, 2]);
  genres.weights[0] = 1;
  // @ts-expect-error: a number or a bigint
  user[0] = 'x';
  // @ts-expect-error: no method of typed arrays
  user.push(1);
};

test('inputs and outputs of a model whose types are given', () => {
  expect([known, unknown].every((check) => typeof check === 'function')).toBe(true);
  expectTypeOf(known).returns.resolves.toEqualTypeOf<Float32Array>();
  expectTypeOf(loadModel<Inputs, Outputs>).returns.resolves.toEqualTypeOf<Model<Inputs, Outputs>>();
  expectTypeOf<Model<Inputs, Outputs>['createBatch']>().returns.toEqualTypeOf<Batch<Inputs>>();
  expectTypeOf<Model<Inputs, Outputs>['score']>().returns.resolves.toEqualTypeOf<Outputs>();
  expectTypeOf<Batch<Inputs>>().not.toEqualTypeOf<Batch<{ other: Int32Array }>>();
});

test('without them, what any input and output can do', () => {
  const load = () => loadModel('bundle');
  expectTypeOf(load).returns.resolves.toEqualTypeOf<Model>();
  expectTypeOf<Batch['inputs']>().toEqualTypeOf<BatchInputs>();
  expectTypeOf<BatchInputs[string]>().toEqualTypeOf<AnyInput>();
  expectTypeOf<Scores[string]>().toEqualTypeOf<TypedArray>();
  expectTypeOf<AnyInput>().not.toBeAny();
  expectTypeOf<TypedArray[number]>().toEqualTypeOf<number | bigint>();
});

test('a model of known types is one where the types do not matter', () => {
  expectTypeOf<Model<Inputs, Outputs>>().toExtend<Model<object, object>>();
  expectTypeOf<Batch<Inputs>>().toExtend<Batch<object>>();
  expectTypeOf<Model<Inputs, Outputs>>().not.toExtend<Model<{ other: Int32Array }, Outputs>>();
});
