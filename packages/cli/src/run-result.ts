import { print, printJson, table } from './console.js';
import { writeRunReport } from './command-settings.js';
import { percent } from './progress.js';
import type { RunOutcome } from './train-run.js';

/** Writes the report of a run that is at its end and shows what came out. `network` is what headings call its model. */
export async function showOutcome(outcome: RunOutcome, network: string, json: boolean): Promise<void> {
  const { runDir, policy, data, dataSource, backendReason } = outcome;
  const title = `${network} with ${policy} on ${data}`;
  const report = await writeRunReport(runDir, title, [runDir], `${dataSource}; ${backendReason}`);
  if (json) {
    printJson({ ...outcome, report });
    return;
  }
  print(
    table(
      ['', ''],
      [
        ['test Top-1', percent(outcome.testTop1)],
        ['test Top-5', percent(outcome.testTop5)],
        ...(outcome.emaTestTop1 === undefined ? [] : [['test Top-1, averaged weights', percent(outcome.emaTestTop1)]]),
        ['test loss', outcome.testLoss.toFixed(4)],
        ['train loss', outcome.trainLoss.toFixed(4)],
        ['generalisation gap', percent(outcome.generalisationGap)],
        ['SAM gap', outcome.samGap.toFixed(4)],
        ['gradient passes', String(outcome.passes)],
        ['images per second', outcome.imagesPerSecond.toFixed(1)],
        ...(outcome.bestCheckpoint === undefined
          ? []
          : [['best checkpoint', `${outcome.bestCheckpoint}, ${outcome.bestMetric} at step ${outcome.bestStep}`]]),
        ...(outcome.stopped === undefined ? [] : [['stopped early', outcome.stopped]]),
      ],
    )
      .split('\n')
      .slice(2)
      .join('\n'),
  );
  print(`run     ${runDir}`);
  print(`report  ${report}`);
}
