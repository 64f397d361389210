import { describe, expect, it } from 'vitest';
import { portableArguments } from '../../bench/peers/options.js';

describe('portableArguments', () => {
  it('leaves out options that name places, in both spellings, and nothing else', () => {
    expect(
      portableArguments([
        ...['--python', '/venv/bin/python', '--workload', 'kaggle', '--out=/somewhere'],
        ...['--keep', 'models', '--json', '--save', 'name'],
      ]),
    ).toEqual(['--workload', 'kaggle', '--json', '--save', 'name']);
  });

  it('keeps a switch after an option whose value is missing', () => {
    expect(portableArguments(['--out', '--json', '--rounds', '7'])).toEqual([
      '--json',
      '--rounds',
      '7',
    ]);
  });
});
