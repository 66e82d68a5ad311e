import { describe, expect, it } from 'vitest';
import {
  compareSettings,
  groupBySettings,
  IncomparableRunsError,
  labelBySettings,
  renderReport,
  type RunRecord,
} from '../src/index.js';
import { run } from './runs.js';

/** Three seeds of a setting, as `config.json` holds them. */
function seeds(config: object, top1: readonly number[], passesPerStep = 1): RunRecord[] {
  return top1.map((value, seed) => {
    const all = { data: 'cifar10', model: 'resnet8', lr: 0.1, ...config, seed, runDir: `/r/${seed}`, backend: 'wasm' };
    const policy = 'policy' in config ? String(config.policy) : 'none';
    return run(`${policy}-${JSON.stringify(config).length}-${seed}`, { config: all, top1: value, passesPerStep });
  });
}

const sgd = seeds({ policy: 'none' }, [0.7, 0.72, 0.74]);
const sam = seeds({ policy: 'sam', rho: 0.05 }, [0.8, 0.82, 0.81], 2);
const wide = seeds({ policy: 'sam', rho: 0.2 }, [0.78, 0.79], 2);

describe('runs by settings', () => {
  it('are grouped by all but the seed and the machine, and named by what tells them apart', () => {
    const groups = groupBySettings([...sgd, ...sam]);
    expect(groups.map(({ label, runs }) => [label, runs.length])).toEqual([
      ['none', 3],
      ['sam', 3],
    ]);
    expect(groupBySettings([...sgd, ...sam, ...wide]).map(({ label }) => label)).toEqual([
      'none',
      'sam rho=0.05',
      'sam rho=0.2',
    ]);
    expect(groupBySettings(sam).map(({ label }) => label)).toEqual(['sam']);
    expect(groupBySettings([])).toEqual([]);
  });

  it('name options of policies by their last part, and networks', () => {
    const chi = [1.1, 1.2].flatMap((chi) => seeds({ policy: 'samar', policyOptions: { chi, gamma: 1 } }, [0.8]));
    expect(groupBySettings(chi).map(({ label }) => label)).toEqual(['samar chi=1.1', 'samar chi=1.2']);
    const nets = ['mlp', 'lenet5'].flatMap((model) => seeds({ policy: 'sam', model }, [0.5]));
    expect(groupBySettings(nets).map(({ label }) => label)).toEqual(['sam mlp', 'sam lenet5']);
  });

  it('count a seed once', () => {
    const again = { ...sam[1]!, name: 'again', label: 'again' };
    const [group] = groupBySettings([...sam, again]);
    expect(group?.runs).toEqual(sam);
    expect(group?.duplicates).toEqual([again]);
    const { rows, notes } = compareSettings([...sam, again]);
    expect(rows[0]?.n).toBe(3);
    expect(notes).toEqual(['again has settings and seed of another run, and does not count again']);
    expect(labelBySettings([...sam, again]).map(({ label }) => label)).toEqual(['sam', 'sam', 'sam', 'again']);
  });

  it('keep a label that they have', () => {
    const named = sam.map((record) => ({ ...record, label: 'ours' }));
    expect(labelBySettings([...sgd, ...named]).map(({ label }) => label)).toEqual([
      'none',
      'none',
      'none',
      'ours',
      'ours',
      'ours',
    ]);
  });

  it('give a report bands and one row a setting', async () => {
    const page = await renderReport({ title: 't', runs: labelBySettings([...sgd, ...sam]) });
    expect(page).toContain('none (3 runs)');
    expect(page).toContain('Bands: 95 % interval of the mean over repeats');
  });
});

describe('comparing settings', () => {
  it('gives means with t-intervals over seeds, and how many', () => {
    const { rows, equalPasses, quantities } = compareSettings([...sgd, ...sam, ...wide]);
    expect(equalPasses).toBe(400);
    expect(rows.map(({ label, n, seeds }) => [label, n, seeds])).toEqual([
      ['none', 3, [0, 1, 2]],
      ['sam rho=0.05', 3, [0, 1, 2]],
      ['sam rho=0.2', 2, [0, 1]],
    ]);
    const top1 = rows[0]!.values['testTop1']!;
    // s = 0.02, t(2) = 4.3027: half = 4.3027 · 0.02 / √3.
    expect(top1.mean).toBeCloseTo(0.72, 12);
    expect(top1.high! - top1.mean).toBeCloseTo(0.04968, 4);
    expect(top1.mean - top1.low!).toBeCloseTo(0.04968, 4);
    expect(rows[1]!.values['passesPerStep']).toMatchObject({ mean: 2, low: 2, high: 2, n: 3 });
    // At 400 passes SAM had taken half of its steps.
    expect(rows[1]!.values['testTop1AtEqualPasses']!.mean).toBeCloseTo(0.405, 12);
    expect(quantities.map(({ key }) => key)).toContain('testTop1AtEqualPasses');
    expect(JSON.parse(JSON.stringify({ rows }))).toEqual({ rows });
  });

  it('gives no interval to one seed', () => {
    const { rows } = compareSettings([sgd[0]!]);
    expect(rows[0]!.values['testTop1']).toEqual({ mean: 0.7, low: null, high: null, n: 1 });
  });

  it('counts what was completed, and says what was not', () => {
    const broken = { ...sam[2]!, summary: { status: 'diverged' }, rows: sam[2]!.rows.slice(0, 1) };
    const killed = { ...sgd[2]!, summary: { imagesPerSecond: 9 } };
    const { rows, notes } = compareSettings([...sgd.slice(0, 2), killed, ...sam.slice(0, 2), broken]);
    expect(rows[1]).toMatchObject({ n: 2, status: { completed: 2, diverged: 1 } });
    expect(rows[1]!.values['testTop1']!.mean).toBeCloseTo(0.81, 12);
    expect(notes).toEqual([
      `${killed.name} was not completed: no summary`,
      `${broken.name} was not completed: diverged`,
    ]);
    expect(compareSettings([broken]).rows[0]!.n).toBe(1);
  });

  it.each([
    ['data', { data: 'cifar100' }],
    ['limitTest', { limitTest: 500 }],
  ])('refuses runs that differ in %s, by name', (setting, config) => {
    const others = seeds({ policy: 'sam', ...config }, [0.5, 0.6]);
    const compare = (): unknown => compareSettings([...sgd, ...others]);
    expect(compare).toThrow(IncomparableRunsError);
    expect(compare).toThrow(`${setting} `);
    expect(compare).toThrow(others[0]!.name);
  });

  it('says where a measure is of different kinds', () => {
    const { notes } = compareSettings([
      ...seeds({ policy: 'none', gapRho: 0.05 }, [0.5]),
      ...seeds({ policy: 'sam', gapRho: 0.1 }, [0.5]),
    ]);
    expect(notes.join()).toContain('different gapRho');
  });
});
